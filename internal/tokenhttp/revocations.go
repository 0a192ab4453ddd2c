package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// How often the document is looked at for something new to revoke, and how long a failure is waited out: at first, and
// at most.
const (
	revocationLook     = 50 * time.Millisecond
	revocationPause    = 250 * time.Millisecond
	revocationPauseMax = 5 * time.Second
)

// revocationMemory is how much longer than a logout's the entry of a document is kept: who took it from the document may
// have been down when it was written, and must not have it written anew, with a higher number, an hour later.
const revocationMemory = 24 * time.Hour

// revokerHeadStart is how long the application may take to end a user's sessions before the tokens are revoked: an edge that
// hears of it asks about those sessions again, and remembers the answer. The tokens wait no longer for it.
const revokerHeadStart = 500 * time.Millisecond

// recorded are the revocations of documents that are done, by UID. The zero value is ready; it is safe for concurrent use.
type recorded struct {
	mu      sync.Mutex
	numbers map[string]uint64
	// complained are those of which the log says already that they are no revocations.
	complained map[string]bool
}

// all returns those of a document.
func (r *recorded) all(doc *Document) map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]uint64, len(doc.Issuer.Revocations))
	for _, wanted := range doc.Issuer.Revocations {
		if number := r.numbers[wanted.UID]; number != 0 {
			out[wanted.UID] = number
		}
	}
	return out
}

func (r *recorded) done(uid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.numbers[uid] != 0
}

func (r *recorded) note(uid string, number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.numbers == nil {
		r.numbers = map[string]uint64{}
	}
	r.numbers[uid] = number
}

// complain tells whether it is the first time.
func (r *recorded) complain(uid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.complained == nil {
		r.complained = map[string]bool{}
	}
	first := !r.complained[uid]
	r.complained[uid] = true
	return first
}

// keep forgets those that no document has any more.
func (r *recorded) keep(doc *Document) {
	has := make(map[string]bool, len(doc.Issuer.Revocations))
	for _, wanted := range doc.Issuer.Revocations {
		has[wanted.UID] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.numbers, func(uid string, _ uint64) bool { return !has[uid] })
	maps.DeleteFunc(r.complained, func(uid string, _ bool) bool { return !has[uid] })
}

// RunRevocations writes what the document revokes to the store, once each, until ctx ends. While the store does not take
// it, it is tried again. Several replicas on one store write it once.
func (s *Service) RunRevocations(ctx context.Context) error {
	var settled *Document
	pause := time.Duration(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		wait := revocationLook
		if doc := s.Document(); doc != nil && doc != settled {
			s.recorded.keep(doc)
			if s.record(ctx, doc) {
				settled, pause = doc, 0
			} else {
				pause = min(max(2*pause, revocationPause), revocationPauseMax)
				wait = pause
			}
		}
		timer.Reset(wait)
	}
}

// written is a revocation that is in the store while the application has sessions of its user left.
type written struct {
	snapshot.Revocation
	number uint64
}

// record writes what is not written yet, and tells whether nothing is left to do. The tokens come first: an application
// that does not answer delays those of one user only, and by a moment.
func (s *Service) record(ctx context.Context, doc *Document) bool {
	var left []written
	for _, wanted := range doc.Issuer.Revocations {
		if s.recorded.done(wanted.UID) {
			continue
		}
		number, ended, err := s.recordOne(ctx, doc, wanted, len(left) == 0)
		switch {
		case err == nil && ended:
			s.finish(wanted, number)
		case err == nil:
			left = append(left, written{wanted, number})
		case errors.Is(err, revocation.ErrMalformed):
			// Trying again changes nothing, and the others must not wait for it.
			if s.recorded.complain(wanted.UID) {
				s.Log.Error("a revocation in the document cannot be carried out", "uid", wanted.UID, "error", err)
			}
		default:
			s.Log.Error("revocation not stored", "uid", wanted.UID, "kind", wanted.Kind, "error", err)
			return false // the store is down for the others, too
		}
	}
	for _, w := range left { // users, while there is a rollout
		if s.endUserSessions(ctx, doc, w.Revocation) != nil {
			return false // the application is down for the others, too
		}
		number, err := s.revokeAgain(ctx, doc, w.Revocation)
		if err != nil {
			s.Log.Error("revocation not stored", "uid", w.UID, "kind", w.Kind, "error", err)
			return false
		}
		s.finish(w.Revocation, number)
	}
	return true
}

