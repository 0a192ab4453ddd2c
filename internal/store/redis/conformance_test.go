package redis

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/redis"
)

func TestStandalone(t *testing.T) { conform(t, at(durable(t))) }

// calm is how long a server may be silent where none is to be replaced: a busy machine is no failure.
const calm = 20 * time.Second

func TestSentinels(t *testing.T) { conform(t, sentinelsOf(groupWith(t, calm, redis.Durable...))) }

func TestCluster(t *testing.T) {
	c, err := program(t).StartCluster(t.Context(), t.TempDir(), calm, redis.Options{Directives: redis.Durable})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	conform(t, Config{Mode: Cluster, Addresses: c.Addresses()[:2], Prefix: "test", Replicas: 1})
}
