package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// rolloutMetrics say of each AuthRollout what its status says.
type rolloutMetrics struct {
	percent, position, legacy, failures, since, sunset *prometheus.GaugeVec
	stage, condition                                   *prometheus.GaugeVec
	changes                                            *prometheus.CounterVec
}

func newRolloutMetrics(registry prometheus.Registerer, gauge func(name, help string, labels ...string) *prometheus.GaugeVec) *rolloutMetrics {
	m := &rolloutMetrics{
		percent:   gauge("keyturn_rollout_percent", "Share of the users who get JWTs, in percent."),
		position:  gauge("keyturn_rollout_step", "Steps taken."),
		since:     gauge("keyturn_rollout_since_timestamp_seconds", "When this percentage came into force."),
		legacy:    gauge("keyturn_rollout_legacy_ratio", "Share of the requests of the last day that a legacy session authorized; absent until there was one."),
		failures:  gauge("keyturn_rollout_guard_failures", "Judgements of the guard that failed in a row."),
		sunset:    gauge("keyturn_rollout_sunset_timestamp_seconds", "When the legacy sessions end at the earliest, or ended; absent without a sunset."),
		stage:     gauge("keyturn_rollout_stage", "1 for the stage that the rollout is in, else 0.", "stage"),
		condition: gauge("keyturn_rollout_condition", "1 while the condition is True, else 0.", "condition"),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_rollout_changes_total", Help: "Changes of the percentage or the stage that this manager wrote.",
		}, []string{"namespace", "name", "change"}),
	}
	registry.MustRegister(m.changes)
	return m
}

var (
	rolloutStages  = []string{"Migrating", "Deprecated", "Sunset"}
	rolloutChanges = []string{
		keyturnv1alpha1.ReasonPromoted, keyturnv1alpha1.ReasonRolledBack, keyturnv1alpha1.ReasonAborted, keyturnv1alpha1.ReasonSunsetReached,
	}
)

// observe shows what the status says.
func (m *rolloutMetrics) observe(aro *keyturnv1alpha1.AuthRollout) {
	status := &aro.Status
	truth(m.condition, aro.Namespace, aro.Name, status.Conditions)
	if status.State == nil {
		return // it has not begun
	}
	at := prometheus.Labels{"namespace": aro.Namespace, "name": aro.Name}
	m.percent.With(at).Set(float64(status.State.Percent))
	m.position.With(at).Set(float64(status.State.Position))
	m.failures.With(at).Set(float64(status.State.Failures))
	instant(m.since, status.State.Since.Time, aro.Namespace, aro.Name)
	end := status.SunsetReachedTime.Time
	if end.IsZero() && aro.Spec.Sunset != nil {
		end = aro.Spec.Sunset.At.Time
	}
	instant(m.sunset, end, aro.Namespace, aro.Name)
	if share, known := censusOf(status.Census).Share(); known {
		m.legacy.With(at).Set(share)
	} else {
		m.legacy.Delete(at)
	}
	for _, stage := range rolloutStages {
		value := 0.0
		if stage == status.Stage {
			value = 1
		}
		m.stage.WithLabelValues(aro.Namespace, aro.Name, stage).Set(value)
	}
	for _, change := range rolloutChanges {
		m.changes.WithLabelValues(aro.Namespace, aro.Name, change).Add(0)
	}
}

// change counts one change.
func (m *rolloutMetrics) change(aro *keyturnv1alpha1.AuthRollout, change string) {
	m.changes.WithLabelValues(aro.Namespace, aro.Name, change).Inc()
}

// forget removes everything about an AuthRollout that is gone.
func (m *rolloutMetrics) forget(name types.NamespacedName) {
	at := prometheus.Labels{"namespace": name.Namespace, "name": name.Name}
	for _, vec := range []*prometheus.GaugeVec{m.percent, m.position, m.since, m.legacy, m.failures, m.sunset, m.stage, m.condition} {
		vec.DeletePartialMatch(at)
	}
	m.changes.DeletePartialMatch(at)
}
