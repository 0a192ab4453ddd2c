package tokenhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/token"
)

func TestHostileInput(t *testing.T) {
	r := newRig(t)
	doc := r.issuer
	doc.LoginLimit.Limit = 10_000
	r.use(doc)
	good := r.login("alice", canary)
	login, refresh, logout := "/auth/login", "/auth/refresh", "/auth/logout"
	pass := object("username", "alice", "password", canary)
	access, live := good.text("access_token"), good.text("refresh_token")
	type row struct {
		name, method, path, body string
		status                   int
		code                     string
		headers                  []string
	}
	rows := []row{
		{"GET login", "GET", login, "", 405, CodeMethodNotAllowed, nil},
		{"PUT refresh", "PUT", refresh, object("refresh_token", live), 405, CodeMethodNotAllowed, nil},
		{"OPTIONS logout", "OPTIONS", logout, "", 405, CodeMethodNotAllowed, nil},
		{"HEAD login", "HEAD", login, "", 405, "", nil},
		{"POST jwks", "POST", "/.well-known/jwks.json", "{}", 405, CodeMethodNotAllowed, nil},
		{"an invented method", "HACK", login, pass, 405, CodeMethodNotAllowed, nil},
		{"unknown path", "POST", "/auth/admin", pass, 404, CodeNotFound, nil},
		{"root", "GET", "/", "", 404, CodeNotFound, nil},
		{"trailing slash", "POST", login + "/", pass, 404, CodeNotFound, nil},
		{"double slash", "POST", "//auth/login", pass, 404, CodeNotFound, nil},
		{"dot segment", "POST", "/auth/x/../login", pass, 404, CodeNotFound, nil},
		{"encoded slash", "POST", "/auth%2Flogin", pass, 404, CodeNotFound, nil},
		{"encoded letter", "POST", "/auth/l%6Fgin%2e", pass, 404, CodeNotFound, nil},
		{"upper case path", "POST", "/AUTH/LOGIN", pass, 404, CodeNotFound, nil},
		{"no body", "POST", login, "", 415, CodeUnsupportedMedia, nil},
		{"no content type", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Type", "-"}},
		{"form", "POST", login, "username=alice&password=x", 415, CodeUnsupportedMedia, []string{"Content-Type", "-", "Content-Type", "application/x-www-form-urlencoded"}},
		{"text/plain, which a page of another site may send", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Type", "-", "Content-Type", "text/plain"}},
		{"two content types", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Type", "application/json"}},
		{"another charset", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Type", "-", "Content-Type", "application/json; charset=utf-16"}},
		{"another parameter", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Type", "-", "Content-Type", "application/json; boundary=x"}},
		{"json suffix", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Type", "-", "Content-Type", "application/vnd.api+json"}},
		{"compressed", "POST", login, pass, 415, CodeUnsupportedMedia, []string{"Content-Encoding", "gzip"}},
		{"too large", "POST", login, object("username", "alice", "password", strings.Repeat("x", MaxBody)), 413, CodeTooLarge, nil},
		{"too large by spaces", "POST", login, pass + strings.Repeat(" ", MaxBody), 413, CodeTooLarge, nil},
		{"not JSON", "POST", login, "hello", 400, CodeInvalidRequest, nil},
		{"cut", "POST", login, pass[:20], 400, CodeInvalidRequest, nil},
		{"array", "POST", login, `["alice","x"]`, 400, CodeInvalidRequest, nil},
		{"string", "POST", login, `"alice"`, 400, CodeInvalidRequest, nil},
		{"null", "POST", login, `null`, 400, CodeInvalidRequest, nil},
		{"two objects", "POST", login, pass + pass, 400, CodeInvalidRequest, nil},
		{"something after", "POST", login, pass + "x", 400, CodeInvalidRequest, nil},
		{"comment", "POST", login, pass + "//x", 400, CodeInvalidRequest, nil},
		{"byte order mark", "POST", login, "\ufeff" + pass, 400, CodeInvalidRequest, nil},
		{"empty object", "POST", login, `{}`, 400, CodeInvalidRequest, nil},
		{"no password", "POST", login, object("username", "alice"), 400, CodeInvalidRequest, nil},
		{"no name", "POST", login, object("password", canary), 400, CodeInvalidRequest, nil},
		{"unknown member", "POST", login, object("username", "alice", "password", canary, "admin", "true"), 400, CodeInvalidRequest, nil},
		{"member in another case", "POST", login, object("Username", "alice", "password", canary), 400, CodeInvalidRequest, nil},
		{"both cases", "POST", login, object("username", "alice", "Password", "x", "password", canary), 400, CodeInvalidRequest, nil},
		{"long s, which case folding takes for s", "POST", login, `{"uſername":"alice","password":"x"}`, 400, CodeInvalidRequest, nil},
		{"duplicate", "POST", login, `{"username":"bob","username":"alice","password":"` + canary + `"}`, 400, CodeInvalidRequest, nil},
		{"escaped duplicate", "POST", login, `{"username":"bob","\u0075sername":"alice","password":"` + canary + `"}`, 400, CodeInvalidRequest, nil},
		{"number", "POST", login, `{"username":7,"password":"x"}`, 400, CodeInvalidRequest, nil},
		{"null member", "POST", login, `{"username":"alice","password":null}`, 400, CodeInvalidRequest, nil},
		{"array member", "POST", login, `{"username":["alice"],"password":"x"}`, 400, CodeInvalidRequest, nil},
		{"object member", "POST", login, `{"username":{"$ne":null},"password":{"$ne":null}}`, 400, CodeInvalidRequest, nil},
		{"true", "POST", login, `{"username":"alice","password":true}`, 400, CodeInvalidRequest, nil},
		{"deep", "POST", login, strings.Repeat(`{"username":`, 1000) + "1" + strings.Repeat("}", 1000), 400, CodeInvalidRequest, nil},
		{"not UTF-8", "POST", login, "{\"username\":\"al\xffice\",\"password\":\"x\"}", 400, CodeInvalidRequest, nil},
		{"half a surrogate", "POST", login, `{"username":"al\ud800ice","password":"x"}`, 400, CodeInvalidRequest, nil},
		{"name of NUL", "POST", login, `{"username":"alice\u0000","password":"x"}`, 400, CodeInvalidRequest, nil},
		{"name with a line end", "POST", login, `{"username":"alice\r\nX-Role: admin","password":"x"}`, 400, CodeInvalidRequest, nil},
		{"name with a colon", "POST", login, object("username", "a:b", "password", "x"), 400, CodeInvalidRequest, nil},
		{"invisible name", "POST", login, object("username", "\u200b", "password", "x"), 400, CodeInvalidRequest, nil},
		{"right-to-left override", "POST", login, object("username", "\u202ealice", "password", "x"), 400, CodeInvalidRequest, nil},
		{"empty name", "POST", login, object("username", "", "password", "x"), 400, CodeInvalidRequest, nil},
		{"long name", "POST", login, object("username", strings.Repeat("a", 257), "password", "x"), 400, CodeInvalidRequest, nil},
		{"long password", "POST", login, object("username", "alice", "password", strings.Repeat("x", 1025)), 400, CodeInvalidRequest, nil},
		{"SQL", "POST", login, object("username", "alice' OR '1'='1", "password", "x"), 401, CodeInvalidCredentials, nil},
		{"path", "POST", login, object("username", "../../etc/passwd", "password", "x"), 401, CodeInvalidCredentials, nil},
		{"name in another case", "POST", login, object("username", "ALICE", "password", canary), 401, CodeInvalidCredentials, nil},
		{"password and more", "POST", login, object("username", "alice", "password", canary+"\x00"), 401, CodeInvalidCredentials, nil},
		{"credentials in the query only", "POST", login + "?username=alice&password=x", "{}", 400, CodeInvalidRequest, nil},
		{"identity headers mean nothing", "POST", login, object("username", "bob", "password", "x"), 401, CodeInvalidCredentials, []string{"X-Auth-User", "alice", "X-Auth-Role", "admin"}},
		{"cookies mean nothing", "POST", refresh, "{}", 400, CodeInvalidRequest, []string{"Cookie", "refresh_token=" + live}},
		{"basic means nothing", "POST", login, "{}", 400, CodeInvalidRequest, []string{"Authorization", "Basic YWxpY2U6eA=="}},
		{"empty refresh token", "POST", refresh, object("refresh_token", ""), 401, CodeRefreshInvalid, nil},
		{"refresh token cut", "POST", refresh, object("refresh_token", live[:40]), 401, CodeRefreshInvalid, nil},
		{"refresh token with more", "POST", refresh, object("refresh_token", live+"A"), 401, CodeRefreshInvalid, nil},
		{"refresh token with spaces", "POST", refresh, object("refresh_token", " "+live), 401, CodeRefreshInvalid, nil},
		{"refresh token without prefix", "POST", refresh, object("refresh_token", live[4:]), 401, CodeRefreshInvalid, nil},
		{"unknown refresh token", "POST", refresh, object("refresh_token", store.NewToken().Text().Reveal()), 401, CodeRefreshInvalid, nil},
		{"access token as refresh token", "POST", refresh, object("refresh_token", access), 401, CodeRefreshInvalid, nil},
		{"refresh with a login's body", "POST", refresh, pass, 400, CodeInvalidRequest, nil},
		{"number as refresh token", "POST", refresh, `{"refresh_token":1}`, 400, CodeInvalidRequest, nil},
		{"logout with nothing", "POST", logout, "", 400, CodeInvalidRequest, nil},
		{"logout with an empty object", "POST", logout, "{}", 400, CodeInvalidRequest, nil},
		{"logout with garbage", "POST", logout, object("access_token", "x.y.z"), 401, CodeInvalidToken, nil},
		{"logout with garbage to refresh", "POST", logout, object("refresh_token", "ktr_x"), 401, CodeInvalidToken, nil},
		{"logout with a changed signature", "POST", logout, object("access_token", flip(access, len(access)-5)), 401, CodeInvalidToken, nil},
		{"logout with a changed payload", "POST", logout, object("access_token", flip(access, len(access)/2)), 401, CodeInvalidToken, nil},
		{"logout with another issuer's token", "POST", logout, object("access_token", foreignToken(t, r.clock.Now())), 401, CodeInvalidToken, nil},
		{"logout with two headers", "POST", logout, "", 400, CodeInvalidRequest, []string{"Authorization", "Bearer " + access, "Authorization", "Bearer " + access}},
		{"logout with two tokens in a header", "POST", logout, "", 400, CodeInvalidRequest, []string{"Authorization", "Bearer " + access + " x"}},
		{"logout with basic", "POST", logout, "", 400, CodeInvalidRequest, []string{"Authorization", "Basic YWxpY2U6eA=="}},
		{"logout with a bare scheme", "POST", logout, "", 400, CodeInvalidRequest, []string{"Authorization", "Bearer"}},
		{"logout with a token in the query", "POST", logout + "?access_token=" + access, "", 400, CodeInvalidRequest, nil},
		{"logout with a huge token", "POST", logout, object("access_token", strings.Repeat("a", 12_000)), 401, CodeInvalidToken, nil},
	}
	if len(rows) < 60 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a := r.do(row.method, row.path, row.body, row.headers...)
			(&rig{T: t}).want(a, row.status, row.code)
			if row.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if strings.Contains(a.raw, canary) || strings.Contains(a.raw, "ktr_") || strings.Contains(a.raw, "eyJ") {
				t.Errorf("the answer quotes the request: %s", a.raw)
			}
		})
	}
	if n, _ := r.store.Last(t.Context()); n != r.born {
		t.Error("hostile input revoked something")
	}
	r.want(r.refresh(live), http.StatusOK, "")
}

// flip changes one character of base64url.
func flip(s string, at int) string {
	if s[at] == '.' {
		at++
	}
	c := byte('A')
	if s[at] == c {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}

func foreignToken(t *testing.T, now time.Time) string {
	t.Helper()
	signed, err := token.NewSigner(newKey(t)).Sign(token.Claims{Issuer: "https://auth.example.com", Subject: "alice", Audience: []string{"shop"},
		IssuedAt: now, ExpiresAt: now.Add(time.Minute), ID: "x", ClientID: "x", SessionID: "1.AAAAAAAAAAAAAAAAAAAAAA"})
	if err != nil {
		t.Fatal(err)
	}
	return signed.Reveal()
}

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	many := strings.Repeat("10.0.0.1, ", 100) + "10.0.0.1"
	for _, test := range []struct {
		peer      string
		forwarded []string
		want      string
		trusted   bool
	}{
		{"203.0.113.5:1234", []string{"198.51.100.1"}, "203.0.113.5", false},
		{"10.1.1.1:1234", nil, "10.1.1.1", true},
		{"10.1.1.1:1234", []string{"198.51.100.1"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{"1.1.1.1, 198.51.100.1, 10.2.2.2"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{"1.1.1.1", "198.51.100.1", "10.2.2.2"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{"1.1.1.1, unknown"}, "10.1.1.1", true},
		{"10.1.1.1:1234", []string{"1.1.1.1, garbage, 10.2.2.2"}, "10.2.2.2", true},
		{"10.1.1.1:1234", []string{"1.1.1.1,"}, "10.1.1.1", true},
		{"10.1.1.1:1234", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3", true},
		{"10.1.1.1:1234", []string{"198.51.100.1:55555"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{"[2001:db8::1]:443"}, "2001:db8::1", true},
		{"10.1.1.1:1234", []string{"[2001:db8::1]"}, "2001:db8::1", true},
		{"10.1.1.1:1234", []string{"2001:db8::1%eth0"}, "2001:db8::1", true},
		{"10.1.1.1:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{"::ffff:10.2.2.2"}, "10.2.2.2", true},
		{"[::ffff:10.1.1.1]:1234", []string{"198.51.100.1"}, "198.51.100.1", true},
		{"[fd00::1]:1234", []string{"198.51.100.1"}, "198.51.100.1", true},
		{"10.1.1.1:1234", []string{many}, "10.0.0.1", true},
		{"10.1.1.1:1234", []string{strings.Repeat("9", 5000)}, "10.1.1.1", true},
		{"@", []string{"198.51.100.1"}, "invalid IP", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = test.peer
		for _, f := range test.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		got, trusted := clientAddress(r, proxies)
		if got.String() != test.want || trusted != test.trusted {
			t.Errorf("%s via %.60q: %s, %t; want %s, %t", test.peer, test.forwarded, got, trusted, test.want, test.trusted)
		}
	}
}

func TestWellKnown(t *testing.T) {
	r := newRig(t)
	jwks := r.do(http.MethodGet, "/.well-known/jwks.json", "")
	etag := jwks.header.Get("ETag")
	if jwks.status != 200 || jwks.header.Get("Content-Type") != "application/json" || jwks.header.Get("Cache-Control") != "public, max-age=300, stale-if-error=3600" ||
		!strings.HasPrefix(etag, `"`) || !strings.Contains(jwks.raw, r.key.KID()) {
		t.Fatalf("jwks: %d %v %s", jwks.status, jwks.header, jwks.raw)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"k"`} {
		if strings.Contains(jwks.raw, private) {
			t.Errorf("the JWKS has a private member %s", private)
		}
	}
	for condition, want := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, strings.Trim(etag, `"`): 200} {
		if a := r.do(http.MethodGet, "/.well-known/jwks.json", "", "If-None-Match", condition); a.status != want || a.status == 304 && a.raw != "" || a.header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: %d, want %d", condition, a.status, want)
		}
	}
	if head := r.do(http.MethodHead, "/.well-known/jwks.json", ""); head.status != 200 || head.raw != "" || head.header.Get("Content-Length") != fmt.Sprint(len(jwks.raw)) {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		d := r.do(http.MethodGet, path, "")
		if d.status != 200 || d.text("issuer") != "https://auth.example.com" || d.text("jwks_uri") != "https://auth.example.com/.well-known/jwks.json" ||
			fmt.Sprint(d.body["id_token_signing_alg_values_supported"]) != "[ES256]" {
			t.Errorf("%s: %d %s", path, d.status, d.raw)
		}
	}
	next := newKey(t)
	doc := r.issuer
	doc.Keys.Active, doc.SigningKey = next.KID(), next.JWK()
	doc.Keys.Keys[0].KID, doc.Keys.Keys[0].JWK = next.KID(), next.Public().JWK()
	r.use(doc)
	if changed := r.do(http.MethodGet, "/.well-known/jwks.json", "", "If-None-Match", etag); changed.status != 200 || changed.header.Get("ETag") == etag {
		t.Errorf("after a change: %d, the same validator", changed.status)
	}
}

func FuzzDecodeStrings(f *testing.F) {
	for _, seed := range []string{`{}`, `{"username":"a","password":"b"}`, `{"username":"a","username":"b"}`, `{"\u0075sername":"x"}`, `{"username":"\ud800"}`, `[]`, `{"username":{}}`, `{"username":"a",}`, "\xff", `{"username":"a"}{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		members, p := decodeStrings(raw, "username", "password")
		if p != nil {
			if p.Status != http.StatusBadRequest || members != nil {
				t.Errorf("%q: %+v", raw, p)
			}
			return
		}
		if len(members) > 2 {
			t.Errorf("%q has %d members", raw, len(members))
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "1.2.3.4", "1.2.3.4, 10.0.0.1", "[::1]:80", "::ffff:10.0.0.1", ",,,", "unknown, 10.0.0.1", strings.Repeat("10.0.0.1,", 100)} {
		f.Add(seed)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	peer := netip.MustParseAddr("10.9.9.9")
	f.Fuzz(func(t *testing.T, header string) {
		got := rightmostUntrusted(peer, []string{header}, proxies)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q: %v", header, got)
		}
		// Whatever a client puts in front changes nothing once a proxy wrote an untrusted address.
		if with := rightmostUntrusted(peer, []string{header + ", 198.51.100.1, 10.0.0.2"}, proxies); with.String() != "198.51.100.1" {
			t.Errorf("%q moved the client to %s", header, with)
		}
	})
}
