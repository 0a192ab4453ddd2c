package embedded

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

// maxBatch bounds how many operations share one commit.
const maxBatch = 256

// gatherFor is how long a commit waits for more operations while several are under way: about as long as a signature takes.
const gatherFor = 2 * time.Millisecond

var errClosed = errors.New("it is closed")

// write is one operation waiting for its commit. do runs at most twice: a batch that fails is tried again one by one,
// so an operation must set all of its results each time.
type write struct {
	do   func(tx *bbolt.Tx) error
	done chan error
}

// update runs do in a transaction and returns when it is on disk. If ctx ends first, the operation may happen or not.
func (s *Store) update(ctx context.Context, do func(tx *bbolt.Tx) error) error {
	w := &write{do: do, done: make(chan error, 1)}
	select {
	case <-s.closed:
		return unavailable(errClosed)
	default:
	}
	select {
	case s.writes <- w:
	case <-s.closed:
		return unavailable(errClosed)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	select {
	case err := <-w.done:
		if err != nil {
			return unavailable(err)
		}
		return nil
	case <-s.done:
		// The writer answers everything it took before it ends.
		select {
		case err := <-w.done:
			if err != nil {
				return unavailable(err)
			}
			return nil
		default:
			return unavailable(errClosed)
		}
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

func (s *Store) writeLoop() {
	defer close(s.done)
	debug.SetPanicOnFault(true)
	var patience time.Duration
	for {
		select {
		case w := <-s.writes:
			batch := s.gather(w, patience)
			if patience = 0; len(batch) > 1 {
				patience = gatherFor
			}
			s.commit(batch)
		case <-s.closed:
			for {
				select {
				case w := <-s.writes:
					s.commit(s.gather(w, 0))
				default:
					return
				}
			}
		}
	}
}

// gather takes what is waiting already; the previous flush was the time to queue. On a fast disk that time is short: where
// the last commit was shared, more writers are at work, and the caller has patience to wait for them.
func (s *Store) gather(first *write, patience time.Duration) []*write {
	batch := []*write{first}
	var over <-chan time.Time // nil: it does not wait
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		over = timer.C
	}
	for len(batch) < maxBatch {
		select {
		case w := <-s.writes:
			batch = append(batch, w)
			continue
		default:
		}
		if over == nil {
			break
		}
		select {
		case w := <-s.writes:
			batch = append(batch, w)
		case <-over:
			over = nil
		}
	}
	return batch
}

func (s *Store) commit(batch []*write) {
	err := s.transact(batch)
	if err == nil || len(batch) == 1 {
		for _, w := range batch {
			w.done <- err
		}
		return
	}
	for _, w := range batch {
		w.done <- s.transact([]*write{w})
	}
}

func (s *Store) transact(batch []*write) (err error) {
	defer recoverDamage(&err)
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, w := range batch {
			if err := w.do(tx); err != nil {
				return err
			}
		}
		return nil
	})
}
