package keysecret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

func sourceOf(pairs ...string) *corev1.Secret {
	s := &corev1.Secret{Data: map[string][]byte{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Data[pairs[i]] = []byte(pairs[i+1])
	}
	return s
}

// renamed is the JWK of a key under another kid.
func renamed(t *testing.T, k *token.PrivateKey, kid string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(k.JWK().Reveal(), &members); err != nil {
		t.Fatal(err)
	}
	members["kid"] = kid
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestEntries(t *testing.T) {
	a, b, c := generate(t, token.ES256, 0), generate(t, token.EdDSA, 0), generate(t, token.ES256, 0)
	text := func(k *token.PrivateKey) string { return string(k.JWK().Reveal()) }
	var source keysecret.Source
	from := sourceOf("2", text(b), "1", text(a), "ca.crt", "x", "tls.crt", "x", "3", text(a), "4", "rubbish", "5", renamed(t, c, "mine"), "6", renamed(t, generate(t, token.ES256, 0), "mine"),
		"7", strings.Repeat("x", token.MaxBroughtBytes+1))
	for range 2 { // the second time it remembers
		var got []string
		for _, e := range source.Entries(from) {
			words := e.Refused
			if words == "" {
				words = fmt.Sprint(e.KID == a.KID(), e.KID == b.KID(), e.KID == c.KID(), e.Algorithms, e.Good(keys.ES256))
			}
			got = append(got, e.Name+" "+words[:min(len(words), 40)])
		}
		want := []string{
			"1 true false false [ES256] true", "2 false true false [EdDSA] false", "3 it is the same key as entry 1: remove on", "4 it is neither a PEM block nor a JWK: a D",
			"5 false false true [ES256] true", "6 its JWK has the same kid as that of entr", "7 it has 16385 bytes, and at most 16384 ar",
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("got\n%s\nwant\n%s", g, w)
		}
	}
	many := sourceOf()
	for i := range keysecret.MaxEntries + 1 {
		many.Data[fmt.Sprintf("%03d", i)] = []byte("rubbish")
	}
	if all := source.Entries(many); !strings.Contains(all[keysecret.MaxEntries].Refused, "more than 32 entries") || strings.Contains(all[keysecret.MaxEntries-1].Refused, "more than") {
		t.Errorf("of 33 entries it says %q", all[keysecret.MaxEntries].Refused)
	}
}

func TestTake(t *testing.T) {
	a, b := generate(t, token.ES256, 0), generate(t, token.ES256, 0)
	from := sourceOf("1", string(a.JWK().Reveal()))
	from.Name = "mine"
	var source keysecret.Source
	entry := &source.Entries(from)[0]
	got, err := keysecret.Take(from, entry, keys.ES256)
	if err != nil || got.KID() != a.KID() {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := keysecret.Take(from, entry, keys.EdDSA); err == nil {
		t.Error("it is taken for another algorithm")
	}
	for _, other := range []string{string(b.JWK().Reveal()), "rubbish-rubbish"} {
		_, err := keysecret.Take(sourceOf("1", other), entry, keys.ES256)
		refused(t, err, keysecret.ReasonInvalid)
		if strings.Contains(err.Error(), "rubbish") {
			t.Errorf("it quotes the entry: %v", err)
		}
	}
	hides(t, source.Entries(from), a)
	hides(t, &source, a)
}

// TestBroughtIsKept: in the key's Secret and in the ring; where nothing was brought neither says anything new.
func TestBroughtIsKept(t *testing.T) {
	private := generate(t, token.ES256, 0)
	for _, brought := range []bool{true, false} {
		encode := keysecret.EncodeKey
		if brought {
			encode = keysecret.EncodeBrought
		}
		s, err := encode(owner, 7, private)
		if err != nil {
			t.Fatal(err)
		}
		_, public, err := keysecret.DecodeKey(s, owner, 7)
		if err != nil || public.Brought != brought {
			t.Fatalf("brought %t: %v", public.Brought, err)
		}
		ring := &keys.Ring{Epoch: 1, NextSequence: 8, Keys: []keys.Key{public}}
		ring.Keys[0].State, ring.Keys[0].Created = keys.Pending, noon
		if brought {
			ring.Taken = []string{public.KID, "older"}
		}
		written := ringSecret(t, ring)
		again, err := keysecret.DecodeRing(written, owner)
		if err != nil || again.Keys[0].Brought != brought || len(again.Taken) != len(ring.Taken) {
			t.Fatalf("%+v: %v", again, err)
		}
		said := bytes.Contains(s.Data["binding.json"], []byte("brought")) || bytes.Contains(written.Data["ring.json"], []byte("brought")) || bytes.Contains(written.Data["ring.json"], []byte("taken"))
		if said != brought {
			t.Errorf("brought %t, and the format says so: %t", brought, said)
		}
		if keysecret.Made(sourceOf()) || !keysecret.Made(s) || !keysecret.Made(written) {
			t.Error("Keyturn's own Secrets are not told from others")
		}
	}
}