func (s *Service) finish(wanted snapshot.Revocation, number uint64) {
	s.recorded.note(wanted.UID, number)
	s.Log.Info("revoked", "uid", wanted.UID, "kind", wanted.Kind, "number", number)
}

// recordOne writes one revocation and returns its number, for one that was written already the number it has. ended is false
// where legacy sessions of the user are left; ask tells whether to give the application a head start.
func (s *Service) recordOne(ctx context.Context, doc *Document, wanted snapshot.Revocation, ask bool) (number uint64, ended bool, err error) {
	entry, err := entryOf(wanted)
	if err != nil {
		return 0, false, err
	}
	ended = entry.Kind != revocation.User || doc.steer == nil
	if !ended && ask {
		bounded, cancel := context.WithTimeout(ctx, revokerHeadStart)
		ended = s.endUserSessions(bounded, doc, wanted) == nil
		cancel()
	}
	if entry.Kind == revocation.Session {
		if err := s.noteRevoked(ctx, doc, entry.Value); err != nil {
			return 0, false, err
		}
	}
	entry.Expires = s.kept(doc)
	number, err = s.Sessions.Append(ctx, wanted.UID, entry)
	if err == nil && ended && entry.Kind == revocation.User && doc.steer.Rules().EndsSession(s.Now()) {
		number, err = s.revokeAgain(ctx, doc, wanted)
	}
	return number, ended, err
}

// revokeAgain revokes a user whose sessions the application has ended: until then such a session could become a login with a
// number above that of the first entry. It is written once, as the first is, and whichever replica ended the sessions.
func (s *Service) revokeAgain(ctx context.Context, doc *Document, wanted snapshot.Revocation) (uint64, error) {
	return s.Sessions.Append(ctx, wanted.UID+"/sessions", revocation.Entry{Kind: revocation.User, Value: wanted.Value, Expires: s.kept(doc)})
}

// kept is until when an entry is kept that is written now. While there are legacy sessions, that is for as long as one lives:
// what has become of it is looked for when it is shown.
func (s *Service) kept(doc *Document) time.Time {
	memory := revocationMemory
	if doc.steer.Rules().EndsSession(s.Now()) {
		memory = max(memory, doc.steer.SessionLife())
	}
	return doc.retention().From(s.Now(), s.ledger.last()).Add(memory)
}

// entryOf reads what is revoked. A user or all are revoked below the number that the entry gets.
func entryOf(wanted snapshot.Revocation) (revocation.Entry, error) {
	entry := revocation.Entry{Kind: revocation.Kind(wanted.Kind), Value: wanted.Value}
	switch {
	case wanted.UID == "":
		return entry, fmt.Errorf("%w: no uid", revocation.ErrMalformed)
	case entry.Kind == revocation.All && entry.Value == "":
	case entry.Kind == revocation.User || entry.Kind == revocation.Session || entry.Kind == revocation.Key:
		if entry.Value == "" || len(entry.Value) > revocation.MaxValueBytes {
			return entry, fmt.Errorf("%w: a value has 1 to %d bytes", revocation.ErrMalformed, revocation.MaxValueBytes)
		}
	default:
		return entry, fmt.Errorf("%w: unknown kind", revocation.ErrMalformed)
	}
	return entry, nil
}

// endUserSessions ends the legacy sessions of a user, once, while there are any. That it was done is remembered beside the
// tokens: after a restart it must not end those that the user has begun since.
func (s *Service) endUserSessions(ctx context.Context, doc *Document, wanted snapshot.Revocation) error {
	now := s.Now()
	if !doc.steer.Rules().EndsSession(now) {
		return nil
	}
	const place = "legacy sessions ended"
	account := "revocation " + wanted.UID
	if done, err := s.Acquaintances.Acquainted(ctx, account, place, now); err != nil || done {
		return err
	}
	err := doc.legacy.RevokeUser(ctx, wanted.Value)
	s.legacyDone("revoke", err)
	if err != nil {
		return err
	}
	return s.Acquaintances.Acquaint(ctx, account, place, now, s.kept(doc))
}
