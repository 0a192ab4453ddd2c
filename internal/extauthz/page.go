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

// take reads one header of a sub-request, if it is one of these; the name is in canonical form. Proxies do not pass Upgrade
// on, which is for one hop only; the others of a handshake they do.
func (p *page) take(name string, values []string) bool {
	switch name {
	case "Cookie":
		p.cookies = values
	case "Origin":
		p.origin = values
	case "Sec-Fetch-Site":
		p.site = values
	case "Sec-Fetch-Mode":
		p.mode = values
		for _, mode := range values {
			p.upgrade = p.upgrade || strings.Contains(mode, "websocket")
		}
	case "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version":
		p.upgrade = p.upgrade || len(values) > 0
	case "Accept":
		for _, wanted := range values {
			p.html = p.html || strings.Contains(wanted, "text/html")
		}
	case "X-Requested-With":
		p.script = len(values) > 0
	case "Access-Control-Request-Method":
		p.asks = len(values)
	default:
		return false
	}
	return true
}

// add takes one header of a Check, if it is one of these.
func (p *page) add(name, value string) bool {
	switch len(name) { // most headers are none of these
	case len("cookie"), len("upgrade"), len("sec-fetch-site"), len("sec-websocket-key"), len("sec-websocket-version"),
		len("x-requested-with"), len("access-control-request-method"):
	default:
		return false
	}
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
