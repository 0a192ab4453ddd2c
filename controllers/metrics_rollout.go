package controllers

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// rolloutMetrics say of each AuthRollout what its status says.
type rolloutMetrics struct {
	percent, position, legacy, failures, since, sunset *prometheus.GaugeVec
	stage, condition, waiting, guard, sunsetWaiting    *prometheus.GaugeVec
	replicas, loaded                                   *prometheus.GaugeVec
	changes                                            *prometheus.CounterVec
}

func newRolloutMetrics(registry prometheus.Registerer, gauge func(name, help string, labels ...string) *prometheus.GaugeVec) *rolloutMetrics {
	m := &rolloutMetrics{
		percent:       gauge("keyturn_rollout_percent", "Share of the users who get JWTs, in percent."),
		position:      gauge("keyturn_rollout_step", "Steps taken."),
		since:         gauge("keyturn_rollout_since_timestamp_seconds", "When this percentage came into force."),
		legacy:        gauge("keyturn_rollout_legacy_ratio", "Share of the requests of the last day that a legacy session authorized; absent until there was one."),
		failures:      gauge("keyturn_rollout_guard_failures", "Judgements of the guard that failed in a row; 0 at 0 % and after the sunset, where nothing is taken back."),
		sunset:        gauge("keyturn_rollout_sunset_timestamp_seconds", "When the legacy sessions end at the earliest, or ended; absent without a sunset."),
		stage:         gauge("keyturn_rollout_stage", "1 for the stage that the rollout is in, else 0.", "stage"),
		condition:     gauge("keyturn_rollout_condition", "1 while the condition is True, else 0.", "condition"),
		waiting:       gauge("keyturn_rollout_waiting", "1 for what the next step waits for, else 0.", "reason"),
		guard:         gauge("keyturn_rollout_guard", "1 for what the guard says, else 0.", "state"),
		replicas:      gauge("keyturn_rollout_replicas", "Replicas that should work with this percentage."),
		loaded:        gauge("keyturn_rollout_replicas_loaded", "Replicas that work with this percentage."),
		sunsetWaiting: gauge("keyturn_rollout_sunset_waiting", "1 for what the sunset waits for although its time has come, else 0.", "reason"),
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
		keyturnv1alpha1.ChangeRecovered,
	}
	rolloutWaits = []string{
		keyturnv1alpha1.ReasonPromoted, keyturnv1alpha1.ReasonBaking, keyturnv1alpha1.ReasonTooFewSamples, keyturnv1alpha1.ReasonNoData,
		keyturnv1alpha1.ReasonAwaitingApproval, keyturnv1alpha1.ReasonHeld, keyturnv1alpha1.ReasonAborted, keyturnv1alpha1.ReasonPaused,
		keyturnv1alpha1.ReasonCoolingDown, keyturnv1alpha1.ReasonGuardFailed, keyturnv1alpha1.ReasonUnevenSplit, keyturnv1alpha1.ReasonComplete,
		keyturnv1alpha1.ReasonSunsetReached,
	}
	rolloutGuards = []string{"Passed", "Failing", "Gathering", "NoBaseline", "NoData", "UnevenSplit", "RolledBack", "Ended"}
	sunsetWaits   = []string{string(rollout.LegacyTraffic), string(rollout.NoCensus), string(rollout.Paused)}
)

// oneOf shows which of several words is true.
func oneOf(vec *prometheus.GaugeVec, aro *keyturnv1alpha1.AuthRollout, all []string, now string) {
	for _, word := range all {
		value := 0.0
		if word == now {
			value = 1
		}
		vec.WithLabelValues(aro.Namespace, aro.Name, word).Set(value)
	}
}

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
	failures := max(status.State.Failures, status.State.LoginFailures)
	if status.State.Percent == 0 || !status.SunsetReachedTime.IsZero() {
		failures = 0
	}
	m.failures.With(at).Set(float64(failures))
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
	oneOf(m.stage, aro, rolloutStages, status.Stage)
	progressing := ""
	if c := meta.FindStatusCondition(status.Conditions, keyturnv1alpha1.ConditionProgressing); c != nil {
		progressing = c.Reason
	}
	oneOf(m.waiting, aro, rolloutWaits, progressing)
	guard, _, _ := strings.Cut(status.Guard.Summary, " ")
	oneOf(m.guard, aro, rolloutGuards, guard)
	sunset, _ := strings.CutPrefix(status.Sunset, sunsetWaitsFor)
	oneOf(m.sunsetWaiting, aro, sunsetWaits, sunset)
	m.countReplicas(at, status.Replicas)
	for _, change := range rolloutChanges {
		m.changes.WithLabelValues(aro.Namespace, aro.Name, change).Add(0)
	}
}

// countReplicas reads "2/3"; after the sunset nobody counts.
func (m *rolloutMetrics) countReplicas(at prometheus.Labels, text string) {
	var loaded, all int
	if _, err := fmt.Sscanf(text, "%d/%d", &loaded, &all); err != nil {
		m.replicas.Delete(at)
		m.loaded.Delete(at)
		return
	}
	m.replicas.With(at).Set(float64(all))
	m.loaded.With(at).Set(float64(loaded))
}

// change counts one change.
func (m *rolloutMetrics) change(aro *keyturnv1alpha1.AuthRollout, change string) {
	m.changes.WithLabelValues(aro.Namespace, aro.Name, change).Inc()
}

// forget removes everything about an AuthRollout that is gone.
func (m *rolloutMetrics) forget(name types.NamespacedName) {
	at := prometheus.Labels{"namespace": name.Namespace, "name": name.Name}
	for _, vec := range []*prometheus.GaugeVec{
		m.percent, m.position, m.since, m.legacy, m.failures, m.sunset, m.stage, m.condition, m.waiting, m.guard, m.sunsetWaiting, m.replicas, m.loaded,
	} {
		vec.DeletePartialMatch(at)
	}
	m.changes.DeletePartialMatch(at)
}
