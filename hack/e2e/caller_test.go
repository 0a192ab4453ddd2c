package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/hack/stage"
)

// The cookies that carry tokens.
const (
	accessCookie  = "__Host-keyturn-access"
	refreshCookie = "__Secure-keyturn-refresh"
)

// kind is what sort of client one is.
type kind int

// The kinds. All begin with a session of the legacy application, in the cookie that it gave them.
const (
	// apiClient keeps its tokens itself and shows them as a bearer; without tokens it shows the session.
	apiClient kind = iota
	// cookieApp is a page with a script, which calls and mends a 401 itself.
	cookieApp
	// pageBrowser opens pages and goes where it is sent.
	pageBrowser
	kinds
)

// caller is one of a fleet. One goroutine has it; what others read is atomic.
type caller struct {
	fleet *fleet
	kind  kind
	user  string
	// late: it never exchanges its session, nor notices that it should.
	late    bool
	cookies map[string]string
	// access and refresh are the tokens of an apiClient.
	access, refresh string
	due             time.Time
	// opened counts how often it began anew, exchanging or refreshing; holds is whether it has tokens.
	opened atomic.Int64
	holds  atomic.Bool
	out    atomic.Bool
}

// turn is one call, or a new beginning. It is never broken off: a client that goes away is not what is tested here.
func (c *caller) turn() {
	ctx := context.Background()
	if c.out.Load() {
		return
	}
	if now := time.Now(); !c.late && now.After(c.due) {
		if c.open(ctx) {
			c.due = now.Add(c.fleet.every)
			c.opened.Add(1)
		}
	} else {
		c.call(ctx)
	}
	c.holds.Store(c.refresh != "" || c.cookies[refreshCookie] != "")
}

// call asks the application, mends a 401, and asks again.
func (c *caller) call(ctx context.Context) {
	for try := range 2 {
		answer, err := c.get(ctx)
		c.fleet.calls.Add(1)
		switch {
		case err == nil && answer.Status == http.StatusOK:
			c.check(answer)
			return
		case err == nil && answer.Status == http.StatusFound && c.kind == pageBrowser, err == nil && answer.Status == http.StatusUnauthorized:
			if try == 1 {
				c.loggedOut("a call after what should have mended it", answer)
				return
			}
			if !c.mend(ctx, answer) {
				return
			}
		default:
			c.fleet.note(fmt.Sprintf("call: %d %s %v", answer.Status, answer.Code(), err))
			return
		}
	}
}

