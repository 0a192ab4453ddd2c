package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// Create implements [store.Families].
func (s *Store) Create(ctx context.Context, request store.NewFamily) (store.Created, error) {
	token := request.First()
	key := token.Family()
	var created store.Created
	var exists bool
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		created = store.Created{}
		var err error
		if exists, err = makeWay(tx, key, request.Now); err != nil || exists {
			return err
		}
		evicted, err := evict(tx, request)
		if err != nil {
			return err
		}
		number, err := tx.Bucket(bucketRevocations).NextSequence()
		if err != nil {
			return err
		}
		family := store.Family{
			Owner: request.Owner, SessionID: revocation.SessionID(number), Number: number,
			Created: request.Now, LastUsed: request.Now,
			AccessExpiry: request.AccessExpiry, Current: token.Hash(),
		}
		family.IdleExpiry, family.AbsoluteExpiry = request.Expiries()
		if err := putFamily(tx, key, family); err != nil {
			return err
		}
		if err := tx.Bucket(bucketSessions).Put([]byte(family.SessionID), key[:]); err != nil {
			return err
		}
		created = store.Created{Family: family, Token: token, Evicted: evicted}
		return tx.Bucket(bucketUsers).Put(userKey(family.Subject, key[:]), nil)
	})
	switch {
	case err != nil:
		return store.Created{}, err
	case exists:
		return store.Created{}, store.ErrExists
	}
	if created.Evicted > 0 {
		s.watchers.Notify()
	}
	return created, nil
}

// makeWay removes a family that is over and has this key; it tells whether one that lives has it. The removed one's
// session leads nowhere from then on: ending it again must not end the family that took its place.
func makeWay(tx *bbolt.Tx, key store.FamilyKey, now time.Time) (exists bool, err error) {
	old, found, err := getFamily(tx, key)
	if err != nil || !found {
		return false, err
	}
	if !old.Over(now, allBefore(tx)) {
		return true, nil
	}
	if err := tx.Bucket(bucketSessions).Delete([]byte(old.SessionID)); err != nil {
		return false, err
	}
	return false, tx.Bucket(bucketUsers).Delete(userKey(old.Subject, key[:]))
}

// evict revokes the user's least recently used families until one more fits, and returns how many.
func evict(tx *bbolt.Tx, request store.NewFamily) (int, error) {
	if request.Limits.MaxFamilies <= 0 {
		return 0, nil
	}
	live, err := familiesOf(tx, request.Owner.Subject)
	if err != nil {
		return 0, err
	}
	live = slices.DeleteFunc(live, func(f keyed) bool {
		return f.RevokedSeq != 0 || !request.Now.Before(f.Expiry()) || !f.TakesPlace()
	})
	excess := len(live) - request.Limits.MaxFamilies + 1
	if excess <= 0 {
		return 0, nil
	}
	slices.SortFunc(live, func(a, b keyed) int { return a.LastUsed.Compare(b.LastUsed) })
	for _, f := range live[:excess] {
		if _, err := revokeFamily(tx, f.key, f.Family, request.Now, request.Limits.Retention, time.Time{}); err != nil {
			return 0, err
		}
	}
	return excess, nil
}

// Inspect implements [store.Families].
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time, window time.Duration) (store.Inspection, error) {
	var result store.Inspection
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		family, found, err := getFamily(tx, token.Family())
		if err != nil || !found {
			return err
		}
		result = store.Inspection{Outcome: family.Judge(token.Hash(), now, window, allBefore(tx)), Family: family}
		return nil
	})
	return result, err
}

// Rotate implements [store.Families].
func (s *Store) Rotate(ctx context.Context, request store.RotateRequest) (store.RotateResult, error) {
	key, presented := request.Token.Family(), request.Token.Hash()
	successor := request.Token.Next()
	sealed := request.Token.Seal(successor)
	var result store.RotateResult
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		result = store.RotateResult{}
		family, found, err := getFamily(tx, key)
		if err != nil || !found {
			return err
		}
		result.Outcome = family.Judge(presented, request.Now, request.Limits.RetryWindow, allBefore(tx))
		switch result.Outcome {
		case store.Rotated:
			family.Previous, family.Current, family.Successor = family.Current, successor.Hash(), sealed
			family.Generation++
			family.LastUsed, family.IdleExpiry = request.Now, request.Now.Add(request.Limits.Idle)
			family.AbsoluteExpiry = request.AbsoluteExpiry(family)
			result.Successor = successor
			err = putAccessExpiry(tx, key, &family, request.AccessExpiry, true)
		case store.Retried:
			end := request.AbsoluteExpiry(family)
			longer := end.After(family.AbsoluteExpiry)
			family.AbsoluteExpiry = end
			if result.Successor, err = request.Token.Unseal(family.Successor); err == nil {
				err = putAccessExpiry(tx, key, &family, request.AccessExpiry, longer)
			}
		case store.Reused:
			family, err = revokeFamily(tx, key, family, request.Now, request.Limits.Retention, time.Time{})
		default: // nothing to write: unknown, expired or revoked
		}
		result.Family = family
		return err
	})
	if err != nil {
		return store.RotateResult{}, err
	}
	if result.Outcome == store.Reused {
		s.watchers.Notify()
	}
	return result, nil
}

// putAccessExpiry remembers the latest expiry and writes the family if that, or anything else of it, changed.
func putAccessExpiry(tx *bbolt.Tx, key store.FamilyKey, family *store.Family, expiry time.Time, changed bool) error {
	if expiry.After(family.AccessExpiry) {
		family.AccessExpiry, changed = expiry, true
	}
	if !changed {
		return nil
	}
	return putFamily(tx, key, *family)
}

type keyed struct {
	store.Family
	key store.FamilyKey
}

// familiesOf returns the stored families of a user that no entry of their own ended, expired ones included.
func familiesOf(tx *bbolt.Tx, subject string) ([]keyed, error) {
	var all []keyed
	prefix := userKey(subject, nil)
	cursor := tx.Bucket(bucketUsers).Cursor()
	for k, _ := cursor.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = cursor.Next() {
		key := store.FamilyKey(k[len(prefix):])
		family, found, err := getFamily(tx, key)
		if err != nil {
			return nil, err
		}
		if found && family.Subject == subject {
			all = append(all, keyed{family, key})
		}
	}
	return all, nil
}

// userKey begins with half a hash, because a subject may hold any byte and be long.
func userKey(subject string, family []byte) []byte {
	sum := sha256.Sum256([]byte(subject))
	return append(sum[:16:16], family...)
}

func getFamily(tx *bbolt.Tx, key store.FamilyKey) (store.Family, bool, error) {
	raw := tx.Bucket(bucketFamilies).Get(key[:])
	if raw == nil {
		return store.Family{}, false, nil
	}
	var family store.Family
	if err := json.Unmarshal(raw, &family); err != nil {
		return store.Family{}, false, fmt.Errorf("a stored family is damaged: %w", err)
	}
	return family, true, nil
}

func putFamily(tx *bbolt.Tx, key store.FamilyKey, family store.Family) error {
	raw, err := json.Marshal(family)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketFamilies).Put(key[:], raw)
}

func allBefore(tx *bbolt.Tx) uint64 { return number(tx.Bucket(bucketMeta).Get(keyAllBefore)) }
