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
	// asks counts Access-Control-Request-Method; mode are the values of Sec-Fetch-Mode.
	asks int
	mode []string
	// html: the request wants a page; script: a script says that it sent it.
	html, script bool
}

// preflight tells whether the request has what a browser's question before a cross-origin request has (Fetch, section
// 4.8), beside the method.
func (p *page) preflight() bool { return p.asks == 1 && len(p.origin) == 1 && p.origin[0] != "" }

// navigation tells whether a browser asks for a page to show. Browsers that do not send Sec-Fetch-Mode, as over http,
// tell it by what they want.
func (p *page) navigation() bool {
	if p.upgrade || p.script {
		return false
	}
	if len(p.mode) > 0 {
		return len(p.mode) == 1 && p.mode[0] == "navigate"
	}
	return p.html
}

// readPage reads the headers of a sub-request. Proxies do not pass Upgrade on, which is for one hop only; the others of a
// handshake they do.
func readPage(h http.Header) page {
	p := page{cookies: h["Cookie"], site: h["Sec-Fetch-Site"], origin: h["Origin"], asks: len(h["Access-Control-Request-Method"]), mode: h["Sec-Fetch-Mode"]}
	p.upgrade = len(h["Upgrade"])+len(h["Sec-Websocket-Key"])+len(h["Sec-Websocket-Version"]) > 0
	for _, mode := range p.mode {
		p.upgrade = p.upgrade || strings.Contains(mode, "websocket")
	}
	for _, wanted := range h["Accept"] {
		p.html = p.html || strings.Contains(wanted, "text/html")
	}
	p.script = len(h["X-Requested-With"]) > 0
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
		p.mode = append(p.mode, value)
		p.upgrade = p.upgrade || strings.Contains(value, "websocket")
	case is("accept"):
		p.html = p.html || strings.Contains(value, "text/html")
	case is("x-requested-with"):
		p.script = true
	case is("access-control-request-method"):
		p.asks++
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
