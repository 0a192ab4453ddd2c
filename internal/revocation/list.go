package revocation

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLimit is how many entries a [List] holds: about 150 MB of session ids.
const DefaultLimit = 1_000_000

// ErrFull is returned when a list would hold more entries than its limit. The entry is not applied: the list keeps
// its number, so the edge falls behind visibly instead of forgetting a revocation.
var ErrFull = errors.New("the revocation list is full")

// ErrOutOfOrder is returned for an entry whose number is not above [List.Applied].
var ErrOutOfOrder = errors.New("revocation out of order")

// Credential is what a verified token says about itself. Empty members are never revoked by kind.
type Credential struct {
	// SessionID is `sid`, User is `sub`, KID is the header's `kid`, TokenID is `jti`.
	SessionID, User, KID, TokenID string
	// Legacy is the hash of a legacy session's cookie. Such a credential has no number, so by this it is distrusted, and
	// not by the revocations of a user or of all; see [List.UserBefore].
	Legacy string
}

// List is the set of live revocations that an edge knows. [List.Revoked] and [List.Applied] take no lock and may be
// called from any goroutine while one of the other methods changes the list. Use [NewList].
type List struct {
	limit   int
	writing sync.Mutex // serialises Replace, Apply and Prune
	state   atomic.Pointer[state]
}

type state struct {
	applied  atomic.Uint64
	size     atomic.Int64
	sessions table
	tokens   table
	keys     table
	users    table
	legacy   table
	all      atomic.Pointer[mark]
	// pruned is the latest time at which something was pruned; nil if nothing was.
	pruned atomic.Pointer[time.Time]
}

// mark is one thing that is distrusted: below the number before (sessions, tokens and keys have none), until expires.
type mark struct {
	before  uint64
	expires time.Time
}

// NewList returns an empty list that holds [DefaultLimit] entries.
func NewList() *List { return NewListLimit(DefaultLimit) }

// NewListLimit returns an empty list that holds at most limit entries.
func NewListLimit(limit int) *List {
	l := &List{limit: limit}
	l.state.Store(&state{})
	return l
}

// Applied is the number of the newest revocation that [List.Revoked] takes into account.
func (l *List) Applied() uint64 { return l.state.Load().applied.Load() }

// Len is the number of things distrusted.
func (l *List) Len() int { return l.state.Load().total() }

func (s *state) total() int { return int(s.size.Load()) }

// CompleteAt tells whether the list still has every entry that is alive at now: false when the clock was set back
// behind the time of a [List.Prune] that forgot something. Then only another [List.Replace] makes it complete.
func (l *List) CompleteAt(now time.Time) bool {
	pruned := l.state.Load().pruned.Load()
	return pruned == nil || !now.Round(0).Before(*pruned) // Round: the monotonic clock is never set back
}

// Revoked tells whether the credential is distrusted. Entries count until [List.Prune] removes them: an expired
// entry can only hit an expired credential.
func (l *List) Revoked(c Credential) bool {
	return l.state.Load().revoked(c)
}

func (s *state) revoked(c Credential) bool {
	if s.size.Load() == 0 {
		return false
	}
	if s.sessions.has(c.SessionID) || s.keys.has(c.KID) || s.tokens.has(c.TokenID) || s.legacy.has(c.Legacy) {
		return true
	}
	if c.Legacy != "" {
		return false
	}
	user, marked := s.users.get(c.User)
	all := s.all.Load()
	if !marked && all == nil {
		return false
	}
	// A token without a session number cannot prove that it is younger than the revocation.
	number, numbered := SessionNumber(c.SessionID)
	return marked && (!numbered || number < user.before) || all != nil && (!numbered || number < all.before)
}

// UserBefore is the number below which the sessions of a user are distrusted, 0 if there is none. Like [List.Revoked] it
// takes no lock. A legacy session has no number to compare with it: who knows one from before the list was at this
// number ([List.Applied]) asks again whether it is still good.
func (l *List) UserBefore(user string) uint64 {
	m, _ := l.state.Load().users.get(user)
	return m.before
}

