package tokenhttp

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// drain is whether the process is about to end.
type drain struct{ on atomic.Bool }

// Drain makes /readyz fail from now on, so that no new connections come. Requests are still served.
func (s *Service) Drain() { s.draining.on.Store(true) }

// storeProbe bounds the question whether the store answers.
const storeProbe = 2 * time.Second

// Internal is the handler of the private port: /livez, /readyz, /metrics, /status.
func (s *Service) Internal() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if reason := s.notReady(r.Context()); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(s.Status(r.Context()))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

// notReady says why the replica must get no traffic; empty if it may.
func (s *Service) notReady(ctx context.Context) string {
	if s.draining.on.Load() {
		return "draining"
	}
	if s.Document() == nil {
		if r := s.Refused(); r != nil {
			return "no snapshot in force: " + r.Reason
		}
		return "no snapshot in force"
	}
	// Only at first. A store that goes down goes down for every replica: were none ready, the public keys could not be had,
	// and clients would get the proxy's error instead of a 503 that says what is the matter.
	if s.metrics.reached.Load() {
		return ""
	}
	if reason := s.probe(ctx); reason != "" {
		return "the session store does not answer: " + reason
	}
	return ""
}

// probe asks the store something small and says why it does not answer; empty if it does.
func (s *Service) probe(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, storeProbe)
	defer cancel()
	_, err := s.Sessions.Last(ctx)
	if err == nil {
		return ""
	}
	if s.StoreReason != nil {
		if reason := s.StoreReason(); reason != "" {
			return reason // it knows how to mend it
		}
	}
	return err.Error()
}

// Status is what the replica acknowledges.
func (s *Service) Status(ctx context.Context) snapshot.Status {
	now := s.Now()
	status := snapshot.Status{
		Role: "issuer", Instance: s.Instance, Clock: now, Refused: s.Refused(),
		StoreReason: s.probe(ctx), UntrustedPeer: s.strangers.report(now), KIDs: []string{},
	}
	status.StoreReachable = status.StoreReason == ""
	if d := s.Document(); d != nil {
		status.TokenService, status.Revision = d.TokenService, d.Revision
		status.KeySet, status.Epoch = d.Keys.Name, d.Keys.Epoch
		status.ActiveKID, status.KIDs, status.Keys = d.Keys.Active, d.kids, d.Keys.Reported()
		status.Revoked = s.recorded.all(d)
		status.Rollout = s.counter.Status(d.steer, now)
	}
	// After the document: whoever sees the new key here sees every expiry of the old one that was noted before.
	status.LatestExpiry, status.LiveTokens = s.ledger.all(), s.ledger.live(now)
	return status
}
