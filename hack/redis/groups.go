package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Master is the name by which the sentinels of a group know its primary.
const Master = "keyturn"

// Group is a primary, two replicas and three sentinels.
type Group struct {
	// Servers are the primary at the start and its replicas, Sentinels watch them.
	Servers, Sentinels []*Server
}

// StartGroup runs a group. A primary that is gone for downAfter is replaced. It returns when the sentinels know all.
func (p Program) StartGroup(ctx context.Context, dir string, downAfter time.Duration, o Options) (_ *Group, err error) {
	g := &Group{}
	defer func() {
		if err != nil {
			g.Stop()
		}
	}()
	for i := range 3 {
		of := o
		if i > 0 {
			of.Directives = append(append([]string(nil), o.Directives...), fmt.Sprint("replicaof 127.0.0.1 ", g.Servers[0].Port))
		}
		server, err := p.Start(ctx, dir, of)
		if err != nil {
			return nil, err
		}
		g.Servers = append(g.Servers, server)
	}
	for range 3 {
		sentinel, err := p.Start(ctx, dir, Options{sentinel: true, Directives: []string{
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", Master, g.Servers[0].Port),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", Master, downAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s 3000", Master),
			fmt.Sprintf("sentinel parallel-syncs %s 2", Master),
		}})
		if err != nil {
			return nil, err
		}
		g.Sentinels = append(g.Sentinels, sentinel)
	}
	return g, g.Settle(ctx)
}

// Settle returns when every sentinel knows one primary that runs, two replicas in touch with it, and two other sentinels.
func (g *Group) Settle(ctx context.Context) error {
	return until(ctx, "the sentinels know the whole group", func(ctx context.Context) error {
		for _, sentinel := range g.Sentinels {
			if err := settled(ctx, sentinel); err != nil {
				return err
			}
		}
		return nil
	})
}

func settled(ctx context.Context, sentinel *Server) error {
	c := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel.Address()})
	defer c.Close() //nolint:errcheck // only asked
	master, err := c.Master(ctx, Master).Result()
	if err != nil {
		return err
	}
	if master["flags"] != "master" || master["num-other-sentinels"] != "2" || master["num-slaves"] != "2" {
		return fmt.Errorf("flags %s, %s other sentinels, %s replicas", master["flags"], master["num-other-sentinels"], master["num-slaves"])
	}
	replicas, err := c.Replicas(ctx, Master).Result()
	if err != nil {
		return err
	}
	for _, r := range replicas {
		if r["flags"] != "slave" || r["master-link-status"] != "ok" || r["master-port"] != master["port"] {
			return fmt.Errorf("a replica is %s, link %s", r["flags"], r["master-link-status"])
		}
	}
	return nil
}

// Primary is the server that the sentinels name now.
func (g *Group) Primary(ctx context.Context) (*Server, error) {
	c := goredis.NewSentinelClient(&goredis.Options{Addr: g.Sentinels[0].Address()})
	defer c.Close() //nolint:errcheck // only asked
	address, err := c.GetMasterAddrByName(ctx, Master).Result()
	if err != nil {
		return nil, err
	}
	for _, server := range g.Servers {
		if len(address) == 2 && fmt.Sprint(server.Port) == address[1] {
			return server, nil
		}
	}
	return nil, fmt.Errorf("the sentinels name %v, which is none of the group", address)
}

// Addresses are those of the sentinels.
func (g *Group) Addresses() []string { return addresses(g.Sentinels) }

// Stop ends all of them.
func (g *Group) Stop() { stopAll(append(append([]*Server(nil), g.Sentinels...), g.Servers...)) }

func addresses(servers []*Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Address())
	}
	return all
}

func stopAll(servers []*Server) {
	for _, s := range servers {
		s.Kill()
	}
}

// until asks again until ok has no error, for at most a minute.
func until(ctx context.Context, what string, ok func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}
