package extauthz

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
)

// How long an answer about a legacy session is used, at most. One that says no is used shortly: some applications make
// an anonymous session, and it becomes a user's under the same id.
const (
	sessionLife = 10 * time.Second
	refusedLife = time.Second
	// revokedLife is for users of whom sessions were revoked of late: who ends them at the application may take a moment.
	revokedLife = time.Second
)

// Bounds. Made-up cookies push no good answer out, and do not keep sessions that were good a moment ago from being asked
// about again: each has its own share.
const (
	maxGood  = 40_000
	maxBad   = 10_000
	maxCalls = 4096 // questions about strangers that wait or are on their way; with those about others, twice as many
	maxAsked = 64   // questions of either sort that are on their way
)

var errSessionsBusy = errors.New("too many questions about legacy sessions")

// sessions remembers what legacy sessions are worth, and asks about the others: about each only once at a time. Its lock
// is never held while it waits. Requests without a legacy session do not come here.
type sessions struct {
	ask  func(context.Context, secret.Text) (feed.SessionAnswer, error)
	list func() *revocation.List
	now  func() time.Time
	// asked counts the questions by what came of them.
	asked func(result string)

	mu    sync.Mutex
	good  map[string]verdict
	bad   map[string]verdict
	calls map[string]*call
	// regulars and strangers are the places of the questions on their way: about sessions that were good when last asked
	// about, and about others.
	regulars, strangers chan struct{}
}

// verdict is one answer. The zero value is a session that is not good.
type verdict struct {
	valid      bool
	user, role string
	until      time.Time // when it is asked again
	expires    time.Time // the session's own end; zero if not known
	// before is what the user's revocations said when it was asked, see [revocation.List.UserBefore].
	before uint64
}

// call is a question that is on its way.
type call struct {
	done    chan struct{}
	verdict verdict
	err     error
}

func newSessions(from Revocations, now func() time.Time, asked func(string)) *sessions {
	return &sessions{
		ask: from.Ask, list: from.List, now: now, asked: asked,
		good: map[string]verdict{}, bad: map[string]verdict{}, calls: map[string]*call{}, regulars: make(chan struct{}, maxAsked), strangers: make(chan struct{}, maxAsked),
	}
}

// of tells what the session of a cookie is worth. It waits no longer than wait, and not past the end of ctx; the question
// goes on all the same, and the next request finds the answer. On an error, verdict has the user of the last answer, if
// there is one, and nothing that is good.
func (s *sessions) of(ctx context.Context, hash string, cookie secret.Text, wait time.Duration) (verdict, error) {
	s.mu.Lock()
	last, fresh := s.known(hash)
	if fresh {
		s.mu.Unlock()
		return last, nil
	}
	last = verdict{user: last.user}
	c, found := s.calls[hash]
	if !found {
		slots, most := s.strangers, maxCalls
		if _, regular := s.good[hash]; regular {
			slots, most = s.regulars, 2*maxCalls
		}
		if len(s.calls) >= most {
			s.mu.Unlock()
			s.asked("busy")
			return last, errSessionsBusy
		}
		c = &call{done: make(chan struct{})}
		s.calls[hash] = c
		go s.fly(context.WithoutCancel(ctx), hash, cookie, c, slots)
	}
	s.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		return last, context.DeadlineExceeded
	case <-ctx.Done():
		return last, ctx.Err()
	}
	if c.err != nil {
		return last, c.err
	}
	return c.verdict, nil
}

// known returns the last answer and whether it still counts.
func (s *sessions) known(hash string) (verdict, bool) {
	v, found := s.good[hash]
	if !found {
		v, found = s.bad[hash]
	}
	return v, found && s.now().Before(v.until) && (!v.valid || s.list().UserBefore(v.user) == v.before)
}

// fly asks, and keeps the answer.
func (s *sessions) fly(ctx context.Context, hash string, cookie secret.Text, c *call, slots chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, feed.AskWithin)
	defer cancel()
	defer func() {
		fault := recover() // the request that waits denies; a panic here would end the process
		if fault != nil {
			c.err = errors.New("a fault while asking about a legacy session")
		}
		s.keep(hash, c)
		close(c.done)
	}()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		c.verdict, c.err = s.question(ctx, cookie)
	case <-ctx.Done():
		c.err = errSessionsBusy
	}
}

// question asks. Where the user was revoked while the list of this edge remembers it, it asks once more, for an answer
// that is not from before: the one at hand may come out of a cache that does not know yet.
func (s *sessions) question(ctx context.Context, cookie secret.Text) (verdict, error) {
	answer, err := s.ask(ctx, cookie)
	life, before := sessionLife, uint64(0)
	if err == nil && answer.Valid {
		if before = s.list().UserBefore(answer.User); before != 0 {
			life = revokedLife
			answer, err = s.ask(feed.WithFresh(ctx), cookie)
		}
	}
	if err != nil {
		s.asked("unavailable")
		return verdict{}, err
	}
	now := s.now()
	if !answer.Valid || !answer.Expires.IsZero() && !now.Before(answer.Expires) {
		s.asked("invalid")
		return verdict{until: now.Add(refusedLife)}, nil
	}
	s.asked("valid")
	v := verdict{valid: true, user: answer.User, role: answer.Role, expires: answer.Expires, before: before, until: now.Add(life)}
	if len(v.user) > policy.MaxIdentityBytes || len(v.role) > policy.MaxIdentityBytes {
		v.user, v.role = "", "" // cannot be told to the application, see package policy, and is not worth keeping
	}
	return v, nil
}

func (s *sessions) keep(hash string, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, hash)
	if c.err != nil {
		return // the last answer stays, for whose session it was
	}
	if c.verdict.valid {
		delete(s.bad, hash)
		put(s.good, hash, c.verdict, maxGood)
	} else {
		delete(s.good, hash)
		put(s.bad, hash, c.verdict, maxBad)
	}
}

// put adds to a map that holds at most so many. It makes room by the oldest of a few.
func put(into map[string]verdict, hash string, v verdict, most int) {
	if _, there := into[hash]; !there && len(into) >= most {
		oldest, looked := "", 0
		for candidate, c := range into { // in no order
			if oldest == "" || c.until.Before(into[oldest].until) {
				oldest = candidate
			}
			if looked++; looked == 8 {
				break
			}
		}
		delete(into, oldest)
	}
	into[hash] = v
}
