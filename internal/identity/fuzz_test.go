package identity

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

func FuzzWebhookAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"user_id":"u-1","role":"admin","claims":{"team":"blue"}}`, `{"user_id":"\ud83d\ude00"}`, `{"user_id":"a","claims":{}}`, `{}`, `null`, ``, `{"user_id":"a","user_id":"b"}`,
		`{"user_id":"a\u0000"}`, `{"User_id":"a"}`, `{"user_id":"a","claims":{"exp":"1"}}`, strings.Repeat("[", 100), `{"user_id":"a"}{}`, "{\"user_id\":\"\xff\"}", `{"user_id":"\ud800"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		user, err := parseUser([]byte(body))
		if err != nil {
			return
		}
		if !IsID(user.Name) || strings.ContainsAny(user.Name, "\r\n\x00\x7f") || user.Role != "" && !saidRole.MatchString(user.Role) || len(user.Claims) > MaxClaims {
			t.Errorf("%q is read as %+v", body, user)
		}
		for name, value := range user.Claims {
			if checkClaim(name, value) != nil {
				t.Errorf("%q has the claim %q = %q", body, name, value)
			}
		}
		// A lenient reader must not read another user.
		var lenient struct {
			UserID string            `json:"user_id"`
			Role   string            `json:"role"`
			Claims map[string]string `json:"claims"`
		}
		if json.Unmarshal([]byte(body), &lenient) != nil || lenient.UserID != user.Name || lenient.Role != user.Role || len(lenient.Claims) != len(user.Claims) {
			t.Errorf("%q is %+v here and %+v elsewhere", body, user, lenient)
		}
	})
}

func FuzzSubjectToken(f *testing.F) {
	for _, token := range []*forged{forgeID(), forgeAccount()} {
		f.Add(token.token())
	}
	for _, seed := range []string{"", ".", "..", "a.b.c", "e30.e30.AA", "eyJhbGciOiJub25lIn0.e30.", strings.Repeat("A", 100) + ".A.A"} {
		f.Add(seed)
	}
	d := exchangeDirectory(f, nil)
	f.Fuzz(func(t *testing.T, raw string) {
		for _, kind := range []string{TypeIDToken, TypeJWT} {
			user, err := d.Exchange(t.Context(), kind, secret.NewText(raw), testNow)
			if err == nil && user.Subject != "corp:auth0|4711" && user.Subject != "sa:jobs/nightly" {
				t.Errorf("%q is %+v", raw, user)
			}
			if err != nil && DenialReason(err) == "" {
				t.Errorf("%q: an error without a reason: %v", raw, err)
			}
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add(jwksOf(testKeys()["rsa"], testKeys()["ec"], testKeys()["ed"]))
	for _, seed := range []string{``, `{}`, `{"keys":[]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"","e":""}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`, `{"keys":[[[[]]]]}`} {
		f.Add([]byte(seed))
	}
	token, err := readToken(TypeIDToken, forgeID().token())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := readKeySet(raw)
		if err != nil {
			return
		}
		if len(set.keys) == 0 || len(set.keys) > maxKeys {
			t.Errorf("%d keys", len(set.keys))
		}
		for _, k := range set.keys {
			if k.key == nil || reflect.ValueOf(k.key).IsZero() || len(k.algorithms) == 0 {
				t.Errorf("a key that is none: %+v", k)
			}
		}
		if keys := set.candidates(token); len(keys) > 0 {
			_ = verify(t.Context(), token, keys, testClient, time.Time{}) // it must not panic
		}
	})
}
