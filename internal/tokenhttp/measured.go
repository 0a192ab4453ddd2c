package tokenhttp

import (
	"context"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// defaultStoreTimeout bounds one operation of the store: a disk or a server that hangs must not collect requests.
// Stores on the network have shorter bounds of their own.
const defaultStoreTimeout = 3 * time.Second

// measured bounds, times and counts the operations of a store.
type measured struct {
	timeout time.Duration
	metrics *metrics
}

// measure does one operation. A caller that went away says nothing about the store.
func measure[T any](ctx context.Context, m measured, operation string, do func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	begun := m.metrics.now()
	value, err := do(bounded)
	m.metrics.store.WithLabelValues(operation).Observe(m.metrics.now().Sub(begun).Seconds())
	if err == nil {
		m.metrics.reachable.Store(true)
		m.metrics.reached.Store(true)
	} else if ctx.Err() == nil {
		m.metrics.reachable.Store(false)
		m.metrics.storeErrors.WithLabelValues(operation).Inc()
	}
	return value, err
}

type measuredFamilies struct {
	measured
	families Families
}

func (f measuredFamilies) Create(ctx context.Context, request store.NewFamily) (store.Created, error) {
	return measure(ctx, f.measured, "create", func(ctx context.Context) (store.Created, error) { return f.families.Create(ctx, request) })
}

func (f measuredFamilies) Inspect(ctx context.Context, token store.Token, now time.Time, window time.Duration) (store.Inspection, error) {
	return measure(ctx, f.measured, "inspect", func(ctx context.Context) (store.Inspection, error) {
		return f.families.Inspect(ctx, token, now, window)
	})
}

func (f measuredFamilies) Rotate(ctx context.Context, request store.RotateRequest) (store.RotateResult, error) {
	return measure(ctx, f.measured, "rotate", func(ctx context.Context) (store.RotateResult, error) { return f.families.Rotate(ctx, request) })
}

type measuredSessions struct {
	measured
	sessions Sessions
}

func (s measuredSessions) RevokeSession(ctx context.Context, request store.Revoke) (uint64, error) {
	return measure(ctx, s.measured, "revoke", func(ctx context.Context) (uint64, error) { return s.sessions.RevokeSession(ctx, request) })
}

func (s measuredSessions) Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error) {
	return measure(ctx, s.measured, "append", func(ctx context.Context) (uint64, error) { return s.sessions.Append(ctx, id, entry) })
}

func (s measuredSessions) Last(ctx context.Context) (uint64, error) {
	return measure(ctx, s.measured, "last", s.sessions.Last)
}

type measuredLimiter struct {
	measured
	limiter store.Limiter
}

func (l measuredLimiter) Take(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (store.Counted, error) {
	return measure(ctx, l.measured, "take", func(ctx context.Context) (store.Counted, error) {
		return l.limiter.Take(ctx, key, limit, window, now)
	})
}

func (l measuredLimiter) Refund(ctx context.Context, key string) error {
	_, err := measure(ctx, l.measured, "refund", func(ctx context.Context) (struct{}, error) { return struct{}{}, l.limiter.Refund(ctx, key) })
	return err
}

type measuredAcquaintances struct {
	measured
	acquaintances store.Acquaintances
}

func (a measuredAcquaintances) Acquaint(ctx context.Context, account, place string, now, expires time.Time) error {
	_, err := measure(ctx, a.measured, "acquaint", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.acquaintances.Acquaint(ctx, account, place, now, expires)
	})
	return err
}

func (a measuredAcquaintances) Acquainted(ctx context.Context, account, place string, now time.Time) (bool, error) {
	return measure(ctx, a.measured, "acquainted", func(ctx context.Context) (bool, error) {
		return a.acquaintances.Acquainted(ctx, account, place, now)
	})
}

// measureStore puts the measuring in front of every operation.
func (s *Service) measureStore(c Config) {
	m := measured{timeout: c.StoreTimeout, metrics: s.metrics}
	if m.timeout <= 0 {
		m.timeout = defaultStoreTimeout
	}
	s.Families, s.Sessions = measuredFamilies{m, c.Families}, measuredSessions{m, c.Sessions}
	s.Limiter, s.Acquaintances = measuredLimiter{m, c.Limiter}, measuredAcquaintances{m, c.Acquaintances}
}
