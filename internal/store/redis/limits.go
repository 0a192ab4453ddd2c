package redis

import (
	"context"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// Take implements [store.Limiter].
func (s *Store) Take(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (store.Counted, error) {
	if limit <= 0 || window <= 0 {
		return store.Counted{Reset: window}, nil
	}
	reply, err := s.run(ctx, scriptTake, nil, s.key("l", shortHash(key)),
		limit, stamp(now), stamp(now.Add(-window)), (window + time.Second).Milliseconds())
	if err != nil {
		return store.Counted{}, err
	}
	if len(reply) != 3 {
		return store.Counted{}, unavailable(errBadReply)
	}
	allowed, err1 := number(reply[0])
	remaining, err2 := number(reply[1])
	text, _ := reply[2].(string)
	if err1 != nil || err2 != nil {
		return store.Counted{}, unavailable(errBadReply)
	}
	counted := store.Counted{Allowed: allowed == 1, Remaining: int(remaining)} //nolint:gosec // below limit
	if text != "" {
		ages, err := timeOf(text)
		if err != nil {
			return store.Counted{}, unavailable(errBadReply)
		}
		counted.Reset = ages.Add(window).Sub(now)
	}
	return counted, nil
}

// Refund implements [store.Limiter].
func (s *Store) Refund(ctx context.Context, key string) error {
	_, err := s.run(ctx, scriptRefund, nil, s.key("l", shortHash(key)))
	return err
}

// Acquaint implements [store.Acquaintances].
func (s *Store) Acquaint(ctx context.Context, account, place string, now, expires time.Time) error {
	_, err := s.run(ctx, scriptAcquaint, nil, s.key("p", shortHash(account)), shortHash(place), stamp(now), stamp(expires), store.MaxPlaces)
	return err
}

// Acquainted implements [store.Acquaintances].
func (s *Store) Acquainted(ctx context.Context, account, place string, now time.Time) (bool, error) {
	reply, err := s.run(ctx, scriptAcquainted, nil, s.key("p", shortHash(account)), shortHash(place), stamp(now))
	if err != nil {
		return false, err
	}
	return len(reply) == 1 && reply[0] == int64(1), nil
}
