package feed

import (
	"context"
	"time"
)

// The rhythm of reading while somebody waits: quickly for a number that is on its way, then calmly for an edge that may
// be gone; never so often that the reading itself is most of the store's work.
const (
	readSoon    = 10 * time.Millisecond
	readLater   = 50 * time.Millisecond
	soonFor     = time.Second
	afterError  = 100 * time.Millisecond
	longestTurn = 250 * time.Millisecond
)

// waiter is one call of Wait.
type waiter struct {
	number uint64
	began  time.Time
	answer chan bool // buffered
}

// Wait returns when every edge with a lease in the store has applied number, or its lease has run out, and tells whether
// all edges known of late have applied it. It returns false when ctx ends, and when two leases have passed and it is
// still not known: the store does not answer, or an edge renews its lease without applying.
func (l *SharedLeases) Wait(ctx context.Context, number uint64) bool {
	w := &waiter{number: number, began: l.now(), answer: make(chan bool, 1)}
	l.mu.Lock()
	l.waiters[w] = true
	if !l.polling {
		l.polling = true
		go l.poll()
	}
	l.mu.Unlock()
	l.wake()
	select {
	case all := <-w.answer:
		return all
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiters, w)
		return false
	}
}

// poll reads the table for all waiters, until there are none.
func (l *SharedLeases) poll() {
	for {
		asking := l.asking()
		if asking == nil {
			return
		}
		began := l.now()
		t, err := l.read() // after the waiters were listed: what it shows was there when their numbers were
		l.settle(asking, t, err)
		l.pause(l.now().Sub(began), err != nil)
	}
}

// asking returns the waiters; nil ends the polling.
func (l *SharedLeases) asking() []*waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters) == 0 {
		l.polling = false
		return nil
	}
	asking := make([]*waiter, 0, len(l.waiters))
	for w := range l.waiters {
		asking = append(asking, w)
	}
	return asking
}

// settle answers those whose question is decided.
func (l *SharedLeases) settle(asking []*waiter, t *table, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, length, longest := l.now(), l.length(), l.longest()
	for _, w := range asking {
		wait, lost := true, true
		if err == nil {
			wait, lost = t.judge(w.number, length, longest)
		}
		if wait && now.Sub(w.began) < 2*heldFor(length) {
			continue
		}
		delete(l.waiters, w)
		w.answer <- !wait && !lost
	}
}

// pause waits before the next reading; a report that somebody waits for makes it short.
func (l *SharedLeases) pause(took time.Duration, failed bool) {
	l.mu.Lock()
	youngest, waiting := time.Duration(0), len(l.waiters)
	first := true
	for w := range l.waiters {
		if age := l.now().Sub(w.began); first || age < youngest {
			youngest, first = age, false
		}
	}
	l.mu.Unlock()
	if waiting == 0 {
		return
	}
	long := readSoon
	switch {
	case failed:
		long = afterError
	case youngest > soonFor:
		long = readLater
	}
	long = min(max(long, 3*took), longestTurn)
	timer := time.NewTimer(long)
	defer timer.Stop()
	if !failed {
		select {
		case <-timer.C:
			return
		case <-l.woken:
		}
		timer.Reset(min(took, longestTurn)) // half of the time at most is spent reading
	}
	<-timer.C
}
