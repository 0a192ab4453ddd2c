package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// acquaintance is one place of an account.
type acquaintance struct {
	Used    time.Time `json:"used"`
	Expires time.Time `json:"expires"`
}

// places are the places of one account, by hash.
type places map[string]acquaintance

// Acquaint implements [store.Acquaintances].
func (s *Store) Acquaint(ctx context.Context, account, place string, now, expires time.Time) error {
	return s.update(ctx, func(tx *bbolt.Tx) error {
		known, err := getPlaces(tx, account)
		if err != nil {
			return err
		}
		known.forget(now)
		at := shortHash(place)
		delete(known, at)
		for len(known) >= store.MaxPlaces { // before the new one is in: a clock set back must not make it the oldest
			delete(known, known.leastRecent())
		}
		known[at] = acquaintance{Used: now, Expires: expires}
		raw, err := json.Marshal(known)
		if err != nil {
			return err
		}
		return tx.Bucket(bucketPlaces).Put([]byte(shortHash(account)), raw)
	})
}

// Acquainted implements [store.Acquaintances].
func (s *Store) Acquainted(ctx context.Context, account, place string, now time.Time) (bool, error) {
	found := false
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		known, err := getPlaces(tx, account)
		a, noted := known[shortHash(place)]
		found = noted && now.Before(a.Expires)
		return err
	})
	return found, err
}

func getPlaces(tx *bbolt.Tx, account string) (places, error) {
	if raw := tx.Bucket(bucketPlaces).Get([]byte(shortHash(account))); raw != nil {
		return decodePlaces(raw)
	}
	return places{}, nil
}

func decodePlaces(raw []byte) (places, error) {
	known := places{}
	if err := json.Unmarshal(raw, &known); err != nil {
		return nil, fmt.Errorf("the stored places of an account are damaged: %w", err)
	}
	if known == nil { // JSON null
		known = places{}
	}
	return known, nil
}

// forgetPlaces tells whether every place of an account has expired.
func forgetPlaces(raw []byte, now time.Time) (bool, error) {
	known, err := decodePlaces(raw)
	known.forget(now)
	return err == nil && len(known) == 0, err
}

// forget removes what has expired.
func (p places) forget(now time.Time) {
	maps.DeleteFunc(p, func(_ string, a acquaintance) bool { return !now.Before(a.Expires) })
}

func (p places) leastRecent() string {
	oldest := ""
	for hash, a := range p {
		if oldest == "" || a.Used.Before(p[oldest].Used) {
			oldest = hash
		}
	}
	return oldest
}

// shortHash is half a SHA-256: names and addresses are not kept in the clear, and may be long.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
