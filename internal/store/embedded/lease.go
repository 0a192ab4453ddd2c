package embedded

import (
	"context"
	"time"

	"go.etcd.io/bbolt"
)

// LongestLease returns how long the longest lease of an edge lasts that a process before may have granted; 0 if none
// did. See package feed.
func (s *Store) LongestLease(ctx context.Context) (time.Duration, error) {
	var length time.Duration
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		length = time.Duration(number(tx.Bucket(bucketMeta).Get(keyLongestLease))) //nolint:gosec // written below
		return nil
	})
	return length, err
}

// KeepLongestLease stores what [Store.LongestLease] returns.
func (s *Store) KeepLongestLease(ctx context.Context, length time.Duration) error {
	return s.update(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyLongestLease, numberKey(uint64(length))) //nolint:gosec // not negative
	})
}
