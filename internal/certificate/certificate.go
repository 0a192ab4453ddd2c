// Package certificate serves a TLS certificate from a directory, and the new one when its files change.
//
// Kubernetes renews a mounted Secret under the process. The files are looked at when a client connects, at most once a
// second. A pair that cannot be used, e.g. because one file of two was written, leaves the one before in use.
package certificate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The files of the directory, as in a Secret of type kubernetes.io/tls.
const (
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
)

// lookEvery is how often the files are looked at.
const lookEvery = time.Second

// Files is the certificate of a directory. Use [New] or [Open]; it is safe for concurrent use.
type Files struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu        sync.Mutex
	looked    time.Time
	cert, key []byte           // of pair
	pair      *tls.Certificate // in use
	err       error            // why the files last looked at were not taken
}

// New looks at nothing yet. now must carry a monotonic reading, as time.Now does.
func New(dir string, log *slog.Logger, now func() time.Time) *Files {
	return &Files{dir: dir, log: log, now: now}
}

// Open is [New] where the files must be good at once.
func Open(dir string, log *slog.Logger, now func() time.Time) (*Files, error) {
	f := New(dir, log, now)
	if _, err := f.Get(nil); err != nil {
		return nil, err
	}
	return f, nil
}

// Get returns the certificate in use, for [tls.Config.GetCertificate]. It fails only while there was never a good one.
func (f *Files) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); f.looked.IsZero() || now.Sub(f.looked) >= lookEvery {
		f.looked = now
		f.look()
	}
	if f.pair == nil {
		return nil, f.err
	}
	return f.pair, nil
}

func (f *Files) look() {
	pair, err := f.read()
	switch {
	case err != nil && (f.err == nil || f.err.Error() != err.Error()):
		f.log.Error("certificate_refused", "error", err.Error(), "previous_in_use", f.pair != nil)
	case err == nil && pair != f.pair:
		f.pair = pair
		f.log.Info("certificate_loaded", "subject", pair.Leaf.Subject.String(), "not_after", pair.Leaf.NotAfter)
	}
	f.err = err
}

// read returns the pair in the files: the one in use if they have not changed.
func (f *Files) read() (*tls.Certificate, error) {
	cert, err1 := os.ReadFile(filepath.Join(f.dir, CertFile))
	key, err2 := os.ReadFile(filepath.Join(f.dir, KeyFile))
	err := errors.Join(err1, err2)
	if err == nil && f.pair != nil && bytes.Equal(cert, f.cert) && bytes.Equal(key, f.key) {
		return f.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(cert, key)
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate in %s (%s and %s): %w", f.dir, CertFile, KeyFile, err)
	}
	f.cert, f.key = cert, key
	return &pair, nil
}
