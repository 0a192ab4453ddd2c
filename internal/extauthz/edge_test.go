package extauthz

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestBuildRefuses(t *testing.T) {
	one, two := signingKeys()[0], signingKeys()[1]
	current, err := Build(encode(t, document(5, 7, one)), nil)
	check(t, err)
	cases := []struct {
		name, reason string
		change       func(*snapshot.Edge)
	}{
		{"no revision", "Incomplete", func(d *snapshot.Edge) { d.Revision = 0 }},
		{"no token service", "Incomplete", func(d *snapshot.Edge) { d.TokenService = "" }},
		{"no issuer", "Incomplete", func(d *snapshot.Edge) { d.Issuer = "" }},
		{"issuer with a quote", "Incomplete", func(d *snapshot.Edge) { d.Issuer = `https://x.test/"` }},
		{"issuer with a line break", "Incomplete", func(d *snapshot.Edge) { d.Issuer = "https://x.test/\r\nX: y" }},
		{"no key set", "Incomplete", func(d *snapshot.Edge) { d.Keys.Name = "" }},
		{"no epoch", "Incomplete", func(d *snapshot.Edge) { d.Keys.Epoch = 0 }},
		{"no keys", "Incomplete", func(d *snapshot.Edge) { d.Keys.Keys = nil; d.Keys.Active = "" }},
		{"too many keys", "Incomplete", func(d *snapshot.Edge) { d.Keys.Keys = make([]snapshot.Key, maxKeys+1) }},
		{"negative skew", "Incomplete", func(d *snapshot.Edge) { d.Keys.ClockSkew = -1 }},
		{"huge skew", "Incomplete", func(d *snapshot.Edge) { d.Keys.ClockSkew = snapshot.Duration(time.Hour) }},
		{"no audience", "Incomplete", func(d *snapshot.Edge) { d.Audiences = nil }},
		{"empty audience", "Incomplete", func(d *snapshot.Edge) { d.Audiences = []string{audience, ""} }},
		{"no maxTTL", "Incomplete", func(d *snapshot.Edge) { d.MaxTTL = 0 }},
		{"no feed", "Incomplete", func(d *snapshot.Edge) { d.Feed.Address = "" }},
		{"no maxPropagation", "Incomplete", func(d *snapshot.Edge) { d.MaxPropagation = 0 }},
		{"a word for stale", "Incomplete", func(d *snapshot.Edge) { d.OnStaleRevocation = "FailOpen" }},
		{"no proxies", "Incomplete", func(d *snapshot.Edge) { d.TrustedProxies = nil }},
		{"everybody", "Incomplete", func(d *snapshot.Edge) { d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }},
		{"everybody, version 6", "Incomplete", func(d *snapshot.Edge) { d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("::/0")} }},
		{"no JWK", "KeyMismatch", func(d *snapshot.Edge) { d.Keys.Keys[0].JWK = json.RawMessage("{}") }},
		{"another kid", "KeyMismatch", func(d *snapshot.Edge) { d.Keys.Keys[0].KID = two.KID() }},
		{"another algorithm", "KeyMismatch", func(d *snapshot.Edge) { d.Keys.Keys[0].Algorithm = "RS256" }},
		{"a private key", "KeyMismatch", func(d *snapshot.Edge) { d.Keys.Keys[0].JWK = one.JWK().Reveal() }},
		{"one key twice", "KeyMismatch", func(d *snapshot.Edge) { d.Keys.Keys = append(d.Keys.Keys, d.Keys.Keys[0]) }},
		{"active unknown", "KeyMismatch", func(d *snapshot.Edge) { d.Keys.Active = two.KID() }},
		{"another token service", "WrongTokenService", func(d *snapshot.Edge) { d.TokenService = "shop/other" }},
		{"a lower epoch", "EpochFell", func(d *snapshot.Edge) { d.Keys.Epoch = 6 }},
	}
	for _, c := range cases {
		doc := document(6, 7, one)
		c.change(&doc)
		edge, err := Build(encode(t, doc), current)
		var refused *snapshot.RefusedError
		if edge != nil || !errors.As(err, &refused) || refused.Reason != c.reason {
			t.Errorf("%s: %v, want %s", c.name, err, c.reason)
			continue
		}
		var d map[string]any
		check(t, json.Unmarshal(one.JWK().Reveal(), &d))
		if strings.Contains(err.Error(), d["d"].(string)) {
			t.Errorf("%s: the message carries a private key", c.name)
		}
	}
	for name, raw := range map[string][]byte{"nothing": nil, "not JSON": []byte("{"), "half": encode(t, document(6, 7, one))[:40]} {
		if _, err := Build(raw, current); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestBuildTakes(t *testing.T) {
	one, two := signingKeys()[0], signingKeys()[1]
	current, err := Build(encode(t, document(5, 7, one)), nil)
	check(t, err)
	for name, change := range map[string]func(*snapshot.Edge){
		"the same again":         func(*snapshot.Edge) {},
		"a lower revision":       func(d *snapshot.Edge) { d.Revision = 1 },
		"no active key yet":      func(d *snapshot.Edge) { d.Keys.Active = "" },
		"the default for stale":  func(d *snapshot.Edge) { d.OnStaleRevocation = "" },
		"another key set":        func(d *snapshot.Edge) { d.Keys.Name, d.Keys.Epoch = "shop/new", 1 },
		"another algorithm too":  func(d *snapshot.Edge) { *d = document(6, 7, two, one) },
		"no skew, no claims":     func(d *snapshot.Edge) { d.Keys.ClockSkew, d.Claims = 0, nil },
		"proxies of version six": func(d *snapshot.Edge) { d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("fd00::/8")} },
	} {
		doc := document(6, 7, one)
		change(&doc)
		if _, err := Build(encode(t, doc), current); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrusts(t *testing.T) {
	edge := &Edge{trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for peer, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "fd00:1::5": true, "fd00:1::5%eth0": true, "fd00:2::5": false, "127.0.0.1": false} {
		if got := edge.trusts(netip.MustParseAddr(peer)); got != want {
			t.Errorf("%s: %v", peer, got)
		}
	}
	if edge.trusts(netip.Addr{}) || (&Edge{}).trusts(netip.MustParseAddr("10.1.2.3")) {
		t.Error("trust without an address or a list")
	}
}

func encode(t testing.TB, doc snapshot.Edge) []byte {
	t.Helper()
	raw, err := snapshot.EncodeEdge(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
