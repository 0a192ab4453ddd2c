package token

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// What other JSON libraries and other issuers' habits make of the same token: all of it is within the specifications.
func TestValidVariants(t *testing.T) {
	now := testNow.Unix()
	variants := map[string]func(*forged){
		"as minted":               func(*forged) {},
		"typ with application/":   header("typ", "application/at+jwt"),
		"audience array":          claim("aud", []string{testAudience}),
		"one of many audiences":   claim("aud", []string{"https://a.test", "https://b.test", testAudience}),
		"the other audience":      claim("aud", "https://other.example.test"),
		"audience twice":          claim("aud", []string{testAudience, testAudience}),
		"white space":             payloadText(func(s string) string { return " \t\r\n" + strings.ReplaceAll(s, ",", " ,\n\t") + "\n" }),
		"white space in header":   headerText(func(s string) string { return strings.ReplaceAll(s, ":", " : ") }),
		"members the other way":   payloadText(reverseMembers),
		"header the other way":    headerText(reverseMembers),
		"escaped names":           payloadText(replace(`"sub"`, `"\u0073ub"`)),
		"escaped slashes":         payloadText(func(s string) string { return strings.ReplaceAll(s, "/", `\/`) }),
		"surrogate pair":          payloadText(replace("user-1", `\ud83d\ude00`)),
		"not ASCII":               claim("name", "Zoë 日本"),
		"unknown claims":          claim("groups", []any{"a", 1, 1.5e3, -2, nil, true, map[string]any{"x": []any{}}}),
		"unknown header":          header("x-trace", "1"),
		"no sid":                  noClaim("sid"),
		"no client_id":            noClaim("client_id"),
		"no role":                 noClaim("role"),
		"nbf past":                claim("nbf", 0),
		"nbf within the skew":     claim("nbf", now+60),
		"iat within the skew":     claim("iat", now+60),
		"longest life":            claim("exp", now+3600+60),
		"expired within the skew": func(f *forged) { f.payload["exp"], f.payload["iat"] = now-59, now-100 },
		"long kid-like claim":     claim("kid", strings.Repeat("k", 2000)),
		"large":                   claim("pad", strings.Repeat("x", 5000)),
		"eight levels":            claim("x", json.RawMessage(strings.Repeat("[", 7)+strings.Repeat("]", 7))),
	}
	for name, change := range variants {
		for _, a := range Algorithms {
			f := forge(a)
			change(f)
			if got := testVerifier().Verify(testNow, f.raw()); got.Outcome != policy.Valid {
				t.Errorf("%s %s: %s %s", a, name, got.Outcome, got.Reason)
			}
		}
	}
	if len(variants) < 10 {
		t.Error("too few")
	}
}

