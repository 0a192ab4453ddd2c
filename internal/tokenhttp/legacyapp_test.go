package tokenhttp

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// sessionCookie is the name of the cookie of the old application in the tests.
const sessionCookie = "sid"

// legacyApp is an application with sessions in cookies, in memory. It implements [Legacy].
type legacyApp struct {
	mu                                 sync.Mutex
	now                                func() time.Time
	sessions                           map[string]legacy.Session
	down, issuerDown, revokerDown      bool
	rotates                            bool // an extended session gets another id
	made, extended, revoked, validated int
	forgotten                          int
	unfindable                         bool // nobody can find a user's sessions
}

const appSessionLife = 8 * time.Hour

func newLegacyApp(now func() time.Time) *legacyApp {
	return &legacyApp{now: now, sessions: map[string]legacy.Session{}}
}

// session makes a session as the old application's own login would, and returns its cookie.
func (a *legacyApp) session(user string, life time.Duration) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	id := fmt.Sprintf("s%%3A%s-%d.x+/=", user, a.made)
	s := legacy.Session{User: user, Role: "member", Claims: map[string]string{"team": "blue"}}
	if life > 0 {
		s.Expires = a.now().Add(life)
	}
	a.sessions[id] = s
	return id
}

func (a *legacyApp) Validate(_ context.Context, cookie secret.Text) (legacy.Session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.validated++
	if a.down {
		return legacy.Session{}, fmt.Errorf("%w: it is down", legacy.ErrUnavailable)
	}
	s, known := a.sessions[cookie.Reveal()]
	if !known || !s.Expires.IsZero() && !a.now().Before(s.Expires) {
		return legacy.Session{}, legacy.ErrInvalid
	}
	return s, nil
}

func (a *legacyApp) Forget(secret.Text) { a.mu.Lock(); defer a.mu.Unlock(); a.forgotten++ }

func (a *legacyApp) issued(id string, user legacy.Session) legacy.Issued {
	user.Expires = a.now().Add(appSessionLife)
	a.sessions[id] = user
	line := sessionCookie + "=" + id + "; Path=/; HttpOnly; Secure; Priority=High"
	c, err := http.ParseSetCookie(line)
	if err != nil {
		panic(err)
	}
	c.Raw = line
	return legacy.Issued{Cookies: []*http.Cookie{c}, Session: user}
}

func (a *legacyApp) Issue(_ context.Context, user legacy.User) (legacy.Issued, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.issuerDown {
		return legacy.Issued{}, legacy.ErrUnavailable
	}
	if user.Subject == "bob" {
		return legacy.Issued{}, legacy.ErrNoIssuer // bob is not one of the application's
	}
	a.made++
	return a.issued(fmt.Sprintf("i%%3A%s-%d", user.Subject, a.made), legacy.Session{User: user.Subject, Role: user.Role, Claims: user.Claims}), nil
}

func (a *legacyApp) Extend(_ context.Context, cookie secret.Text) (legacy.Issued, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.issuerDown {
		return legacy.Issued{}, legacy.ErrUnavailable
	}
	s, known := a.sessions[cookie.Reveal()]
	if !known {
		return legacy.Issued{}, legacy.ErrInvalid
	}
	a.extended++
	id := cookie.Reveal()
	if a.rotates {
		delete(a.sessions, id)
		a.made++
		id = fmt.Sprintf("e%%3A%s-%d", s.User, a.made)
	}
	return a.issued(id, s), nil
}

func (a *legacyApp) Revoke(_ context.Context, cookie secret.Text) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revokerDown {
		return legacy.ErrUnavailable
	}
	a.revoked++
	delete(a.sessions, cookie.Reveal())
	return nil
}

func (a *legacyApp) RevokeUser(_ context.Context, subject string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revokerDown {
		return legacy.ErrUnavailable
	}
	a.revoked++
	for id, s := range a.sessions {
		if s.User == subject && !a.unfindable {
			delete(a.sessions, id)
		}
	}
	return nil
}

func (a *legacyApp) lives(cookie string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.sessions[cookie]
	return known
}

// listed is the list of revocations in the store, as the service's own replica follows it.
type listed struct {
	*rig
	unloaded bool
}

func (l listed) Loaded() bool { return !l.unloaded }

func (l listed) Revoked(c revocation.Credential) bool { return l.list().Revoked(c) }

func (l listed) UserBefore(user string) uint64 { return l.list().UserBefore(user) }

func (l listed) Applied() uint64 {
	last, err := l.store.Last(context.Background())
	if err != nil {
		l.Error(err)
	}
	return last
}

func (l listed) list() *revocation.List {
	entries, _, err := l.store.Revocations(context.Background(), 0, 1000)
	if err != nil {
		l.Error(err)
	}
	list := revocation.NewList()
	for _, e := range entries {
		if err := list.Apply(e); err != nil {
			l.Error(err)
		}
	}
	return list
}

// rolling is a rollout of everybody or nobody.
func rolling(percent int) *snapshot.Rollout {
	return &snapshot.Rollout{
		Name: "shop/walk", Cookie: sessionCookie, Salt: "salt", Percent: percent, Watched: max(percent, 10),
		Link: "https://example.com/sessions", MaxSessionLife: snapshot.Duration(48 * time.Hour),
	}
}

// newLegacyRig has cookies and a rollout at that percentage.
func newLegacyRig(t *testing.T, percent int) *rig {
	t.Helper()
	r := newRig(t)
	r.app = newLegacyApp(r.clock.Now)
	r.service.Revocations = listed{rig: r}
	doc := r.issuer
	doc.LoginLimit.Limit = 10_000
	doc.Browser.Cookies = snapshot.CookiesOptional
	doc.Rollout = rolling(percent)
	doc.Legacy = &snapshot.Legacy{Issuer: &snapshot.LegacyWebhook{URL: "https://app.example.com/sessions"}}
	r.use(doc)
	return r
}

// steer changes the rollout.
func (r *rig) steer(change func(*snapshot.Rollout)) {
	r.Helper()
	doc := r.issuer
	next := *doc.Rollout
	change(&next)
	doc.Rollout = &next
	doc.Revision++
	r.use(doc)
}

// given are the cookies of an answer: the value, or "-" for one that is taken away.
func given(a answer) map[string]string {
	all := map[string]string{}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		all[c.Name] = c.Value
		if c.MaxAge < 0 {
			all[c.Name] = "-"
		}
	}
	return all
}

// browse is what a browser sends.
func browse(cookies ...string) []string {
	var pairs []string
	for i := 0; i+1 < len(cookies); i += 2 {
		if cookies[i+1] != "" && cookies[i+1] != "-" {
			pairs = append(pairs, cookies[i]+"="+cookies[i+1])
		}
	}
	headers := []string{"Sec-Fetch-Site", "same-origin"}
	if len(pairs) > 0 {
		headers = append(headers, "Cookie", strings.Join(pairs, "; "))
	}
	return headers
}

// expire lets a session be over.
func (a *legacyApp) expire(cookie string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[cookie]
	s.Expires = a.now().Add(-time.Second)
	a.sessions[cookie] = s
}
