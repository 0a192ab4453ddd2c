package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// Create implements [store.Families].
func (s *Store) Create(ctx context.Context, request store.NewFamily) (store.Created, error) {
	token := request.First()
	hash, limits, owner := token.Hash(), request.Limits, request.Owner
	idle, absolute := request.Expiries()
	said, err := remembered(owner)
	if err != nil {
		return store.Created{}, unavailable(err)
	}
	_, random, _ := strings.Cut(revocation.SessionID(0), ".")
	evicting := func(reply []any) bool { return len(reply) == 2 && reply[0] != int64(0) }
	reply, err := s.run(ctx, scriptCreate, evicting, "",
		familyKey(token.Family()), owner.Subject, owner.Name, owner.Source, owner.Client, shortHash(owner.Subject),
		stamp(request.Now), stamp(idle), stamp(absolute), stamp(request.AccessExpiry),
		string(hash[:]), random, limits.MaxFamilies, stamp(request.Now.Add(limits.Retention.AccessTTL)), span(limits.Retention.Slack), said)
	if err != nil {
		return store.Created{}, err
	}
	if len(reply) == 1 && reply[0] == "exists" {
		return store.Created{}, store.ErrExists
	}
	if len(reply) != 2 {
		return store.Created{}, unavailable(errBadReply)
	}
	evicted, ok := reply[0].(int64)
	f, err := family(reply[1])
	if n, numbered := revocation.SessionNumber(f.SessionID); err == nil && (!ok || !numbered || n != f.Number) {
		err = errBadReply
	}
	if err != nil {
		return store.Created{}, unavailable(err)
	}
	return store.Created{Family: f, Token: token, Evicted: int(evicted)}, nil
}

// Inspect implements [store.Families].
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time, window time.Duration) (store.Inspection, error) {
	reply, err := s.run(ctx, scriptInspect, nil, "", familyKey(token.Family()))
	if err != nil || len(reply) < 2 {
		return store.Inspection{}, err
	}
	before, err := number(reply[0])
	if err != nil {
		return store.Inspection{}, unavailable(err)
	}
	f, err := family(reply[1])
	if err != nil {
		return store.Inspection{}, unavailable(err)
	}
	return store.Inspection{Outcome: f.Judge(token.Hash(), now, window, before), Family: f}, nil
}

// sealedPart is where a sealed successor is cut in two: the server keeps a hash of values up to 64 bytes in one piece.
const sealedPart = 40

// Rotate implements [store.Families].
func (s *Store) Rotate(ctx context.Context, request store.RotateRequest) (store.RotateResult, error) {
	token, limits := request.Token, request.Limits
	successor := token.Next()
	presented, next, sealed := token.Hash(), successor.Hash(), token.Seal(successor)
	reply, err := s.run(ctx, scriptRotate, func(reply []any) bool { return len(reply) > 0 && reply[0] == string(store.Reused) }, "",
		familyKey(token.Family()), string(presented[:]), stamp(request.Now), stamp(request.Now.Add(-limits.RetryWindow)),
		stamp(request.Now.Add(limits.Idle)), stamp(request.AccessExpiry),
		string(next[:]), string(sealed[:sealedPart]), string(sealed[sealedPart:]),
		stamp(request.Now.Add(limits.Retention.AccessTTL)), span(limits.Retention.Slack), stamp(request.Until))
	if err != nil || len(reply) < 2 {
		return store.RotateResult{}, err
	}
	result, err := rotated(reply, token, successor)
	if err != nil {
		return store.RotateResult{}, unavailable(err)
	}
	return result, nil
}

func rotated(reply []any, token, successor store.Token) (store.RotateResult, error) {
	outcome, ok := reply[0].(string)
	if !ok {
		return store.RotateResult{}, errBadReply
	}
	f, err := family(reply[1])
	if err != nil {
		return store.RotateResult{}, err
	}
	result := store.RotateResult{Outcome: store.Outcome(outcome), Family: f}
	switch result.Outcome {
	case store.Rotated:
		result.Successor = successor
	case store.Retried:
		result.Successor, err = token.Unseal(f.Successor)
	case store.Reused, store.Expired, store.Revoked, store.Unknown: // no token
	default:
		err = fmt.Errorf("%w: outcome %.20q", errBadReply, outcome)
	}
	return result, err
}