func reverseMembers(s string) string {
	parts := strings.Split(strings.Trim(s, "{}"), `,"`)
	for i := range parts {
		parts[i] = `"` + strings.TrimPrefix(parts[i], `"`)
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func claims() Claims {
	return Claims{
		Issuer: testIssuer, Subject: "user-1", Audience: []string{testAudience}, IssuedAt: testNow, ExpiresAt: testNow.Add(15 * time.Minute),
		ID: "01J", ClientID: "keyturn-web", SessionID: "7-abc", Custom: map[string]string{"role": "admin", "user_id": "user-1"},
	}
}

func TestSignAndVerify(t *testing.T) {
	for _, a := range Algorithms {
		signer := NewSigner(keys()[a])
		raw, err := signer.Sign(claims())
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(raw.Reveal(), ".")
		head, _ := decodeSegment(parts[0])
		if want := fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"at+jwt"}`, a, signer.KID()); string(head) != want {
			t.Errorf("header %s", head)
		}
		body, _ := decodeSegment(parts[1])
		if want := `{"iss":"https://id.example.test","sub":"user-1","aud":"https://api.example.test","exp":1800000900,"iat":1800000000,"jti":"01J","client_id":"keyturn-web","sid":"7-abc","role":"admin","user_id":"user-1"}`; string(body) != want {
			t.Errorf("payload %s", body)
		}
		got := testVerifier().Verify(testNow, raw.Reveal())
		if got.Outcome != policy.Valid || fmt.Sprint(got.Claims) != fmt.Sprint(utc(claims())) || got.KID != signer.KID() {
			t.Errorf("%s: %+v", a, got)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", raw, raw, raw), parts[2]) {
			t.Error("the token prints itself")
		}
	}
}

func utc(c Claims) Claims {
	c.IssuedAt, c.ExpiresAt = c.IssuedAt.UTC(), c.ExpiresAt.UTC()
	return c
}

func TestSignRefuses(t *testing.T) {
	cases := map[string]func(*Claims){
		"no issuer": func(c *Claims) { c.Issuer = "" }, "no subject": func(c *Claims) { c.Subject = "" },
		"no id": func(c *Claims) { c.ID = "" }, "no client": func(c *Claims) { c.ClientID = "" },
		"no audience": func(c *Claims) { c.Audience = nil }, "empty audience": func(c *Claims) { c.Audience = []string{""} },
		"no life": func(c *Claims) { c.ExpiresAt = c.IssuedAt }, "ends first": func(c *Claims) { c.ExpiresAt = c.IssuedAt.Add(-time.Second) },
		"zero times": func(c *Claims) { c.IssuedAt, c.ExpiresAt = time.Time{}, time.Time{} },
		"year 10000": func(c *Claims) { c.ExpiresAt = time.Unix(maxNumericDate+1, 0) },
		"custom sub": func(c *Claims) { c.Custom = map[string]string{"sub": "root"} },
		"custom Iss": func(c *Claims) { c.Custom = map[string]string{"Iss": "x"} }, "custom sıd": func(c *Claims) { c.Custom = map[string]string{"\u017fid": "x"} },
		"custom empty": func(c *Claims) { c.Custom = map[string]string{"": "x"} },
		"not UTF-8":    func(c *Claims) { c.Subject = "a\xff" }, "custom not UTF-8": func(c *Claims) { c.Custom = map[string]string{"a": "\xff"} },
		"too large": func(c *Claims) { c.Custom = map[string]string{"a": strings.Repeat("x", MaxBytes)} },
	}
	for name, change := range cases {
		c := claims()
		change(&c)
		if _, err := NewSigner(keys()[ES256]).Sign(c); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestVerifyExpired(t *testing.T) {
	v, later := testVerifier(), testNow.Add(30*24*time.Hour)
	raw := forge(EdDSA).raw()
	if got := v.Verify(later, raw); got.Outcome != policy.Expired || got.Claims.SessionID != "" {
		t.Errorf("Verify: %+v", got)
	}
	if got := v.VerifyExpired(later, raw); got.Outcome != policy.Valid || got.Claims.SessionID != "7-abc" {
		t.Errorf("VerifyExpired: %+v", got)
	}
	v.Audiences = []string{"https://today.example.test"}
	if got := v.VerifyExpired(later, raw); got.Reason != policy.WrongAudience {
		t.Errorf("VerifyExpired of a token for others: %+v", got)
	}
	v.AnyAudience = true
	if got := v.VerifyExpired(later, raw); got.Outcome != policy.Valid {
		t.Errorf("AnyAudience: %+v", got)
	}
	f := forge(EdDSA)
	f.signature = func(_ string, good []byte) []byte { good[5] ^= 1; return good }
	if got := v.VerifyExpired(later, f.raw()); got.Reason != policy.BadSignature {
		t.Errorf("VerifyExpired of a forgery: %+v", got)
	}
}

// The instant of expiry, to the nanosecond: good strictly before exp + skew.
func TestExpiryBoundary(t *testing.T) {
	v, raw := testVerifier(), forge(ES256).raw()
	end := testNow.Add(15*time.Minute + v.Skew)
	for at, want := range map[time.Time]policy.Outcome{end.Add(-1): policy.Valid, end: policy.Expired, end.Add(1): policy.Expired, testNow.Add(-v.Skew): policy.Valid, testNow.Add(-v.Skew - 1): policy.Invalid} {
		if got := v.Verify(at, raw); got.Outcome != want {
			t.Errorf("at %v: %s %s, want %s", at, got.Outcome, got.Reason, want)
		}
	}
}

func TestVerifierWithoutSettings(t *testing.T) {
	raw := forge(ES256).raw()
	for name, change := range map[string]func(*Verifier){
		"zero": func(v *Verifier) { *v = Verifier{} }, "no issuer": func(v *Verifier) { v.Issuer = "" }, "no audiences": func(v *Verifier) { v.Audiences = nil },
		"empty audience": func(v *Verifier) { v.Audiences = []string{""} }, "no keys": func(v *Verifier) { v.Keys = KeySet{} }, "no MaxTTL": func(v *Verifier) { v.MaxTTL = 0 },
		"negative MaxTTL": func(v *Verifier) { v.MaxTTL = -time.Hour },
	} {
		v := testVerifier()
		change(v)
		if got := v.Verify(testNow, raw); got.Outcome == policy.Valid {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := testVerifier().Verify(testNow, ""); got.Outcome != policy.Absent || got.Reason != policy.NoCredential {
		t.Errorf("nothing: %+v", got)
	}
	// An issuer that is empty on both sides must not match.
	f := forge(ES256)
	f.payload["iss"] = ""
	if got := (&Verifier{Audiences: []string{testAudience}, Keys: testVerifier().Keys, MaxTTL: time.Hour}).Verify(testNow, f.raw()); got.Outcome != policy.Invalid {
		t.Errorf("%+v", got)
	}
}

func TestTokensOfARetiredKey(t *testing.T) {
	raw := forge(ES256).raw()
	set, err := NewKeySet(keys()[EdDSA].Public())
	if err != nil {
		t.Fatal(err)
	}
	v := testVerifier()
	v.Keys = set
	if got := v.Verify(testNow, raw); got.Reason != policy.UnknownKey {
		t.Errorf("%+v", got)
	}
}

// A refusal costs little: the hostile shapes of 8 KiB and less are read in bounded memory.
func TestRefusalAllocations(t *testing.T) {
	v := testVerifier()
	for name, raw := range map[string]string{
		"dots": strings.Repeat(".", MaxBytes), "a megabyte": strings.Repeat("A", 1<<20),
		"nesting": "e30." + encoding.EncodeToString([]byte(strings.Repeat("[", 5000))) + ".AAAA",
		"members": "e30." + encoding.EncodeToString([]byte("{"+strings.Repeat(`"a":1,`, 900)+"}")) + ".AAAA",
	} {
		if n := testing.AllocsPerRun(20, func() { v.Verify(testNow, raw) }); n > 20 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
