package rollout_test

import (
	"fmt"
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// kind is what sort of client a user has.
type kind int

const (
	bearer   kind = iota // keeps its tokens itself, and no cookies beside them
	app                  // cookies, and a script that refreshes and exchanges
	pageOnly             // cookies, and nothing but navigation: /auth/continue is all it has
)

// The lives of credentials. Everybody comes more often than the idle ones, so that only a session of age ends by itself.
const (
	idle   = 7 * day
	oldAge = 30 * day
	often  = 2 * day // at the most between two visits
)

// user is somebody with a client, and what it holds. A credential that is past its time is none.
type user struct {
	name            string
	kind            kind
	session, family time.Time // until when they live, zero: there is none
	ends            time.Time // of the session, however it is used
}

func (u *user) hasSession(now time.Time) bool { return now.Before(u.session) && now.Before(u.ends) }
func (u *user) hasFamily(now time.Time) bool  { return now.Before(u.family) }

// settle lets everybody log in.
func (w *world) settle(size int) {
	w.visits = make([][]int32, int(often/tick)+1)
	for i := range size {
		u := user{name: fmt.Sprint("user ", i), kind: kind(w.rng.IntN(3))}
		w.users = append(w.users, u)
		w.login(&w.users[i], w.replicas[0])
		w.users[i].ends = w.t.Add(w.span(time.Hour, oldAge)) // they came one after the other
		w.comeAgain(int32(i))
	}
}

func (w *world) comeAgain(i int32) {
	gap := 1 + min(int(w.rng.ExpFloat64()*float64(10*time.Hour/tick)), len(w.visits)-2)
	slot := (int(w.t.Sub(start)/tick) + gap) % len(w.visits)
	w.visits[slot] = append(w.visits[slot], i)
}

// browse lets those come whose time it is.
func (w *world) browse() {
	slot := int(w.t.Sub(start)/tick) % len(w.visits)
	coming := w.visits[slot]
	w.visits[slot] = nil
	for _, i := range coming {
		if w.failure != "" {
			return
		}
		w.visit(&w.users[i])
		w.comeAgain(i)
	}
}

func (w *world) any() *replica { return w.replicas[w.rng.IntN(len(w.replicas))] }

// visit is a user who comes with a client that never logs in unless it must.
func (w *world) visit(u *user) {
	w.counts["visits"]++
	if w.chance(400) { // ends the work day
		u.session, u.family = time.Time{}, time.Time{}
		w.login(u, w.any())
	}
	service, edge := w.any(), w.any()
	switch {
	case u.kind == pageOnly: // goes where it wants, first
	case u.hasFamily(w.t):
		w.refresh(u, service)
	case u.hasSession(w.t) && w.chance(3):
		w.exchange(u, service)
	}
	w.enter(u, edge)
}

// enter is a request at an edge, and what a client does about a refusal.
func (w *world) enter(u *user, edge *replica) {
	worth := w.worth(u, edge)
	bySession := u.hasSession(w.t) && worth.Accepted
	switch {
	case u.kind != pageOnly && u.hasFamily(w.t):
		w.tokens++
	case bySession:
		w.sessions++
		u.session = w.t.Add(idle) // the application sees it
	case u.hasFamily(w.t): // a page: by /auth/continue
		w.refresh(u, w.any())
		w.tokens++
	case u.hasSession(w.t) && worth.Brownout:
		w.counts["browned out"]++
		if u.kind != pageOnly {
			w.exchange(u, w.any())
		}
	case u.hasSession(w.t) && edge.rules.Schedule.SunsetReached:
		w.counts["logins for the sunset"]++
		u.session = time.Time{}
		w.login(u, edge)
	case !u.ends.IsZero() && !w.t.Before(u.ends):
		w.counts["logins of age"]++
		w.login(u, w.any())
	default:
		w.fail("%s (%d) is logged out at %d %%: session until %s, family until %s", u.name, u.kind, edge.rules.Cohort.Percent, u.session, u.family)
	}
}

// worth asks an edge about a session and holds the answer against the schedule.
func (w *world) worth(u *user, edge *replica) Acceptance {
	a, schedule := edge.steer.Edge(w.t, u.name), edge.rules.Schedule
	brown := false
	for _, b := range schedule.Brownouts {
		brown = brown || !w.t.Before(b.Start) && w.t.Before(b.Start.Add(b.Duration))
	}
	deprecated := !w.t.Before(schedule.Deprecation)
	switch {
	case schedule.SunsetReached:
		if a.Accepted || a.Brownout {
			w.fail("an edge accepts a session after the sunset")
		}
	case a.Accepted == a.Brownout, a.Brownout && !brown:
		w.fail("a session is refused before the sunset and outside of a brownout: %+v", a)
	case a.Announce != deprecated:
		w.fail("deprecated %t, announced %t", deprecated, a.Announce)
	}
	return a
}

func (w *world) login(u *user, r *replica) {
	u.ends = time.Time{}
	w.take(u, r.steer.Login(w.t, u.name), "login")
}

func (w *world) refresh(u *user, r *replica) {
	cookies := u.kind != bearer
	issue := r.steer.Refresh(w.t, Client{User: u.name, Cookies: cookies, LiveSession: cookies && u.hasSession(w.t)})
	w.take(u, issue, "refresh")
	if issue.ClearTokens {
		w.counts["taken back to the session"]++
	}
}

func (w *world) exchange(u *user, r *replica) {
	issue := r.steer.Exchange(w.t, u.name)
	if issue.Refused != r.rules.Schedule.SunsetReached {
		w.fail("an exchange is refused: %t, sunset %t", issue.Refused, r.rules.Schedule.SunsetReached)
	}
	if issue.Refused {
		return
	}
	if issue.Session { // it is kept, as it is
		issue.Session = false
		if !issue.Pair {
			return
		}
	}
	w.take(u, issue, "exchange")
	w.counts["exchanged"]++
	if u.kind == bearer {
		u.session = time.Time{} // it goes on with its tokens
	}
}

// take is what a client does with an answer. It must be left with something.
func (w *world) take(u *user, issue Issue, from string) {
	if issue.Pair {
		u.family = w.t.Add(idle)
	}
	if issue.Session && (u.kind != bearer || from == "login") {
		u.session, u.ends = w.t.Add(idle), w.t.Add(oldAge)
	}
	if issue.ClearTokens || from == "refresh" && !issue.Pair {
		u.family = time.Time{} // it is spent
	}
	if !u.hasFamily(w.t) && !u.hasSession(w.t) {
		w.fail("a %s leaves %s (%d) with nothing: %+v", from, u.name, u.kind, issue)
	}
	if issue.Pair && from == "login" && u.kind == bearer && w.chance(2) {
		u.session = time.Time{} // a client that has no use for the cookie
	}
}
