package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// pingEvery is how long a subscription may be silent before it is tried.
const pingEvery = 2 * time.Second

// listen keeps a subscription to the server's notifications. Each time it stands again, watchers are told: something may
// have been written meanwhile.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		s.hear(ctx)
		s.heard.Store(false)
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

// hear listens on one connection until it fails or leads to another server than the primary.
func (s *Store) hear(ctx context.Context) {
	client, err := s.nodes.primary(ctx)
	if err != nil {
		return
	}
	sub := client.Subscribe(ctx, strings.TrimSuffix(s.meta, "meta")+"revocations")
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // Close does not wait for a message
	defer sub.Close()                                          //nolint:errcheck // whatever it was
	silent := false
	for ctx.Err() == nil {
		message, err := sub.ReceiveTimeout(ctx, pingEvery)
		var timeout net.Error
		switch {
		case err == nil:
			silent = false
		case errors.As(err, &timeout) && timeout.Timeout() && !silent:
			silent = true
			if now, lost := s.nodes.primary(ctx); lost != nil || now != client || sub.Ping(ctx) != nil {
				return
			}
			continue
		default:
			return
		}
		switch m := message.(type) {
		case *goredis.Subscription:
			s.heard.Store(true)
			s.watchers.notifyAll()
		case *goredis.Message:
			s.told(m.Payload)
		}
	}
}

// told reads "id number". Databases of one server share channels, so it may be about another store: then a needless look
// harms nobody, but its number means nothing.
func (s *Store) told(payload string) {
	id, text, _ := strings.Cut(payload, " ")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id != s.ID() {
		s.watchers.notifyAll()
		return
	}
	s.watchers.notify(n)
}

// Subscribe implements [store.Log].
func (s *Store) Subscribe() (<-chan struct{}, func()) { return s.watchers.add() }

// watchers are the channels that want to know of new revocations. The zero value is ready.
type watchers struct {
	mu   sync.Mutex
	all  map[int]chan struct{}
	next int
	told uint64 // the newest revocation that they know of: this process's own come twice
}

func (w *watchers) add() (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[int]chan struct{}{}
	}
	id, ch := w.next, make(chan struct{}, 1)
	w.next++
	w.all[id] = ch
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

// notify tells of the revocation with this number, unless that was told already.
func (w *watchers) notify(last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last > w.told {
		w.told = last
		w.tell()
	}
}

func (w *watchers) notifyAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell()
}

func (w *watchers) tell() {
	for _, ch := range w.all {
		select {
		case ch <- struct{}{}:
		default: // one is waiting already
		}
	}
}
