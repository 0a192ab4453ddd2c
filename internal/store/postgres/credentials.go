package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/secret"
)

// credentials are what the store's directory holds at this moment.
type credentials struct {
	user     string
	password secret.Text
	roots    *x509.CertPool // nil: the system's
	pair     []tls.Certificate
}

// readCredentials reads the directory; an empty name is one without files.
func readCredentials(dir string) (credentials, error) {
	c := credentials{user: defaultUser}
	if dir == "" {
		return c, nil
	}
	files := map[string][]byte{}
	for _, name := range []string{"username", "password", "ca.crt", "tls.crt", "tls.key"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return credentials{}, fmt.Errorf("the store's directory: %w", err)
		}
		if len(text) > 0 {
			files[name] = text
		}
	}
	if user := line(files["username"]); user != "" {
		c.user = user
	}
	c.password = secret.NewText(line(files["password"]))
	if ca := files["ca.crt"]; ca != nil {
		c.roots = x509.NewCertPool()
		if !c.roots.AppendCertsFromPEM(ca) {
			return credentials{}, errors.New("the store's ca.crt holds no certificate: it must be PEM")
		}
	}
	if files["tls.crt"] != nil || files["tls.key"] != nil {
		pair, err := tls.X509KeyPair(files["tls.crt"], files["tls.key"])
		if err != nil {
			return credentials{}, errors.New("the store's tls.crt and tls.key do not go together: both must be PEM, of one key")
		}
		c.pair = []tls.Certificate{pair}
	}
	return c, nil
}

// line is a file's content without the line end that editors add.
func line(text []byte) string { return strings.TrimRight(string(text), "\r\n") }

// fill puts the credentials into the configuration of one connection.
func (c credentials) fill(config *pgx.ConnConfig, sslmode string) {
	config.User, config.Password = c.user, c.password.Reveal()
	config.TLSConfig = c.tls(sslmode, config.Host)
	for _, other := range config.Fallbacks {
		other.TLSConfig = c.tls(sslmode, other.Host)
	}
	if sslmode == "disable" || sslmode == "require" {
		config.RequireAuth = "!password" // nobody who poses as the server is told the password
	}
}

// tls is the configuration for one host; nil means clear text.
func (c credentials) tls(sslmode, host string) *tls.Config {
	if sslmode == "disable" {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots, Certificates: c.pair, ServerName: host}
	if net.ParseIP(host) == nil {
		config.ServerName = strings.TrimSuffix(host, ".")
	}
	if sslmode == "verify-full" {
		return config
	}
	config.InsecureSkipVerify = true //nolint:gosec // what the mode asks for; the chain is checked below
	if sslmode == "verify-ca" || c.roots != nil {
		roots := c.roots
		config.VerifyConnection = func(state tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, cert := range state.PeerCertificates[1:] {
				intermediates.AddCert(cert)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
			return err
		}
	}
	return config
}
