package feed

import (
	"context"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Target is where an edge finds the feed and how long a lease lasts.
type Target struct {
	snapshot.FeedAddress
	// MaxPropagation is how long a lease lasts.
	MaxPropagation time.Duration
}

// ClientConfig tells a client who it is and where to go.
type ClientConfig struct {
	// Edge is this edge's unique name, e.g. the pod's. Each client adds something random of its own to it, so that two
	// edges that were given one name do not answer for each other.
	Edge string
	// Dir holds ca.crt and token; empty means clear text to loopback addresses only.
	Dir string
	// Target returns the feed's address as the snapshot in force has it; false while there is none.
	// It is asked often and must be cheap.
	Target func() (Target, bool)
	Log    *slog.Logger
	// Now must carry a monotonic reading, as time.Now does: leases are timed with it.
	Now func() time.Time
}

// Client keeps one edge's revocation list up to date. Its methods are safe for concurrent use; List and Status take
// no lock.
type Client struct {
	config ClientConfig
	list   *revocation.List

	store  string // whose numbers the list has; written before the reports of a session begin
	loaded atomic.Bool
	// lease is when the lease runs out; nil before the first.
	lease atomic.Pointer[time.Time]
	// current is the session whose connection questions go over; nil while there is none.
	current atomic.Pointer[session]
	breaker *gobreaker.CircuitBreaker[SessionAnswer]
}

// Times between attempts to connect: doubled from the first to the last, and jittered, so that a restarted token
// service does not meet all edges at once.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 3 * time.Second
	lookEvery  = 200 * time.Millisecond
	pruneEvery = 30 * time.Second
)

// pruneLate is how long an expired entry is kept on, so that a clock may be set back by as much without a new list.
const pruneLate = time.Minute

// NewClient checks the configuration. The client does nothing until [Client.Run].
func NewClient(config ClientConfig) (*Client, error) {
	if config.Edge == "" || config.Target == nil || config.Log == nil || config.Now == nil {
		return nil, errors.New("feed client: Edge, Target, Log and Now are needed")
	}
	config.Edge += "#" + crand.Text()[:8]
	return &Client{config: config, list: revocation.NewList(), breaker: newAskBreaker()}, nil
}

// List is the edge's list. It is complete once [Client.Status] says Loaded.
func (c *Client) List() *revocation.List { return c.list }

// Status tells how fresh the list is. Before the first acknowledged report it is stale and not loaded; it is not loaded
// either while the list lacks entries that a clock far ahead made it forget.
func (c *Client) Status() snapshot.RevocationStatus {
	now := c.config.Now()
	return snapshot.RevocationStatus{
		Loaded: c.loaded.Load() && c.list.CompleteAt(now), Applied: c.list.Applied(), Stale: !c.leased(now),
	}
}

func (c *Client) leased(now time.Time) bool {
	until := c.lease.Load()
	return until != nil && now.Before(*until)
}

// Run follows the feed until ctx ends. Then it gives the lease back, if the token service can be reached.
func (c *Client) Run(ctx context.Context) error {
	go c.prune(ctx)
	pause := firstPause
	for ctx.Err() == nil {
		target, known := c.config.Target()
		if !known {
			sleep(ctx, lookEvery)
			continue
		}
		synced, err := c.session(ctx, target)
		if ctx.Err() != nil {
			break
		}
		if synced {
			pause = firstPause
		}
		if !errors.Is(err, errMoved) {
			c.config.Log.Warn("feed_disconnected", "address", target.Address, "error", err.Error())
			sleep(ctx, pause/2+rand.N(pause))
			pause = min(2*pause, lastPause)
		}
	}
	return ctx.Err()
}

func (c *Client) prune(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.list.Prune(c.config.Now().Add(-pruneLate))
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
