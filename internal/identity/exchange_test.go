package identity

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func oidcSource() snapshot.IdentitySource {
	return snapshot.IdentitySource{Name: "corp", SubjectPrefix: "corp:", OIDC: &snapshot.OIDC{IssuerURL: testIssuer, ClientID: testClient, RoleClaim: "roles"}}
}

func clusterSource(keys ...testKey) snapshot.IdentitySource {
	return snapshot.IdentitySource{Name: "cluster", SubjectPrefix: "sa:", Kubernetes: &snapshot.Kubernetes{Issuer: testCluster, JWKS: jwksOf(keys...), Accounts: []snapshot.ServiceAccount{
		{Namespace: "jobs", Name: "nightly", Role: "reporter"}, {Namespace: "jobs", Name: "nightly", Role: "second"}, {Namespace: "tools"},
	}}}
}

// exchangeDirectory has a provider whose keys are fetched already.
func exchangeDirectory(t testing.TB, change func(*snapshot.OIDC)) *Directory {
	t.Helper()
	all := []testKey{testKeys()["rsa"], testKeys()["ec"], testKeys()["ed"]}
	corp := oidcSource()
	if change != nil {
		change(corp.OIDC)
	}
	now := func() time.Time { return testNow }
	sources := NewSources(t.TempDir(), slog.New(slog.DiscardHandler), now)
	d, err := New(ourIssuer, []snapshot.IdentitySource{corp, clusterSource(all...)}, sources, NewHasher(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	set, err := readKeySet(jwksOf(all...))
	if err != nil {
		t.Fatal(err)
	}
	p := d.entries[0].source.(*openID).provider
	p.keys, p.fetched, p.tried = set, testNow, testNow
	return d
}

func TestExchange(t *testing.T) {
	d := exchangeDirectory(t, nil)
	if !d.Exchanges() || directory(t).Exchanges() {
		t.Error("Exchanges is wrong")
	}
	wantID := User{Subject: "corp:auth0|4711", Name: "auth0|4711", Role: "admin", Source: "corp", Refreshable: true, Remembered: true,
		Claims: map[string]string{"email": "alice@example.test", "team": "blue"}}
	wantAccount := User{Subject: "sa:jobs/nightly", Name: "jobs/nightly", Role: "reporter", Source: "cluster"}
	for _, key := range []struct{ name, alg string }{{"rsa", "RS256"}, {"rsa", "PS256"}, {"ec", "ES256"}, {"ed", "EdDSA"}} {
		for _, c := range []struct {
			kind string
			f    *forged
			want User
		}{{TypeIDToken, forgeID(), wantID}, {TypeJWT, forgeAccount(), wantAccount}} {
			c.f.signWith(key.name, key.alg)
			got, err := d.Exchange(t.Context(), c.kind, secret.NewText(c.f.token()), testNow)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s %s: %+v, %v", c.kind, key.alg, got, err)
			}
		}
	}
	// What a provider cannot be asked for stays as it was; an account has no session that could be looked up.
	kept := wantID
	if got, err := d.Lookup(t.Context(), kept); err != nil || !reflect.DeepEqual(got, kept) {
		t.Errorf("lookup: %+v, %v", got, err)
	}
	if _, err := d.Lookup(t.Context(), wantAccount); !errors.Is(err, ErrGone) {
		t.Errorf("lookup of an account: %v", err)
	}
	if _, err := d.Authenticate(t.Context(), "jobs/nightly", secret.NewText("x")); !errors.Is(err, ErrDenied) {
		t.Errorf("a login: %v", err)
	}
}

// variant is a good token of another form.
func TestExchangeVariants(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*snapshot.OIDC)
		change func(*forged)
		want   func(User) bool
	}{
		"several audiences with azp": {nil, func(f *forged) { f.payload["aud"] = []string{"x", testClient}; f.payload["azp"] = testClient }, nil},
		"role as a text":             {nil, func(f *forged) { f.payload["roles"] = "ops" }, func(u User) bool { return u.Role == "ops" }},
		"no role":                    {nil, func(f *forged) { delete(f.payload, "roles") }, func(u User) bool { return u.Role == "" }},
		"role null":                  {nil, func(f *forged) { f.payload["roles"] = nil }, func(u User) bool { return u.Role == "" }},
		"no roles":                   {nil, func(f *forged) { f.payload["roles"] = []string{} }, func(u User) bool { return u.Role == "" }},
		"no role claim":              {func(o *snapshot.OIDC) { o.RoleClaim = "" }, func(*forged) {}, func(u User) bool { return u.Role == "" }},
		"another subject claim":      {func(o *snapshot.OIDC) { o.SubjectClaim = "oid" }, func(f *forged) { f.payload["oid"] = "urn:x:1" }, func(u User) bool { return u.Subject == "corp:urn:x:1" }},
		"a verified address": {func(o *snapshot.OIDC) { o.SubjectClaim = "email" }, func(f *forged) { f.payload["email_verified"] = true },
			func(u User) bool { return u.Name == "alice@example.test" }},
		"no typ":                {nil, func(f *forged) { delete(f.header, "typ") }, nil},
		"typ in small letters":  {nil, func(f *forged) { f.header["typ"] = "jwt" }, nil},
		"a thumbprint":          {nil, func(f *forged) { f.header["x5t"] = "abc" }, nil},
		"typ ID in the payload": {nil, func(f *forged) { f.payload["typ"] = "ID" }, nil},
		"nearly an hour old":    {nil, func(f *forged) { f.payload["iat"] = testNow.Unix() - 3600 }, nil},
		"clock a minute ahead":  {nil, func(f *forged) { f.payload["iat"] = testNow.Unix() + 60 }, nil},
		"many claims": {nil, func(f *forged) {
			for i := range 60 {
				f.payload[fmt.Sprintf("c%02d", i)] = "v"
			}
		}, func(u User) bool {
			return len(u.Claims) == MaxClaims && u.Claims["c31"] == "v" && u.Claims["c32"] == ""
		}},
		"an address that is not the user's": {nil, func(f *forged) {
			f.payload["email_verified"], f.payload["phone_number"], f.payload["phone_number_verified"] = false, "+1", "false"
		}, func(u User) bool {
			return u.Claims["email"] == "" && u.Claims["phone_number"] == "" && u.Claims["team"] == "blue"
		}},
		"an address that is": {nil, func(f *forged) {
			f.payload["email_verified"], f.payload["phone_number"], f.payload["phone_number_verified"] = "true", "+1", true
		}, func(u User) bool { return u.Claims["email"] != "" && u.Claims["phone_number"] == "+1" }},
		"claims that are none": {nil, func(f *forged) {
			f.payload["user_id"], f.payload["Role"], f.payload["scope"] = "root", "root", "root"
			f.payload["1st"], f.payload["long"], f.payload["ctl"] = "x", strings.Repeat("x", 257), "a\nb"
		}, func(u User) bool { return len(u.Claims) == 2 && u.Role == "admin" }},
	} {
		f := forgeID()
		c.change(f)
		got, err := exchangeDirectory(t, c.config).Exchange(t.Context(), TypeIDToken, secret.NewText(f.token()), testNow)
		if err != nil || c.want != nil && !c.want(got) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

type hostile struct {
	name   string
	want   Reason
	change func(*forged)
}

func claim(name string, value any) func(*forged)  { return func(f *forged) { f.payload[name] = value } }
func header(name string, value any) func(*forged) { return func(f *forged) { f.header[name] = value } }
func no(name string) func(*forged) {
	return func(f *forged) { delete(f.payload, name); delete(f.header, name) }
}

// hostileToBoth are refused whatever the source.
func hostileToBoth() []hostile {
	publicKey := testKeys()["rsa"].signer.Public().(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(publicKey)
	if err != nil {
		panic(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hmacWith := func(key []byte) func(*forged) {
		return func(f *forged) {
			f.header["alg"] = "HS256"
			f.signature = func(input string, _ []byte) []byte {
				mac := hmac.New(sha256.New, key)
				mac.Write([]byte(input))
				return mac.Sum(nil)
			}
		}
	}
	part := func(i int, change func(string) string) func(*forged) {
		return func(f *forged) {
			f.raw = func(raw string) string {
				parts := strings.Split(raw, ".")
				parts[i] = change(parts[i])
				return strings.Join(parts, ".")
			}
		}
	}
	payload := func(change func(string) string) func(*forged) { return func(f *forged) { f.payloadText = change } }
	head := func(change func(string) string) func(*forged) { return func(f *forged) { f.headerText = change } }
	raw := func(change func(string) string) func(*forged) { return func(f *forged) { f.raw = change } }
	unsigned := func(f *forged) { f.signature = func(string, []byte) []byte { return nil } }
	return []hostile{
		{"empty", Malformed, raw(func(string) string { return "" })},
		{"garbage", Malformed, raw(func(string) string { return "a.b.c" })},
		{"two parts", Malformed, raw(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })},
		{"four parts", Malformed, raw(func(s string) string { return s + ".AAAA" })},
		{"JWE of five parts", Malformed, raw(func(s string) string { return s + ".AAAA.AAAA" })},
		{"JSON serialization", Malformed, raw(func(s string) string { return `{"payload":"` + s + `"}` })},
		{"space before", Malformed, raw(func(s string) string { return " " + s })},
		{"line break after", Malformed, raw(func(s string) string { return s + "\n" })},
		{"line break inside", Malformed, part(1, func(s string) string { return s[:4] + "\r\n" + s[4:] })},
		{"padding", Malformed, part(1, func(s string) string { return s + "=" })},
		{"standard alphabet", Malformed, part(2, func(s string) string { return "+/" + s[2:] })},
		{"bits past the last byte", Malformed, part(2, func(s string) string {
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
		})},
		{"huge", TooLarge, claim("pad", strings.Repeat("x", MaxTokenBytes))},
		{"huge and dots only", TooLarge, raw(func(string) string { return strings.Repeat(".", 1<<20) })},
		{"alg none", Malformed, func(f *forged) { f.header["alg"] = "none"; unsigned(f) }},
		{"alg none with a signature", UnsupportedAlgorithm, header("alg", "none")},
		{"alg None", UnsupportedAlgorithm, header("alg", "None")},
		{"no alg", UnsupportedAlgorithm, no("alg")},
		{"alg null", UnsupportedAlgorithm, header("alg", nil)},
		{"alg of a list", UnsupportedAlgorithm, header("alg", []string{"RS256"})},
		{"HS256 with the public key as PEM", UnsupportedAlgorithm, hmacWith(public)},
		{"HS256 with the public key as DER", UnsupportedAlgorithm, hmacWith(der)},
		{"HS256 with the modulus", UnsupportedAlgorithm, hmacWith(publicKey.N.Bytes())},
		{"RS512", UnsupportedAlgorithm, header("alg", "RS512")},
		{"ES512", UnsupportedAlgorithm, header("alg", "ES512")},
		{"ES256 with the RSA key", UnknownKey, header("alg", "ES256")},
		{"EdDSA with the RSA key", UnknownKey, header("alg", "EdDSA")},
		{"RS256 with the EC key", UnknownKey, header("kid", "ec-1")},
		{"PS256 signature said to be RS256", BadSignature, func(f *forged) {
			f.signature = func(input string, _ []byte) []byte { return f.key.sign("PS256", input) }
		}},
		{"crit", UnsupportedHeader, header("crit", []string{"exp"})},
		{"b64", UnsupportedHeader, header("b64", false)},
		{"zip", UnsupportedHeader, header("zip", "DEF")},
		{"its own key", UnsupportedHeader, func(f *forged) { f.signWith("stranger", "RS256"); f.header["jwk"] = f.key.jwk() }},
		{"address of its key", UnsupportedHeader, header("jku", "https://evil.example/jwks")},
		{"its own certificate", UnsupportedHeader, header("x5c", []string{"AAAA"})},
		{"address of its certificate", UnsupportedHeader, header("x5u", "https://evil.example/crt")},
		{"Crit in another case", Malformed, header("Crit", []string{"exp"})},
		{"access token", WrongType, header("typ", "at+jwt")},
		{"logout token", WrongType, header("typ", "logout+jwt")},
		{"typ of a list", WrongType, header("typ", []string{"JWT"})},
		{"no kid among several keys", UnknownKey, no("kid")},
		{"unknown kid", UnknownKey, header("kid", "other")},
		{"empty kid", UnknownKey, header("kid", "")},
		{"kid of a number", UnknownKey, header("kid", 1)},
		{"long kid", UnknownKey, header("kid", strings.Repeat("k", 257))},
		{"kid of a path", UnknownKey, header("kid", "../../dev/null")},
		{"a stranger's key under our kid", BadSignature, func(f *forged) { f.signWith("stranger", "RS256") }},
		{"payload changed after signing", BadSignature, part(1, func(s string) string {
			plain, err := base64.RawURLEncoding.DecodeString(s)
			if err != nil {
				panic(err)
			}
			return b64([]byte(replaced(`"sub":`, `"x":1,"sub":`)(string(plain))))
		})},
		{"signature of zeros", BadSignature, func(f *forged) { f.signature = func(_ string, good []byte) []byte { return make([]byte, len(good)) } }},
		{"signature cut", BadSignature, func(f *forged) { f.signature = func(_ string, good []byte) []byte { return good[:len(good)-1] } }},
		{"duplicate sub", Malformed, payload(replaced("{", `{"sub":"root",`))},
		{"duplicate aud by escape", Malformed, payload(replaced("{", `{"\u0061ud":"x",`))},
		{"duplicate alg", Malformed, head(replaced("{", `{"alg":"none",`))},
		{"duplicate in a nested object", Malformed, claim("x", json.RawMessage(`{"a":1,"a":2}`))},
		{"ISS in another case", Malformed, claim("ISS", "https://evil.example")},
		{"sub with U+017F", Malformed, claim("\u017fub", "root")},
		{"trailing object", Malformed, payload(func(s string) string { return s + "{}" })},
		{"payload of a list", Malformed, payload(func(s string) string { return "[" + s + "]" })},
		{"payload null", Malformed, payload(func(string) string { return "null" })},
		{"not UTF-8", Malformed, payload(replaced(`"sub":"`, "\"sub\":\"\xff"))},
		{"lone surrogate", Malformed, payload(replaced(`"sub":"`, `"sub":"\ud800`))},
		{"deep", Malformed, claim("x", json.RawMessage(strings.Repeat("[", 2000)+strings.Repeat("]", 2000)))},
		{"wide", Malformed, claim("x", json.RawMessage("["+strings.Repeat("1,", 1000)+"1]"))},
		{"no iss", MissingClaim, no("iss")},
		{"iss of a list", MissingClaim, claim("iss", []string{testIssuer})},
		{"other iss", UnknownIssuer, claim("iss", "https://evil.example")},
		{"iss with a slash", UnknownIssuer, claim("iss", testIssuer+"/")},
		{"iss in capitals", UnknownIssuer, claim("iss", strings.ToUpper(testIssuer))},
		{"our own iss", UnknownIssuer, claim("iss", ourIssuer)},
		{"no aud", MissingClaim, no("aud")},
		{"aud null", Malformed, claim("aud", nil)},
		{"aud of numbers", Malformed, claim("aud", []int{1})},
		{"aud with null", Malformed, claim("aud", json.RawMessage(`["shop",null]`))},
		{"no audiences", WrongAudience, claim("aud", []string{})},
		{"empty aud", WrongAudience, claim("aud", "")},
		{"other aud", WrongAudience, claim("aud", "other")},
		{"aud that begins alike", WrongAudience, claim("aud", []string{testClient + "2", ourIssuer + "/"})},
		{"no exp", MissingClaim, no("exp")},
		{"no iat", MissingClaim, no("iat")},
		{"exp null", Malformed, claim("exp", nil)},
		{"exp as a text", Malformed, claim("exp", "1900000000")},
		{"exp with a fraction", Malformed, claim("exp", json.RawMessage("1800000600.5"))},
		{"exp with an exponent", Malformed, claim("exp", json.RawMessage("19e8"))},
		{"exp beyond all time", Malformed, claim("exp", json.RawMessage("999999999999"))},
		{"negative iat", Malformed, claim("iat", -1)},
		{"expired now", Expired, claim("exp", testNow.Unix())},
		{"expired long ago", Expired, func(f *forged) { f.payload["exp"], f.payload["iat"] = testNow.Unix()-4000, testNow.Unix()-5000 }},
		{"not yet valid", NotYetValid, claim("nbf", testNow.Unix()+61)},
		{"nbf as a text", Malformed, claim("nbf", "x")},
		{"from the future", NotYetValid, func(f *forged) { f.payload["iat"], f.payload["exp"] = testNow.Unix()+61, testNow.Unix()+600 }},
		{"ends before it begins", Malformed, func(f *forged) { f.payload["iat"], f.payload["exp"] = testNow.Unix()+50, testNow.Unix()+10 }},
		{"no sub", MissingClaim, no("sub")},
		{"sub of a number", MissingClaim, claim("sub", 7)},
	}
}

func hostileIDs() []hostile {
	return []hostile{
		{"a day of life, old", TooOld, func(f *forged) { f.payload["iat"], f.payload["exp"] = testNow.Unix()-3601, testNow.Unix()+86400 }},
		{"foreign azp", ForeignParty, claim("azp", "other")},
		{"azp of a list", ForeignParty, claim("azp", []string{testClient})},
		{"several audiences, no azp", ForeignParty, claim("aud", []string{testClient, "other"})},
		{"several audiences, foreign azp", ForeignParty, func(f *forged) { f.payload["aud"], f.payload["azp"] = []string{testClient, "other"}, "other" }},
		{"logout token in a claim", WrongType, claim("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}})},
		{"access token in a claim", WrongType, claim("typ", "Bearer")},
		{"empty sub", MissingClaim, claim("sub", "")},
		{"long sub", BadSubject, claim("sub", strings.Repeat("a", 257))},
		{"sub with a line break", BadSubject, claim("sub", "a\r\nX-Auth-Role: admin")},
		{"sub with a zero-width space", BadSubject, claim("sub", "a\u200bb")},
		{"sub with spaces around", BadSubject, claim("sub", " a")},
		{"sub in another normal form", BadSubject, claim("sub", "Ju\u0308rgen")},
		{"role of an object", BadRole, claim("roles", map[string]any{"a": "b"})},
		{"role with a space", BadRole, claim("roles", "super user")},
		{"role with a line break", BadRole, claim("roles", []string{"a\nb"})},
		{"roles with a number", BadRole, claim("roles", []any{"admin", 1})},
	}
}

func hostileAccounts() []hostile {
	inner := func(namespace, name string) map[string]any {
		return map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": name}}
	}
	account := func(namespace, name string) func(*forged) {
		return func(f *forged) {
			f.payload["sub"], f.payload["kubernetes.io"] = "system:serviceaccount:"+namespace+":"+name, inner(namespace, name)
		}
	}
	return []hostile{
		{"other cluster", UnknownIssuer, claim("iss", "https://kubernetes.default.svc")},
		{"for the API server", WrongAudience, claim("aud", []string{testCluster})},
		{"for the client of the provider", WrongAudience, claim("aud", testClient)},
		{"more than an hour", LifetimeTooLong, claim("exp", testNow.Unix()+3591)},
		{"a year", LifetimeTooLong, claim("exp", testNow.Unix()+31536000)},
		{"other namespace", NotAllowed, account("evil", "nightly")},
		{"other account", NotAllowed, account("jobs", "default")},
		{"not bound", MissingClaim, no("kubernetes.io")},
		{"legacy claims", MissingClaim, func(f *forged) {
			delete(f.payload, "kubernetes.io")
			f.payload["kubernetes.io/serviceaccount/namespace"], f.payload["kubernetes.io/serviceaccount/service-account.name"] = "jobs", "nightly"
		}},
		{"sub of another account", BadSubject, claim("sub", "system:serviceaccount:jobs:admin")},
		{"sub of another namespace", BadSubject, claim("sub", "system:serviceaccount:tools:nightly")},
		{"claim of another namespace", BadSubject, claim("kubernetes.io", inner("tools", "nightly"))},
		{"a node", BadSubject, claim("sub", "system:node:n1")},
		{"a user", BadSubject, claim("sub", "alice")},
		{"no account in the claim", BadSubject, claim("kubernetes.io", map[string]any{"namespace": "jobs"})},
		{"account with a colon", BadSubject, account("jobs", "x:y")},
		{"namespace with a colon", BadSubject, account("jobs:nightly", "x")},
		{"namespace with a slash", BadSubject, account("jobs/nightly", "x")},
		{"claim of a text", MissingClaim, claim("kubernetes.io", "jobs")},
	}
}

func TestHostileTokens(t *testing.T) {
	d := exchangeDirectory(t, nil)
	rows := 0
	for _, source := range []struct {
		kind string
		make func() *forged
		all  []hostile
	}{
		{TypeIDToken, forgeID, append(hostileToBoth(), hostileIDs()...)},
		{TypeJWT, forgeAccount, append(hostileToBoth(), hostileAccounts()...)},
	} {
		for _, h := range source.all {
			rows++
			f := source.make()
			h.change(f)
			raw := f.token()
			user, err := d.Exchange(t.Context(), source.kind, secret.NewText(raw), testNow)
			if !errors.Is(err, ErrDenied) || DenialReason(err) != h.want || user.Subject != "" && err == nil {
				t.Errorf("%s, %s: %+v, %v; want %s", source.kind[len(source.kind)-8:], h.name, user, err, h.want)
			}
			if err != nil && len(raw) > 20 && strings.Contains(err.Error(), raw[10:20]) {
				t.Errorf("%s: the error quotes the token: %v", h.name, err)
			}
		}
	}
	t.Logf("%d hostile tokens", rows)
	// Each kind at the other's door.
	for kind, f := range map[string]*forged{TypeJWT: forgeID(), TypeIDToken: forgeAccount()} {
		if _, err := d.Exchange(t.Context(), kind, secret.NewText(f.token()), testNow); DenialReason(err) != WrongTokenType {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, kind := range []string{"", "id_token", "urn:ietf:params:oauth:token-type:access_token", TypeIDToken + " "} {
		if _, err := d.Exchange(t.Context(), kind, secret.NewText(forgeID().token()), testNow); !errors.Is(err, ErrTokenType) {
			t.Errorf("%q: %v", kind, err)
		}
	}
	for _, address := range []any{nil, false, "false", "yes", 1} {
		f := forgeID()
		f.payload["email_verified"] = address
		byAddress := exchangeDirectory(t, func(o *snapshot.OIDC) { o.SubjectClaim = "email" })
		if _, err := byAddress.Exchange(t.Context(), TypeIDToken, secret.NewText(f.token()), testNow); DenialReason(err) != Unverified {
			t.Errorf("an address whose verification is %v: %v", address, err)
		}
	}
}
