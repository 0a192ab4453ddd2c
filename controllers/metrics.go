package controllers

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// objectMetrics say of each object what its status says, so that alerts and graphs need no access to the API server.
// They are set at the end of a reconcile, and go with the object; only the manager that holds the lease has them. A kid
// is no label: it would leave a series behind with each rotation.
type objectMetrics struct {
	activeSince, nextTransition, epoch, revision *prometheus.GaugeVec
	keys, standby, replicas, loaded              *prometheus.GaugeVec
	setCondition, serviceCondition               *prometheus.GaugeVec
	lag                                          *prometheus.GaugeVec
	transitions, failures                        *prometheus.CounterVec
	behind                                       behindSince
	rollouts                                     *rolloutMetrics
	revocations                                  *revocationMetrics
	access                                       *accessMetrics
}

// processMetrics are registered once a process: controller-runtime has one registry, whatever managers there are.
var processMetrics = sync.OnceValue(func() *objectMetrics { return newObjectMetrics(ctrlmetrics.Registry) })

func newObjectMetrics(registry prometheus.Registerer) *objectMetrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"namespace", "name"}, labels...))
		registry.MustRegister(vec)
		return vec
	}
	m := &objectMetrics{
		activeSince:      gauge("keyturn_signingkeyset_active_since_timestamp_seconds", "When the active key began to sign; absent while none signs."),
		nextTransition:   gauge("keyturn_signingkeyset_next_transition_timestamp_seconds", "Earliest instant of the next planned transition, by the state that it leads to.", "to"),
		epoch:            gauge("keyturn_signingkeyset_epoch", "Epoch of the ring; it only grows."),
		revision:         gauge("keyturn_signingkeyset_jwks_revision", "Revision of the published keys."),
		keys:             gauge("keyturn_signingkeyset_keys", "Keys of the ring by state.", "state"),
		standby:          gauge("keyturn_signingkeyset_standby_keys", "Standby keys that the spec asks for."),
		replicas:         gauge("keyturn_signingkeyset_replicas", "Replicas that should have loaded the newest revision."),
		loaded:           gauge("keyturn_signingkeyset_replicas_loaded", "Replicas that have loaded the newest revision."),
		lag:              gauge("keyturn_signingkeyset_propagation_lag_seconds", "How long replicas have been without the newest revision; 0 while none is."),
		setCondition:     gauge("keyturn_signingkeyset_condition", "1 while the condition is True, else 0.", "condition"),
		serviceCondition: gauge("keyturn_tokenservice_condition", "1 while the condition is True, else 0.", "condition"),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_signingkeyset_transitions_total", Help: "Transitions of keys by the state that they led to; to Active are the rotations.",
		}, []string{"namespace", "name", "to"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_signingkeyset_failures_total", Help: "What went wrong with the stored keys and was mended, by the reason of its Event.",
		}, []string{"namespace", "name", "reason"}),
	}
	registry.MustRegister(m.transitions, m.failures)
	m.rollouts, m.revocations = newRolloutMetrics(registry, gauge), newRevocationMetrics(gauge)
	m.access = newAccessMetrics(registry, gauge)
	return m
}

// shownStates are the states that a key of the ring can be in, and countedStates those that it can move to.
var (
	shownStates   = []keyturnv1alpha1.KeyState{keyturnv1alpha1.KeyPending, keyturnv1alpha1.KeyPublished, keyturnv1alpha1.KeyActive, keyturnv1alpha1.KeyRetiring}
	countedStates = slices.Concat(shownStates, []keyturnv1alpha1.KeyState{keyturnv1alpha1.KeyRemoved, keyturnv1alpha1.KeyRevoked})
	// failureReasons are those of a SigningKeySet's warnings.
	failureReasons = []string{keyturnv1alpha1.ReasonKeySecretInvalid, keyturnv1alpha1.ReasonRingRestored}
)

// behindSince remembers since when replicas of a set have been without what they should have. It is memory only: a manager that
// starts begins at its first look. The zero value is ready; it is safe for concurrent use.
type behindSince struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
}

// look notes whether replicas are behind, and returns for how long.
func (b *behindSince) look(of types.NamespacedName, behind bool, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !behind {
		delete(b.since, of)
		return 0
	}
	if b.since == nil {
		b.since = map[types.NamespacedName]time.Time{}
	}
	if b.since[of].IsZero() {
		b.since[of] = now
	}
	return max(0, now.Sub(b.since[of]))
}

