package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// RevokeSession implements [store.Revoker].
func (s *Store) RevokeSession(ctx context.Context, request store.Revoke) (uint64, error) {
	var seq uint64
	// A session that has ended costs no commit, however often it is ended.
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		seq, err = endedAs(tx, request.SessionID)
		return err
	})
	if err != nil || seq != 0 {
		return seq, err
	}
	err = s.update(ctx, func(tx *bbolt.Tx) (err error) {
		if seq, err = endedAs(tx, request.SessionID); err != nil || seq != 0 {
			return err
		}
		family, key, found, err := familyOfSession(tx, request.SessionID)
		if err != nil {
			return err
		}
		if found {
			family, err = revokeFamily(tx, key, family, request.Now, request.Retention, request.LatestExpiry)
			seq = family.RevokedSeq
			return err
		}
		seq, err = appendSession(tx, request.SessionID, request.Retention.From(request.Now, request.LatestExpiry))
		return err
	})
	if err != nil {
		return 0, err
	}
	s.watchers.Notify()
	return seq, nil
}

// endedAs returns the number of the entry that ended a session, 0 if none did.
func endedAs(tx *bbolt.Tx, sessionID string) (uint64, error) {
	if known := tx.Bucket(bucketRevoked).Get([]byte(sessionID)); known != nil {
		return number(known), nil
	}
	family, _, _, err := familyOfSession(tx, sessionID)
	return family.RevokedSeq, err
}

func familyOfSession(tx *bbolt.Tx, sessionID string) (store.Family, store.FamilyKey, bool, error) {
	raw := tx.Bucket(bucketSessions).Get([]byte(sessionID))
	if len(raw) != len(store.FamilyKey{}) {
		return store.Family{}, store.FamilyKey{}, false, nil
	}
	key := store.FamilyKey(raw)
	family, found, err := getFamily(tx, key)
	return family, key, found, err
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
	known := func(tx *bbolt.Tx) bool {
		seq = 0
		if id != "" {
			seq = number(tx.Bucket(bucketIDs).Get([]byte(id)))
		}
		return seq != 0
	}
	if err := s.view(ctx, func(tx *bbolt.Tx) error { known(tx); return nil }); err != nil || seq != 0 {
		return seq, err
	}
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		if known(tx) {
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
	s.watchers.Notify()
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
				if err := endFamily(tx, f.key, &f.Family, seq, entry.Expires); err != nil {
					return err
				}
			}
		}
	case revocation.Session:
		if err := tx.Bucket(bucketRevoked).Put([]byte(entry.Value), numberAndTime(seq, entry.Expires)); err != nil {
			return err
		}
		family, key, found, err := familyOfSession(tx, entry.Value)
		if err != nil || !found || family.RevokedSeq != 0 {
			return err
		}
		return endFamily(tx, key, &family, seq, entry.Expires)
	default: // keys and single tokens end no family
	}
	return nil
}

// revokeFamily ends a family and appends the entry for its session; a family that has ended keeps its number. latest is
// an expiry known from elsewhere, zero for none.
func revokeFamily(tx *bbolt.Tx, key store.FamilyKey, family store.Family, now time.Time, keep store.Retention, latest time.Time) (store.Family, error) {
	if family.RevokedSeq != 0 {
		return family, nil
	}
	if family.AccessExpiry.After(latest) {
		latest = family.AccessExpiry
	}
	expires := keep.From(now, latest)
	seq, err := appendSession(tx, family.SessionID, expires)
	if err != nil {
		return family, err
	}
	err = endFamily(tx, key, &family, seq, expires)
	return family, err
}

// endFamily takes the family from the user's, so that a login does not read through all that ended before.
func endFamily(tx *bbolt.Tx, key store.FamilyKey, family *store.Family, seq uint64, forget time.Time) error {
	family.RevokedSeq, family.ForgetAfter, family.Successor = seq, forget, nil
	if err := tx.Bucket(bucketUsers).Delete(userKey(family.Subject, key[:])); err != nil {
		return err
	}
	return putFamily(tx, key, *family)
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
func (s *Store) Subscribe() (<-chan struct{}, func()) { return s.watchers.Subscribe() }
