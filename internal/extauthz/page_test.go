package extauthz

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// newCookieWorld is a world whose edge takes the access cookie.
func newCookieWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	doc := document(2, 2, signingKeys()[0])
	doc.AccessCookie = snapshot.AccessCookie
	if !w.put(t, doc) {
		t.Fatal("the document was not taken")
	}
	return w
}

const accessCookie = snapshot.AccessCookie + "="

type cookieRow struct {
	name    string
	method  string
	headers []header
	want    string // status and code
}

func cookieRows(t *testing.T, w *world) []cookieRow {
	t.Helper()
	key := signingKeys()[0]
	good, again := mint(t, key), mint(t, key)
	bob := mint(t, key, func(c *token.Claims) { c.Subject = "bob" })
	old, foreign, unknown := mint(t, key, expired), mint(t, key, func(c *token.Claims) { c.Issuer = "https://evil.test" }), mint(t, signingKeys()[1])
	revoked := mint(t, key, func(c *token.Claims) { c.SessionID = "revoked-session" })
	check(t, w.feed.list.Apply(revocation.Entry{Seq: 1, Kind: revocation.Session, Value: "revoked-session", Expires: time.Now().Add(time.Hour)}))
	cookie := func(value string) header { return header{"Cookie", accessCookie + value} }
	line := func(value string) header { return header{"Cookie", value} }
	site := func(value string) header { return header{"Sec-Fetch-Site", value} }
	origin := func(value string) header { return header{"Origin", value} }
	h := func(all ...header) []header { return all }
	const own = "https://app.example.test"
	return []cookieRow{
		{"cookie alone", "GET", h(cookie(good)), "200"},
		{"HEAD", "HEAD", h(cookie(good)), "200"},
		{"OPTIONS", "OPTIONS", h(cookie(good)), "200"},
		{"among others", "GET", h(line("a=b; " + accessCookie + good + "; c=d")), "200"},
		{"no space after the semicolon", "GET", h(line("a=b;" + accessCookie + good)), "200"},
		{"spaces and tabs around", "GET", h(line("a=b; \t" + accessCookie + good + " \t; c")), "200"},
		{"others are damaged", "GET", h(line(`x; =y; "; ` + accessCookie + good + `; z="a;b"; ;;`)), "200"},
		{"others are not ASCII", "GET", h(line("n=\xff\xfe; " + accessCookie + good)), "200"},
		{"read by a page of another site", "GET", h(cookie(good), site("cross-site"), origin("https://evil.test")), "200"},
		{"read by a page of the same site", "HEAD", h(cookie(good), site("same-site")), "200"},
		{"in the header, too", "GET", h(bearer(good), cookie(good)), "200"},
		{"two tokens of one user", "GET", h(bearer(good), cookie(again)), "200"},
		{"in the header, and an empty cookie", "GET", h(bearer(good), cookie("")), "200"},
		{"another scheme in the header", "GET", h(header{"Authorization", "Basic YTpi"}, cookie(good)), "200"},
		{"in the header, written by a page of another site", "POST", h(bearer(good), site("cross-site"), origin("https://evil.test")), "200"},
		{"in both places, written by a page of another site", "POST", h(bearer(good), cookie(again), site("cross-site")), "200"},
		{"written by the own page", "POST", h(cookie(good), site("same-origin"), origin(own)), "200"},
		{"written by nobody's page", "POST", h(cookie(good), site("none")), "200"},
		{"deleted by the own page", "DELETE", h(cookie(good), site("same-origin")), "200"},
		{"an old browser's own page", "POST", h(cookie(good), origin(own)), "200"},
		{"handshake of the own page", "GET", h(cookie(good), site("same-origin"), header{"Sec-WebSocket-Key", "x"}), "200"},
		{"handshake by an old browser's own page", "GET", h(cookie(good), origin(own), header{"Sec-WebSocket-Key", "x"}, header{"Sec-WebSocket-Version", "13"}), "200"},
		{"handshake by header", "GET", h(bearer(good), site("cross-site"), header{"Sec-WebSocket-Key", "x"}), "200"},
		{"upgrade of connections that are not secure", "GET", h(cookie(good), site("cross-site"), header{"Upgrade-Insecure-Requests", "1"}), "200"},

		{"nothing", "GET", nil, "401 no_credential"},
		{"other cookies", "GET", h(line("a=b; session=" + good)), "401 no_credential"},
		{"empty", "GET", h(cookie("")), "401 no_credential"},
		{"name without a value", "GET", h(line(snapshot.AccessCookie)), "401 no_credential"},
		{"empty header", "GET", h(line("")), "401 no_credential"},
		{"another case", "GET", h(line("__host-keyturn-access=" + good)), "401 no_credential"},
		{"upper case", "GET", h(line(strings.ToUpper(snapshot.AccessCookie) + "=" + good)), "401 no_credential"},
		{"without the prefix", "GET", h(line("keyturn-access=" + good)), "401 no_credential"},
		{"longer name", "GET", h(line("x" + accessCookie + good)), "401 no_credential"},
		{"name with more", "GET", h(line(snapshot.AccessCookie + "2=" + good)), "401 no_credential"},
		{"name with a space inside", "GET", h(line(snapshot.AccessCookie + " =" + good)), "401 no_credential"},
		{"name after a space", "GET", h(line("a " + accessCookie + good)), "401 no_credential"},
		{"in the value of another", "GET", h(line("a=" + accessCookie + good)), "401 no_credential"},
		{"comma for a semicolon", "GET", h(line("a=b, " + accessCookie + good)), "401 no_credential"},
		{"encoded name", "GET", h(line("__Host%2Dkeyturn-access=" + good)), "401 no_credential"},
		{"quoted name", "GET", h(line(`"` + snapshot.AccessCookie + `"=` + good)), "401 no_credential"},
		{"in Cookie2", "GET", h(header{"Cookie2", accessCookie + good}), "401 no_credential"},
		{"in Set-Cookie", "GET", h(header{"Set-Cookie", accessCookie + good}), "401 no_credential"},
		{"the refresh cookie", "GET", h(line("__Secure-keyturn-refresh=" + good)), "401 no_credential"},

		{"twice", "GET", h(line(accessCookie + good + "; " + accessCookie + good)), "401 invalid_request"},
		{"twice, of two users", "GET", h(line(accessCookie + good + "; " + accessCookie + bob)), "401 invalid_request"},
		{"twice, the second empty", "GET", h(line(accessCookie + good + "; " + accessCookie)), "401 invalid_request"},
		{"twice, the first empty", "GET", h(line(accessCookie + "; " + accessCookie + good)), "401 invalid_request"},
		{"twice, one bare", "GET", h(line(snapshot.AccessCookie + "; " + accessCookie + good)), "401 invalid_request"},
		{"twice, beside a good header", "GET", h(bearer(good), line(accessCookie+good+"; "+accessCookie+good)), "401 invalid_request"},
		{"a second in quotes", "GET", h(line(accessCookie + good + `; a="; ` + accessCookie + bob + `"`)), "401 invalid_request"},
		{"two users", "GET", h(bearer(good), cookie(bob)), "401 invalid_request"},
		{"two users, the other way", "GET", h(bearer(bob), cookie(good)), "401 invalid_request"},
		{"two headers and a cookie", "GET", h(bearer(good), bearer(good), cookie(good)), "401 invalid_request"},

		{"quoted", "GET", h(cookie(`"` + good + `"`)), "401 invalid_token"},
		{"encoded", "GET", h(cookie(strings.ReplaceAll(good, ".", "%2E"))), "401 invalid_token"},
		{"with Bearer", "GET", h(cookie("Bearer " + good)), "401 invalid_token"},
		{"equals sign in front", "GET", h(cookie("=" + good)), "401 invalid_token"},
		{"padding", "GET", h(cookie(good + "=")), "401 invalid_token"},
		{"comma and more", "GET", h(cookie(good + "," + accessCookie + bob)), "401 invalid_token"},
		{"not ASCII", "GET", h(cookie(good + "\xc3\xa4")), "401 invalid_token"},
		{"garbage", "GET", h(cookie("garbage")), "401 invalid_token"},
		{"huge", "GET", h(cookie(strings.Repeat("a", 5000))), "401 invalid_token"},
		{"unknown key", "GET", h(cookie(unknown)), "401 invalid_token"},
		{"foreign", "GET", h(cookie(foreign)), "401 invalid_token"},
		{"expired", "GET", h(cookie(old)), "401 expired"},
		{"revoked", "GET", h(cookie(revoked)), "401 revoked"},
		{"garbage beside a good header", "GET", h(bearer(good), cookie("garbage")), "401 invalid_token"},
		{"revoked beside a good header", "GET", h(bearer(good), cookie(revoked)), "401 revoked"},
		{"expired beside a good header", "GET", h(bearer(good), cookie(old)), "401 expired"},
		{"good beside a revoked header", "GET", h(bearer(revoked), cookie(good)), "401 revoked"},
		{"good beside an expired header", "GET", h(bearer(old), cookie(good)), "401 expired"},
		{"good beside a foreign header", "GET", h(bearer(foreign), cookie(good)), "200"},
		{"good beside a damaged header", "GET", h(header{"Authorization", "Bearer"}, cookie(good)), "401 invalid_token"},
		{"expired, written by a page of another site", "POST", h(cookie(old), site("cross-site")), "401 expired"},

		{"written by nobody knows whom", "POST", h(cookie(good)), "403 cross_site"},
		{"written by a page of another site", "POST", h(cookie(good), site("cross-site"), origin("https://evil.test")), "403 cross_site"},
		{"written by a page of the same site", "POST", h(cookie(good), site("same-site"), origin("https://www.example.test")), "403 cross_site"},
		{"the site beats the origin", "PUT", h(cookie(good), site("cross-site"), origin(own)), "403 cross_site"},
		{"empty site", "POST", h(cookie(good), site(""), origin(own)), "403 cross_site"},
		{"unknown site", "POST", h(cookie(good), site("same-planet"), origin(own)), "403 cross_site"},
		{"site in another case", "POST", h(cookie(good), site("Same-Origin")), "403 cross_site"},
		{"two sites", "POST", h(cookie(good), site("same-origin"), site("cross-site")), "403 cross_site"},
		{"two good sites", "POST", h(cookie(good), site("same-origin"), site("same-origin")), "403 cross_site"},
		{"null origin", "POST", h(cookie(good), origin("null")), "403 cross_site"},
		{"empty origin", "POST", h(cookie(good), origin("")), "403 cross_site"},
		{"two origins", "POST", h(cookie(good), origin(own), origin("https://evil.test")), "403 cross_site"},
		{"two origins in one", "POST", h(cookie(good), origin(own+" https://evil.test")), "403 cross_site"},
		{"another scheme", "POST", h(cookie(good), origin("http://app.example.test")), "403 cross_site"},
		{"another port", "POST", h(cookie(good), origin(own+":8443")), "403 cross_site"},
		{"longer host", "POST", h(cookie(good), origin(own+".evil.test")), "403 cross_site"},
		{"shorter host", "POST", h(cookie(good), origin("https://example.test")), "403 cross_site"},
		{"origin with a path", "POST", h(cookie(good), origin(own+"/")), "403 cross_site"},
		{"origin in another case", "POST", h(cookie(good), origin("https://APP.example.test")), "403 cross_site"},
		{"referer does not count", "POST", h(cookie(good), header{"Referer", own + "/"}), "403 cross_site"},
		{"a method in lower case is another", "get", h(cookie(good), site("cross-site")), "403 bad_request_target"},
		{"DELETE", "DELETE", h(cookie(good), site("cross-site")), "403 cross_site"},
		{"TRACE", "TRACE", h(cookie(good), site("cross-site")), "403 cross_site"},
		{"an invented method", "HACK", h(cookie(good), site("cross-site")), "403 cross_site"},
		{"handshake by a page of another site", "GET", h(cookie(good), site("cross-site"), origin("https://evil.test"), header{"Sec-WebSocket-Key", "x"}), "403 cross_site"},
		{"handshake that shows its version", "GET", h(cookie(good), site("cross-site"), header{"Sec-WebSocket-Version", "13"}), "403 cross_site"},
		{"handshake that shows its mode", "GET", h(cookie(good), site("cross-site"), header{"Sec-Fetch-Mode", "websocket"}), "403 cross_site"},
		{"handshake that shows its upgrade", "GET", h(cookie(good), origin("https://evil.test"), header{"Upgrade", "WebSocket"}), "403 cross_site"},
		{"handshake that tells nothing", "GET", h(cookie(good), header{"Sec-WebSocket-Key", "x"}), "403 cross_site"},
	}
}

