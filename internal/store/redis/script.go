package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name that the server gives a script
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// script is a Lua script as the server gets it.
type script struct{ text, hash string }

// load puts a script together from files. One that may run while the server's memory is full says so: it reads, or
// makes room.
func load(whenFull bool, files ...string) *script {
	text := "#!lua\n"
	if whenFull {
		text = "#!lua flags=allow-oom\n"
	}
	for _, name := range files {
		source, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // not embedded
		}
		text += string(source)
	}
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	return &script{text: text, hash: hex.EncodeToString(sum[:])}
}

var (
	scriptBegin      = load(true, "begin")
	scriptProbe      = load(false, "prelude", "state")
	scriptLast       = load(true, "prelude", "state")
	scriptCreate     = load(false, "prelude", "family", "create")
	scriptInspect    = load(true, "prelude", "family", "inspect")
	scriptRotate     = load(false, "prelude", "family", "rotate")
	scriptRevoke     = load(false, "prelude", "family", "revoke")
	scriptAppend     = load(false, "prelude", "family", "append")
	scriptLog        = load(true, "prelude", "log")
	scriptCompact    = load(true, "prelude", "family", "compact")
	scriptTake       = load(false, "prelude", "take")
	scriptRefund     = load(true, "prelude", "refund")
	scriptAcquaint   = load(false, "prelude", "acquaint")
	scriptAcquainted = load(true, "prelude", "acquainted")
	scriptLease      = load(true, "prelude", "lease")
	scriptClock      = load(true, "prelude", "clock")
)

// caller is a client or one connection.
type caller interface {
	EvalSha(ctx context.Context, hash string, keys []string, args ...any) *goredis.Cmd
	Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd
}

func (sc *script) run(ctx context.Context, c caller, keys []string, args []any) ([]any, error) {
	reply, err := c.EvalSha(ctx, sc.hash, keys, args...).Slice()
	if err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = c.Eval(ctx, sc.text, keys, args...).Slice()
	}
	return reply, err
}

// run does one operation: a script, and where revoked, unless nil, says so of its reply, WAIT for the replicas.
func (s *Store) run(ctx context.Context, sc *script, revoked func(reply []any) bool, key string, args ...any) ([]any, error) {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.closed {
		return nil, unavailable(errClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	keys := []string{s.meta}
	if key != "" {
		keys = append(keys, key)
	}
	reply, err := s.try(ctx, sc, revoked, keys, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return reply, nil
}

// pauses are how long to wait before a script that the server refused to run is tried again.
var pauses = []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// try runs a script, and again where the server has certainly not run it.
func (s *Store) try(ctx context.Context, sc *script, revoked func([]any) bool, keys []string, args ...any) (reply []any, err error) {
	for _, pause := range pauses {
		if pause > 0 {
			select {
			case <-ctx.Done():
				return nil, errors.Join(err, ctx.Err())
			case <-time.After(pause):
			}
		}
		var again bool
		if reply, again, err = s.once(ctx, sc, revoked, keys, args); !again {
			return reply, err
		}
	}
	return nil, err
}

// once runs a script once and tells whether it may be tried again.
func (s *Store) once(ctx context.Context, sc *script, revoked func([]any) bool, keys []string, args []any) (_ []any, again bool, _ error) {
	client, err := s.nodes.primary(ctx)
	if err != nil {
		return nil, false, err
	}
	k := s.known.get()
	if k.refused != nil {
		return nil, false, k.refused
	}
	// A replica of a cluster becomes the primary without a new connection.
	if k.id == "" || s.config.Mode == Cluster && k.address != client.Options().Addr {
		return nil, true, errors.Join(errUnmet, s.meetAt(ctx, client))
	}
	var c caller = client
	if revoked != nil && s.config.Replicas > 0 {
		if sc == scriptRevoke || sc == scriptAppend { // these wait for certain
			select {
			case s.waiting <- struct{}{}:
				defer func() { <-s.waiting }()
			case <-ctx.Done():
				return nil, false, fmt.Errorf("too many revocations wait for replicas: %w", ctx.Err())
			}
		}
		conn := client.Conn() // WAIT is about what its own connection wrote
		defer conn.Close()    //nolint:errcheck // back into the pool
		c = conn
	}
	reply, err := sc.run(ctx, c, keys, append([]any{k.id, k.last, k.seq}, args...))
	if err != nil {
		return nil, s.notRun(ctx, client, err), err
	}
	if len(reply) < 1 {
		return nil, false, errBadReply
	}
	if reply[0] != "ok" { // another store, or one that has lost something
		return nil, true, errors.Join(errUnmet, s.meetAt(ctx, client))
	}
	if reply, err = s.note(reply); err != nil {
		return nil, false, err
	}
	if conn, ok := c.(*goredis.Conn); ok && revoked(reply) {
		return reply, false, s.replicated(ctx, conn)
	}
	return reply, false, nil
}

// errUnmet is what remains if the store changes faster than it can be met.
var errUnmet = errors.New("the server has another store than before")

// notRun tells whether an error means that the server has certainly not run the script and another one might.
func (s *Store) notRun(ctx context.Context, client *goredis.Client, err error) bool {
	if !isReply(err) {
		s.nodes.look(ctx)
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			now, lost := s.nodes.primary(ctx)
			return lost == nil && now != client
		}
		return errors.Is(err, goredis.ErrClosed) // of a client for a former primary
	}
	for _, prefix := range []string{"READONLY", "MOVED", "TRYAGAIN"} {
		if goredis.HasErrorPrefix(err, prefix) {
			s.nodes.look(ctx)
			return true
		}
	}
	return false
}

// note takes the numbers off a reply.
func (s *Store) note(reply []any) ([]any, error) {
	if len(reply) < 3 {
		return nil, errBadReply
	}
	last, err1 := number(reply[1])
	seq, err2 := number(reply[2])
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	s.known.saw(last, seq)
	s.watchers.Heard(last)
	return reply[3:], nil
}

// replicated waits until enough replicas have what conn wrote.
func (s *Store) replicated(ctx context.Context, conn *goredis.Conn) error {
	limit := waitTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-50*time.Millisecond)
	}
	limit = max(limit, time.Millisecond) // 0 would wait for ever
	n, err := conn.Wait(ctx, s.config.Replicas, limit).Result()
	if err != nil {
		return fmt.Errorf("it is written, but whether replicas have it is not known: %w", err)
	}
	if n < int64(s.config.Replicas) {
		return fmt.Errorf("it is written, but %d replicas have it and %d must: it may be lost in a failover; see why the replicas lag, or lower replicas in the store's URL", n, s.config.Replicas)
	}
	return nil
}

// key is a key of the store.
func (s *Store) key(kind, hash string) string {
	return strings.TrimSuffix(s.meta, "meta") + kind + ":" + hash
}
