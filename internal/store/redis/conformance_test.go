package redis

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/redis"
)

func TestStandalone(t *testing.T) { conform(t, at(durable(t))) }

func TestSentinels(t *testing.T) { conform(t, sentinelsOf(group(t, redis.Durable...))) }

func TestCluster(t *testing.T) {
	c, err := program(t).StartCluster(t.Context(), t.TempDir(), 2*time.Second, redis.Options{Directives: redis.Durable})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	conform(t, Config{Mode: Cluster, Addresses: c.Addresses()[:2], Prefix: "test", Replicas: 1})
}
