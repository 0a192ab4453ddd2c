package redis

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/store"
)

// permissions are all that the store needs; docs tell people to give no more.
const permissions = "+@read +@write +@connection -@dangerous +eval +evalsha +info +config|get +wait +time +publish +subscribe +unsubscribe +ping"

// certificates writes ca.crt, tls.crt and tls.key for 127.0.0.1.
func certificates(t *testing.T, dir string) {
	t.Helper()
	write := func(name, kind string, der []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := func() *ecdsa.PrivateKey {
		t.Helper()
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(cert, parent *x509.Certificate, of, by *ecdsa.PrivateKey) []byte {
		t.Helper()
		der, err := x509.CreateCertificate(rand.Reader, cert, parent, of.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, leafKey := key(), key()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test ca"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	write("ca.crt", "CERTIFICATE", sign(ca, ca, caKey, caKey))
	write("tls.crt", "CERTIFICATE", sign(leaf, ca, leafKey, caKey))
	der, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	write("tls.key", "EC PRIVATE KEY", der)
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TLS with a client certificate, and a user who may do only what the store needs.
func TestTLSAndUser(t *testing.T) {
	dir := t.TempDir()
	certificates(t, dir)
	put(t, dir, "username", "keyturn\n")
	put(t, dir, "password", "hunter2\n")
	server, err := program(t).Start(t.Context(), t.TempDir(), redis.Options{
		TLS: dir, ClientCertificates: true,
		Directives: append([]string{"user default off", "user keyturn on >hunter2 ~{test*}:* &{test*}:* " + permissions}, redis.Durable...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	config := at(server)
	config.TLS, config.Dir = true, dir
	conform(t, config)

	t.Run("another authority", func(t *testing.T) {
		c := config
		c.Dir = t.TempDir()
		certificates(t, c.Dir)
		unusable(t, c, "certificate")
	})
	t.Run("no client certificate", func(t *testing.T) {
		c := config
		c.Dir = t.TempDir()
		if err := os.CopyFS(c.Dir, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(c.Dir, "tls.crt")); err != nil {
			t.Fatal(err)
		}
		unusable(t, c, "")
	})
	t.Run("another prefix", func(t *testing.T) {
		c := config
		c.Prefix = "foreign"
		unusable(t, c, "does not allow")
	})
}

// unusable checks that a store says why it is not.
func unusable(t *testing.T, config Config, says string) {
	t.Helper()
	s := start(t, config)
	eventually(t, "the reason is told", func() error {
		if reason := s.Reason(); !strings.Contains(reason, says) || reason == "not connected yet" || reason == "" {
			return fmt.Errorf("reason %q, want %q", reason, says)
		}
		return nil
	})
	if _, err := s.Last(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("an operation: %v", err)
	}
}

// locked is a buffer for a log that several goroutines write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A password that is changed at the server and in the file counts for the next connection; it is never told.
func TestPasswordRotates(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "password", "old-hunter2")
	server := durable(t, "requirepass old-hunter2")
	config := at(server)
	var log locked
	config.Dir, config.Log = dir, slog.New(slog.NewJSONHandler(&log, nil))
	s := open(t, config)
	created := login(t, s, "alice")
	admin := open(t, config)
	client, err := admin.nodes.primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(t.Context(), "requirepass", "new-hunter2").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no").Err(); err != nil {
		t.Log(err) // it may hit the connection that asks
	}
	eventually(t, "the old password is refused", func() error {
		_, err := refresh(t, s, created.Token)
		if err == nil || !strings.Contains(err.Error(), "password") {
			return errors.Join(errors.New("the error says nothing of a password"), err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Fatal("an error has the password")
		}
		if !strings.Contains(s.Reason(), "password") {
			return fmt.Errorf("reason %q", s.Reason())
		}
		return nil
	})
	put(t, dir, "password", "new-hunter2")
	recovered(t, s, created.Token)
	usable(t, s)
	if text := log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "store_unusable") {
		t.Errorf("the log: %s", text)
	}
}
