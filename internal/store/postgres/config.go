package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says where the database is.
type Config struct {
	// URL is postgres://host:port,host:port/database?sslmode=…&schema=…&durability=… without credentials.
	//
	// sslmode is verify-full (the default), verify-ca, require or disable, as in libpq: also in that require with a ca.crt
	// is verify-ca. There is no mode that falls back to clear text. schema is "keyturn" by default. durability=relaxed allows a server that does not flush (fsync=off).
	// Of several hosts the one is used that takes writes.
	URL string
	// Dir holds the files username, password, ca.crt, tls.crt and tls.key. Each is optional; they are read again for
	// each new connection. Without username the role is "keyturn"; without ca.crt the system's authorities count.
	Dir string
	// Log gets what happens to the connection; nil: nobody.
	Log *slog.Logger
	// Now is the clock that new databases begin their numbers by; nil means time.Now.
	Now func() time.Time
	// within bounds one operation; 0 means operationTimeout. Tests of many operations at once have more time on a busy machine.
	within time.Duration
}

// Defaults of the URL.
const (
	defaultPort   = "5432"
	defaultSchema = "keyturn"
	defaultUser   = "keyturn"
)

// Bounds of what one operation may take.
const (
	operationTimeout = 2 * time.Second
	connectTimeout   = 2 * time.Second
	maxConnections   = 8
)

// target is a parsed URL.
type target struct {
	hosts, ports []string
	database     string
	schema       string
	sslmode      string
	relaxed      bool
	within       time.Duration // one operation
}

var (
	schemaName   = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
	databaseName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)
	sslmodes     = []string{"verify-full", "verify-ca", "require", "disable"}
)

// parseURL reads a URL. Its errors never quote it: somebody may have put a password into it.
func parseURL(text string) (target, error) {
	rest, ok := strings.CutPrefix(text, "postgres://")
	if !ok {
		if rest, ok = strings.CutPrefix(text, "postgresql://"); !ok {
			return target{}, errors.New("the store's URL must begin with postgres://")
		}
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, database, _ := strings.Cut(rest, "/")
	if strings.Contains(rest, "@") || strings.Contains(query, "password") {
		return target{}, errors.New("the store's URL holds credentials: put them into the files username and password of the store's directory")
	}
	t := target{database: database, schema: defaultSchema, sslmode: sslmodes[0], within: operationTimeout}
	if !databaseName.MatchString(database) {
		return target{}, errors.New("the store's URL names no database: postgres://host:port/database")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if err := t.addHost(host); err != nil {
			return target{}, err
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return target{}, errors.New("the store's URL has a malformed query")
	}
	for name, all := range values {
		if len(all) != 1 {
			return target{}, fmt.Errorf("the store's URL has the parameter %.20q more than once", name)
		}
		if err := t.set(name, all[0]); err != nil {
			return target{}, err
		}
	}
	return t, nil
}

func (t *target) addHost(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), defaultPort
	}
	n, err := strconv.Atoi(port)
	if host == "" || err != nil || n < 1 || n > 65535 || strings.ContainsAny(host, " '\\=") {
		return errors.New("the store's URL needs host or host:port, several with commas between")
	}
	t.hosts, t.ports = append(t.hosts, host), append(t.ports, port)
	return nil
}

func (t *target) set(name, value string) error {
	switch name {
	case "sslmode":
		if !slices.Contains(sslmodes, value) {
			return fmt.Errorf("the store's URL: sslmode must be one of %s", strings.Join(sslmodes, ", "))
		}
		t.sslmode = value
	case "schema":
		if !schemaName.MatchString(value) {
			return errors.New("the store's URL: schema must be a name of a-z, 0-9 and _, at most 63 characters")
		}
		t.schema = value
	case "durability":
		if value != "relaxed" && value != "full" {
			return errors.New("the store's URL: durability must be full or relaxed")
		}
		t.relaxed = value == "relaxed"
	case "target_session_attrs":
		if value != "read-write" {
			return errors.New("the store's URL: target_session_attrs can only be read-write")
		}
	default:
		return fmt.Errorf("the store's URL has an unknown parameter %.20q: sslmode, schema, durability and target_session_attrs are known", name)
	}
	return nil
}

// poolConfig is the pool's configuration without credentials. What the environment says of a user or a password does
// not count; [credentials] fill them in for each connection.
func (t target) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(fmt.Sprintf("host='%s' port='%s' dbname='%s' user=- password=- sslmode=disable target_session_attrs=read-write",
		strings.Join(t.hosts, ","), strings.Join(t.ports, ","), t.database))
	if err != nil {
		return nil, errors.New("the store's URL is not usable") // the cause may quote it
	}
	c := config.ConnConfig
	c.Password, c.ConnectTimeout = "", connectTimeout
	c.RuntimeParams = map[string]string{
		"application_name": "keyturn", "search_path": t.schema, "timezone": "UTC", "client_encoding": "UTF8",
		"statement_timeout": milliseconds(t.within), "lock_timeout": milliseconds(t.within),
		"idle_in_transaction_session_timeout": milliseconds(2 * t.within),
	}
	config.MaxConns, config.MinConns = maxConnections, 0
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	config.MaxConnIdleTime = 5 * time.Minute
	config.PingTimeout = operationTimeout / 2
	return config, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
