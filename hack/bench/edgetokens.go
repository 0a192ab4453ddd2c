package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/token"
)

// item is one token and what must come of it.
type item struct {
	Token string `json:"token"`
	// Allow tells whether the request goes on, as the user of this name; otherwise Want is the code of the denial.
	Allow bool   `json:"allow"`
	Want  string `json:"want"`
}

// The sets of tokens.
const (
	setHot     = "one hot token"
	setMany    = "distinct tokens"
	setMixed   = "5 % bad signatures, 5 % expired"
	setUnknown = "unknown kids"
	setMemory  = "cached tokens"
)

// edgeSizes are how many tokens the sets have.
type edgeSizes struct{ many, unknown, memory int }

// mint makes count good tokens on all cores.
func mint(key *token.PrivateKey, count int, change func(*token.Claims)) ([]item, error) {
	items, failed := make([]item, count), make(chan error, 2)
	var group sync.WaitGroup
	signer, now := token.NewSigner(key), time.Now()
	// A fresh store begins with a revocation of all that is older than it, and its numbers with the time.
	sessions := uint64(now.Add(time.Hour).Unix()) << 20 //nolint:gosec // not negative
	for k := range 2 {
		group.Go(func() {
			for i := k; i < count; i += 2 {
				user := fmt.Sprintf("people:person-%06d", i)
				c := token.Claims{Issuer: issuer, Subject: user, Audience: []string{audience}, IssuedAt: now, ExpiresAt: now.Add(time.Hour), ID: rand.Text(),
					ClientID: "keyturn-web", SessionID: revocation.SessionID(sessions + uint64(i)), Custom: map[string]string{"user_id": user, "role": "customer"}} //nolint:gosec // small
				if change != nil {
					change(&c)
				}
				raw, err := signer.Sign(c)
				if err != nil {
					failed <- err
					return
				}
				items[i] = item{Token: raw.Reveal(), Allow: true, Want: user}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
		return items, nil
	}
}

// mintSets makes all sets. Tokens are RS256-2048; those that only fill the memory are ES256, whose signature takes a
// twentieth of the time, and of which the edge keeps as much.
func mintSets(w *world, sizes edgeSizes) (map[string][]item, error) {
	many, err := mint(w.key, sizes.many, nil)
	if err != nil {
		return nil, err
	}
	expired, err := mint(w.key, max(1, sizes.many/20), func(c *token.Claims) {
		c.IssuedAt, c.ExpiresAt = c.IssuedAt.Add(-time.Hour), c.ExpiresAt.Add(-90*time.Minute)
	})
	if err != nil {
		return nil, err
	}
	memory, err := mint(w.quickKey, sizes.memory, nil)
	if err != nil {
		return nil, err
	}
	mixed := append([]item(nil), many...)
	for i := range mixed {
		switch i % 20 { // every tenth
		case 7: // its bits are another signature's, and of the right length
			head, signature := many[i].Token[:len(many[i].Token)-300], many[i].Token[len(many[i].Token)-300:]
			mixed[i] = item{Token: head + strings.Map(turn, signature[:200]) + signature[200:], Want: "invalid_token"}
		case 17:
			mixed[i] = item{Token: expired[i/20].Token, Want: "expired"}
		}
	}
	return map[string][]item{setHot: many[:1], setMany: many, setMixed: mixed, setUnknown: unknownKids(many[0].Token, sizes.unknown), setMemory: memory}, nil
}

// turn makes another letter of a letter.
func turn(r rune) rune {
	if r == 'A' {
		return 'B'
	}
	return 'A'
}

// unknownKids are tokens of keys that nobody has, each of another one.
func unknownKids(good string, count int) []item {
	payload := strings.Split(good, ".")[1]
	items, signature, kid := make([]item, count), make([]byte, 256), make([]byte, 32)
	encode := base64.RawURLEncoding.EncodeToString
	for i := range items {
		_, _ = rand.Read(signature)
		_, _ = rand.Read(kid)
		header, _ := json.Marshal(map[string]string{"alg": "RS256", "typ": token.Type, "kid": encode(kid)})
		items[i] = item{Token: encode(header) + "." + payload + "." + encode(signature), Want: "invalid_token"}
	}
	return items
}

func writeSets(path string, sets map[string][]item) error {
	raw, err := json.Marshal(sets)
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}
