package strictjson

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

func TestRead(t *testing.T) {
	for _, good := range []string{`{}`, ` {"a":[1,{"b":[]}],"c":null} `, `{"a":{"a":{"a":1}}}`, `{"":"\ud83d\ude00"}`, `{"a":[{},{}]}`} {
		if _, err := Read([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{``, `[]`, `"a"`, `null`, `{`, `{"a":1,}`, `{"a":1}}`, `{"a":1,"a":1}`, `{"a":[{"b":1,"b":2}]}`, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`, `{"\udc00":1}`, "{\"a\":\"\xff\"}",
		"\ufeff{}", `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, `{"a":[` + strings.Repeat("1,", MaxMembers) + `1]}`, `{'a':1}`, `{"a":01}`, "{\"a\":\"\n\"}"} {
		if o, err := Read([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, o)
		}
	}
	o, err := Read([]byte(`{"n":12,"f":1.5,"t":"x","l":["a","b"],"m":["a",null],"o":{"i":"y"},"neg":-1,"big":253402300800,"null":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := o.Seconds("n"); !ok || n != 12 {
		t.Error("seconds")
	}
	for _, name := range []string{"f", "t", "neg", "big", "null", "absent"} {
		if n, ok := o.Seconds(name); ok {
			t.Errorf("%s is the instant %d", name, n)
		}
	}
	if l, ok := o.Texts("l"); !ok || len(l) != 2 {
		t.Error("texts of a list")
	}
	for _, name := range []string{"m", "n", "o", "null", "absent"} {
		if l, ok := o.Texts(name); ok {
			t.Errorf("%s is the texts %v", name, l)
		}
	}
	if inner, ok := o.Object("o"); !ok || string(inner["i"]) != `"y"` {
		t.Error("object")
	}
	for _, name := range []string{"l", "null", "absent"} {
		if _, ok := o.Object(name); ok {
			t.Errorf("%s is an object", name)
		}
	}
}
