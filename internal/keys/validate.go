package keys

import (
	"fmt"
	"slices"
	"time"
)

var algorithms = []Algorithm{RS256, PS256, ES256, EdDSA}

// Validate tells what is wrong with a ring, nil if nothing is. Every ring that this package makes from a valid one is valid.
func (r *Ring) Validate() error {
	if r.Epoch < 0 || r.Revision < 0 || r.NextSequence < 0 {
		return fmt.Errorf("a counter is negative: epoch %d, revision %d, nextSequence %d", r.Epoch, r.Revision, r.NextSequence)
	}
	if r.Epoch == 0 && len(r.Keys)+len(r.Tombstones)+len(r.Taken) > 0 {
		return fmt.Errorf("epoch 0 holds keys, tombstones or memories")
	}
	n := len(r.Keys) + len(r.Tombstones)
	kids, sequences := make(map[string]bool, n), make(map[int64]bool, n)
	seen := func(kid string, sequence int64) error {
		switch {
		case kid == "":
			return fmt.Errorf("a kid is empty")
		case kids[kid]:
			return fmt.Errorf("kid %s occurs twice", short(kid))
		case sequences[sequence] && sequence != 0:
			return fmt.Errorf("sequence %d occurs twice", sequence)
		case sequence < 0 || sequence >= max(r.NextSequence, 1):
			return fmt.Errorf("kid %s has sequence %d, not below nextSequence %d", short(kid), sequence, r.NextSequence)
		}
		kids[kid], sequences[sequence] = true, true
		return nil
	}
	for i, t := range r.Tombstones {
		if err := seen(t.KID, t.Sequence); err != nil {
			return fmt.Errorf("tombstone %d: %w", i, err)
		}
		if t.State != Removed && t.State != Revoked {
			return fmt.Errorf("tombstone %d: state %q", i, t.State)
		}
	}
	for i := range r.Keys {
		if err := seen(r.Keys[i].KID, r.Keys[i].Sequence); err != nil {
			return fmt.Errorf("key %d: %w", i, err)
		}
		if err := r.Keys[i].validate(); err != nil {
			return fmt.Errorf("kid %s: %w", short(r.Keys[i].KID), err)
		}
	}
	if err := r.validateTaken(); err != nil {
		return err
	}
	return r.validateOrder()
}

func (r *Ring) validateTaken() error {
	if len(r.Taken) > MaxTaken {
		return fmt.Errorf("%d brought keys are remembered, more than %d", len(r.Taken), MaxTaken)
	}
	known := make(map[string]bool, len(r.Taken))
	for _, kid := range r.Taken {
		if kid == "" || known[kid] {
			return fmt.Errorf("the kid of a brought key is empty or occurs twice")
		}
		known[kid] = true
	}
	return nil
}

func (r *Ring) validateOrder() error {
	active := 0
	for i := range r.Keys {
		if r.Keys[i].State == Active {
			active++
		}
	}
	if active > 1 {
		return fmt.Errorf("%d keys are Active", active)
	}
	if !slices.IsSortedFunc(r.Keys, func(a, b Key) int { return int(min(max(a.Sequence-b.Sequence, -1), 1)) }) {
		return fmt.Errorf("keys are not in the order of their sequences")
	}
	return nil
}

func (k *Key) validate() error {
	switch {
	case !slices.Contains(algorithms, k.Algorithm):
		return fmt.Errorf("unknown algorithm %q", k.Algorithm)
	case k.Algorithm.RSA() != (k.Bits > 0):
		return fmt.Errorf("%s with %d bits", k.Algorithm, k.Bits)
	case len(k.PublicJWK) == 0:
		return fmt.Errorf("no public JWK")
	case k.MaxTTL < 0:
		return fmt.Errorf("maxTTL %s is negative", k.MaxTTL)
	case k.State != Retiring && !k.VerifyUntil.IsZero():
		return fmt.Errorf("%s with a verifyUntil", k.State)
	}
	return k.validateTimes()
}

// validateTimes checks that a key has the times of the states it went through, in that order. A Retiring key that was rebuilt
// may lack the earlier ones.
func (k *Key) validateTimes() error {
	var must, mustNot []time.Time
	switch k.State {
	case Pending:
		mustNot = []time.Time{k.Published, k.Activated, k.Retiring}
	case Published:
		must, mustNot = []time.Time{k.Published}, []time.Time{k.Activated, k.Retiring}
	case Active:
		must, mustNot = []time.Time{k.Published, k.Activated}, []time.Time{k.Retiring}
	case Retiring:
		must = []time.Time{k.Retiring}
	default:
		return fmt.Errorf("state %q", k.State)
	}
	if slices.ContainsFunc(must, time.Time.IsZero) || slices.ContainsFunc(mustNot, func(t time.Time) bool { return !t.IsZero() }) {
		return fmt.Errorf("%s with times of another state", k.State)
	}
	last := time.Time{}
	for _, t := range []time.Time{k.Created, k.Published, k.Activated, k.Retiring} {
		if t.IsZero() {
			continue
		}
		if t.Before(last) {
			return fmt.Errorf("its times are out of order")
		}
		last = t
	}
	return nil
}
