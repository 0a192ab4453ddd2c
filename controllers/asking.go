package controllers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
)

// Bounds of asking the replicas. All that one reconcile asks are asked side by side, so that a silent one delays the others by
// nothing, and the reconcile by statusTimeout once: after that it is known (silences.go).
const (
	statusTimeout  = 2 * time.Second        // for a replica
	statusGlance   = 100 * time.Millisecond // for one that is known to be silent, when it is asked before its turn
	statusOverall  = 5 * time.Second        // for all of a reconcile
	statusMaxBytes = 256 << 10
	statusAtOnce   = 64
)

// slowFailure is from when on a failure costs as much as silence does. A refused connection costs nothing, and is no silence.
const slowFailure = statusTimeout / 2

// errNotAsked is of a replica whose turn did not come: too many others answered nothing. These are known next time.
var errNotAsked = errors.New("it was not asked: too many others did not answer")

// inquiry is a replica that is to be asked.
type inquiry struct {
	of      *replica
	service types.NamespacedName
	keySet  string // namespace/name
	own     recorded
	turn    turn
}

// askAll asks those replicas whose turn it is. The others have no status, as if they were asked and silent: an answer of before
// never counts. most is how long a silent one is left alone at most; 0 asks everybody.
func (b *base) askAll(ctx context.Context, all []inquiry, most time.Duration) {
	var asked []*inquiry
	for i := range all {
		one := &all[i]
		one.turn = b.silences.turn(one.of.pod, b.now(), most)
		if one.of.read = b.now(); one.turn.spared() {
			one.of.err, one.of.spared = one.turn.known, true
			continue
		}
		asked = append(asked, one)
	}
	slices.SortStableFunc(asked, func(a, b *inquiry) int { return cmp.Compare(a.turn.failures, b.turn.failures) })
	ctx, cancel := context.WithTimeout(ctx, statusOverall)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(statusAtOnce)
	for _, one := range asked {
		group.Go(func() error {
			b.ask(ctx, one)
			return nil
		})
	}
	_ = group.Wait() // nothing fails
}

// ask asks one replica, and remembers whether it was silent.
func (b *base) ask(ctx context.Context, one *inquiry) {
	r, began := one.of, b.now()
	if ctx.Err() != nil {
		r.err, r.read = errNotAsked, began
		return
	}
	patience, cancel := context.WithTimeout(ctx, one.turn.timeout)
	defer cancel()
	r.ask(patience, b.status, one.keySet, one.own)
	r.read = b.now()
	switch {
	case r.status != nil:
		b.silences.heard(r.pod.UID)
	case ctx.Err() != nil: // its time was cut short
	case unanswered(r.err) || slow(r.read.Sub(began)):
		r.err = b.silences.silent(one.service, r.pod, one.turn, r.read, r.err)
	}
}

// slow tells whether a failure took long. Nothing takes much longer than statusTimeout: then it is the clock that leapt.
func slow(took time.Duration) bool { return took >= slowFailure && took < 2*statusTimeout }

// unanswered tells whether a replica let its time go by.
func unanswered(err error) bool {
	return errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded)
}
