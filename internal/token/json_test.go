package token

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadObject(t *testing.T) {
	good := map[string]int{
		`{}`: 0, ` { } `: 0, `{"a":1}`: 1, `{"a":-0.5E+3,"b":[],"c":[ 1 , 2 ],"d":{ },"e":true,"f":false,"g":null}`: 7,
		`{"a":"\u0000\ud83d\ude00\\u"}`: 1, `{"":0}`: 1, `{"a":1e-1,"b":0,"c":-0,"d":10}`: 4, `{"a":"\ud83d\ude00\ud83d\ude00"}`: 1,
		`{"a":"` + "\x7f\u2028" + `"}`: 1, `{"a":{"a":{"a":1}}}`: 1,
	}
	for text, members := range good {
		o, err := readObject(text)
		if err != nil || len(o) != members {
			t.Errorf("%s: %d members, %v", text, len(o), err)
		}
	}
	bad := []string{
		``, ` `, `{`, `}`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1};`,
		`{"a":[}`, `{"a":[1}`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":[`, `{"a":[,]}`, `{"a":tru}`, `{"a":True}`, `{"a":nul}`, `{"a":undefined}`, `{"a":nulll}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `{"a":1e+}`, `{"a":--1}`, `{"a":-}`, `{"a":+1}`, `{"a":1_0}`, `{"a":0x1}`, `{"a":1.e1}`, `{"a":-a}`,
		`{"a":"\"}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"\u12":1}`, `{"\ud800":1}`, `{"a":"\ud800\u0041"}`, `{"a":"\ud800\ud800"}`, `{"a":"\udc00"}`, `{"a":"\uDBFFx"}`,
		"{\"a\":\"\t\"}", "{\"a\":\"\x00\"}", "{\"a\xc0\":1}", "{\"a\":\"\xed\xa0\x80\"}", "\xff{}", `{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"a":{"b":1,"b":1}}`, `{"a":[{"b":1,"b":1}]}`,
		"{}\x00", "{}{}", "{}\v", "\u00a0{}", `{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
		`{"a":[` + strings.Repeat("1,", maxMembers) + `1]}`,
	}
	many := make([]string, 0, maxMembers+1)
	for i := range maxMembers + 1 {
		many = append(many, fmt.Sprintf(`"m%d":1`, i))
	}
	bad = append(bad, "{"+strings.Join(many, ",")+"}")
	for _, text := range bad {
		if o, err := readObject(text); err == nil {
			t.Errorf("%q is read as %v", text, o)
		}
	}
	if o, err := readObject("{" + strings.Join(many[1:], ",") + "}"); err != nil || len(o) != maxMembers {
		t.Errorf("%d members: %v", maxMembers, err)
	}
}

func TestDecodeSegment(t *testing.T) {
	for text, want := range map[string]string{"": "", "AA": "\x00", "AAA": "\x00\x00", "AAAA": "\x00\x00\x00", "-_-_": "\xfb\xff\xbf", "Zg": "f"} {
		if got, ok := decodeSegment(text); !ok || string(got) != want {
			t.Errorf("%q: %q %v", text, got, ok)
		}
	}
	for _, text := range []string{"A", "AAAAA", "AB", "Zh", "AAB", "AA==", "AA=", "A A", "AA\n", "\r\nAA", "+/+/", "AA%3D", "é", "AA\x00", "AA.", "[]{}", "@@@@", "````"} {
		if got, ok := decodeSegment(text); ok {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestNumericDate(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1800000000": 1800000000, "253402300799": maxNumericDate} {
		if got, ok := asSeconds(text); !ok || got != want {
			t.Errorf("%s: %d %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-1", "1.0", "1e3", "253402300800", "9999999999999", `"1"`, "null", "true", "[1]"} {
		if got, ok := asSeconds(text); ok {
			t.Errorf("%s is %d", text, got)
		}
	}
}

func TestStrings(t *testing.T) {
	for text, want := range map[string]string{`"a"`: "[a]", `["a"]`: "[a]", `[ "a" , "\u0062" ]`: "[a b]", `[""]`: "[]"} {
		if got, ok := asWords(text); !ok || fmt.Sprint(got) != want {
			t.Errorf("%s: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{``, `1`, `[]`, `[1]`, `["a",1]`, `["a" "b"]`, `["\ud800"]`, `{"0":"a"}`, `null`, `[null]`, `[["a"]]`, `["a",]`} {
		if got, ok := asWords(text); ok {
			t.Errorf("%s is %v", text, got)
		}
	}
}
