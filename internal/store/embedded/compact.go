package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// compactStep is how many records one transaction looks at, so that logins never wait long behind a compaction.
const compactStep = 500

// Compact implements [store.Keeper]. It walks the whole store in small transactions.
func (s *Store) Compact(ctx context.Context, now time.Time) (int, error) {
	removed := 0
	for _, part := range []struct {
		bucket []byte
		remove func(tx *bbolt.Tx, k, v []byte) (bool, error)
	}{
		{bucketFamilies, func(tx *bbolt.Tx, k, v []byte) (bool, error) { return forgetFamily(tx, k, v, now) }},
		{bucketRevocations, func(tx *bbolt.Tx, k, v []byte) (bool, error) {
			var entry revocation.Entry
			if err := json.Unmarshal(v, &entry); err != nil {
				return false, err
			}
			return entry.Expires.Before(now), nil
		}},
		{bucketRevoked, func(_ *bbolt.Tx, _, v []byte) (bool, error) { return timeOf(v).Before(now), nil }},
		{bucketIDs, func(_ *bbolt.Tx, _, v []byte) (bool, error) { return timeOf(v).Before(now), nil }},
		{bucketPlaces, func(_ *bbolt.Tx, _, v []byte) (bool, error) { return forgetPlaces(v, now) }},
	} {
		n, err := s.compactBucket(ctx, part.bucket, part.remove)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Store) compactBucket(ctx context.Context, name []byte, remove func(tx *bbolt.Tx, k, v []byte) (bool, error)) (int, error) {
	removed := 0
	var from []byte
	for {
		var next []byte
		var dead [][]byte
		// Look in a read transaction: a compaction that finds nothing must not flush the disk.
		err := s.view(ctx, func(tx *bbolt.Tx) error {
			cursor := tx.Bucket(name).Cursor()
			seen := 0
			for k, v := cursor.Seek(from); k != nil; k, v = cursor.Next() {
				if seen == compactStep {
					next = append([]byte(nil), k...)
					return nil
				}
				seen++
				gone, err := remove(nil, k, v)
				if err != nil {
					return err
				}
				if gone {
					dead = append(dead, append([]byte(nil), k...))
				}
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		n, err := s.removeDead(ctx, name, dead, remove)
		removed += n
		if err != nil || next == nil {
			return removed, err
		}
		from = next
	}
}

// removeDead looks again under the write transaction: a family may have been used meanwhile.
func (s *Store) removeDead(ctx context.Context, name []byte, dead [][]byte, remove func(tx *bbolt.Tx, k, v []byte) (bool, error)) (int, error) {
	if len(dead) == 0 {
		return 0, nil
	}
	removed := 0
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		removed = 0
		bucket := tx.Bucket(name)
		for _, k := range dead {
			v := bucket.Get(k)
			if v == nil {
				continue
			}
			gone, err := remove(tx, k, v)
			if err != nil {
				return err
			}
			if !gone {
				continue
			}
			if err := bucket.Delete(k); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	if err != nil {
		return 0, err // not removed: where ctx ended, the writer may be at it still
	}
	return removed, nil
}

// forgetFamily tells whether a family is over and, with a transaction, removes it from the indexes.
func forgetFamily(tx *bbolt.Tx, k, v []byte, now time.Time) (bool, error) {
	if len(k) != len(store.FamilyKey{}) {
		return false, errors.New("a family has a damaged key")
	}
	var family store.Family
	if err := json.Unmarshal(v, &family); err != nil {
		return false, err
	}
	over := family.Expiry().Before(now)
	if family.RevokedSeq != 0 {
		over = family.ForgetAfter.Before(now)
	} else if family.AccessExpiry.After(now) {
		over = false // a logout must still find how long to distrust
	}
	if !over || tx == nil {
		return over, nil
	}
	if err := tx.Bucket(bucketSessions).Delete([]byte(family.SessionID)); err != nil {
		return false, err
	}
	return true, tx.Bucket(bucketUsers).Delete(userKey(family.Subject, k))
}

// numberAndTime is a number and when it may be forgotten.
func numberAndTime(n uint64, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(numberKey(n), uint64(t.UnixMilli()))
}

func timeOf(raw []byte) time.Time {
	if len(raw) < 16 {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(raw[8:])))
}
