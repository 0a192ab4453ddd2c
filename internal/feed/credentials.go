package feed

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/certificate"
	"github.com/keyturn/keyturn/internal/secret"
)

// The files of a credentials directory.
const (
	certFile  = certificate.CertFile
	keyFile   = certificate.KeyFile
	caFile    = "ca.crt"
	tokenFile = "token"
)

// How often the token file is read, and how long the token before is accepted after a change: the two sides see a new
// one at different times.
const (
	tokenReadEvery = time.Second
	tokenGrace     = 10 * time.Minute
)

// minToken is the shortest bearer secret that is taken.
const minToken = 16

func readToken(dir string) (secret.Bytes, error) {
	raw, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("feed secret: %w", err)
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) < minToken {
		return secret.Bytes{}, fmt.Errorf("feed secret: the file %s must hold at least %d characters", tokenFile, minToken)
	}
	return secret.New(raw), nil
}

// tokens are the bearer secrets that a server accepts.
type tokens struct {
	dir string
	now func() time.Time

	mu            sync.Mutex
	read          time.Time
	current       secret.Bytes
	previous      secret.Bytes
	previousUntil time.Time
}

// accept compares in constant time. With no readable token nothing is accepted.
func (t *tokens) accept(presented secret.Bytes) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.read.IsZero() || now.Sub(t.read) >= tokenReadEvery {
		t.read = now
		if fresh, err := readToken(t.dir); err == nil && !fresh.Equal(t.current) {
			t.previous, t.previousUntil, t.current = t.current, now.Add(tokenGrace), fresh
		}
	}
	if presented.Empty() || t.current.Empty() {
		return false
	}
	return t.current.Equal(presented) || !t.previous.Empty() && now.Before(t.previousUntil) && t.previous.Equal(presented)
}

// serverTLS serves the certificate of dir, and the new one when its files change.
func serverTLS(dir string, log *slog.Logger, now func() time.Time) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: certificate.New(dir, log, now).Get}
}

// clientTLS trusts the one CA of the directory and nothing else.
func clientTLS(dir, serverName string) (*tls.Config, error) {
	pem, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("feed CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("feed CA: the file %s holds no certificate", caFile)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: serverName}, nil
}

// ErrNotLoopback is returned for clear text on an address that others can reach.
var ErrNotLoopback = errors.New("without a directory of credentials the feed speaks clear text, and only on loopback addresses: set --feed-dir")

func checkLoopback(address net.Addr) error {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return nil
	}
	return ErrNotLoopback
}

// dialLoopback resolves and refuses any other address.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := checkLoopback(conn.RemoteAddr()); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
