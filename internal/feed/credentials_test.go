package feed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

func TestTLS(t *testing.T) {
	serverDir, clientDir, foreign := t.TempDir(), t.TempDir(), t.TempDir()
	certify(t, serverDir, clientDir)
	certify(t, t.TempDir(), foreign)
	const token = "0123456789abcdef-token"
	write(t, token, filepath.Join(serverDir, tokenFile), filepath.Join(clientDir, tokenFile), filepath.Join(foreign, tokenFile))
	r := newRig(t, serverDir)
	r.log.append("one")
	good, _ := r.client("good", clientDir, nil)
	stranger, _ := r.client("stranger", foreign, nil)
	wrongDir := t.TempDir()
	copyFile(t, clientDir, wrongDir, caFile)
	write(t, "fedcba9876543210-wrong", filepath.Join(wrongDir, tokenFile))
	wrong, _ := r.client("wrong", wrongDir, nil)
	plain, _ := r.client("plain", "", nil)
	until(t, "loaded over TLS", func() bool { return good.Status().Loaded })
	for _, path := range []string{StreamPath, LeasePath, SessionPath, "/"} {
		for name, header := range map[string]string{"none": "", "wrong": "Bearer fedcba9876543210-wrong", "empty": "Bearer ", "prefix": "Bearer " + token[:20], "scheme": token} {
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest(http.MethodGet, path, nil)
			if header != "" {
				request.Header.Set("Authorization", header)
			}
			NewServer(ServerConfig{Source: r.log, Leases: r.leases, Dir: serverDir, Logger: quiet(), Now: time.Now}).Handler().ServeHTTP(recorder, request)
			if recorder.Code != http.StatusUnauthorized {
				t.Errorf("%s with %s secret: %d", path, name, recorder.Code)
			}
		}
	}
	if n := r.leases.Leased(); n != 1 {
		t.Errorf("%d leases, want that of the good edge only", n)
	}
	for name, c := range map[string]*Client{"another CA": stranger, "a wrong secret": wrong, "clear text": plain} {
		if s := c.Status(); s.Loaded || s.Applied != 0 {
			t.Errorf("an edge with %s got in: %+v", name, s)
		}
	}
	// The secret changes at the server first; an edge that still has the old one goes on.
	write(t, "a-new-secret-0123456789", filepath.Join(serverDir, tokenFile))
	number := r.log.append("two")
	until(t, "the entry after the change", func() bool { return good.Status().Applied == number })
	write(t, "a-new-secret-0123456789", filepath.Join(clientDir, tokenFile), filepath.Join(wrongDir, tokenFile))
	until(t, "the once wrong edge with the new secret", func() bool { return wrong.Status().Loaded })
}

func TestOldSecretEnds(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	tokens := &tokens{dir: dir, now: func() time.Time { return now }}
	accept := func(s string) bool { return tokens.accept(secret.New([]byte(s))) }
	if accept("") || accept("anything-at-all-xx") {
		t.Error("accepts without a secret file")
	}
	now = now.Add(time.Minute)
	write(t, "first-secret-0123456\n", filepath.Join(dir, tokenFile))
	if !accept("first-secret-0123456") {
		t.Error("the secret is refused")
	}
	write(t, "second-secret-0123456", filepath.Join(dir, tokenFile))
	now = now.Add(tokenReadEvery)
	if !accept("second-secret-0123456") || !accept("first-secret-0123456") {
		t.Error("after the change both must do")
	}
	now = now.Add(tokenGrace)
	if !accept("second-secret-0123456") || accept("first-secret-0123456") {
		t.Error("after the grace only the new one must do")
	}
	write(t, "short", filepath.Join(dir, tokenFile))
	now = now.Add(tokenReadEvery)
	if accept("short") || !accept("second-secret-0123456") {
		t.Error("a short secret must not be taken")
	}
}

func TestClearTextOnlyOnLoopback(t *testing.T) {
	server := NewServer(ServerConfig{Source: &memory{}, Leases: NewLeases(func() time.Duration { return time.Second }, time.Now), Logger: quiet(), Now: time.Now})
	if err := server.Serve(t.Context(), everywhere{}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("Serve on every address: %v", err)
	}
	if err := checkLoopback(&net.TCPAddr{IP: net.IPv6loopback}); err != nil {
		t.Error(err)
	}
}

type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

func certify(t *testing.T, serverDir, clientDir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "feed"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, cert, filepath.Join(serverDir, certFile), filepath.Join(clientDir, caFile))
	write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), filepath.Join(serverDir, keyFile))
}

func write(t *testing.T, content string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, from, to, name string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, string(raw), filepath.Join(to, name))
}
