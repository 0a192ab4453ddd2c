package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// operation is what a user does.
type operation int

const (
	call operation = iota
	refresh
	logout
	login
	operations
)

func (o operation) String() string { return [...]string{"call", "refresh", "logout", "login"}[o] }

// habits are how the users behave. Calls and logouts come at random (exponential) times, so they come in the bursts that
// many people make; refreshes come by a timer, as programs in browsers make them.
type habits struct {
	users int
	// think is the mean time between two calls of a user, renew between two refreshes (a quarter more or less).
	think, renew time.Duration
	// logins a second of all users together; each comes after a logout.
	logins   float64
	duration time.Duration
}

// upstreams is how many connections the proxy in front of the edge keeps, as nginx does with `keepalive`.
const upstreams = 64

// crowdOfUsers is everybody, with what they talk to.
type crowdOfUsers struct {
	habits
	token, edge string // addresses
	// null is the comparison: fixed answers, whose tokens nobody reads.
	null    bool
	proxy   chan *conn
	all     []*user
	journal journal
}

// user is one person with one connection to the token service.
type user struct {
	number int
	conn   conn
	pair   pair
	random *rand.Rand
	next   [operations]time.Time // logins have none: they follow a logout
}

// journal is what was measured. It is safe for concurrent use.
type journal struct {
	mu     sync.Mutex
	taken  [operations][]time.Duration
	errors [operations]int
	first  string // what the first error was
}

// note records one operation: how long after the instant at which it was due it was done.
func (j *journal) note(o operation, due time.Time, err error) {
	taken := time.Since(due)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.taken[o] = append(j.taken[o], taken)
	if err != nil {
		if j.errors[o]++; j.first == "" {
			j.first = fmt.Sprintf("%s: %v", o, err)
		}
	}
}

func newCrowd(h habits, token, edge string, null bool) *crowdOfUsers {
	c := &crowdOfUsers{habits: h, token: token, edge: edge, null: null, proxy: make(chan *conn, upstreams)}
	for _, upstream := range connections(upstreams, edge) {
		c.proxy <- upstream
	}
	for i := range h.users {
		c.all = append(c.all, &user{number: i, conn: conn{address: token}, random: rand.New(rand.NewPCG(1, uint64(i)))}) //nolint:gosec // the same load each time
	}
	return c
}

// arrive opens every user's connection and logs them in, a few at a time, with the hash that costs next to nothing.
func (c *crowdOfUsers) arrive(ctx context.Context, progress func(done int)) error {
	const atOnce = 16
	var group sync.WaitGroup
	queue := make(chan *user)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range atOnce {
		group.Go(func() {
			for u := range queue {
				if err := c.login(u, newcomerName(u.number)); err != nil {
					cancel(fmt.Errorf("user %d cannot log in: %w", u.number, err))
				}
			}
		})
	}
	for i, u := range c.all {
		if ctx.Err() != nil {
			break
		}
		queue <- u
		if i%1000 == 0 {
			progress(i)
		}
	}
	close(queue)
	group.Wait()
	return context.Cause(ctx)
}

// live lets everybody act for the duration and returns when the last answer is there.
func (c *crowdOfUsers) live(ctx context.Context) {
	start := time.Now().Add(100 * time.Millisecond)
	end := start.Add(c.duration)
	var group sync.WaitGroup
	for _, u := range c.all {
		u.next[call] = start.Add(u.after(c.think))
		u.next[refresh] = start.Add(time.Duration(u.random.Float64() * float64(c.renew)))
		u.next[logout] = end.Add(time.Hour)
		if c.logins > 0 {
			u.next[logout] = start.Add(u.after(c.betweenLogins()))
		}
		group.Go(func() { c.act(ctx, u, end) })
	}
	group.Wait()
}

// betweenLogins is the mean time between two logouts of one user.
func (h habits) betweenLogins() time.Duration {
	return time.Duration(float64(h.users) / h.logins * float64(time.Second))
}

// after is a random time with this mean.
func (u *user) after(mean time.Duration) time.Duration {
	return time.Duration(u.random.ExpFloat64() * float64(mean))
}

// act is the life of one user. What is due next is planned from the instant at which the last was due, not from when it
// was answered: a slow server gets no pause, and what it makes wait counts as waiting.
func (c *crowdOfUsers) act(ctx context.Context, u *user, end time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := call
		for _, o := range []operation{refresh, logout} {
			if u.next[o].Before(u.next[due]) {
				due = o
			}
		}
		at := u.next[due]
		if at.After(end) {
			return
		}
		timer.Reset(time.Until(at))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		switch due {
		case call:
			c.journal.note(call, at, c.call(u))
			u.next[call] = at.Add(u.after(c.think))
		case refresh:
			c.journal.note(refresh, at, c.refresh(u))
			u.next[refresh] = at.Add(time.Duration((0.75 + u.random.Float64()/2) * float64(c.renew)))
		default: // logout
			c.journal.note(logout, at, c.logout(u))
			again := time.Now()
			c.journal.note(login, again, c.login(u, personName(u.number)))
			u.next[logout] = at.Add(u.after(c.betweenLogins()))
		}
	}
}

func (c *crowdOfUsers) call(u *user) error {
	upstream := <-c.proxy
	defer func() { c.proxy <- upstream }()
	return upstream.do(func(to []byte) []byte { return checkRequest(to, address(u.number+1), u.pair.access) }, func(a answer) error {
		if a.status != 200 {
			return refused(a)
		}
		return nil
	})
}

func (c *crowdOfUsers) refresh(u *user) error {
	return u.conn.do(func(to []byte) []byte { return refreshRequest(to, address(u.number+1), u.pair.refresh) }, u.keep)
}

func (c *crowdOfUsers) login(u *user, name string) error {
	return u.conn.do(func(to []byte) []byte { return loginRequest(to, address(u.number+1), name) }, u.keep)
}

func (u *user) keep(a answer) error {
	p, err := readPair(a)
	if err == nil {
		u.pair = p
	}
	return err
}

// logout counts as done when the edge refuses the session's tokens, and the answer says so.
func (c *crowdOfUsers) logout(u *user) error {
	return u.conn.do(func(to []byte) []byte { return logoutRequest(to, address(u.number+1), u.pair.refresh) }, func(a answer) error {
		if a.status != 200 {
			return refused(a)
		}
		if string(a.body) != "{\"propagated\":true}\n" && !c.null {
			return fmt.Errorf("the edge did not confirm: %.60s", a.body)
		}
		return nil
	})
}

// leave closes every connection.
func (c *crowdOfUsers) leave() {
	for _, u := range c.all {
		u.conn.close()
	}
	for range upstreams {
		(<-c.proxy).close()
	}
}
