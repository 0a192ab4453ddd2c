package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// asker is a client or a connection.
type asker interface {
	Info(ctx context.Context, sections ...string) *goredis.StringCmd
	ConfigGet(ctx context.Context, parameter string) *goredis.MapStringStringCmd
	Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd
	HGet(ctx context.Context, key, field string) *goredis.StringCmd
}

// facts are what a server says about itself.
type facts map[string]string

func ask(ctx context.Context, c asker) (facts, error) {
	text, err := c.Info(ctx, "server", "memory", "persistence", "replication").Result()
	if err != nil {
		return nil, err
	}
	f := facts{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			f[name] = value
		}
	}
	return f, nil
}

func (f facts) replica() bool { return f["role"] == "slave" }

// errRefused is wrapped by what is wrong with a server for good: somebody must change its configuration.
var errRefused = errors.New("the server is refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errRefused}, args...)...)
}

const orRelax = ", or set durability=relaxed in the store's URL and accept that logouts and sessions may be lost"

// fit tells why a primary must not have the store.
func fit(ctx context.Context, c asker, f facts, config Config) error {
	version := f["redis_version"] // Valkey says 7.2.4 here, whatever its own
	if major, _, _ := strings.Cut(version, "."); major != "" {
		if n, err := strconv.Atoi(major); err == nil && n < 7 {
			return refuse("it is Redis %.20s: use Redis 7.0 or later, or Valkey", version)
		}
	}
	if config.Relaxed {
		return nil
	}
	if policy := f["maxmemory_policy"]; policy != "noeviction" && f["maxmemory"] != "0" {
		if policy == "" {
			return refuse("INFO does not say its maxmemory-policy: allow the user INFO%s", orRelax)
		}
		return refuse("it forgets sessions and logouts when its memory is full (maxmemory-policy %.20s): set maxmemory-policy noeviction%s", policy, orRelax)
	}
	if f["aof_enabled"] != "1" {
		return refuse("it forgets everything when it is restarted (no append-only file): set appendonly yes%s", orRelax)
	}
	if config.Replicas > 0 {
		return nil
	}
	got, err := c.ConfigGet(ctx, "*appendfsync*").Result()
	if err != nil && !isReply(err) {
		return err
	}
	switch policy := got["appendfsync"]; {
	case err != nil || policy == "":
		return refuse("it does not say its appendfsync: allow the user CONFIG GET, set replicas=1 in the store's URL for a server with replicas%s", orRelax)
	case policy != "always":
		return refuse("it answers before a logout is on disk (appendfsync %.20s): set appendfsync always, set replicas=1 in the store's URL for a server with replicas%s", policy, orRelax)
	case got["no-appendfsync-on-rewrite"] == "yes":
		return refuse("it answers before a logout is on disk while it rewrites its file: set no-appendfsync-on-rewrite no%s", orRelax)
	}
	return nil
}

// isReply tells an error that a server has answered from one on the way.
func isReply(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply)
}

// explain says what an answered error means for who runs the server.
func explain(err error) error {
	for _, known := range []struct{ prefix, means string }{
		{"OOM", "the server's memory is full: raise maxmemory"},
		{"READONLY", "the server is a replica and takes no writes: name the primary"},
		{"LOADING", "the server is still reading its data"},
		{"MASTERDOWN", "the server has lost its primary"},
		{"CLUSTERDOWN", "the cluster is down"},
		{"MISCONF", "the server cannot write to its disk"},
		{"NOREPLICAS", "the server has lost its replicas and takes no writes"},
		{"NOAUTH", "the server wants a password: put it into the file password of the store directory"},
		{"WRONGPASS", "the server refuses the user name or the password in the store directory"},
		{"NOPERM", "the server does not allow the user what the store needs"},
	} {
		if isReply(err) && goredis.HasErrorPrefix(err, known.prefix) {
			return fmt.Errorf("%s (%w)", known.means, err)
		}
	}
	return err
}
