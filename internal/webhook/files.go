package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// The files of a directory with credentials; all may be missing.
const (
	// TokenFile is a bearer token: one word of printable ASCII.
	TokenFile = "token"
	// CAFile has the only authorities that are believed; without it the system's are.
	CAFile = "ca.crt"
	// CertFile and KeyFile are shown to the server.
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
)

const (
	// lookAgain is how often the files are looked at, if there are questions.
	lookAgain = time.Second
	// maxCredential bounds each of the files.
	maxCredential = 256 << 10
)

// Files are the credentials for a server in a directory. They are looked at again before a question, once a second at
// most; a bad new content is refused and reported, and the old one stays. Use [NewFiles]; safe for concurrent use.
type Files struct {
	dir   string
	names []string // of the files that count
	log   *slog.Logger
	event string
	now   func() time.Time

	mu      sync.Mutex
	looked  time.Time
	seen    []os.FileInfo
	current *Peer
	refused error // of the files as seen last
}

// Peer is one state of the credentials. It does not change.
type Peer struct {
	// Client asks by HTTP, with Token as the caller likes; it follows no redirect.
	Client *http.Client
	// Token is the content of [TokenFile]; empty if it is not there.
	Token secret.Text
	// TLS is for other protocols; clone it before a change.
	TLS *tls.Config

	texts map[string]secret.Text
}

// Text is a file's content without the line end; empty if it is not there or does not count.
func (p *Peer) Text(name string) secret.Text { return p.texts[name] }

// NewFiles reads nothing before the first use. names are the files that count. A refused content is logged as event.
func NewFiles(dir string, names []string, log *slog.Logger, event string, now func() time.Time) *Files {
	return &Files{dir: dir, names: names, log: log, event: event, now: now}
}

// Fixed are no files at all: every question goes through client.
func Fixed(client *http.Client) *Files {
	return &Files{log: slog.New(slog.DiscardHandler), now: time.Now, seen: []os.FileInfo{}, current: &Peer{Client: client}}
}

// Use returns the credentials of today. It fails only while there were never good ones; no error quotes a file.
func (f *Files) Use() (*Peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if elapsed := now.Sub(f.looked); !f.looked.IsZero() && elapsed >= 0 && elapsed < lookAgain {
		return f.current, f.refused
	}
	f.looked = now
	infos := make([]os.FileInfo, len(f.names))
	for i, name := range f.names {
		infos[i], _ = os.Stat(filepath.Join(f.dir, name)) // nil if it is not there
	}
	if f.seen != nil && sameFiles(f.seen, infos) {
		return f.current, f.refused
	}
	f.seen = infos
	next, err := f.read()
	if err != nil {
		f.log.Error(f.event, "dir", f.dir, "error", err.Error())
		if f.current == nil {
			f.refused = err
		}
		return f.current, f.refused
	}
	if f.current != nil {
		f.current.Client.CloseIdleConnections()
	}
	f.current, f.refused = next, nil
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

// Close gives the connections back that nothing uses any more.
func (f *Files) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		f.current.Client.CloseIdleConnections()
	}
}

// read reads the files. No error quotes them.
func (f *Files) read() (*Peer, error) {
	content := map[string][]byte{}
	texts := map[string]secret.Text{}
	for _, name := range f.names {
		raw, err := readSmall(filepath.Join(f.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		content[name] = raw
		texts[name] = secret.NewText(strings.TrimRight(string(raw), "\r\n"))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca, given := content[CAFile]; given {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", CAFile)
		}
	}
	if content[CertFile] != nil || content[KeyFile] != nil {
		pair, err := tls.X509KeyPair(content[CertFile], content[KeyFile])
		if err != nil {
			return nil, fmt.Errorf("%s and %s are no pair in PEM form", CertFile, KeyFile)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	p := &Peer{Client: newClient(config.Clone()), TLS: config, texts: texts}
	if raw, given := content[TokenFile]; given {
		text := strings.TrimSpace(string(raw))
		if text == "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, fmt.Errorf("%s is not one word of printable ASCII", TokenFile)
		}
		p.Token = secret.NewText(text)
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
			MaxIdleConns:           MaxInFlight,
			MaxIdleConnsPerHost:    MaxInFlight,
			MaxConnsPerHost:        2 * MaxInFlight,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 32 << 10,
			DisableCompression:     true, // a small answer could be a large one
		},
	}
}
