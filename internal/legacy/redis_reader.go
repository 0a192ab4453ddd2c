package legacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

// redisReader reads sessions where the application keeps them. It only reads: GETRANGE, HSTRLEN, HMGET and PTTL.
type redisReader struct {
	*store
	format     string
	user, role place
	hasRole    bool
	now        func() time.Time
}

func openRedisReader(o *opening, c snapshot.LegacyRedis) (*redisReader, time.Duration, error) {
	r := &redisReader{format: c.Format, hasRole: c.Role != "", now: o.now}
	var err error
	switch {
	case c.Format != "" && c.Format != JSON && c.Format != HashFields:
		return nil, 0, fmt.Errorf("format is %.80q, want %s or %s", c.Format, JSON, HashFields)
	case c.User == "":
		return nil, 0, errors.New("user must say where the user's id is")
	}
	if r.user, err = readPlace(c.Format, c.User); err != nil {
		return nil, 0, fmt.Errorf("user %w", err)
	}
	if r.hasRole {
		if r.role, err = readPlace(c.Format, c.Role); err != nil {
			return nil, 0, fmt.Errorf("role %w", err)
		}
	}
	r.store, err = openStore(o.Keeper, validatorDir, c)
	return r, webhook.DefaultTimeout, err
}

func (r *redisReader) read(ctx context.Context, cookie secret.Text) (s Session, err error) {
	key, err := r.keyOf(cookie)
	if err != nil {
		return Session{}, err
	}
	err = r.do(ctx, func(ctx context.Context, c *goredis.Client) (err error) {
		if r.format == HashFields {
			s, err = r.readHash(ctx, c, key)
		} else {
			s, err = r.readDocument(ctx, c, key)
		}
		return err
	})
	return s, err
}

func (r *redisReader) readDocument(ctx context.Context, c *goredis.Client, key string) (Session, error) {
	pipe := c.Pipeline()
	text, ttl := pipe.GetRange(ctx, key, 0, maxDocument), pipe.PTTL(ctx, key) // one byte more than is allowed
	if _, err := pipe.Exec(ctx); err != nil {
		return Session{}, r.failed(err)
	}
	if text.Val() == "" {
		return Session{}, fmt.Errorf("%w: it is not in the store", ErrInvalid)
	}
	document := []byte(text.Val())
	return r.session(document, document, ttl.Val(), time.Time{})
}

// readHash reads the fields that count, and the large ones of them not at all: a cart beside the user is no matter.
func (r *redisReader) readHash(ctx context.Context, c *goredis.Client, key string) (Session, error) {
	fields := []string{r.user.field, accessedField, idleField}
	if r.hasRole {
		fields = append(fields, r.role.field)
	}
	pipe := c.Pipeline()
	lengths := make([]*goredis.IntCmd, len(fields))
	for i, field := range fields {
		lengths[i] = pipe.HStrLen(ctx, key, field)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return Session{}, r.failed(err)
	}
	for _, n := range lengths {
		if n.Val() > maxDocument {
			return Session{}, r.unreadable(fmt.Errorf("a field has more than %d bytes", maxDocument))
		}
	}
	pipe = c.Pipeline()
	values, ttl := pipe.HMGet(ctx, key, fields...), pipe.PTTL(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil {
		return Session{}, r.failed(err)
	}
	content := make([][]byte, 4)
	for i, v := range values.Val() {
		if text, ok := v.(string); ok {
			content[i] = []byte(text)
		}
	}
	if len(content[0]) == 0 {
		return Session{}, fmt.Errorf("%w: it is not in the store, or has no user", ErrInvalid)
	}
	end, err := springEnd(content[1], content[2])
	if err != nil {
		return Session{}, r.unreadable(err)
	}
	return r.session(content[0], content[3], ttl.Val(), end)
}

// session reads a session from the documents that have the user and the role. end is by the session's own fields.
func (r *redisReader) session(user, role []byte, ttl time.Duration, end time.Time) (s Session, err error) {
	if ttl == -2 { // the key went away between the two commands
		return Session{}, fmt.Errorf("%w: it has just expired", ErrInvalid)
	}
	if ttl > 0 {
		s.Expires = r.now().Add(ttl)
	}
	if !end.IsZero() && (s.Expires.IsZero() || end.Before(s.Expires)) {
		s.Expires = end
	}
	s.User, err = r.user.user(user)
	if errors.Is(err, errAbsent) {
		return Session{}, fmt.Errorf("%w: nobody is logged in by it", ErrInvalid)
	}
	if err != nil {
		return Session{}, r.unreadable(err)
	}
	if r.hasRole && len(role) > 0 {
		if s.Role, err = r.role.role(role); err != nil {
			return Session{}, r.unreadable(err)
		}
	}
	return s, nil
}

// unreadable is about one session: it does not count for the breaker.
func (r *redisReader) unreadable(err error) error {
	return unavailable("%w of %s cannot be read: %w", webhook.ErrOneUser, r.asked, err)
}