func TestCookies(t *testing.T) {
	w := newCookieWorld(t)
	on, _ := w.serve(t, Drain{})
	rows := cookieRows(t, w)
	if len(rows) < 60 {
		t.Fatalf("%d rows", len(rows))
	}
	verdict := func(status int, code string) string {
		return strings.TrimSpace(strings.Join([]string{map[int]string{200: "200", 401: "401", 403: "403", 503: "503"}[status], code}, " "))
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, append(subRequest("", with("X-Original-Method", row.method)), row.headers...))
			if got := verdict(r.StatusCode, r.Header.Get(HeaderCode)); got != row.want {
				t.Errorf("nginx: %s, want %s", got, row.want)
			}
			for _, raw := range []bool{false, true} {
				e := newEnvoy(t, on.GRPC.Addr().String())
				e.raw = raw
				request := get(row.headers...)
				request.method = row.method
				if !utf8.ValidString(flat(row.headers)) && !raw {
					continue // a protobuf string is UTF-8; Envoy sends such values raw or cleaned
				}
				got := e.send(t, request)
				if v := verdict(got.status, got.headers[HeaderCode]); v != row.want {
					t.Errorf("gRPC, raw %t: %s, want %s", raw, v, row.want)
				}
				if got.upstream != nil && len(request.headers) > 0 && got.upstream["cookie"] == nil && strings.Contains(flat(row.headers), "Cookie: ") {
					t.Error("the application does not get its cookies")
				}
			}
		})
	}
	if strings.Contains(w.log.String(), "eyJ") {
		t.Error("the log holds a token")
	}
}

