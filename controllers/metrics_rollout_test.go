package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// TestRolloutMetrics: of each word exactly the one that the status has is 1; nothing is left of a rollout that is gone.
func TestRolloutMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newRolloutMetrics(registry, func(name, help string, labels ...string) *prometheus.GaugeVec {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"namespace", "name"}, labels...))
		registry.MustRegister(vec)
		return vec
	})
	ones := func() map[string]bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				if len(metric.GetLabel()) == 3 && metric.Gauge != nil && metric.GetGauge().GetValue() == 1 {
					for _, label := range metric.GetLabel() {
						if label.GetName() != "namespace" && label.GetName() != "name" {
							out[family.GetName()+" "+label.GetValue()] = true
						}
					}
				}
			}
		}
		return out
	}
	aro := &keyturnv1alpha1.AuthRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}, Status: keyturnv1alpha1.AuthRolloutStatus{
		Stage: "Deprecated", Replicas: "2/3", Sunset: "waits: LegacyTraffic", Guard: keyturnv1alpha1.GuardStatus{Summary: "Failing 1/3"}, State: &keyturnv1alpha1.RolloutState{},
		Conditions: []metav1.Condition{{Type: keyturnv1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: keyturnv1alpha1.ReasonHeld}},
	}}
	m.observe(aro)
	want := map[string]bool{"keyturn_rollout_stage Deprecated": true, "keyturn_rollout_waiting Held": true, "keyturn_rollout_guard Failing": true, "keyturn_rollout_sunset_waiting LegacyTraffic": true}
	if diff := cmp.Diff(want, ones()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	aro.Status.Sunset, aro.Status.Guard.Summary, aro.Status.Stage, aro.Status.Replicas = "reached 2027-01-01T00:00Z", "Ended", "Sunset", ""
	aro.Status.Conditions[0].Reason = keyturnv1alpha1.ReasonSunsetReached
	m.observe(aro)
	want = map[string]bool{"keyturn_rollout_stage Sunset": true, "keyturn_rollout_waiting SunsetReached": true, "keyturn_rollout_guard Ended": true}
	if diff := cmp.Diff(want, ones()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	m.forget(types.NamespacedName{Namespace: "demo", Name: "web"})
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("left: %v, %v", families, err)
	}
}

// TestRolloutWords: whatever the status can say, a metric has it.
func TestRolloutWords(t *testing.T) {
	known := map[string]bool{}
	for _, word := range rolloutWaits {
		known[word] = true
	}
	for reason := range advice {
		if reason != "" && !known[string(reason)] {
			t.Errorf("keyturn_rollout_waiting does not know %s", reason)
		}
	}
}

// TestRolloutFailuresMetric: nothing would be taken back at 0 % and after the sunset, so nobody is told that it will.
func TestRolloutFailuresMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newRolloutMetrics(registry, func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"namespace", "name"}, labels...))
	})
	for _, row := range []struct {
		percent int32
		ended   bool
		want    float64
	}{{10, false, 2}, {0, false, 0}, {100, true, 0}} {
		aro := &keyturnv1alpha1.AuthRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}}
		aro.Status.State = &keyturnv1alpha1.RolloutState{Percent: row.percent, Failures: 1, LoginFailures: 2}
		if row.ended {
			aro.Status.SunsetReachedTime = metav1.Time{Time: time.Unix(1e9, 0)}
		}
		m.observe(aro)
		var got dto.Metric
		if err := m.failures.WithLabelValues("demo", "web").Write(&got); err != nil || got.GetGauge().GetValue() != row.want {
			t.Errorf("%+v: %v, %v", row, got.GetGauge(), err)
		}
	}
}
