package extauthz

import (
	"errors"
	"net/http"
	"strings"

	"github.com/keyturn/keyturn/internal/browser"
	"github.com/keyturn/keyturn/internal/policy"
)

// page is what a browser adds to a request on its own.
type page struct {
	cookies      []string // every value of the header, in order
	site, origin []string
	// upgrade: the request may become something else than HTTP. A WebSocket handshake is a GET, and browsers let every
	// page begin one.
	upgrade bool
}

// readPage reads the headers of a sub-request. Proxies do not pass Upgrade on, which is for one hop only; the others of a
// handshake they do.
func readPage(h http.Header) page {
	p := page{cookies: h["Cookie"], site: h["Sec-Fetch-Site"], origin: h["Origin"]}
	p.upgrade = len(h["Upgrade"])+len(h["Sec-Websocket-Key"])+len(h["Sec-Websocket-Version"]) > 0
	for _, mode := range h["Sec-Fetch-Mode"] {
		p.upgrade = p.upgrade || strings.Contains(mode, "websocket")
	}
	return p
}

// add takes one header, if it is one of these.
func (p *page) add(name, value string) bool {
	is := func(header string) bool { return len(name) == len(header) && strings.EqualFold(name, header) }
	switch {
	case is("cookie"):
		p.cookies = append(p.cookies, value)
	case is("origin"):
		p.origin = append(p.origin, value)
	case is("sec-fetch-site"):
		p.site = append(p.site, value)
	case is("upgrade"), is("sec-websocket-key"), is("sec-websocket-version"):
		p.upgrade = true
	case is("sec-fetch-mode"):
		p.upgrade = p.upgrade || strings.Contains(value, "websocket")
	default:
		return false
	}
	return true
}

// foreignPage tells whether a page of another site may have made a browser send the request, and it could do harm.
// Reading is harmless: the page does not get the answer. Methods are compared with regard to case, as HTTP does.
func (q question) foreignPage() bool {
	if !q.page.upgrade && (q.method == http.MethodGet || q.method == http.MethodHead || q.method == http.MethodOptions) {
		return false
	}
	return browser.From(q.page.site, q.page.origin, browser.Target(q.scheme, q.host), nil) != browser.Same
}

// cookieToken takes the token out of the one cookie with this name.
func cookieToken(lines []string, name string) (string, policy.Reason) {
	raw, err := browser.Cookie(lines, name)
	switch {
	case errors.Is(err, browser.ErrDoubled):
		return "", policy.MultipleCredentials
	case err != nil:
		return "", policy.MalformedToken
	case raw == "":
		return "", policy.NoCredential
	}
	return raw, ""
}
