package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// caller is one of a fleet. Its goroutine has it; what others read is atomic.
type caller struct {
	fleet *fleet
	http  *http.Client
	kind  kind
	user  string
	// late: it never exchanges its session of its own accord, only to mend a 401.
	late    bool
	cookies map[string]string
	session string // the legacy session that it began with
	// access and refresh are the tokens of an apiClient.
	access, refresh string
	// due is when it begins anew of its own accord; poke tells that everybody does now.
	due  time.Time
	poke chan struct{}
	// opened counts how often it began anew, exchanging or refreshing.
	opened int64
	// round is the last round that it has done, a call that worked included. holds is whether it has tokens; moved
	// counts how often that changed. served counts the turns that worked. brown is whether a brownout ever refused it.
	round, moved      atomic.Int64
	served            atomic.Int64
	holds, out, brown atomic.Bool
}

// live does one thing after the other until the end, or until it is logged out.
func (c *caller) live(ctx context.Context) {
	timer := time.NewTimer(rand.N(c.fleet.call)) //nolint:gosec // a spread
	defer timer.Stop()
	for !c.out.Load() {
		select {
		case <-ctx.Done():
			return
		case <-c.poke:
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case c.fleet.slots <- struct{}{}:
		}
		wait := c.fleet.call
		switch {
		case c.late && c.fleet.resting.Load():
		case c.turn():
			c.served.Add(1)
		default:
			wait = min(wait, time.Second)
		}
		<-c.fleet.slots
		timer.Reset(wait)
	}
}

// turn is one call, or a new beginning and a call. It is never broken off: a client that goes away is not what is tested
// here. It tells whether it worked.
func (c *caller) turn() bool {
	ctx := context.Background()
	round, ok := c.fleet.round.Load(), true
	told := c.round.Load() < round
	if now := time.Now(); !c.late && (told || now.After(c.due)) {
		if ok = c.open(ctx, told); ok {
			c.due = now.Add(c.fleet.open)
			c.opened++
		}
		c.settle()
	}
	ok = ok && c.call(ctx)
	c.settle()
	if ok && told {
		c.round.Store(round)
	}
	return ok
}

// settle notes whether it has tokens now.
func (c *caller) settle() {
	if has := c.refresh != "" || c.cookies[refreshCookie] != ""; has != c.holds.Load() {
		c.moved.Add(1)
		c.holds.Store(has)
	}
}

// call asks the application, mends a 401, and asks again. It tells whether it was served at last.
func (c *caller) call(ctx context.Context) bool {
	for range 2 {
		answer, err := c.get(ctx)
		c.fleet.calls.Add(1)
		switch {
		case err == nil && answer.Status == http.StatusOK:
			c.check(answer)
			return true
		case err == nil && answer.Status == http.StatusFound && c.kind == pageBrowser, err == nil && answer.Status == http.StatusUnauthorized:
			if answer.Code() == "legacy_session_brownout" {
				c.brown.Store(true)
				c.fleet.brownouts.Add(1)
			}
			if !c.mend(ctx, answer) {
				return false
			}
		default:
			c.fleet.note(fmt.Sprintf("call: %d %s %v", answer.Status, answer.Code(), err))
			return false
		}
	}
	return false
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
	return c.begin(ctx)
}

// begin refreshes what it has, or exchanges its session.
func (c *caller) begin(ctx context.Context) bool {
	held := c.refresh != "" || c.cookies[refreshCookie] != ""
	code := ""
	if held {
		answer, ok := c.renew(ctx)
		if ok || answer.Status != http.StatusUnauthorized {
			return ok
		}
		c.access, c.refresh, code = "", "", answer.Code() // cookies were taken away by the answer
	}
	answer, ok := c.exchange(ctx)
	switch {
	case ok && held:
		c.fleet.mu.Lock()
		c.fleet.refused[code]++
		c.fleet.mu.Unlock()
	case !ok && answer.Status == http.StatusUnauthorized:
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
	if c.fleet.browned(c) {
		c.brown.Store(true)
		c.fleet.brownouts.Add(1)
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

// browned tells whether a browser that is sent to /auth/continue was refused for its session: it has nothing else.
func (f *fleet) browned(c *caller) bool {
	return c.cookies[refreshCookie] == "" && c.cookies[accessCookie] == ""
}

// open is a new beginning: an app that starts refreshes what it has, or exchanges its session. A browser that nobody told
// to begin returns, every second time, after its access token's life, when it has dropped the cookie; and so does
// everybody who has tokens when they are told that they are over.
func (c *caller) open(ctx context.Context, told bool) bool {
	held := c.refresh != "" || c.cookies[refreshCookie] != ""
	if held && (told && c.fleet.expiring.Load() || !told && c.kind == pageBrowser && c.opened%2 == 1) {
		delete(c.cookies, accessCookie)
		c.access = ""
		return true
	}
	return c.begin(ctx)
}
