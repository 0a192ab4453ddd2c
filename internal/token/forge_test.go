package token

import (
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/token/tokentest"
)

const (
	testIssuer   = "https://id.example.test"
	testAudience = "https://api.example.test"
)

var testNow = time.Unix(1_800_000_000, 0)

// testVerifier knows one key of each algorithm.
func testVerifier() *Verifier {
	var public []*PublicKey
	for _, a := range Algorithms {
		public = append(public, keys()[a].Public())
	}
	set, err := NewKeySet(public...)
	if err != nil {
		panic(err)
	}
	return &Verifier{Issuer: testIssuer, Audiences: []string{"https://other.example.test", testAudience}, Keys: set, MaxTTL: time.Hour, Skew: time.Minute}
}

func forgingKey(k *PrivateKey) *tokentest.Key {
	forging, err := tokentest.ParseKey(k.JWK().Reveal())
	if err != nil {
		panic(err)
	}
	return forging
}

// setting is testVerifier's.
func setting() tokentest.Setting {
	s := tokentest.Setting{Issuer: testIssuer, Audience: testAudience, Now: testNow, Skew: time.Minute, MaxTTL: time.Hour, MaxBytes: MaxBytes}
	for _, a := range Algorithms {
		s.Others = append(s.Others, forgingKey(keys()[a]))
	}
	return s
}

// good is a token that is signed by another hand than ours.
func good(a Algorithm) string { return setting().Variants(forgingKey(keys()[a]))[0].Raw }

func TestForgedTokenIsValid(t *testing.T) {
	for _, a := range Algorithms {
		got := testVerifier().Verify(testNow, good(a))
		if fmt.Sprintf("%s %s", got.Outcome, got.Reason) != "valid ok" || got.KID != keys()[a].KID() {
			t.Fatalf("%s: %+v: every refusal in the table would prove nothing", a, got)
		}
		c := got.Claims
		if c.Subject != tokentest.Subject || c.SessionID != "7-abc" || c.Custom["role"] != tokentest.Role || len(c.Custom) != 1 || c.ClientID != "keyturn-web" || c.ID != "01J" {
			t.Errorf("%s: claims %+v", a, c)
		}
		if !c.ExpiresAt.Equal(testNow.Add(15*time.Minute)) || !c.IssuedAt.Equal(testNow) || c.Audience[0] != testAudience || c.Issuer != testIssuer {
			t.Errorf("%s: claims %+v", a, c)
		}
	}
}
