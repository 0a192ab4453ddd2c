package tokenhttp

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyturn/keyturn/internal/browser"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// checkSource refuses a request that a page of somebody else's made a browser send. carried tells whether the request
// carries a cookie of ours: then it must say where it came from. Without one, a request that says nothing comes from a
// program, and a page that wants to send JSON elsewhere is stopped by its browser's preflight.
func (d *Document) checkSource(r *http.Request, carried bool) *Problem {
	if !d.cookies() {
		return nil
	}
	return d.checkOrigin(r, carried)
}

// checkOrigin is checkSource whatever the policy of the token cookies: legacy sessions are cookies too.
func (d *Document) checkOrigin(r *http.Request, carried bool) *Problem {
	switch browser.From(r.Header["Sec-Fetch-Site"], r.Header["Origin"], d.target(r), d.Browser.AllowedOrigins) {
	case browser.Same, browser.Allowed:
		return nil
	case browser.Untold:
		if !carried {
			return nil
		}
	case browser.Elsewhere:
	}
	return &Problem{Status: http.StatusForbidden, Code: CodeCrossSite, Title: "The request comes from a page of another site",
		Detail: "a request with cookies needs Sec-Fetch-Site: same-origin, or an Origin that is the service's own or among the allowed ones"}
}

// target is the origin that the browser asked. What a proxy says about it is believed of a trusted one only.
func (d *Document) target(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if peer, ok := parseHop(r.RemoteAddr); ok && within(peer, d.TrustedProxies) {
		if forwarded := r.Header["X-Forwarded-Proto"]; len(forwarded) > 0 {
			scheme = one(forwarded)
		}
		if forwarded := r.Header["X-Forwarded-Host"]; len(forwarded) > 0 {
			host = one(forwarded)
		}
	}
	return browser.Target(scheme, host)
}

// one is the value of a header that is there once; a chain of proxies that do not agree names no origin.
func one(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// maxOrigins bounds Browser.AllowedOrigins: each is compared with on every request.
const maxOrigins = 64

// checkBrowser refuses a document whose Browser or FailureLimit would do something else than it says.
func checkBrowser(d snapshot.Issuer) error {
	switch d.Browser.Cookies {
	case "", snapshot.CookiesDisabled, snapshot.CookiesOptional, snapshot.CookiesRequired:
	default:
		return fmt.Errorf("browser.cookies must be %s, %s or %s", snapshot.CookiesDisabled, snapshot.CookiesOptional, snapshot.CookiesRequired)
	}
	if len(d.Browser.AllowedOrigins) > maxOrigins {
		return fmt.Errorf("browser.allowedOrigins has more than %d", maxOrigins)
	}
	for _, origin := range d.Browser.AllowedOrigins {
		if !browser.IsOrigin(origin) {
			return fmt.Errorf("browser.allowedOrigins: %.80q is no origin: write scheme and host in lower case, without a default port, a path or a wildcard", origin)
		}
	}
	if login := d.Browser.LoginURL; login != "" && (strings.Contains(login, "#") || !browser.IsReturnPath(login) && !isPageURL(login)) {
		return fmt.Errorf("browser.loginURL must be a path of the same origin or an https URL, without a fragment")
	}
	if f := d.FailureLimit; f != (snapshot.RateLimit{}) && (f.Limit <= 0 || f.Limit > 10_000 || f.Window <= 0) {
		return fmt.Errorf("loginFailureLimit needs a limit of 1 to 10000 and a window, or neither")
	}
	return nil
}

// isPageURL tells whether s is an absolute https URL; on loopback hosts http does.
func isPageURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Fragment != "" || len(s) > browser.MaxReturn || !browser.IsOrigin(u.Scheme+"://"+u.Host) {
		return false
	}
	host, _ := parseHop(u.Hostname())
	return u.Scheme == "https" || host.IsLoopback() || u.Hostname() == "localhost"
}
