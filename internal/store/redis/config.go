package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Mode is how the servers are arranged.
type Mode string

// The modes.
const (
	// Standalone is one server, or a name that always leads to the primary.
	Standalone Mode = "standalone"
	// Sentinel is a primary that sentinels name.
	Sentinel Mode = "sentinel"
	// Cluster is a Redis Cluster. The slot of the store must not be moved while token services run.
	Cluster Mode = "cluster"
)

// Config says where the store is. Use [ParseURL], or fill it in and let [Open] check it.
type Config struct {
	Mode Mode
	// Addresses are host:port of the server, of sentinels, or of some nodes of the cluster.
	Addresses []string
	// Master is the name by which sentinels know the primary; only with Sentinel.
	Master string
	// DB is the database; 0 in a cluster.
	DB int
	// TLS speaks TLS with everybody, sentinels too.
	TLS bool
	// Prefix keeps installations apart that share a server.
	Prefix string
	// Replicas is how many replicas must acknowledge a revocation; 0 for none. While fewer are there, no revocation is
	// acknowledged: with one replica only, not before the failed server is back.
	Replicas int
	// Relaxed accepts a server that may lose what it has acknowledged.
	Relaxed bool
	// Dir has the files username, password, sentinel-password, ca.crt, tls.crt and tls.key, each optional. They are read
	// again for each new connection. Empty for none.
	Dir string
	// Log gets what happens to the store; nil for nothing.
	Log *slog.Logger
	// Now is the clock that a new store's numbers begin by; nil for time.Now.
	Now func() time.Time
}

// ParseURL reads --store: redis://host:port/db, or rediss:// for TLS, with the query parameters
//
//	mode=standalone|sentinel|cluster   address=host:port (again for each further one)   master=NAME
//	prefix=NAME   replicas=N (by default 0 for standalone, 1 otherwise)   durability=strict|relaxed
//
// dir is --store-dir, prefix what is used without the parameter. Credentials in the URL are refused: they belong in dir.
func ParseURL(raw, dir, prefix string) (Config, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Config{}, errors.New("the store's URL cannot be read: write redis://host:port/0") // err quotes it
	}
	if u.User != nil {
		return Config{}, errors.New("the store's URL must not have credentials: put them into the files username and password of the store directory")
	}
	c := Config{Mode: Standalone, TLS: u.Scheme == "rediss", Prefix: prefix, Dir: dir}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return Config{}, fmt.Errorf("the store's URL has the scheme %q, want redis or rediss", u.Scheme)
	}
	if u.Host != "" {
		c.Addresses = append(c.Addresses, withPort(u))
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if c.DB, err = strconv.Atoi(db); err != nil || c.DB < 0 {
			return Config{}, fmt.Errorf("the store's URL has the database %q, want a number", db)
		}
	}
	replicas := ""
	for name, values := range u.Query() {
		if len(values) != 1 && name != "address" {
			return Config{}, fmt.Errorf("the store's URL has the parameter %q more than once", name)
		}
		switch value := values[0]; name {
		case "mode":
			c.Mode = Mode(value)
		case "address":
			c.Addresses = append(c.Addresses, values...)
		case "master":
			c.Master = value
		case "prefix":
			c.Prefix = value
		case "replicas":
			replicas = value
		case "durability":
			if value != "strict" && value != "relaxed" {
				return Config{}, fmt.Errorf("the store's URL has durability=%q, want strict or relaxed", value)
			}
			c.Relaxed = value == "relaxed"
		default:
			return Config{}, fmt.Errorf("the store's URL has the unknown parameter %q: mode, address, master, prefix, replicas and durability are known", name)
		}
	}
	if c.Mode != Standalone {
		c.Replicas = 1
	}
	if replicas != "" {
		if c.Replicas, err = strconv.Atoi(replicas); err != nil {
			return Config{}, fmt.Errorf("the store's URL has replicas=%q, want a number", replicas)
		}
	}
	return c, c.check()
}

func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), "6379")
}

// check tells what is wrong with the configuration.
func (c Config) check() error {
	for _, address := range c.Addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return fmt.Errorf("the store's address %q is not host:port", address)
		}
	}
	switch {
	case c.Mode != Standalone && c.Mode != Sentinel && c.Mode != Cluster:
		return fmt.Errorf("the store's mode is %q, want standalone, sentinel or cluster", string(c.Mode))
	case len(c.Addresses) == 0:
		return errors.New("the store has no address: write redis://host:port/0")
	case c.Mode == Standalone && len(c.Addresses) > 1:
		return errors.New("a standalone store has one address: set mode=sentinel or mode=cluster for more")
	case (c.Mode == Sentinel) != (c.Master != ""):
		return errors.New("master=NAME goes with mode=sentinel, and must be there: the name by which the sentinels know the primary")
	case c.Mode == Cluster && c.DB != 0:
		return errors.New("a Redis Cluster has the database 0 only")
	case c.Prefix == "" || strings.ContainsAny(c.Prefix, "{} \n"):
		return errors.New("the store's prefix must not be empty and must not have braces or spaces")
	case c.Replicas < 0 || c.Replicas > 100:
		return errors.New("the store's replicas must be 0 to 100")
	}
	return nil
}
