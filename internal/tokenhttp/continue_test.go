package tokenhttp

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestContinuePage(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	const to = `/orders?status=open&q="><script>alert(1)</script>`
	a := r.do(http.MethodGet, "/auth/continue?return_to="+url.QueryEscape(to), "")
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	// What runs is what the policy names, byte for byte, and nothing else.
	rules := a.header.Get("Content-Security-Policy")
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(a.raw, -1)
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(a.raw, -1)
	if len(script) != 1 || len(style) != 1 {
		t.Fatalf("%d scripts, %d styles: %s", len(script), len(style), a.raw)
	}
	for _, want := range []string{"default-src 'none'", "script-src 'sha256-" + hashOf(script[0][1]) + "'", "style-src 'sha256-" + hashOf(style[0][1]) + "'",
		"connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(rules, want) {
			t.Errorf("no %s in %s", want, rules)
		}
	}
	if strings.Contains(rules, "unsafe") {
		t.Errorf("policy %s", rules)
	}
	login := "/login?theme=dark&return_to=" + url.QueryEscape(to)
	if !strings.Contains(html.UnescapeString(a.raw), `data-to="`+to+`"`) || strings.Count(html.UnescapeString(a.raw), login) != 3 {
		t.Errorf("the page does not know where to go: %s", a.raw)
	}
	noscript := regexp.MustCompile(`(?s)<noscript>(.*?)</noscript>`).FindStringSubmatch(a.raw)
	if len(noscript) != 2 || !strings.Contains(noscript[1], "<a href=") {
		t.Errorf("without script: %q", noscript)
	}
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(a.raw, outside) {
			t.Errorf("the page asks for something outside: %s", outside)
		}
	}
	if head := r.do(http.MethodHead, "/auth/continue?return_to=/x", ""); head.status != http.StatusOK || head.raw != "" {
		t.Errorf("HEAD: %d", head.status)
	}
	r.want(r.do(http.MethodPost, "/auth/continue?return_to=/x", "{}"), http.StatusMethodNotAllowed, CodeMethodNotAllowed)

	doc := r.issuer
	doc.Browser.LoginURL = ""
	r.use(doc)
	if a := r.do(http.MethodGet, "/auth/continue?return_to=/x", ""); a.status != http.StatusOK || strings.Contains(a.raw, "<a ") || !strings.Contains(a.raw, `data-login=""`) {
		t.Errorf("without a login page: %s", a.raw)
	}
	doc.Browser.Cookies = snapshot.CookiesDisabled
	r.use(doc)
	r.want(r.do(http.MethodGet, "/auth/continue?return_to=/x", ""), http.StatusNotFound, CodeNotFound)
	r.document.Store(nil)
	r.want(r.do(http.MethodGet, "/auth/continue?return_to=/x", ""), http.StatusServiceUnavailable, CodeNotReady)
}

