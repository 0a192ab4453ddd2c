package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// RevokeSession implements [store.Revoker].
func (s *Store) RevokeSession(ctx context.Context, request store.Revoke) (uint64, error) {
	var seq uint64
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		if known := tx.Bucket(bucketRevoked).Get([]byte(request.SessionID)); known != nil {
			seq = number(known)
			return nil
		}
		key := tx.Bucket(bucketSessions).Get([]byte(request.SessionID))
		if len(key) == len(store.FamilyKey{}) {
			family, found, err := getFamily(tx, store.FamilyKey(key))
			if err != nil {
				return err
			}
			if found {
				family, err = revokeFamily(tx, store.FamilyKey(key), family, request.Now, request.Retention)
				seq = family.RevokedSeq
				return err
			}
		}
		var err error
		seq, err = appendSession(tx, request.SessionID, request.Retention.From(request.Now, time.Time{}))
		return err
	})
	if err != nil {
		return 0, err
	}
	s.watchers.notify()
	return seq, nil
}

// Append implements [store.Revoker].
func (s *Store) Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error) {
	probe := entry
	if probe.Before == 0 && (entry.Kind == revocation.User || entry.Kind == revocation.All) {
		probe.Before = 1
	}
	if err := probe.CheckContent(); err != nil {
		return 0, err
	}
	var seq uint64
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		if known := tx.Bucket(bucketIDs).Get([]byte(id)); id != "" && known != nil {
			seq = number(known)
			return nil
		}
		var err error
		if seq, err = appendEntry(tx, entry); err != nil {
			return err
		}
		if err := endFamilies(tx, entry, seq); err != nil || id == "" {
			return err
		}
		return tx.Bucket(bucketIDs).Put([]byte(id), numberAndTime(seq, entry.Expires))
	})
	if err != nil {
		return 0, err
	}
	s.watchers.notify()
	return seq, nil
}

// endFamilies makes the families that a new entry hits unusable.
func endFamilies(tx *bbolt.Tx, entry revocation.Entry, seq uint64) error {
	before := entry.Before
	if before == 0 {
		before = seq
	}
	switch entry.Kind {
	case revocation.All:
		return tx.Bucket(bucketMeta).Put(keyAllBefore, numberKey(max(before, allBefore(tx))))
	case revocation.User:
		families, err := familiesOf(tx, entry.Value)
		if err != nil {
			return err
		}
		for _, f := range families {
			if f.RevokedSeq == 0 && f.Number < before {
				if err := endFamily(tx, f.key, f.Family, seq, entry.Expires); err != nil {
					return err
				}
			}
		}
	case revocation.Session:
		if err := tx.Bucket(bucketRevoked).Put([]byte(entry.Value), numberAndTime(seq, entry.Expires)); err != nil {
			return err
		}
		key := tx.Bucket(bucketSessions).Get([]byte(entry.Value))
		if len(key) != len(store.FamilyKey{}) {
			return nil
		}
		family, found, err := getFamily(tx, store.FamilyKey(key))
		if err != nil || !found || family.RevokedSeq != 0 {
			return err
		}
		return endFamily(tx, store.FamilyKey(key), family, seq, entry.Expires)
	default: // keys and single tokens end no family
	}
	return nil
}

// revokeFamily ends a family and appends the entry for its session; a family that has ended keeps its number.
func revokeFamily(tx *bbolt.Tx, key store.FamilyKey, family store.Family, now time.Time, keep store.Retention) (store.Family, error) {
	if family.RevokedSeq != 0 {
		return family, nil
	}
	expires := keep.From(now, family.AccessExpiry)
	seq, err := appendSession(tx, family.SessionID, expires)
	if err != nil {
		return family, err
	}
	family.RevokedSeq, family.ForgetAfter, family.Successor = seq, expires, nil
	return family, putFamily(tx, key, family)
}

func endFamily(tx *bbolt.Tx, key store.FamilyKey, family store.Family, seq uint64, forget time.Time) error {
	family.RevokedSeq, family.ForgetAfter, family.Successor = seq, forget, nil
	return putFamily(tx, key, family)
}

// appendSession appends the entry of a session and remembers its number, so that doing it again changes nothing.
func appendSession(tx *bbolt.Tx, sessionID string, expires time.Time) (uint64, error) {
	seq, err := appendEntry(tx, revocation.Entry{Kind: revocation.Session, Value: sessionID, Expires: expires})
	if err != nil {
		return 0, err
	}
	return seq, tx.Bucket(bucketRevoked).Put([]byte(sessionID), numberAndTime(seq, expires))
}

func appendEntry(tx *bbolt.Tx, entry revocation.Entry) (uint64, error) {
	bucket := tx.Bucket(bucketRevocations)
	seq, err := bucket.NextSequence()
	if err != nil {
		return 0, err
	}
	entry.Seq = seq
	if entry.Before == 0 && (entry.Kind == revocation.User || entry.Kind == revocation.All) {
		entry.Before = seq
	}
	raw, err := json.Marshal(entry)
	if err != nil {
		return 0, err
	}
	if err := bucket.Put(numberKey(seq), raw); err != nil {
		return 0, err
	}
	return seq, tx.Bucket(bucketMeta).Put(keyLastRevocation, numberKey(seq))
}

// Revocations implements [store.Log].
func (s *Store) Revocations(ctx context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	var entries []revocation.Entry
	more := false
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketRevocations).Cursor()
		for k, raw := cursor.Seek(numberKey(after + 1)); k != nil; k, raw = cursor.Next() {
			if len(entries) == limit {
				more = true
				return nil
			}
			var entry revocation.Entry
			if err := json.Unmarshal(raw, &entry); err != nil {
				return fmt.Errorf("revocation %d is damaged: %w", number(k), err)
			}
			entries = append(entries, entry)
		}
		return nil
	})
	return entries, more, err
}

// Last implements [store.Log].
func (s *Store) Last(ctx context.Context) (uint64, error) {
	var last uint64
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		last = number(tx.Bucket(bucketMeta).Get(keyLastRevocation))
		return nil
	})
	return last, err
}

// Subscribe implements [store.Log].
func (s *Store) Subscribe() (<-chan struct{}, func()) { return s.watchers.add() }

// watchers are the channels that want to know of new revocations. The zero value is ready.
type watchers struct {
	mu   sync.Mutex
	all  map[int]chan struct{}
	next int
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

func (w *watchers) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.all {
		select {
		case ch <- struct{}{}:
		default: // one is waiting already
		}
	}
}
