package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/hack/port"
)

// Cluster is a Redis Cluster of three primaries with a replica each.
type Cluster struct {
	Servers []*Server

	buses []*port.Kept
}

const slots = 16384

// StartCluster runs a cluster. A primary that is gone for nodeTimeout is replaced. It returns when every node knows that
// all slots are served and every replica follows its primary.
func (p Program) StartCluster(ctx context.Context, dir string, nodeTimeout time.Duration, o Options) (_ *Cluster, err error) {
	c := &Cluster{}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	for range 6 {
		bus, err := port.Keep()
		if err != nil {
			return nil, err
		}
		c.buses = append(c.buses, bus)
		of := o
		of.Directives = append(append([]string(nil), o.Directives...), "cluster-enabled yes", fmt.Sprint("cluster-port ", bus.Number()),
			fmt.Sprint("cluster-node-timeout ", nodeTimeout.Milliseconds()), "cluster-replica-validity-factor 0")
		server, err := p.Start(ctx, dir, of)
		if err != nil {
			return nil, err
		}
		c.Servers = append(c.Servers, server)
		if err := c.introduce(ctx, server, bus.Number()); err != nil {
			return nil, err
		}
	}
	return c, c.arrange(ctx)
}

// introduce makes the first node meet a new one, and gives the first three their slots.
func (c *Cluster) introduce(ctx context.Context, server *Server, bus int) error {
	return with(c.Servers[0], func(first *goredis.Client) error {
		if server != c.Servers[0] {
			if err := first.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", server.Port, bus).Err(); err != nil {
				return err
			}
		}
		if n := len(c.Servers) - 1; n < 3 {
			return with(server, func(node *goredis.Client) error {
				return node.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", n*slots/3, (n+1)*slots/3-1).Err()
			})
		}
		return nil
	})
}

// arrange makes the last three replicas of the first three.
func (c *Cluster) arrange(ctx context.Context) error {
	for i, replica := range c.Servers[3:] {
		var id string
		err := with(c.Servers[i], func(primary *goredis.Client) (err error) {
			id, err = primary.Do(ctx, "CLUSTER", "MYID").Text()
			return err
		})
		if err != nil {
			return err
		}
		err = until(ctx, "the replica knows its primary", func(ctx context.Context) error {
			return with(replica, func(node *goredis.Client) error { return node.Do(ctx, "CLUSTER", "REPLICATE", id).Err() })
		})
		if err != nil {
			return err
		}
	}
	return c.Settle(ctx)
}

// Settle returns when every node that runs says that the cluster is well and has six nodes, and every replica follows.
func (c *Cluster) Settle(ctx context.Context) error {
	return until(ctx, "the cluster is well", func(ctx context.Context) error {
		for _, server := range c.Servers {
			if err := with(server, func(node *goredis.Client) error { return well(ctx, node) }); err != nil {
				return err
			}
		}
		return nil
	})
}

func well(ctx context.Context, node *goredis.Client) error {
	info, err := node.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	nodes, err := node.ClusterNodes(ctx).Result()
	if err != nil {
		return err
	}
	replication, err := node.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	following := strings.Contains(replication, "master_link_status:up") ||
		strings.Contains(replication, "role:master") && strings.Contains(replication, "connected_slaves:1")
	if !strings.Contains(info, "cluster_state:ok") || strings.Count(nodes, "slave") != 3 || strings.Contains(nodes, "fail") || !following {
		return fmt.Errorf("not yet:\n%s\n%s\n%s", info, nodes, replication)
	}
	return nil
}

// Primary is the node that has the slot of key now.
func (c *Cluster) Primary(ctx context.Context, key string) (*Server, error) {
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: c.Addresses()})
	defer client.Close() //nolint:errcheck // only asked
	node, err := client.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, server := range c.Servers {
		if server.Address() == node.Options().Addr {
			return server, nil
		}
	}
	return nil, fmt.Errorf("%s is none of the cluster", node.Options().Addr)
}

// Addresses are those of all nodes.
func (c *Cluster) Addresses() []string { return addresses(c.Servers) }

// Stop ends all nodes.
func (c *Cluster) Stop() { stopAll(c.Servers) }

func with(server *Server, do func(*goredis.Client) error) error {
	client := goredis.NewClient(&goredis.Options{Addr: server.Address()})
	defer client.Close() //nolint:errcheck // only asked
	return do(client)
}
