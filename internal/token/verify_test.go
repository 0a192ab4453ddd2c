package token

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

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
	raw := good(EdDSA)
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
	forged := raw[:strings.LastIndexByte(raw, '.')+1] + encoding.EncodeToString(make([]byte, 64))
	if got := v.VerifyExpired(later, forged); got.Reason != policy.BadSignature {
		t.Errorf("VerifyExpired of a forgery: %+v", got)
	}
}

// The instant of expiry, to the nanosecond: good strictly before exp + skew.
func TestExpiryBoundary(t *testing.T) {
	v, raw := testVerifier(), good(ES256)
	end := testNow.Add(15*time.Minute + v.Skew)
	for at, want := range map[time.Time]policy.Outcome{end.Add(-1): policy.Valid, end: policy.Expired, end.Add(1): policy.Expired, testNow.Add(-v.Skew): policy.Valid, testNow.Add(-v.Skew - 1): policy.Invalid} {
		if got := v.Verify(at, raw); got.Outcome != want {
			t.Errorf("at %v: %s %s, want %s", at, got.Outcome, got.Reason, want)
		}
	}
}

func TestVerifierWithoutSettings(t *testing.T) {
	raw := good(ES256)
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
	nobody := encoding.EncodeToString([]byte(`{"iss":""}`))
	if got := (&Verifier{Audiences: []string{testAudience}, Keys: testVerifier().Keys, MaxTTL: time.Hour}).Verify(testNow, "e30."+nobody+".AAAA"); got.Outcome != policy.Invalid {
		t.Errorf("%+v", got)
	}
}

func TestTokensOfARetiredKey(t *testing.T) {
	raw := good(ES256)
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
		"objects": "e30." + encoding.EncodeToString([]byte(`{"a":[`+strings.TrimSuffix(strings.Repeat(`[`+strings.TrimSuffix(strings.Repeat(`{"":0},`, 60), ",")+`],`, 12), ",")+`]}`)) + ".AAAA",
		"members": "e30." + encoding.EncodeToString([]byte("{"+strings.Repeat(`"a":1,`, 900)+"}")) + ".AAAA",
	} {
		if n := testing.AllocsPerRun(20, func() { v.Verify(testNow, raw) }); n > 20 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
