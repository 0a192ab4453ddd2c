package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// The files of a remote source in its directory; all may be missing.
const (
	tokenFile = "token"
	caFile    = "ca.crt"
	certFile  = "tls.crt"
	keyFile   = "tls.key"
)

const (
	// lookAgain is how often the files are looked at, if there are questions.
	lookAgain = time.Second
	// maxCredential bounds each of the files.
	maxCredential = 256 << 10
	// maxInFlight bounds the questions to one endpoint at a time.
	maxInFlight = 64
)

// remote is how another server is talked to: the connections, and the credentials from files. The files are looked at
// again before a question, once a second at most; a bad new content is refused and reported, and the old one stays.
type remote struct {
	dir   string
	names []string // of the files that count
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	looked  time.Time
	seen    []os.FileInfo
	current *peer
	refused error // of the files as seen last
}

// peer is one state of the credentials.
type peer struct {
	client *http.Client
	token  secret.Text
}

// use returns the client of today.
func (r *remote) use() (*peer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if elapsed := now.Sub(r.looked); !r.looked.IsZero() && elapsed >= 0 && elapsed < lookAgain {
		return r.current, r.refused
	}
	r.looked = now
	infos := make([]os.FileInfo, len(r.names))
	for i, name := range r.names {
		infos[i], _ = os.Stat(filepath.Join(r.dir, name)) // nil if it is not there
	}
	if r.seen != nil && sameFiles(r.seen, infos) {
		return r.current, r.refused
	}
	r.seen = infos
	next, err := r.read()
	if err != nil {
		r.log.Error("identity_credentials_refused", "dir", r.dir, "error", err.Error())
		if r.current == nil {
			r.refused = err
		}
		return r.current, r.refused
	}
	if r.current != nil {
		r.current.client.CloseIdleConnections()
	}
	r.current, r.refused = next, nil
	return next, nil
}

func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size()) {
			return false
		}
	}
	return true
}

// close gives the connections back that nothing uses any more.
func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.client.CloseIdleConnections()
	}
}

// read reads the files. No error quotes them.
func (r *remote) read() (*peer, error) {
	content := map[string][]byte{}
	for _, name := range r.names {
		raw, err := readSmall(filepath.Join(r.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		content[name] = raw
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca, given := content[caFile]; given {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
	}
	if content[certFile] != nil || content[keyFile] != nil {
		pair, err := tls.X509KeyPair(content[certFile], content[keyFile])
		if err != nil {
			return nil, fmt.Errorf("%s and %s are no pair in PEM form", certFile, keyFile)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	p := &peer{client: newClient(config)}
	if raw, given := content[tokenFile]; given {
		text := strings.TrimSpace(string(raw))
		if text == "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, fmt.Errorf("%s is not one word of printable ASCII", tokenFile)
		}
		p.token = secret.NewText(text)
	}
	return p, nil
}

func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	if err == nil && len(raw) > maxCredential {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Base(path), maxCredential)
	}
	return raw, err
}

// newClient never follows a redirect: a password or a bearer token would go to where an answer says.
func newClient(config *tls.Config) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    5 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           maxInFlight,
			MaxIdleConnsPerHost:    maxInFlight,
			MaxConnsPerHost:        2 * maxInFlight,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 32 << 10,
			DisableCompression:     true, // a small answer could be a large one
		},
	}
}

// isJSON tells whether the answer says that it is JSON.
func isJSON(response *http.Response) error {
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the answer's Content-Type is not application/json")
	}
	return nil
}

// readBody reads a bounded body.
func readBody(response *http.Response, most int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("the answer breaks off: %w", err)
	}
	if int64(len(raw)) > most {
		return nil, fmt.Errorf("the answer has more than %d bytes", most)
	}
	return raw, nil
}

// checkURL tells whether a URL may be asked: https, or http where the way does not leave the pod or the cluster. The
// names under .svc exist in a cluster's own DNS only.
func checkURL(text string, query bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return errors.New("is not a URL such as https://accounts.example.com/check") // the library's error quotes it
	}
	if u.User != nil || u.Fragment != "" || (!query && (u.RawQuery != "" || u.ForceQuery)) {
		return errors.New("must not have a user name, a password or a fragment, and that of an issuer no query: put credentials into files")
	}
	host := strings.ToLower(u.Hostname())
	inside := isLoopback(text) || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local")
	if u.Scheme != "https" && (u.Scheme != "http" || !inside) {
		return errors.New("must be https; http is for loopback hosts and Services of the cluster (NAME.NAMESPACE.svc) only")
	}
	return nil
}

// isLoopback tells whether the URL's host is this machine, or this pod.
func isLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	address := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || address != nil && address.IsLoopback()
}
