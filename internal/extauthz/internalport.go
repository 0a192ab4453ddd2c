package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// Internal returns the server of the internal port: /livez, /readyz, /metrics, /status and /census.
func (a *Authorizer) Internal() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(a.Status()) // the reader is gone
	})
	mux.HandleFunc("GET /census", a.serveCensus)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: 2 * writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog(a.log),
	}
}

// refusalReason is the stable word of a refusal, as [snapshot.File] reports it.
func refusalReason(err error) string {
	var refused *snapshot.RefusedError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return "Incomplete"
}

// errorLog takes what net/http has to say about connections. It never holds a header.
func errorLog(to *slog.Logger) *log.Logger { return log.New(httpErrors{to}, "", 0) }

type httpErrors struct{ to *slog.Logger }

func (h httpErrors) Write(line []byte) (int, error) {
	h.to.LogAttrs(context.Background(), slog.LevelDebug, "http_connection", slog.String("error", string(line)))
	return len(line), nil
}