// Replace takes the complete list of a store, which is complete up to the number applied. On an error the list stays
// as it was. The entries known so far count on until [List.Prune] forgets them: a store takes no entry back, and one that
// was lost, replaced by a new one or restored from a backup does not know whom it distrusted before.
func (l *List) Replace(entries []Entry, applied uint64) error {
	if len(entries) > l.limit {
		return fmt.Errorf("%w: %d entries, at most %d", ErrFull, len(entries), l.limit)
	}
	next := &state{}
	for _, e := range entries {
		if err := e.Check(); err != nil {
			return err
		}
		if e.Seq > applied {
			return fmt.Errorf("%w: number %d is past %d", ErrOutOfOrder, e.Seq, applied)
		}
		next.fill(e)
	}
	next.applied.Store(applied)
	l.writing.Lock()
	defer l.writing.Unlock()
	next.keep(l.state.Load())
	if next.total() > l.limit {
		return fmt.Errorf("%w: %d entries with those known before, at most %d", ErrFull, next.total(), l.limit)
	}
	l.state.Store(next)
	return nil
}

// keep takes over what another state distrusts, for a state that no reader sees yet.
func (s *state) keep(last *state) {
	kept := s.sessions.keep(&last.sessions) + s.tokens.keep(&last.tokens) + s.keys.keep(&last.keys) + s.users.keep(&last.users) + s.legacy.keep(&last.legacy)
	s.size.Add(int64(kept))
	if all := last.all.Load(); all != nil {
		s.addAll(Entry{Before: all.before, Expires: all.expires})
	}
}

// Apply adds one entry, which must be newer than all before.
func (l *List) Apply(e Entry) error {
	if err := e.Check(); err != nil {
		return err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	s := l.state.Load()
	if applied := s.applied.Load(); e.Seq <= applied {
		return fmt.Errorf("%w: number %d after %d", ErrOutOfOrder, e.Seq, applied)
	}
	if s.total() >= l.limit {
		return ErrFull
	}
	s.add(e)
	s.applied.Store(e.Seq) // after the content: who reads the number finds the entry
	return nil
}

// Prune forgets the entries that expired before now and returns how many are left. See [List.CompleteAt].
func (l *List) Prune(now time.Time) int {
	l.writing.Lock()
	defer l.writing.Unlock()
	s := l.state.Load()
	if s.expired(now) {
		wall := now.Round(0)
		if last := s.pruned.Load(); last == nil || last.Before(wall) {
			s.pruned.Store(&wall) // first: nobody may take a list for complete that has lost something
		}
		s.prune(now)
	}
	return s.total()
}

// expired tells whether prune would remove something.
func (s *state) expired(now time.Time) bool {
	if all := s.all.Load(); all != nil && all.expires.Before(now) {
		return true
	}
	return s.sessions.expired(now) || s.tokens.expired(now) || s.keys.expired(now) || s.users.expired(now) || s.legacy.expired(now)
}

func (s *state) prune(now time.Time) {
	removed := s.sessions.prune(now) + s.tokens.prune(now) + s.keys.prune(now) + s.users.prune(now) + s.legacy.prune(now)
	if all := s.all.Load(); all != nil && all.expires.Before(now) {
		s.all.Store(nil)
		removed++
	}
	s.size.Add(-int64(removed))
}

func (s *state) table(kind Kind) *table {
	switch kind {
	case Session:
		return &s.sessions
	case Key:
		return &s.keys
	case TokenID:
		return &s.tokens
	case Legacy:
		return &s.legacy
	default:
		return &s.users
	}
}

// fill is add for a state that no reader sees yet.
func (s *state) fill(e Entry) {
	if e.Kind == All {
		s.addAll(e)
		return
	}
	if s.table(e.Kind).fill(e.Value, mark{before: e.Before, expires: e.Expires}) {
		s.size.Add(1)
	}
}

func (s *state) add(e Entry) {
	if e.Kind == All {
		s.addAll(e)
		return
	}
	s.size.Add(1) // first: a reader that sees size 0 looks no further
	if !s.table(e.Kind).put(e.Value, mark{before: e.Before, expires: e.Expires}) {
		s.size.Add(-1)
	}
}

func (s *state) addAll(e Entry) {
	next := mark{before: e.Before, expires: e.Expires}
	if last := s.all.Load(); last != nil {
		next = last.merge(next)
	} else {
		s.size.Add(1)
	}
	s.all.Store(&next)
}

// merge distrusts what either distrusts.
func (m mark) merge(other mark) mark {
	m.before = max(m.before, other.before)
	if other.expires.After(m.expires) {
		m.expires = other.expires
	}
	return m
}
