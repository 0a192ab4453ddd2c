package tokenhttp

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyturn/keyturn/internal/browser"
)

// A browser that only loads pages cannot refresh by itself: where its access cookie has expired, the ingress sends it to
// /auth/continue, whose script refreshes by cookie and goes on to the page that was asked for.
//
//	page ─▶ 302 /auth/continue?return_to=/page ─▶ POST /auth/refresh ─┬─ 200 ─▶ /page
//	                                                                  ├─ 401 ─▶ login page, with return_to
//	                                                                  └─ else: again, a little later, then a button
var (
	//go:embed continue.html
	continueHTML string
	//go:embed continue.js
	continueScript string
	//go:embed continue.css
	continueStyle string

	continuePage = template.Must(template.New("continue").Parse(continueHTML))
	// continuePolicy lets the page do what it does and nothing else. Script and style never change, so their hashes do as
	// well as a nonce, and a page that was tampered with on the way does not run.
	continuePolicy = "default-src 'none'; script-src 'sha256-" + hashOf(continueScript) + "'; style-src 'sha256-" + hashOf(continueStyle) +
		"'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (s *Service) browserRoutes() map[string]route {
	return map[string]route{"/auth/continue": {http.MethodGet, s.continueTo}}
}

func (s *Service) continueTo(w http.ResponseWriter, r *http.Request) *Problem {
	doc := s.Document()
	if doc == nil {
		return errNotReady
	}
	if !doc.cookies() {
		return &Problem{Status: http.StatusNotFound, Code: CodeNotFound, Title: "There is nothing at this path", Detail: "this service sets no cookies: its TokenPolicy says so"}
	}
	returnTo, ok := returnPath(r.URL.RawQuery)
	if !ok {
		return badRequest("return_to must be the path of a page of this site, and the only parameter")
	}
	var page bytes.Buffer
	if err := continuePage.Execute(&page, struct {
		Style       template.CSS
		Script      template.JS
		To, LoginAt string
	}{template.CSS(continueStyle), template.JS(continueScript), returnTo, loginAt(doc.Browser.LoginURL, returnTo)}); err != nil { //nolint:gosec // both are our own files
		s.Log.Error("page_failed", "error", err.Error())
		return errInternal
	}
	h := w.Header()
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": continuePolicy, "Cache-Control": "no-store",
		"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		h.Set(name, value)
	}
	_, _ = w.Write(page.Bytes()) // the client is gone if this fails
	return nil
}

// loginAt is the address of the login page with the way back; empty if there is no page.
func loginAt(login, returnTo string) string {
	if login == "" {
		return ""
	}
	return browser.LoginAt(login, returnTo)
}

// returnPath reads the one parameter of the query. Where its value begins with a slash, it is the rest of the query as it
// stands: a proxy put it there, which does not encode (nginx's $request_uri). Otherwise it is percent-encoded, as
// encodeURIComponent and URLSearchParams do, slash included.
func returnPath(query string) (string, bool) {
	value, found := strings.CutPrefix(query, "return_to=")
	if !found {
		return "", false
	}
	if !strings.HasPrefix(value, "/") {
		decoded, err := url.QueryUnescape(value)
		if err != nil || strings.ContainsAny(value, "&;") {
			return "", false
		}
		value = decoded
	}
	return value, browser.IsReturnPath(value)
}
