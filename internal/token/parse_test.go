package token

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// What a good token said must stay while other tokens are read in the memory that was used before.
func TestClaimsOutliveTheParser(t *testing.T) {
	w := newFuzzWorld(t)
	good := func(user string) string {
		raw, err := NewSigner(w.key).Sign(Claims{Issuer: w.our.Issuer, Subject: user, Audience: w.our.Audiences[:1], IssuedAt: testNow, ExpiresAt: testNow.Add(time.Minute), ID: "jti-" + user, ClientID: "web",
			Custom: map[string]string{"role": "role-" + user}})
		if err != nil {
			t.Fatal(err)
		}
		return raw.Reveal()
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			name := strings.Repeat(string(rune('a'+worker)), 40)
			mine := good(name)
			spoilt := mine[:len(mine)-8] + "AAAAAAAA"
			for range 300 {
				v := w.our.Verify(testNow, mine)
				for _, raw := range []string{spoilt, good("other"), strings.Replace(mine, ".", ".A", 1), mine} {
					if v := w.our.Verify(testNow, raw); v.Outcome != policy.Valid && (v.KID != "" || !reflect.DeepEqual(v.Claims, Claims{})) {
						t.Errorf("a refused token lets out memory that is used again: %+v", v)
						return
					}
				}
				c := v.Claims
				if v.Outcome != policy.Valid || c.Subject != name || c.ID != "jti-"+name || c.Custom["role"] != "role-"+name || c.Audience[0] != w.our.Audiences[0] || v.KID != w.key.KID() {
					t.Errorf("%+v became of %s", v, name)
					return
				}
			}
		})
	}
	group.Wait()
}

// A token that is refused before its signature is computed leaves next to nothing behind.
func TestRefusalLeavesNoGarbage(t *testing.T) {
	w := newFuzzWorld(t)
	raw, err := NewSigner(w.key).Sign(Claims{Issuer: w.our.Issuer, Subject: "alice", Audience: w.our.Audiences, IssuedAt: testNow, ExpiresAt: testNow.Add(time.Minute), ID: "jti", ClientID: "web", Custom: map[string]string{"role": "admin"}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Generate(EdDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w.our.Keys, err = NewKeySet(other.Public()); err != nil {
		t.Fatal(err)
	}
	text := raw.Reveal()
	if v := w.our.Verify(testNow, text); v.Reason != policy.UnknownKey {
		t.Fatalf("%+v", v)
	}
	if n := testing.AllocsPerRun(2000, func() { w.our.Verify(testNow, text) }); n > 1 { // the list of audiences
		t.Errorf("%v allocations", n)
	}
}
