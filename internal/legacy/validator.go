package legacy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

// reader asks about one cookie, which is plausible. The session's User is the application's id. It fails with ErrInvalid,
// or with anything else if nobody can tell.
type reader interface {
	closer
	read(ctx context.Context, cookie secret.Text) (Session, error)
}

// validator is a reader with a cache, that asks once for all who ask at the same time.
type validator struct {
	reader
	prefix string
	cache  *cache
	now    func() time.Time
	// slots bound the questions at a time: more wait, because a start with many sessions is no attack.
	slots    chan struct{}
	patience time.Duration
	// flights are replaced when a user's sessions are revoked: who asks then must not get an answer from before.
	flights atomic.Pointer[singleflight.Group]
}

func openValidator(o *opening, config snapshot.Legacy) (*validator, error) {
	if (config.Validator.HTTP == nil) == (config.Validator.Redis == nil) {
		return nil, errUnion
	}
	key := struct {
		Prefix string
		snapshot.LegacyValidator
	}{config.SubjectPrefix, config.Validator}
	return keep(o, validatorDir, key, func() (*validator, error) {
		v := &validator{prefix: config.SubjectPrefix, cache: newCache(o.now), now: o.now, slots: make(chan struct{}, webhook.MaxInFlight)}
		v.flights.Store(&singleflight.Group{})
		var err error
		if config.Validator.HTTP != nil {
			v.reader, v.patience, err = openIntrospection(o, *config.Validator.HTTP)
		} else {
			v.reader, v.patience, err = openRedisReader(o, *config.Validator.Redis)
		}
		return v, err
	})
}

func (v *validator) validate(ctx context.Context, cookie secret.Text) (Session, error) {
	if !plausible(cookie.Reveal()) {
		return Session{}, fmt.Errorf("%w: the cookie is none", ErrInvalid)
	}
	hash := Hash(cookie)
	if s, err, known := v.cache.get(hash); known {
		return s, err
	}
	flight := v.flights.Load().DoChan(hash, func() (any, error) {
		// Not the first asker's context: others wait for the same answer.
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*v.patience)
		defer cancel()
		return v.ask(detached, hash, cookie)
	})
	select {
	case result := <-flight:
		s, _ := result.Val.(Session)
		return s.clone(), result.Err
	case <-ctx.Done():
		return Session{}, unavailable("nobody waited for the answer: %w", ctx.Err())
	}
}

// ask asks, and remembers the answer.
func (v *validator) ask(ctx context.Context, hash string, cookie secret.Text) (Session, error) {
	if s, err, known := v.cache.get(hash); known { // somebody else's question has just ended
		return s, err
	}
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return Session{}, unavailable("too many sessions are asked about at this moment")
	}
	generation := v.cache.asking()
	s, err := v.read(ctx, cookie)
	if err == nil && !s.Expires.IsZero() && !v.now().Before(s.Expires) {
		err = fmt.Errorf("%w: it has expired", ErrInvalid)
	}
	switch {
	case err == nil:
		s.User = v.prefix + s.User
		v.cache.put(generation, hash, s)
		return s, nil
	case errors.Is(err, ErrInvalid):
		v.cache.refuse(generation, hash)
	}
	return Session{}, apart(err)
}

// forget makes the next question about a cookie be asked.
func (v *validator) forget(cookie secret.Text) {
	hash := Hash(cookie)
	v.cache.forget(hash)
	v.flights.Load().Forget(hash)
}

func (v *validator) forgetUser(subject string) {
	v.cache.forgetUser(subject)
	v.flights.Store(&singleflight.Group{})
}