func flat(headers []header) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h.name + ": " + h.value + "\n")
	}
	return b.String()
}

func TestCookiesAreOffByDefault(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, append(subRequest(""), header{"Cookie", accessCookie + raw}))
	if r.StatusCode != 401 || r.Header.Get(HeaderCode) != "no_credential" {
		t.Errorf("a cookie alone: %d %v", r.StatusCode, r.Header)
	}
	if r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, append(subRequest(raw), header{"Cookie", accessCookie + "garbage; " + accessCookie + "x"})); r.StatusCode != 200 {
		t.Errorf("a damaged cookie that nobody reads: %d", r.StatusCode)
	}
	doc := document(2, 2, signingKeys()[0])
	doc.AccessCookie = "a b"
	if w.put(t, doc); w.edges.Refused() == nil || w.edges.Load().cookie != "" {
		t.Error("a name that no cookie has was taken")
	}
}

// Two lines of one header: HTTP/1 clients must not, some proxies do.
func TestCookieLines(t *testing.T) {
	good, other := mint(t, signingKeys()[0]), mint(t, signingKeys()[0])
	for _, row := range []struct {
		lines []string
		want  policy.Reason
	}{
		{[]string{"a=b", accessCookie + good}, ""},
		{[]string{accessCookie + good, "a=b"}, ""},
		{[]string{accessCookie + good, accessCookie + other}, policy.MultipleCredentials},
		{[]string{"", ""}, policy.NoCredential},
		{nil, policy.NoCredential},
	} {
		if _, got := cookieToken(row.lines, snapshot.AccessCookie); got != row.want {
			t.Errorf("%.60q: %q, want %q", row.lines, got, row.want)
		}
	}
}

// A request in order costs the reading of its cookie no memory.
func TestCookieReadingAllocatesNothing(t *testing.T) {
	h := map[string][]string{"Cookie": {"a=b; " + accessCookie + "eyJ.x.y; c=d"}, "Sec-Fetch-Site": {"same-origin"}}
	if n := testing.AllocsPerRun(200, func() {
		q := question{method: "GET", scheme: "https", host: "app.example.test"}
		q.readHeaders(h)
		if _, reason := cookieToken(q.page.cookies, snapshot.AccessCookie); reason != "" || q.foreignPage() {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