// What is told in the query, as it is told.
var returns = []struct {
	query, want string // want is empty where it is refused
}{
	{"return_to=/", "/"},
	{"return_to=/orders", "/orders"},
	{"return_to=%2Forders%3Fa%3D1%26b%3D2", "/orders?a=1&b=2"},
	{"return_to=/orders?a=1&b=%2Fx#part", "/orders?a=1&b=%2Fx#part"}, // as a proxy writes it, whole
	{"return_to=/caf%C3%A9", "/caf%C3%A9"},
	{"return_to=%2Fcaf%25C3%25A9", "/caf%C3%A9"},
	{"return_to=/a//b", "/a//b"},
	{"return_to=/a?next=//evil.test", "/a?next=//evil.test"}, // the application's business
	{"return_to=/a?x=%252e%252e", "/a?x=%252e%252e"},
	{"return_to=/...", "/..."},
	{"return_to=/.well-known/x", "/.well-known/x"},
	{"return_to=/authors", "/authors"},
	{"return_to=/@evil.test", "/@evil.test"},
	{"return_to=/:80", "/:80"},
	{"return_to=/https://evil.test", "/https://evil.test"},
	{"return_to=/a;b=c/d", "/a;b=c/d"},

	{"", ""},
	{"return_to", ""},
	{"return_to=", ""},
	{"return_to=orders", ""},
	{"return_to=https://evil.test", ""},
	{"return_to=https%3A%2F%2Fevil.test", ""},
	{"return_to=https:evil.test", ""},
	{"return_to=http:/evil.test", ""},
	{"return_to=HTTPS://evil.test", ""},
	{"return_to=javascript:alert(1)", ""},
	{"return_to=javascript%3Aalert(1)", ""},
	{"return_to=JaVaScRiPt:alert(1)", ""},
	{"return_to=data:text/html,x", ""},
	{"return_to=vbscript:x", ""},
	{"return_to=blob:https://app.example.com/x", ""},
	{"return_to=//evil.test", ""},
	{"return_to=%2F%2Fevil.test", ""},
	{"return_to=%2f%2fevil.test", ""},
	{"return_to=/%2Fevil.test", ""},
	{"return_to=/%252Fevil.test", ""},
	{"return_to=/%25252Fevil.test", ""},
	{"return_to=/%2525252525252Fevil.test", ""},
	{"return_to=///evil.test", ""},
	{"return_to=////evil.test", ""},
	{"return_to=/\\evil.test", ""},
	{"return_to=/%5Cevil.test", ""},
	{"return_to=/%255Cevil.test", ""},
	{"return_to=%2F%5Cevil.test", ""},
	{"return_to=\\/evil.test", ""},
	{"return_to=%5C%5Cevil.test", ""},
	{"return_to=/a\\..\\..\\evil.test", ""},
	{"return_to=/a%5C..%5Cb", ""},
	{"return_to=/%09/evil.test", ""},
	{"return_to=%2F%09%2Fevil.test", ""},
	{"return_to=/%0A/evil.test", ""},
	{"return_to=%2F%0D%0ALocation%3A+https%3A%2F%2Fevil.test", ""},
	{"return_to=/a%0D%0ASet-Cookie:x=y", ""},
	{"return_to=/%00", ""},
	{"return_to=/a%7F", ""},
	{"return_to=%20%2F%2Fevil.test", ""},
	{"return_to=+//evil.test", ""},
	{"return_to=%2F+a", ""},
	{"return_to=%01https://evil.test", ""},
	{"return_to=/../", ""},
	{"return_to=/..//evil.test", ""},
	{"return_to=/.//evil.test", ""},
	{"return_to=/x/../..//evil.test", ""},
	{"return_to=/%2e%2e//evil.test", ""},
	{"return_to=/.%2e//evil.test", ""},
	{"return_to=/%252e%252e//evil.test", ""},
	{"return_to=/a/..;/b", ""},
	{"return_to=/a/%2e%2e%3b/b", ""},
	{"return_to=@evil.test", ""},
	{"return_to=.evil.test", ""},
	{"return_to=?x", ""},
	{"return_to=%23x", ""},
	{"return_to=%EF%BC%8F%EF%BC%8Fevil.test", ""},
	{"return_to=%2F%EF%BC%8Fevil.test", ""},
	{"return_to=%2Fcaf%C3%A9", ""}, // a path of a page has it encoded
	{"return_to=/%C0%AF%C0%AFevil.test%", ""},
	{"return_to=/%zz", ""},
	{"return_to=%zz", ""},
	{"return_to=%2Fa&x=1", ""},
	{"return_to=%2Fa&return_to=%2Fb", ""},
	{"x=1&return_to=/a", ""},
	{"Return_To=/a", ""},
	{"return%5Fto=/a", ""},
	{"return_to=%2Fa;x=1", ""},
	{"return_to=/auth/continue?return_to=/a", ""},
	{"return_to=/auth/logout", ""},
	{"return_to=/auth", ""},
	{"return_to=/%61uth/continue", ""},
	{"return_to=/auth%2Fcontinue", ""},
	{"return_to=%2Fauth%2Fcontinue%3Freturn_to%3D%2Fa", ""},
	{"return_to=/" + strings.Repeat("a", 2048), ""},
}

func TestReturnPath(t *testing.T) {
	refused := 0
	for _, row := range returns {
		got, ok := returnPath(row.query)
		if ok != (row.want != "") || ok && got != row.want {
			t.Errorf("%.80q: %q %t, want %q", row.query, got, ok, row.want)
		}
		if row.want == "" {
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("%d attempts", refused)
	}
	r := newCookieRig(t, snapshot.CookiesOptional)
	for _, row := range returns {
		if row.want != "" || strings.ContainsAny(row.query, "#") {
			continue
		}
		r.want(r.do(http.MethodGet, "/auth/continue?"+row.query, ""), http.StatusBadRequest, CodeInvalidRequest)
	}
}

// FuzzReturnPath: whatever is told, a browser that is sent there stays on this site, also if somebody on the way decodes
// or cleans the path once more.
func FuzzReturnPath(f *testing.F) {
	for _, row := range returns {
		f.Add(row.query)
	}
	base := &url.URL{Scheme: "https", Host: "app.example.com", Path: "/auth/continue"}
	f.Fuzz(func(t *testing.T, query string) {
		to, ok := returnPath(query)
		if !ok {
			return
		}
		// What browsers do before they read an address (URL Standard, section 4.4).
		cleaned := strings.ReplaceAll(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.Trim(to, " \x00")), "\\", "/")
		path, _, _ := strings.Cut(cleaned, "?")
		path, _, _ = strings.Cut(path, "#")
		for range 3 {
			if strings.HasPrefix(path, "//") || !strings.HasPrefix(path, "/") || strings.HasPrefix(path+"/", "/auth/") || strings.ContainsAny(path, "\\\r\n\x00") {
				t.Fatalf("%q leads to %q", query, path)
			}
			reference, err := url.Parse(path)
			if err == nil {
				if u := base.ResolveReference(reference); u.Host != base.Host || u.Scheme != base.Scheme || strings.HasPrefix(u.Path, "//") {
					t.Fatalf("%q leads to %s", query, u)
				}
			}
			if path, err = url.PathUnescape(path); err != nil {
				t.Fatalf("%q: %v", query, err)
			}
		}
	})
}
