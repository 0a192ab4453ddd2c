package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/hack/stage"
)

// fleet are clients that call without a pause, none of which logs in a second time: who is told 401 and cannot mend it
// was logged out by force, and stays out.
type fleet struct {
	url     string
	http    *http.Client
	clients []*caller
	every   time.Duration // between two openings of one client
	end     context.CancelFunc
	all     sync.WaitGroup

	calls, bySession, byToken, refreshes, exchanges, continued atomic.Int64

	mu      sync.Mutex
	logouts []string       // of who is not late
	ended   map[string]int // of who is, by the last code
	trouble map[string]int // answers that are neither good nor 401
	wrong   []string       // answers that are another user's, or make no sense
}

func fleetUsers(n int) []legacyapp.User {
	users := make([]legacyapp.User, n)
	for i := range users {
		name := fmt.Sprintf("u%05d", i)
		users[i] = legacyapp.User{ID: "shop:" + name, Name: name, Password: "password-of-" + name, Role: "user"}
	}
	return users
}

// newFleet logs everybody in at the legacy application and sends them on their way. It also returns the session of one
// who is late.
func newFleet(t *testing.T, front *stage.Front, app *legacyapp.Application, users []legacyapp.User) (all *fleet, lateSession string) {
	t.Helper()
	f := &fleet{
		url: front.URL, ended: map[string]int{}, trouble: map[string]int{},
		every: max(time.Second, time.Duration(len(users))*time.Second/100), // exchanges of one address have a limit
		http: &http.Client{
			Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for i, user := range users {
		c := &caller{fleet: f, kind: kind(i) % kinds, user: user.ID, late: i%20 == 7, cookies: map[string]string{}}
		answer, err := c.send(t.Context(), http.MethodPost, app.URL()+"/legacy/login", fmt.Sprintf(`{"username":%q,"password":%q}`, user.Name, user.Password))
		if err != nil || answer.Status != http.StatusOK || c.cookies[legacyapp.Cookie] == "" {
			t.Fatalf("legacy login of %s: %d (error %v)", user.Name, answer.Status, err)
		}
		if i < 10 {
			secretsSeen.add("legacy session", c.cookies[legacyapp.Cookie])
		}
		if c.late {
			lateSession = c.cookies[legacyapp.Cookie]
		}
		f.clients = append(f.clients, c)
	}
	ctx, end := context.WithCancel(t.Context())
	f.end = end
	const workers = 8
	for w := range workers {
		f.all.Go(func() {
			for ctx.Err() == nil {
				for i := w; i < len(f.clients) && ctx.Err() == nil; i += workers {
					f.clients[i].turn()
				}
			}
		})
	}
	t.Cleanup(f.stop)
	return f, lateSession
}

func (f *fleet) stop() {
	f.end()
	f.all.Wait()
}

func (c *caller) loggedOut(where string, answer stage.Answer) {
	c.out.Store(true)
	f := c.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.late {
		f.ended[answer.Code()]++
		return
	}
	f.logouts = append(f.logouts, fmt.Sprintf("%s (kind %d) at %s: %d %s %s", c.user, c.kind, where, answer.Status, answer.Code(), (&url.URL{Path: answer.Header.Get("Location")}).String()))
}

func (f *fleet) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble[what]++
}
