package feed

import (
	"context"
	"errors"
	"log/slog"
	"time"

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
	// Edge is this edge's unique name, e.g. the pod's.
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
}

// NewClient checks the configuration. The client does nothing until [Client.Run].
func NewClient(config ClientConfig) (*Client, error) {
	if config.Edge == "" || config.Target == nil || config.Log == nil || config.Now == nil {
		return nil, errors.New("feed client: Edge, Target, Log and Now are needed")
	}
	return &Client{config: config, list: revocation.NewList()}, nil
}

// List is the edge's list. It is complete once [Client.Status] says Loaded.
func (c *Client) List() *revocation.List { return c.list }

// Status tells how fresh the list is.
func (c *Client) Status() snapshot.RevocationStatus {
	return snapshot.RevocationStatus{Applied: c.list.Applied()}
}

// Run follows the feed until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
