package tokenhttp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func TestBuildRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	rsa, err := token.Generate(token.RS256, 2048)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() snapshot.Issuer { return issuerDocument(t, key) }
	current, err := build(fresh(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		reason string
		change func(d *snapshot.Issuer)
	}{
		"another key signs":       {"KeyMismatch", func(d *snapshot.Issuer) { d.SigningKey = other.JWK() }},
		"active is another":       {"KeyMismatch", func(d *snapshot.Issuer) { d.Keys.Active = other.KID() }},
		"no signing key":          {"KeyMismatch", func(d *snapshot.Issuer) { d.SigningKey = secret.New([]byte("{}")) }},
		"the public half":         {"KeyMismatch", func(d *snapshot.Issuer) { d.SigningKey = secret.New(key.Public().JWK()) }},
		"active not published":    {"KeyMismatch", func(d *snapshot.Issuer) { d.Keys.Keys = nil }},
		"published under its kid": {"KeyMismatch", func(d *snapshot.Issuer) { d.Keys.Keys[0].JWK = other.Public().JWK() }},
		"published with its alg":  {"KeyMismatch", func(d *snapshot.Issuer) { d.Keys.Keys[0].Algorithm = "RS256" }},
		"a key twice":             {"KeyMismatch", func(d *snapshot.Issuer) { d.Keys.Keys = append(d.Keys.Keys, d.Keys.Keys[0]) }},
		"a private key published": {"KeyMismatch", func(d *snapshot.Issuer) { d.Keys.Keys[0].JWK = key.JWK().Reveal() }},
		"epoch fell":              {"EpochFell", func(d *snapshot.Issuer) { d.Keys.Epoch = 2 }},
		"another service":         {"WrongTokenService", func(d *snapshot.Issuer) { d.TokenService = "shop/other" }},
		"no issuer":               {"Incomplete", func(d *snapshot.Issuer) { d.Header.Issuer = "" }},
		"no audience":             {"Incomplete", func(d *snapshot.Issuer) { d.Access.Audiences = nil }},
		"no ttl":                  {"Incomplete", func(d *snapshot.Issuer) { d.Access.TTL = 0 }},
		"no idle ttl":             {"Incomplete", func(d *snapshot.Issuer) { d.Refresh.IdleTTL = 0 }},
		"long retry window":       {"Incomplete", func(d *snapshot.Issuer) { d.Refresh.RetryWindow = snapshot.Duration(time.Hour) }},
		"no login limit":          {"Incomplete", func(d *snapshot.Issuer) { d.LoginLimit = snapshot.RateLimit{} }},
		"no maxPropagation":       {"Incomplete", func(d *snapshot.Issuer) { d.MaxPropagation = 0 }},
		"bad users":               {"Incomplete", func(d *snapshot.Issuer) { d.Identity[0].Htpasswd.Users = secret.NewText("alice:plain-canary") }},
		"unknown kind of source":  {"Incomplete", func(d *snapshot.Issuer) { d.Identity[0].Htpasswd = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			doc := fresh()
			test.change(&doc)
			_, err := build(doc, current)
			var refused *snapshot.RefusedError
			if !errors.As(err, &refused) || refused.Reason != test.reason {
				t.Fatalf("error %v, want reason %s", err, test.reason)
			}
			if strings.Contains(err.Error(), "plain-canary") || strings.Contains(err.Error(), string(key.JWK().Reveal())[40:80]) {
				t.Errorf("the reason quotes the document: %v", err)
			}
		})
	}
	higher := fresh()
	higher.Keys.Epoch, higher.Keys.Active, higher.SigningKey = 9, rsa.KID(), rsa.JWK()
	higher.Keys.Keys = append(higher.Keys.Keys, snapshot.Key{KID: rsa.KID(), Algorithm: "RS256", JWK: rsa.Public().JWK()})
	if d, err := build(higher, current); err != nil || !strings.Contains(string(d.discovery.body), `["ES256","RS256"]`) {
		t.Errorf("an algorithm migration: %v", err)
	}
	moved := fresh()
	moved.Keys.Name, moved.Keys.Epoch = "shop/young-keys", 1
	if d, err := build(moved, current); err != nil || d.Keys.Epoch != 1 {
		t.Errorf("a move to a younger set: %v", err)
	}
	if _, err := Build(nil, identity.NewHasher(1, 1))([]byte("garbage"), nil); err == nil {
		t.Error("garbage was taken")
	}
}
