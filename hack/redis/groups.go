package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// Settle returns when every sentinel knows one primary, two replicas and two other sentinels, all of them well, and the
// primary has both replicas in touch. A server that came back after a failover is told whom to follow: the sentinels would
// take their time.
func (g *Group) Settle(ctx context.Context) error {
	return until(ctx, "the sentinels know the whole group", func(ctx context.Context) error {
		primary, err := g.Primary(ctx)
		if err != nil {
			return err
		}
		for _, server := range g.Servers {
			if err := follow(ctx, server, primary); err != nil {
				return err
			}
		}
		for _, sentinel := range g.Sentinels {
			if err := settled(ctx, sentinel, primary); err != nil {
				return err
			}
		}
		return nil
	})
}

// follow checks that a server is the primary with two replicas, or makes it a replica.
func follow(ctx context.Context, server, primary *Server) error {
	return with(server, func(c *goredis.Client) error {
		info, err := c.Info(ctx, "replication").Result()
		switch {
		case err != nil:
			return err
		case server == primary && strings.Count(info, "state=online") == 2:
			return nil
		case server == primary:
			return errors.New("the primary lacks a replica")
		case strings.Contains(info, "master_link_status:up") && strings.Contains(info, fmt.Sprintf("master_port:%d\r", primary.Port)):
			return nil
		}
		return errors.Join(errors.New("a replica is out of touch"), c.ReplicaOf(ctx, "127.0.0.1", fmt.Sprint(primary.Port)).Err())
	})
}

func settled(ctx context.Context, sentinel, primary *Server) error {
	c := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel.Address()})
	defer c.Close() //nolint:errcheck // only asked
	master, err := c.Master(ctx, Master).Result()
	if err != nil {
		return err
	}
	if master["flags"] != "master" || master["port"] != fmt.Sprint(primary.Port) || master["num-other-sentinels"] != "2" || master["num-slaves"] != "2" {
		return fmt.Errorf("flags %s, port %s, %s other sentinels, %s replicas", master["flags"], master["port"], master["num-other-sentinels"], master["num-slaves"])
	}
	replicas, err := c.Replicas(ctx, Master).Result()
	if err != nil {
		return err
	}
	for _, r := range replicas {
		if r["flags"] != "slave" {
			return fmt.Errorf("a replica is %s", r["flags"])
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
	var last error
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(last, ctx.Err()))
		case <-tick.C:
		}
	}
}
