package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes a certificate for loopback into dir and returns it.
func certify(t *testing.T, dir string, serial int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"auth.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"tls.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}

// The public port speaks TLS, and takes a renewed certificate without a restart.
func TestTLS(t *testing.T) {
	dir, certs := household(t), t.TempDir()
	first := certify(t, certs, 1)
	p := spawn(t, dir, "ts-0", "--data-dir", filepath.Join(dir, "data"), "--tls-dir", certs)
	p.until("ready", p.ready)
	get := func(roots []byte) (string, error) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "auth.example.com"}, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get("https://" + p.public + "/.well-known/jwks.json")
		if err != nil {
			return "", err
		}
		defer response.Body.Close() //nolint:errcheck // only read
		raw, err := io.ReadAll(response.Body)
		return string(raw), err
	}
	if body, err := get(first); err != nil || !strings.Contains(body, `"keys"`) {
		t.Fatalf("%q, %v", body, err)
	}
	if code, body := p.get(p.public, "/.well-known/jwks.json"); code != http.StatusBadRequest {
		t.Errorf("clear text on the port that speaks TLS: %d %q", code, body)
	}
	second := certify(t, certs, 2)
	p.until("the renewed certificate", func() bool { _, err := get(second); return err == nil })
	if _, err := get(first); err == nil {
		t.Error("the certificate before is still in use")
	}
}

func TestFlagsThatCannotWork(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--store", "mysql://root:hunter2@db/x"}, "--store: it must be"},
		{[]string{"--store", "redis://user:hunter2@db/0"}, "--store: "},
		{[]string{"--store", "postgres://user:hunter2@db/x"}, "--store: "},
		{[]string{"--store", "hunter2"}, "--store: it must be"},
		{[]string{"--tls-dir", t.TempDir()}, "--tls-dir: the certificate in"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := command()
		var out logLines
		cmd.SetErr(&out)
		cmd.SetOut(&out)
		cmd.SetArgs(append(c.args, "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--feed-listen", "127.0.0.1:0"))
		err := cmd.ExecuteContext(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
			continue
		}
		if all := err.Error() + out.text(); strings.Contains(all, "hunter2") {
			t.Errorf("a password is shown: %s", all)
		}
	}
}
