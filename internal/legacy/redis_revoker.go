package legacy

import (
	"context"
	"encoding/json"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// scanAtOnce is how many of a user's sessions are ended at a time, maxSessions how many at most.
const (
	scanAtOnce  = 256
	maxSessions = 100_000
)

// redisRevoker removes sessions from the application's store.
type redisRevoker struct{ *store }

func openRedisRevoker(o *opening, c snapshot.LegacyRedis) (*redisRevoker, error) {
	s, err := openStore(o.Keeper, revokerDir, c)
	return &redisRevoker{s}, err
}

func (r *redisRevoker) revoke(ctx context.Context, cookie secret.Text) error {
	key, err := r.keyOf(cookie)
	if err != nil {
		return err
	}
	return r.do(ctx, func(ctx context.Context, c *goredis.Client) error {
		if err := c.Del(ctx, key).Err(); err != nil {
			return r.failed(err)
		}
		return nil
	})
}

// revokeUser removes the sessions that the user's set names, and their names from the set.
func (r *redisRevoker) revokeUser(ctx context.Context, user string) error {
	if r.index == "" {
		return nil
	}
	index := strings.Replace(r.index, "{user}", user, 1)
	var cursor uint64
	for seen := 0; seen <= maxSessions; {
		err := r.do(ctx, func(ctx context.Context, c *goredis.Client) error {
			members, next, err := c.SScan(ctx, index, cursor, "", scanAtOnce).Result()
			if err != nil {
				return r.failed(err)
			}
			cursor, seen = next, seen+len(members)+1
			return r.remove(ctx, c, index, members)
		})
		if err != nil || cursor == 0 {
			return err
		}
	}
	return unavailable("the user has more than %d sessions: call again", maxSessions)
}

func (r *redisRevoker) remove(ctx context.Context, c *goredis.Client, index string, members []string) error {
	if len(members) == 0 {
		return nil
	}
	pipe := c.Pipeline()
	names := make([]any, len(members))
	for i, member := range members {
		pipe.Del(ctx, r.keyFor(memberID(member)))
		names[i] = member
	}
	pipe.SRem(ctx, index, names...)
	if _, err := pipe.Exec(ctx); err != nil {
		return r.failed(err)
	}
	return nil
}

// memberID reads a member of a user's set: the id, or the id as a JSON text, as Spring Session writes it.
func memberID(member string) string {
	var id string
	if strings.HasPrefix(member, `"`) && json.Unmarshal([]byte(member), &id) == nil {
		return id
	}
	return member
}
