package tokenhttp

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are what /metrics shows. No label takes a value that a client chooses.
type metrics struct {
	registry    *prometheus.Registry
	now         func() time.Time
	logins      *prometheus.CounterVec
	refreshes   *prometheus.CounterVec
	logouts     *prometheus.CounterVec
	oauth       *prometheus.CounterVec
	exchanges   *prometheus.CounterVec
	legacy      *prometheus.CounterVec
	evicted     prometheus.Counter
	panics      prometheus.Counter
	propagation prometheus.Histogram
	store       *prometheus.HistogramVec
	storeErrors *prometheus.CounterVec
	// reachable is whether the last store operation worked.
	reachable atomic.Bool
	// reached is whether any ever did.
	reached atomic.Bool
}

func newMetrics(s *Service) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
	}
	m := &metrics{
		registry:    prometheus.NewRegistry(),
		now:         s.Now,
		logins:      counter("keyturn_logins_total", "Logins by result."),
		refreshes:   counter("keyturn_refreshes_total", "Refreshes by result."),
		logouts:     counter("keyturn_logouts_total", "Logouts by result."),
		oauth:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keyturn_oauth_requests_total", Help: "Requests of /auth/token, /auth/revoke and /auth/introspect by result."}, []string{"endpoint", "result"}),
		exchanges:   counter("keyturn_session_exchanges_total", "Requests of /auth/session/exchange by result."),
		legacy:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keyturn_legacy_sessions_total", Help: "Questions to the application that has the legacy sessions, by result."}, []string{"operation", "result"}),
		evicted:     prometheus.NewCounter(prometheus.CounterOpts{Name: "keyturn_families_evicted_total", Help: "Sessions ended because their user logged in too often."}),
		panics:      prometheus.NewCounter(prometheus.CounterOpts{Name: "keyturn_panics_total", Help: "Requests that ended in a panic."}),
		propagation: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "keyturn_logout_propagation_seconds", Help: "How long logouts waited for the edges.", Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 2, 5, 10, 30}}),
		store:       prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "keyturn_store_seconds", Help: "Store operations.", Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5}}, []string{"operation"}),
		storeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keyturn_store_errors_total", Help: "Store operations that failed."}, []string{"operation"}),
	}
	m.begin()
	m.registry.MustRegister(m.logins, m.refreshes, m.logouts, m.oauth, m.exchanges, m.legacy, m.evicted, m.panics, m.propagation, m.store, m.storeErrors, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("keyturn_hash_queue", "Logins that wait for a hash slot.", func() float64 { return float64(s.Hasher.Waiting()) }),
		gauge("keyturn_hash_running", "Password hashes being computed.", func() float64 { return float64(s.Hasher.Running()) }),
		gauge("keyturn_edge_leases", "Edges that hold a lease.", func() float64 { return float64(s.Edges.Leased()) }),
		gauge("keyturn_snapshot_revision", "Revision of the document in force, 0 for none.", func() float64 { return ofDocument(s, func(d *Document) int64 { return d.Revision }) }),
		gauge("keyturn_snapshot_epoch", "Epoch of the key set in force, 0 for none.", func() float64 { return ofDocument(s, func(d *Document) int64 { return d.Keys.Epoch }) }),
		gauge("keyturn_snapshot_refused", "1 if the newest document was not taken.", func() float64 { return boolean(s.Refused() != nil) }),
		gauge("keyturn_store_reachable", "1 if the last store operation worked.", func() float64 { return boolean(m.reachable.Load()) }))
	return m
}

// begin shows every counter from zero on: one that begins at its first event hides that event from rate().
func (m *metrics) begin() {
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.logins:      {"ok", "session", "denied", "rate_limited", "account_limited", "cross_site", "invalid", "busy", "cancelled", "unavailable", "not_ready", "error"},
		m.refreshes:   {"rotated", "session", "pair", "conflict", "raced", "retried", "late", "replayed", "expired", "revoked", "unknown", "absent", "denied", "sunset", "rate_limited", "cross_site", "invalid", "busy", "cancelled", "unavailable", "not_ready", "error"},
		m.logouts:     {"ok", "not_propagated", "unknown", "conflict", "cross_site", "invalid", "unavailable", "not_ready"},
		m.exchanges:   {"pair", "session", "denied", "sunset", "absent", "conflict", "rate_limited", "cross_site", "invalid", "unavailable", "not_ready", "error"},
		m.storeErrors: {"create", "inspect", "rotate", "revoke", "append", "last", "take", "refund", "acquaint", "acquainted"},
	} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
	for _, operation := range []string{"validate", "issue", "extend", "revoke"} {
		for _, result := range []string{"ok", "none", "invalid", "unavailable", "cancelled"} {
			m.legacy.WithLabelValues(operation, result)
		}
	}
	for endpoint, values := range map[string][]string{
		"token":      {"ok", "rotated", "raced", "retried", "late", "replayed", "expired", "revoked", "unknown", "denied", "rate_limited", "cross_site", "invalid", "busy", "cancelled", "unavailable", "not_ready", "error"},
		"revoke":     {"ok", "not_propagated", "unknown", "denied", "rate_limited", "cross_site", "invalid", "unavailable", "not_ready"},
		"introspect": {"active", "inactive", "denied", "rate_limited", "cross_site", "invalid", "unavailable", "not_ready"},
	} {
		for _, value := range values {
			m.oauth.WithLabelValues(endpoint, value)
		}
	}
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

func ofDocument(s *Service, value func(*Document) int64) float64 {
	if d := s.Document(); d != nil {
		return float64(value(d))
	}
	return 0
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
