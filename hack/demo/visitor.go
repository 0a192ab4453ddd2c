package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/hack/stage"
)

const (
	accessCookie  = "__Host-keyturn-access"
	refreshCookie = "__Secure-keyturn-refresh"
)

// visitors are the users of the old application. Each has a page open that calls without a pause and now and then begins
// anew. None of them ever logs in again: who is told 401 and cannot mend it is logged out, which is what must not happen.
type visitors struct {
	url  string
	all  []*visitor
	http *http.Client
	stop context.CancelFunc
	busy sync.WaitGroup

	calls, loggedOut, mistaken atomic.Int64
}

// visitor is one of them. Its goroutine alone has the cookies; what others read is atomic.
type visitor struct {
	of      *visitors
	user    string
	cookies map[string]string
	// method is how the edge knew the user at the last call: session or jwt. opened counts the new beginnings.
	method atomic.Value
	opened atomic.Int64
	tokens atomic.Bool
}

// every is the time between two beginnings of one visitor.
const every = time.Second

// arrive logs n users in at the old application, and sends them on their way through nginx.
func arrive(ctx context.Context, url string, app *legacyapp.Application, users []legacyapp.User) (*visitors, error) {
	all := &visitors{url: url, http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	for _, user := range users {
		v := &visitor{of: all, user: user.ID, cookies: map[string]string{}}
		v.method.Store("")
		answer, err := v.send(ctx, http.MethodPost, app.URL()+"/legacy/login", fmt.Sprintf(`{"username":%q,"password":%q}`, user.Name, user.Password))
		if err != nil || answer.Status != http.StatusOK {
			return nil, fmt.Errorf("login of %s at the old application: %d %w", user.Name, answer.Status, err)
		}
		all.all = append(all.all, v)
	}
	ctx, all.stop = context.WithCancel(ctx)
	for _, v := range all.all {
		all.busy.Go(func() { v.stay(ctx) })
	}
	return all, nil
}

func (all *visitors) leave() {
	all.stop()
	all.busy.Wait()
}

// withTokens counts those who have tokens.
func (all *visitors) withTokens() (n int) {
	for _, v := range all.all {
		if v.tokens.Load() {
			n++
		}
	}
	return n
}

// stay calls until ctx ends. A call is never broken off.
func (v *visitor) stay(ctx context.Context) {
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	due := time.Now()
	for {
		if now := time.Now(); now.After(due) && v.begin() {
			due = now.Add(every)
			v.opened.Add(1)
		}
		v.call()
		v.tokens.Store(v.cookies[refreshCookie] != "")
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
	}
}

// begin is what a page does when it is opened: it refreshes its tokens, or offers its session in exchange.
func (v *visitor) begin() bool {
	path := "/auth/session/exchange"
	if v.cookies[refreshCookie] != "" {
		path = "/auth/refresh"
	}
	answer, err := v.send(context.Background(), http.MethodPost, v.of.url+path, "{}")
	if err == nil && answer.Status == http.StatusUnauthorized {
		v.of.loggedOut.Add(1)
	}
	return err == nil && answer.Status == http.StatusOK
}

func (v *visitor) call() {
	answer, err := v.send(context.Background(), http.MethodGet, v.of.url+"/orders", "")
	v.of.calls.Add(1)
	switch {
	case err == nil && answer.Status == http.StatusOK:
		var seen stage.Seen
		if answer.Decode(&seen) != nil || seen.User != v.user {
			v.of.mistaken.Add(1)
		}
		v.method.Store(seen.Method)
	case err == nil && answer.Status == http.StatusUnauthorized:
		v.begin() // which counts it, if that does not help
	}
}

// send keeps cookies as a browser does; that they are marked Secure does not matter on a loopback address.
func (v *visitor) send(ctx context.Context, method, url, body string) (stage.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return stage.Answer{}, err
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range v.cookies {
		if name != refreshCookie || strings.HasPrefix(request.URL.Path, "/auth/") {
			request.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	response, err := v.of.http.Do(request)
	if err != nil {
		return stage.Answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(v.cookies, cookie.Name)
		} else {
			v.cookies[cookie.Name] = cookie.Value
		}
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return stage.Answer{Status: response.StatusCode, Header: response.Header, Body: raw}, err
}
