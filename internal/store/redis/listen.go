package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
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
			s.watchers.Notify()
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
		s.watchers.Notify()
		return
	}
	s.watchers.Heard(n)
}

// Subscribe implements [store.Log].
func (s *Store) Subscribe() (<-chan struct{}, func()) { return s.watchers.Subscribe() }
