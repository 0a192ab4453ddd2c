package token

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
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

// forged is a token made by hand: every part can be wrong on its own while the signature is right.
type forged struct {
	algorithm Algorithm
	header    map[string]any
	payload   map[string]any
	// headerText and payloadText win over the maps.
	headerText, payloadText string
	// signature, if set, changes the signature.
	signature func(input string, good []byte) []byte
	// token, if set, changes the finished text.
	token func(string) string
}

func forge(a Algorithm) *forged {
	return &forged{
		algorithm: a,
		header:    map[string]any{"alg": string(a), "kid": keys()[a].KID(), "typ": Type},
		payload: map[string]any{
			"iss": testIssuer, "sub": "user-1", "aud": testAudience, "exp": testNow.Unix() + 900, "iat": testNow.Unix(),
			"jti": "01J", "client_id": "keyturn-web", "sid": "7-abc", "role": "admin",
		},
	}
}

func (f *forged) raw() string {
	header, payload := f.headerText, f.payloadText
	if header == "" {
		header = ordered(f.header)
	}
	if payload == "" {
		payload = ordered(f.payload)
	}
	input := encoding.EncodeToString([]byte(header)) + "." + encoding.EncodeToString([]byte(payload))
	signature, err := sign(f.algorithm, keys()[f.algorithm].signer, []byte(input))
	if err != nil {
		panic(err)
	}
	if f.signature != nil {
		signature = f.signature(input, signature)
	}
	raw := input + "." + encoding.EncodeToString(signature)
	if f.token != nil {
		raw = f.token(raw)
	}
	return raw
}

// ordered writes the members by name; a json.RawMessage value is written as it stands, even if it is not JSON.
func ordered(m map[string]any) string {
	parts := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		quoted, _ := json.Marshal(name)
		value, ok := m[name].(json.RawMessage)
		if !ok {
			value, _ = json.Marshal(m[name])
		}
		parts = append(parts, string(quoted)+":"+string(value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestForgedTokenIsValid(t *testing.T) {
	for _, a := range Algorithms {
		got := testVerifier().Verify(testNow, forge(a).raw())
		if fmt.Sprintf("%s %s", got.Outcome, got.Reason) != "valid ok" || got.KID != keys()[a].KID() {
			t.Fatalf("%s: %+v: every refusal in the table would prove nothing", a, got)
		}
		c := got.Claims
		if c.Subject != "user-1" || c.SessionID != "7-abc" || c.Custom["role"] != "admin" || len(c.Custom) != 1 || c.ClientID != "keyturn-web" || c.ID != "01J" {
			t.Errorf("%s: claims %+v", a, c)
		}
		if !c.ExpiresAt.Equal(testNow.Add(15*time.Minute)) || !c.IssuedAt.Equal(testNow) || c.Audience[0] != testAudience || c.Issuer != testIssuer {
			t.Errorf("%s: claims %+v", a, c)
		}
	}
}
