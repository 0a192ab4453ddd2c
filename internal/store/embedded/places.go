package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
		for hash, a := range known {
			if !now.Before(a.Expires) {
				delete(known, hash)
			}
		}
		known[shortHash(place)] = acquaintance{Used: now, Expires: expires}
		for len(known) > store.MaxPlaces {
			delete(known, known.leastRecent())
		}
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
	known := places{}
	if raw := tx.Bucket(bucketPlaces).Get([]byte(shortHash(account))); raw != nil {
		if err := json.Unmarshal(raw, &known); err != nil {
			return nil, fmt.Errorf("the stored places of an account are damaged: %w", err)
		}
	}
	return known, nil
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
