package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Bounds of one operation and its parts. With all connections stuck, an operation ends after opTimeout.
const (
	opTimeout   = 2 * time.Second
	dialTimeout = time.Second
	waitTimeout = time.Second // for replicas
	poolSize    = 48
	maxWaiting  = poolSize / 2 // connections on which revocations wait for replicas: who needs none must not wait for one
	maxDials    = 8            // at once: a busy moment must not begin with 48 handshakes
	maxIdleTime = 5 * time.Minute
)

// files are the credentials in a directory, read whenever a connection is made. Their content is never logged.
type files struct {
	dir string
	tls bool
}

// text reads a file without the line end; one that is not there is empty.
func (f files) text(name string) (string, error) {
	if f.dir == "" {
		return "", nil
	}
	raw, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimRight(string(raw), "\r\n"), err
}

func (f files) credentials(context.Context) (user, password string, err error) {
	user, err = f.text("username")
	if err == nil {
		password, err = f.text("password")
	}
	return user, password, err
}

func (f files) sentinelCredentials(context.Context) (user, password string, err error) {
	password, err = f.text("sentinel-password")
	return "", password, err
}

func (f files) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	ca, err := f.text("ca.crt")
	if err != nil {
		return nil, err
	}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("ca.crt of the store directory has no certificate")
		}
	}
	cert, err := f.text("tls.crt")
	if err != nil || cert == "" {
		return config, err
	}
	key, err := f.text("tls.key")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		return nil, fmt.Errorf("tls.crt and tls.key of the store directory: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// dial connects to a server, with TLS by the files as they are now.
func (f files) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext(ctx, network, address)
	if err != nil || !f.tls {
		return conn, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	config, err := f.tlsConfig(host)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it may be closed already
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return secured, nil
}

// options are those of a client for one server. The library repeats nothing: see the package's documentation.
func (f files) options(address string) *goredis.Options {
	return &goredis.Options{
		Addr: address, Dialer: f.dial, CredentialsProviderContext: f.credentials,
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: noNotifications(),
		MaxRetries: -1, DialerRetries: 1, DialTimeout: opTimeout, MaxConcurrentDials: maxDials,
		ReadTimeout: opTimeout, WriteTimeout: opTimeout, ContextTimeoutEnabled: true,
		PoolSize: poolSize, PoolTimeout: opTimeout, ConnMaxIdleTime: maxIdleTime,
	}
}

func noNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}
