package feed

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

// followEvery is how often the log is read without having been told of anything, at least; more often where what is
// known may not be that old.
const (
	followEvery = time.Second
	followFast  = 100 * time.Millisecond
)

// Follower keeps the list of a store's revocations in the process that has the store, as an edge does over the network.
// Safe for concurrent use; make it with [NewFollower].
type Follower struct {
	source Log
	store  func() string
	within func() time.Duration
	log    *slog.Logger
	now    func() time.Time

	list *revocation.List
	// read is when the reading began after which the list had everything; nil before the first.
	read atomic.Pointer[time.Time]
}

// NewFollower returns a follower of source, whose numbers belong to the store with the id that store returns; see
// [ServerConfig]. within is how old what it knows may be. now must carry a monotonic reading.
func NewFollower(source Log, store func() string, within func() time.Duration, log *slog.Logger, now func() time.Time) *Follower {
	return &Follower{source: source, store: store, within: within, log: log, now: now, list: revocation.NewList()}
}

// Revoked tells whether a credential is distrusted. It knows nothing unless [Follower.Loaded].
func (f *Follower) Revoked(c revocation.Credential) bool { return f.list.Revoked(c) }

// UserBefore is the number below which a user's sessions are distrusted; see [revocation.List.UserBefore].
func (f *Follower) UserBefore(user string) uint64 { return f.list.UserBefore(user) }

// Applied is the number of the newest revocation that is known.
func (f *Follower) Applied() uint64 { return f.list.Applied() }

// Loaded tells whether the complete list was read, and everything newer of late: where the store has not answered for
// longer than a revocation may take to every edge, nobody may be told that a token is good.
func (f *Follower) Loaded() bool {
	read, now := f.read.Load(), f.now()
	return read != nil && now.Sub(*read) <= f.within() && f.list.CompleteAt(now)
}

// Run follows the log until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	changed, cancel := f.source.Subscribe()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	id, complete, failing := "", false, false
	pruned := f.now()
	for {
		began := f.now()
		err := f.step(ctx, &id, &complete)
		switch {
		case err == nil:
			f.read.Store(&began)
			failing = false
		case ctx.Err() == nil && !failing:
			failing = true
			f.log.Warn("revocations_not_followed", "error", err.Error())
		}
		if began.Sub(pruned) >= pruneEvery {
			pruned = began
			f.list.Prune(began.Add(-pruneLate))
		}
		timer.Reset(min(max(f.within()/4, followFast), followEvery))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
	}
}

// step reads what is new, or the complete list where the one at hand is not.
func (f *Follower) step(ctx context.Context, id *string, complete *bool) error {
	if *complete && (f.id() != *id || !f.list.CompleteAt(f.now())) {
		*complete = false
	}
	if !*complete {
		// The store knows its id once it has answered.
		position, err := f.source.Last(ctx)
		if err != nil {
			return err
		}
		*id = f.id()
		if f.store != nil && *id == "" {
			return errNoStore
		}
		if err := f.load(ctx, position); err != nil {
			return err
		}
		*complete = true
	} else if err := f.readOn(ctx); err != nil {
		if errors.Is(err, revocation.ErrOutOfOrder) {
			*complete = false
		}
		return err
	}
	if f.id() != *id {
		*complete = false
		return errStoreChanged
	}
	return nil
}

func (f *Follower) id() string {
	if f.store == nil {
		return ""
	}
	return f.store()
}

// load reads everything, which is complete up to position at least.
func (f *Follower) load(ctx context.Context, position uint64) error {
	var all []revocation.Entry
	for after, more := uint64(0), true; more; {
		var page []revocation.Entry
		var err error
		if page, more, err = f.source.Revocations(ctx, after, pageSize); err != nil {
			return err
		}
		if len(all)+len(page) > revocation.DefaultLimit {
			return revocation.ErrFull
		}
		all = append(all, page...)
		if len(page) > 0 {
			after = page[len(page)-1].Seq
			position = max(position, after)
		}
	}
	return f.list.Replace(all, position)
}

// readOn applies what is newer than the list.
func (f *Follower) readOn(ctx context.Context) error {
	for more := true; more; {
		var page []revocation.Entry
		var err error
		if page, more, err = f.source.Revocations(ctx, f.list.Applied(), pageSize); err != nil {
			return err
		}
		for _, e := range page {
			if err := f.list.Apply(e); err != nil {
				return err
			}
		}
	}
	return nil
}
