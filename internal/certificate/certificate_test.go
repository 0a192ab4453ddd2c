package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/certificate"
	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

// issue makes a certificate and its key, as files.
func issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsRenewed(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1000, 0)
	var out bytes.Buffer
	log, clock := slog.New(slog.NewJSONHandler(&out, nil)), func() time.Time { return now }
	if _, err := certificate.Open(dir, log, clock); err == nil || !strings.Contains(err.Error(), certificate.CertFile) {
		t.Errorf("opened without files: %v", err)
	}
	files := certificate.New(dir, log, clock)
	if _, err := files.Get(nil); err == nil {
		t.Error("a certificate of nothing")
	}
	in := func(want string) {
		t.Helper()
		got, err := files.Get(nil)
		if err != nil || got.Leaf.Subject.CommonName != want {
			t.Fatalf("in use: %v, %v; want %s", got, err, want)
		}
	}
	cert, key := issue(t, "first")
	write(t, dir, certificate.CertFile, cert)
	write(t, dir, certificate.KeyFile, key)
	if _, err := files.Get(nil); err == nil {
		t.Error("the files are looked at more than once a second")
	}
	now = now.Add(time.Second)
	in("first")
	cert2, key2 := issue(t, "second")
	write(t, dir, certificate.CertFile, cert2)
	for range 3 {
		now = now.Add(time.Second)
		in("first") // the key is that of the first
	}
	write(t, dir, certificate.KeyFile, key2)
	in("first")
	now = now.Add(time.Second)
	in("second")
	write(t, dir, certificate.KeyFile, []byte("nonsense"))
	now = now.Add(time.Second)
	in("second")
	if err := os.Remove(filepath.Join(dir, certificate.KeyFile)); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	in("second")
	write(t, dir, certificate.KeyFile, key2)
	now = now.Add(time.Second)
	in("second")
	if n := strings.Count(out.String(), "certificate_loaded"); n != 2 {
		t.Errorf("%d certificates loaded, want 2", n)
	}
	if n := strings.Count(out.String(), `"previous_in_use":true`); n != 3 {
		t.Errorf("%d refusals, want one for each bad pair:\n%s", n, out.String())
	}
	if strings.Contains(out.String(), "BEGIN") || strings.Contains(out.String(), "nonsense") {
		t.Error("the log has what the files have")
	}
}

// A connection gets the certificate of the moment at which it was made.
func TestHandshakes(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1000, 0)
	cert, key := issue(t, "one.example")
	write(t, dir, certificate.CertFile, cert)
	write(t, dir, certificate.KeyFile, key)
	files, err := certificate.Open(dir, slog.New(slog.DiscardHandler), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	handshake := func(name string, roots []byte) error {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		here, there := net.Pipe()
		defer here.Close()  //nolint:errcheck // a test
		defer there.Close() //nolint:errcheck // a test
		go func() { _ = tls.Server(there, &tls.Config{GetCertificate: files.Get}).Handshake() }()
		return tls.Client(here, &tls.Config{RootCAs: pool, ServerName: name}).Handshake()
	}
	if err := handshake("one.example", cert); err != nil {
		t.Fatal(err)
	}
	cert2, key2 := issue(t, "two.example")
	write(t, dir, certificate.CertFile, cert2)
	write(t, dir, certificate.KeyFile, key2)
	now = now.Add(time.Second)
	if err := handshake("two.example", cert2); err != nil {
		t.Error(err)
	}
}