// observeSet shows what the status of a SigningKeySet says.
func (m *objectMetrics) observeSet(set *keyturnv1alpha1.SigningKeySet) {
	status, at := &set.Status, prometheus.Labels{"namespace": set.Namespace, "name": set.Name}
	m.epoch.With(at).Set(float64(status.Epoch))
	m.revision.With(at).Set(float64(status.JWKSRevision))
	m.standby.With(at).Set(float64(deref(set.Spec.Rotation.StandbyKeys, 1)))
	instant(m.activeSince, status.ActiveSince.Time, set.Namespace, set.Name)
	m.nextTransition.DeletePartialMatch(at)
	if next := status.NextTransition; next != nil {
		instant(m.nextTransition, next.NotBefore.Time, set.Namespace, set.Name, string(next.To))
	}
	count := map[keyturnv1alpha1.KeyState]int{}
	for i := range status.Keys {
		count[status.Keys[i].State]++
	}
	for _, state := range shownStates {
		m.keys.WithLabelValues(set.Namespace, set.Name, string(state)).Set(float64(count[state]))
	}
	for _, state := range countedStates { // a counter that begins at one hides its first event from rate()
		m.transitions.WithLabelValues(set.Namespace, set.Name, string(state)).Add(0)
	}
	for _, reason := range failureReasons {
		m.failures.WithLabelValues(set.Namespace, set.Name, reason).Add(0)
	}
	truth(m.setCondition, set.Namespace, set.Name, status.Conditions)
}

// failure counts one warning about the stored keys of a set.
func (m *objectMetrics) failure(set *keyturnv1alpha1.SigningKeySet, reason string) {
	m.failures.WithLabelValues(set.Namespace, set.Name, reason).Inc()
}

// propagation shows how many replicas have what they should have, and for how long some have not.
func (m *objectMetrics) propagation(set *keyturnv1alpha1.SigningKeySet, plan *keys.Plan, now time.Time) {
	lag := m.behind.look(types.NamespacedName{Namespace: set.Namespace, Name: set.Name}, plan.Loaded < plan.Total, now)
	m.lag.WithLabelValues(set.Namespace, set.Name).Set(lag.Seconds())
	m.replicas.WithLabelValues(set.Namespace, set.Name).Set(float64(plan.Total))
	m.loaded.WithLabelValues(set.Namespace, set.Name).Set(float64(plan.Loaded))
}

// transition counts one step of a key.
func (m *objectMetrics) transition(set *keyturnv1alpha1.SigningKeySet, to keys.State) {
	m.transitions.WithLabelValues(set.Namespace, set.Name, string(to)).Inc()
}

// observeService shows what the status of a TokenService says.
func (m *objectMetrics) observeService(tsvc *keyturnv1alpha1.TokenService) {
	truth(m.serviceCondition, tsvc.Namespace, tsvc.Name, tsvc.Status.Conditions)
}

// forgetSet removes everything about a SigningKeySet that is gone.
func (m *objectMetrics) forgetSet(name types.NamespacedName) {
	at := prometheus.Labels{"namespace": name.Namespace, "name": name.Name}
	for _, vec := range []*prometheus.GaugeVec{m.activeSince, m.nextTransition, m.epoch, m.revision, m.keys, m.standby, m.replicas, m.loaded, m.lag, m.setCondition} {
		vec.DeletePartialMatch(at)
	}
	m.transitions.DeletePartialMatch(at)
	m.failures.DeletePartialMatch(at)
	m.behind.look(name, false, time.Time{})
}

// forgetService removes everything about a TokenService that is gone.
func (m *objectMetrics) forgetService(name types.NamespacedName) {
	m.serviceCondition.DeletePartialMatch(prometheus.Labels{"namespace": name.Namespace, "name": name.Name})
}

// instant sets a time, or removes it when there is none: a zero would be in 1970, and overdue.
func instant(vec *prometheus.GaugeVec, at time.Time, labels ...string) {
	if at.IsZero() {
		vec.DeleteLabelValues(labels...)
		return
	}
	vec.WithLabelValues(labels...).Set(float64(at.Unix()))
}

func truth(vec *prometheus.GaugeVec, namespace, name string, list []metav1.Condition) {
	for i := range list {
		value := 0.0
		if list[i].Status == metav1.ConditionTrue {
			value = 1
		}
		vec.WithLabelValues(namespace, name, list[i].Type).Set(value)
	}
}
