package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/keyturn/keyturn/internal/certificate"
)

// drain goes on serving for a moment, in which the proxies learn that this replica is not ready, and then waits for
// the requests under way. Logouts among them still need the feed.
func drain(public, internal *http.Server, grace time.Duration) {
	moment := grace / 10
	<-time.After(moment)
	ctx, cancel := context.WithTimeout(context.Background(), grace-2*moment)
	defer cancel()
	for _, server := range []*http.Server{public, internal} {
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
}

// encrypt makes a server speak TLS with the certificate in dir; without one it speaks clear text.
func encrypt(server *http.Server, dir string, log *slog.Logger) error {
	if dir == "" {
		return nil
	}
	files, err := certificate.Open(dir, log, time.Now)
	if err != nil {
		return fmt.Errorf("--tls-dir: %w", err)
	}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.Get}
	return nil
}

func serve(server *http.Server, listener net.Listener) error {
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listenAll opens every address or none.
func listenAll(addresses ...string) ([]net.Listener, error) {
	var all []net.Listener
	for _, address := range addresses {
		listener, err := net.Listen("tcp", bindAddress(address))
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		all = append(all, listener)
	}
	return all, nil
}

// bindAddress puts KEYTURN_BIND_ADDRESS in front of an address that has no host.
func bindAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if bind := os.Getenv("KEYTURN_BIND_ADDRESS"); err == nil && host == "" && bind != "" {
		return net.JoinHostPort(bind, port)
	}
	return address
}