func (c *caller) get(ctx context.Context) (stage.Answer, error) {
	switch {
	case c.kind == pageBrowser:
		return c.send(ctx, http.MethodGet, c.fleet.url+"/page", "", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin")
	case c.kind == cookieApp:
		return c.send(ctx, http.MethodGet, c.fleet.url+"/api", "", "Accept", "application/json", "Sec-Fetch-Site", "same-origin")
	case c.access != "":
		return c.send(ctx, http.MethodGet, c.fleet.url+"/api", "", "Authorization", "Bearer "+c.access)
	}
	return c.send(ctx, http.MethodGet, c.fleet.url+"/api", "")
}

// check looks at what the application was told.
func (c *caller) check(answer stage.Answer) {
	var seen stage.Seen
	if err := answer.Decode(&seen); err != nil || seen.User != c.user {
		c.fleet.mu.Lock()
		c.fleet.wrong = append(c.fleet.wrong, fmt.Sprintf("%s is seen as %q (%v)", c.user, seen.User, err))
		c.fleet.mu.Unlock()
	}
	if seen.Method == "session" {
		c.fleet.bySession.Add(1)
	} else {
		c.fleet.byToken.Add(1)
	}
}

// mend does what a client of its kind does about a 401: it refreshes, and if it cannot, exchanges its session. A browser
// goes to the page that it is sent to, whose script refreshes and knows nothing else.
func (c *caller) mend(ctx context.Context, why stage.Answer) bool {
	if c.kind == pageBrowser {
		return c.follow(ctx, why)
	}
	answer, ok := why, false
	if c.refresh != "" || c.cookies[refreshCookie] != "" {
		if answer, ok = c.renew(ctx); ok || answer.Status != http.StatusUnauthorized {
			return ok
		}
	}
	if answer, ok = c.exchange(ctx); !ok && answer.Status == http.StatusUnauthorized {
		c.loggedOut("exchange", answer)
	}
	return ok
}

// follow goes to /auth/continue and does what its script does.
func (c *caller) follow(ctx context.Context, why stage.Answer) bool {
	to := why.Header.Get("Location")
	if why.Status != http.StatusFound || !strings.HasPrefix(to, "/auth/continue?") {
		c.loggedOut("a page that leads nowhere", why)
		return false
	}
	page, err := c.send(ctx, http.MethodGet, c.fleet.url+to, "", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin")
	if err != nil || page.Status != http.StatusOK {
		c.fleet.note(fmt.Sprintf("/auth/continue: %d %v", page.Status, err))
		return false
	}
	answer, ok := c.renew(ctx)
	if ok {
		c.fleet.continued.Add(1)
	} else if answer.Status == http.StatusUnauthorized {
		c.loggedOut("/auth/continue", answer)
	}
	return ok
}

// open is a new beginning: an app that starts refreshes what it has, or exchanges its session. For a browser every
// second one is a return after its access token's life, when the browser has dropped the cookie.
func (c *caller) open(ctx context.Context) bool {
	held := c.refresh != "" || c.cookies[refreshCookie] != ""
	if c.kind == pageBrowser && held && c.opened.Load()%2 == 1 {
		delete(c.cookies, accessCookie)
		return true
	}
	if held {
		answer, ok := c.renew(ctx)
		if ok || answer.Status != http.StatusUnauthorized {
			return ok
		}
	}
	answer, ok := c.exchange(ctx)
	if !ok && answer.Status == http.StatusUnauthorized {
		c.loggedOut("exchange", answer)
	}
	return ok
}

// renew is POST /auth/refresh, by body or by cookie.
func (c *caller) renew(ctx context.Context) (stage.Answer, bool) {
	body, headers := "{}", []string{"Sec-Fetch-Site", "same-origin"}
	if c.kind == apiClient {
		raw, _ := json.Marshal(map[string]string{"refresh_token": c.refresh})
		body, headers = string(raw), nil
	}
	answer, err := c.send(ctx, http.MethodPost, c.fleet.url+"/auth/refresh", body, headers...)
	c.fleet.refreshes.Add(1)
	return c.take("refresh", answer, err)
}

func (c *caller) exchange(ctx context.Context) (stage.Answer, bool) {
	answer, err := c.send(ctx, http.MethodPost, c.fleet.url+"/auth/session/exchange", "{}", "Sec-Fetch-Site", "same-origin")
	c.fleet.exchanges.Add(1)
	answer, ok := c.take("exchange", answer, err)
	if c.kind == apiClient && ok { // where cookies are set the exchange answers by cookies, and a program takes them out
		c.access, c.refresh = c.cookies[accessCookie], c.cookies[refreshCookie]
		delete(c.cookies, accessCookie)
		delete(c.cookies, refreshCookie)
	}
	return answer, ok
}

func (c *caller) take(what string, answer stage.Answer, err error) (stage.Answer, bool) {
	if err != nil || answer.Status != http.StatusOK {
		if err != nil || answer.Status != http.StatusUnauthorized {
			c.fleet.note(fmt.Sprintf("%s: %d %s %v", what, answer.Status, answer.Code(), err))
		}
		return answer, false
	}
	var tokens stage.Tokens
	if err := answer.Decode(&tokens); err != nil {
		c.fleet.note(what + ": " + err.Error())
		return answer, false
	}
	if tokens.Refresh != "" {
		c.access, c.refresh = tokens.Access, tokens.Refresh
	}
	return answer, true
}

// send keeps cookies as a browser does. That they are marked Secure does not matter on a loopback address.
func (c *caller) send(ctx context.Context, method, address, body string, headers ...string) (stage.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return stage.Answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	bearer := c.kind == apiClient && c.refresh != ""
	for name, value := range c.cookies {
		if !bearer && (name != refreshCookie || strings.HasPrefix(request.URL.Path, "/auth/")) {
			request.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	response, err := c.fleet.http.Do(request)
	if err != nil {
		return stage.Answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name] = cookie.Value
		}
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return stage.Answer{Status: response.StatusCode, Header: response.Header, Body: bytes.TrimSpace(raw)}, err
}
