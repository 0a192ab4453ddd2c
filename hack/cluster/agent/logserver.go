package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// LogClient is the common name of the client certificate that may read logs: the API server's.
const LogClient = "kube-apiserver-kubelet-client"

// LogPath is where the output of a container is kept, below the agent's directory.
func LogPath(dir, namespace, pod, container string) string {
	return filepath.Join(dir, "logs", namespace+"_"+pod+"_"+container+".log")
}

// serveLogs serves the part of the kubelet's API that `kubectl logs` needs. Of its options it knows
// follow, tailLines and limitBytes; the logs hold no times.
func (a *Agent) serveLogs(ctx context.Context) (stop func(), err error) {
	if a.opts.ServingCert == nil {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", a.containerLogs)
	l, err := net.Listen("tcp", net.JoinHostPort(a.opts.NodeAddress, strconv.Itoa(a.opts.NodePort)))
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*a.opts.ServingCert},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.opts.ClientCA,
		},
	}
	go func() { _ = s.ServeTLS(l, "", "") }()
	return func() { s.Close() }, nil
}

func (a *Agent) containerLogs(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != LogClient {
		http.Error(w, "only the API server may read logs here", http.StatusForbidden)
		return
	}
	namespace, pod, container := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	if !filepath.IsLocal(namespace + "_" + pod + "_" + container) {
		http.Error(w, "not a pod's name", http.StatusBadRequest)
		return
	}
	f, err := os.Open(LogPath(a.opts.Dir, namespace, pod, container))
	if err != nil {
		http.Error(w, fmt.Sprintf("there is no log of %s/%s %s", namespace, pod, container), http.StatusNotFound)
		return
	}
	defer f.Close()
	q := r.URL.Query()
	if n, err := strconv.Atoi(q.Get("tailLines")); err == nil {
		if err := seekTail(f, n); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	var from io.Reader = f
	if n, err := strconv.ParseInt(q.Get("limitBytes"), 10, 64); err == nil {
		from = io.LimitReader(f, n)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.Copy(w, from)
	if q.Get("follow") != "true" {
		return
	}
	flusher := http.NewResponseController(w)
	for {
		_ = flusher.Flush()
		alive := a.find(namespace, pod) != nil
		if !pause(r.Context(), 100*time.Millisecond) {
			return
		}
		n, err := io.Copy(w, from)
		if err != nil || n == 0 && !alive {
			return
		}
	}
}

// seekTail moves to the beginning of the last n lines.
func seekTail(f *os.File, n int) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for pos, lines := end, 0; pos > 0; {
		size := min(int64(len(buf)), pos)
		pos -= size
		if _, err := f.ReadAt(buf[:size], pos); err != nil {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if buf[i] != '\n' || pos+i == end-1 {
				continue
			}
			if lines++; lines == n {
				_, err := f.Seek(pos+i+1, io.SeekStart)
				return err
			}
		}
	}
	if n <= 0 {
		return nil
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}
