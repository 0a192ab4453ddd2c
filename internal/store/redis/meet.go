package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// leap is by how many numbers a sequence goes ahead when a server takes over: more than a replica can have missed.
const leap = 1 << 20

// beginLife is how long the entry that a new store begins with is kept: longer than any access token lives.
const beginLife = 26 * time.Hour

// known is what this process knows of the store. The zero value knows nothing.
type known struct {
	mu sync.Mutex
	knowledge
}

type knowledge struct {
	id string
	// run is the server's run id, since when this process has met it, by the monotonic clock. address is where, in a
	// cluster.
	run     string
	since   time.Time
	address string
	// last and seq are the newest revocation and number seen, in any store so far.
	last, seq uint64
	// refused says why the server must not be used.
	refused error
}

func (k *known) get() knowledge {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.knowledge
}

// saw notes numbers; they only grow.
func (k *known) saw(last, seq uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.seq = max(k.last, last), max(k.seq, seq, last)
}

func (k *known) refuse(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused = err
}

func (k *known) at(address string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.address = address
}

// adopt takes a store and a server and tells whether the store is another one than before.
func (k *known) adopt(id, run string, last, seq uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	other := k.id != id
	if other || k.run != run {
		k.since = time.Now() // the wall clock of config.Now may jump
	}
	k.id, k.run, k.refused = id, run, nil
	k.last, k.seq = max(k.last, last), max(k.seq, seq, last)
	return other
}

// meet looks at the server behind a connection: whether it may have the store, and whether it is the same server and the
// same store as before. It runs before anything else on each new connection, so no operation comes to a server that was
// not looked at. With again, the store is begun even if the server was met already.
func (s *Store) meet(ctx context.Context, c asker, again bool) error {
	f, err := ask(ctx, c)
	if err != nil {
		return err
	}
	if f.replica() {
		if s.config.Mode == Cluster {
			return nil // asked for the map of the cluster, nothing else
		}
		return errors.New("the server is a replica and takes no writes: name the primary, or use mode=sentinel")
	}
	if s.config.Mode == Cluster {
		if err := c.HGet(ctx, s.meta, "id").Err(); goredis.HasErrorPrefix(err, "MOVED") {
			return nil // another node has the store: this one may be as it likes
		}
	}
	if err := fit(ctx, c, f, s.config); err != nil {
		if errors.Is(err, errRefused) {
			s.known.refuse(err)
			s.setReason(err.Error())
		}
		return err
	}
	if k := s.known.get(); k.id != "" && k.run == f["run_id"] && k.refused == nil && !again {
		return nil
	}
	return s.begin(ctx, c, f["run_id"])
}

// meetAt meets the server of a client over one connection.
func (s *Store) meetAt(ctx context.Context, client *goredis.Client) error {
	conn := client.Conn()
	defer conn.Close() //nolint:errcheck // back into the pool
	err := s.meet(ctx, conn, true)
	if err == nil {
		s.known.at(client.Options().Addr)
	}
	return err
}

// begin makes the store usable. Among those who do so at once, the script lets one win.
func (s *Store) begin(ctx context.Context, c asker, run string) error {
	k, now := s.known.get(), s.now()
	start := max(now.Unix(), 0) << 20
	reply, err := c.Eval(ctx, scriptBegin.text, []string{s.meta},
		rand.Text(), k.last, k.seq, run, start, stamp(now.Add(beginLife)), leap, k.id, int(beginLife/time.Second)).Slice()
	if err != nil {
		return err
	}
	if len(reply) != 4 {
		return errBadReply
	}
	last, err1 := number(reply[1])
	seq, err2 := number(reply[2])
	id, ok := reply[0].(string)
	if err := errors.Join(err1, err2); err != nil || !ok {
		return errBadReply
	}
	if s.known.adopt(id, run, last, seq) && k.id != "" {
		s.log.Warn("store_replaced", "note", "the server was emptied, replaced or restored, or lost a revocation: every session before is distrusted")
		s.watchers.Notify()
	}
	s.watchers.Heard(last)
	return nil
}

var errBadReply = errors.New("the server's answer is not what the store's script gives")

// number reads a decimal number of a reply.
func number(v any) (uint64, error) {
	switch v := v.(type) {
	case string:
		return strconv.ParseUint(v, 10, 64)
	case int64:
		return uint64(v), nil //nolint:gosec // scripts give no negative ones
	default:
		return 0, fmt.Errorf("%w: %T for a number", errBadReply, v)
	}
}
