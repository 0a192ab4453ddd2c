package extauthz

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/tokencache"
)

// metrics are the edge's figures. Every label has a small fixed set of values; none comes from a client.
type metrics struct {
	registry       *prometheus.Registry
	decisions      *prometheus.CounterVec
	latency        *prometheus.HistogramVec
	staleDecisions prometheus.Counter
	refused        *prometheus.CounterVec
	questions      *prometheus.CounterVec
	byToken        prometheus.Counter
	bySession      prometheus.Counter

	// known are the figures of the decisions that there were: to find them by their labels costs more than to count. learning
	// is held by who adds to them.
	known    atomic.Pointer[map[decisionKind]decisionFigures]
	learning sync.Mutex
}

// decisionKind is what the labels of a decision are made of.
type decisionKind struct {
	protocol string
	allow    bool
	reason   policy.Reason
}

type decisionFigures struct {
	count prometheus.Counter
	took  prometheus.Observer
}

func newMetrics(registry *prometheus.Registry) *metrics {
	if registry == nil {
		registry = prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	m := &metrics{
		registry: registry,
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_decisions_total", Help: "Decisions by result (allow, deny) and reason.",
		}, []string{"protocol", "result", "reason"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keyturn_check_duration_seconds", Help: "Time from the read question to the decision.",
			Buckets: []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .2, .5, 2},
		}, []string{"protocol"}),
		staleDecisions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyturn_stale_decisions_total", Help: "Decisions made with revocations out of date, under AllowUntilExpiry.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_snapshots_refused_total", Help: "Documents that were not taken, by reason.",
		}, []string{"reason"}),
	}
	m.questions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_session_questions_total", Help: "Questions to the token service about legacy sessions, by what came of them.",
	}, []string{"result"})
	authorized := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_authorized_total", Help: "Allowed requests by the credential that authorized them.",
	}, []string{"credential"})
	m.byToken, m.bySession = authorized.WithLabelValues(string(policy.MethodJWT)), authorized.WithLabelValues(string(policy.MethodSession))
	for _, result := range []string{"valid", "invalid", "unavailable", "busy"} {
		m.questions.WithLabelValues(result)
	}
	// A counter that begins at its first event hides that event from rate().
	for _, reason := range []string{"Undecodable", "WrongFormat", "EpochFell", "KeyMismatch", "Incomplete", "WrongTokenService"} {
		m.refused.WithLabelValues(reason)
	}
	registry.MustRegister(m.decisions, m.latency, m.staleDecisions, m.refused, m.questions, authorized)
	return m
}

// watch adds the figures that are read when they are asked for.
func (m *metrics) watch(a *Authorizer) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	ofEdge := func(read func(*Edge) int64) func() float64 {
		return func() float64 {
			if edge := a.edges.Load(); edge != nil {
				return float64(read(edge))
			}
			return 0
		}
	}
	gauge("keyturn_snapshot_revision", "Revision of the document in force; 0 while there is none.", ofEdge(func(e *Edge) int64 { return e.header.Revision }))
	gauge("keyturn_snapshot_epoch", "Epoch of the key set in force; 0 while there is none.", ofEdge(func(e *Edge) int64 { return e.epoch }))
	gauge("keyturn_snapshot_refused", "1 while the newest document is one that was not taken.", func() float64 { return boolean(a.edges.Refused() != nil) })
	gauge("keyturn_revocations_applied", "Number of the newest revocation applied.", func() float64 { return float64(a.revocations.Status().Applied) })
	gauge("keyturn_revocations_loaded", "1 once the complete list of revocations was loaded.", func() float64 { return boolean(a.revocations.Status().Loaded) })
	gauge("keyturn_revocations_stale", "1 while the revocations are out of date.", func() float64 { return boolean(a.revocations.Status().Stale) })
	gauge("keyturn_ready", "1 while the replica is ready.", func() float64 { return boolean(a.Ready() == nil) })
	tokens := func(read func(tokencache.Stats) int64) func() float64 {
		return ofEdge(func(e *Edge) int64 { return read(e.tokens.Stats()) })
	}
	counter := func(name, help, result string, read func(tokencache.Stats) int64) {
		var labels prometheus.Labels
		if result != "" {
			labels = prometheus.Labels{"result": result}
		}
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, tokens(read)))
	}
	const questions = "keyturn_token_cache_total"
	counter(questions, "Tokens looked up in the cache of those found valid.", "hit", func(s tokencache.Stats) int64 { return int64(s.Hits) })                          //nolint:gosec // a count
	counter(questions, "Tokens looked up in the cache of those found valid.", "miss", func(s tokencache.Stats) int64 { return int64(s.Misses) })                       //nolint:gosec // a count
	counter("keyturn_token_cache_evicted_total", "Valid tokens that were forgotten for want of room.", "", func(s tokencache.Stats) int64 { return int64(s.Evicted) }) //nolint:gosec // a count
	gauge("keyturn_token_cache_entries", "Tokens in the cache.", tokens(func(s tokencache.Stats) int64 { return s.Entries }))
	gauge("keyturn_token_cache_bytes", "Memory of the cache.", tokens(func(s tokencache.Stats) int64 { return s.Bytes }))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *metrics) decided(protocol string, d policy.Decision, took time.Duration) {
	if d.Allow {
		switch d.Method {
		case policy.MethodSession:
			m.bySession.Inc()
		case policy.MethodJWT:
			m.byToken.Inc()
		}
	}
	figures := m.of(decisionKind{protocol, d.Allow, d.Reason})
	figures.count.Inc()
	figures.took.Observe(took.Seconds())
}

// of finds the figures of a kind of decision. There are few kinds: none has a part that a client chooses.
func (m *metrics) of(kind decisionKind) decisionFigures {
	if known := m.known.Load(); known != nil {
		if figures, found := (*known)[kind]; found {
			return figures
		}
	}
	result := "deny"
	if kind.allow {
		result = "allow"
	}
	figures := decisionFigures{m.decisions.WithLabelValues(kind.protocol, result, string(kind.reason)), m.latency.WithLabelValues(kind.protocol)}
	m.learning.Lock()
	defer m.learning.Unlock()
	next := map[decisionKind]decisionFigures{}
	if known := m.known.Load(); known != nil {
		next = maps.Clone(*known)
	}
	next[kind] = figures
	m.known.Store(&next)
	return figures
}

func (m *metrics) asked(result string) { m.questions.WithLabelValues(result).Inc() }

// counted is build, with its refusals counted.
func (m *metrics) counted(build snapshot.Build[Edge]) snapshot.Build[Edge] {
	return func(raw []byte, current *Edge) (*Edge, error) {
		edge, err := build(raw, current)
		if err != nil {
			m.refused.WithLabelValues(refusalReason(err)).Inc()
		}
		return edge, err
	}
}
