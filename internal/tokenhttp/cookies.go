package tokenhttp

import (
	"errors"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/browser"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// The refresh cookie goes to the token service's own paths only, so that no application ever sees it. The prefix
// `__Host-`, which binds a cookie to one host, demands the path `/`: the narrow one has to do with `__Secure-`
// (RFC 6265bis, section 4.1.3). Neither cookie has a Domain.
const (
	refreshCookie     = "__Secure-keyturn-refresh"
	refreshCookiePath = "/auth/"
)

// The values of `delivery` at login.
const (
	deliverBody   = "body"
	deliverCookie = "cookie"
)

// cookies tells whether the document lets tokens travel in cookies.
func (d *Document) cookies() bool {
	return d.Browser.Cookies == snapshot.CookiesOptional || d.Browser.Cookies == snapshot.CookiesRequired
}

// delivery decides whether a login is answered by cookies.
func (d *Document) delivery(asked string, given bool) (byCookie bool, p *Problem) {
	switch {
	case given && asked != deliverBody && asked != deliverCookie:
		return false, badRequest(`delivery is "body" or "cookie"`)
	case asked == deliverCookie && !d.cookies():
		return false, badRequest("this service sets no cookies: its TokenPolicy says so")
	case asked == deliverBody && d.Browser.Cookies == snapshot.CookiesRequired:
		return false, badRequest("this service gives tokens in cookies only: its TokenPolicy says so")
	}
	return asked == deliverCookie || d.Browser.Cookies == snapshot.CookiesRequired, nil
}

// shownCookies are the tokens that came in cookies; empty where there was none, or where cookies are disabled.
type shownCookies struct{ access, refresh secret.Text }

func (c shownCookies) any() bool { return c.count() > 0 }

func (c shownCookies) count() int {
	n := 0
	for _, text := range []secret.Text{c.access, c.refresh} {
		if !text.Empty() {
			n++
		}
	}
	return n
}

// readCookies also returns what could be read beside a damaged or doubled cookie.
func readCookies(r *http.Request, doc *Document) (shownCookies, *Problem) {
	if !doc.cookies() {
		return shownCookies{}, nil
	}
	lines := r.Header["Cookie"]
	access, err := browser.Cookie(lines, snapshot.AccessCookie)
	refresh, err2 := browser.Cookie(lines, refreshCookie)
	shown := shownCookies{secret.NewText(access), secret.NewText(refresh)}
	if err := errors.Join(err, err2); err != nil {
		return shown, badRequest(err.Error() + ": delete the cookies of this site and log in again")
	}
	return shown, nil
}

// fitsCookie tells whether browsers would keep the access token; they drop a larger cookie without a word.
func fitsCookie(access secret.Text) bool {
	return len(snapshot.AccessCookie)+len(access.Reveal()) <= browser.MaxCookie
}

// writeCookies is the part of writePair that answers by cookies. The body has no token.
func writeCookies(w http.ResponseWriter, m mint, access secret.Text, refresh store.Token, family store.Family) {
	accessLife, refreshLife := m.expires.Sub(m.now), family.Expiry().Sub(m.now)
	setCookie(w, snapshot.AccessCookie, access.Reveal(), accessLife)
	setCookie(w, refreshCookie, refresh.Text().Reveal(), refreshLife)
	writeJSON(w, struct {
		TokenType        string `json:"token_type"`
		ExpiresIn        int64  `json:"expires_in"`
		RefreshExpiresIn int64  `json:"refresh_expires_in"`
	}{"cookie", int64(accessLife / time.Second), int64(refreshLife / time.Second)})
}

// clearCookies takes both cookies away from the browser.
func clearCookies(w http.ResponseWriter) {
	setCookie(w, snapshot.AccessCookie, "", 0)
	setCookie(w, refreshCookie, "", 0)
}

// setCookie sets a cookie for life, or deletes it if that is less than a second.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if name == refreshCookie {
		c.Path, c.SameSite = refreshCookiePath, http.SameSiteStrictMode
	}
	if c.MaxAge <= 0 {
		c.MaxAge, c.Value = -1, "" // written as Max-Age=0
	}
	http.SetCookie(w, c)
}
