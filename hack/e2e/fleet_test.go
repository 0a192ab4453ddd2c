package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/hack/stage"
)

// fleet are clients that call all the time, none of which logs in a second time: who is told 401 and cannot mend it was
// logged out by force, and stays out. Each has a goroutine that mostly waits; slots bound how many of them do something
// at the same time, so that a slow machine makes a slower fleet and no other answers.
type fleet struct {
	url       string
	addresses []*http.Client // each from a loopback address of its own, as limits are by address
	clients   []*caller
	// call and open are the pauses of one client between two calls, and between two new beginnings of its own accord.
	call, open time.Duration
	slots      chan struct{}
	end        context.CancelFunc
	all        sync.WaitGroup

	// round counts the times that everybody was told to begin anew; in an expiring one access tokens are over, too.
	round    atomic.Int64
	expiring atomic.Bool
	// resting: those who are late do nothing.
	resting atomic.Bool

	calls, bySession, byToken, refreshes, exchanges, continued, brownouts atomic.Int64

	mu      sync.Mutex
	logouts []string       // of who is not late
	ended   map[string]int // of who is, by the last code
	trouble map[string]int // answers that are neither good nor 401
	refused map[string]int // refreshes with 401, by code, that a session mended
	wrong   []string       // answers that are another user's, or make no sense
}

// pace is how often each of a fleet does something; the zero value is that of [paceOf].
type pace struct{ call, open time.Duration }

// paceOf makes about 400 calls a second, and 20 new beginnings, however many there are.
func paceOf(clients int) pace {
	return pace{
		call: max(300*time.Millisecond, time.Duration(clients)*time.Second/400),
		open: max(5*time.Second, time.Duration(clients)*time.Second/20),
	}
}

const (
	// fleetSlots is how many clients do something at the same time, fleetAddresses from how many addresses they come.
	fleetSlots     = 24
	fleetAddresses = 12
)

func fleetUsers(n int) []legacyapp.User {
	users := make([]legacyapp.User, n)
	for i := range users {
		name := fmt.Sprintf("u%05d", i)
		users[i] = legacyapp.User{ID: "shop:" + name, Name: name, Password: "password-of-" + name, Role: "user"}
	}
	return users
}

// fleetClient comes from a loopback address of its own.
func fleetClient(n byte) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 7, n)}}
	return &http.Client{
		Timeout:       20 * time.Second,
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newFleet logs everybody in at the legacy application and sends them on their way. It also returns the session of one
// who is late.
func newFleet(t *testing.T, front *stage.Front, app *legacyapp.Application, users []legacyapp.User, p pace) (all *fleet, lateSession string) {
	t.Helper()
	if p == (pace{}) {
		p = paceOf(len(users))
	}
	f := &fleet{
		url: front.URL, call: p.call, open: p.open, slots: make(chan struct{}, fleetSlots),
		ended: map[string]int{}, trouble: map[string]int{}, refused: map[string]int{},
	}
	for n := range fleetAddresses {
		f.addresses = append(f.addresses, fleetClient(byte(1+n)))
	}
	for i, user := range users {
		c := &caller{
			fleet: f, http: f.addresses[i%fleetAddresses], kind: kind(i) % kinds, user: user.ID, late: i%20 == 7,
			cookies: map[string]string{}, poke: make(chan struct{}, 1), due: time.Now().Add(rand.N(f.open)), //nolint:gosec // a spread
		}
		answer, err := c.send(t.Context(), http.MethodPost, app.URL()+"/legacy/login", fmt.Sprintf(`{"username":%q,"password":%q}`, user.Name, user.Password))
		if err != nil || answer.Status != http.StatusOK || c.cookies[legacyapp.Cookie] == "" {
			t.Fatalf("legacy login of %s: %d (error %v)", user.Name, answer.Status, err)
		}
		c.session = c.cookies[legacyapp.Cookie]
		if i < 10 {
			secretsSeen.add("legacy session", c.session)
		}
		if c.late {
			lateSession = c.session
		}
		f.clients = append(f.clients, c)
	}
	var ctx context.Context
	ctx, f.end = context.WithCancel(t.Context())
	for _, c := range f.clients {
		f.all.Go(func() { c.live(ctx) })
	}
	t.Cleanup(f.stop)
	return f, lateSession
}

// anew tells every client that is not late to begin anew.
func (f *fleet) anew(expiring bool) (round int64) {
	f.expiring.Store(expiring)
	round = f.round.Add(1)
	for _, c := range f.clients {
		select {
		case c.poke <- struct{}{}:
		default:
		}
	}
	return round
}

func (f *fleet) stop() {
	f.end()
	f.all.Wait()
	for _, a := range f.addresses {
		a.CloseIdleConnections()
	}
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

// moves is how often each client has changed its sort of credential.
func (f *fleet) moves() map[*caller]int64 {
	moved := make(map[*caller]int64, len(f.clients))
	for _, c := range f.clients {
		moved[c] = c.moved.Load()
	}
	return moved
}
