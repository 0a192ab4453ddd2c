package controllers

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// gathered are the manager's own metrics about one namespace, by name and the labels beside namespace and name; and the
// types of all.
func gathered(t *testing.T, namespace string) (values map[string]float64, types map[string]string) {
	t.Helper()
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values, types = map[string]float64{}, map[string]string{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "keyturn_") {
			continue
		}
		types[family.GetName()] = strings.ToLower(family.GetType().String())
		for _, metric := range family.GetMetric() {
			key, ours := family.GetName(), false
			for _, label := range metric.GetLabel() {
				switch {
				case label.GetName() == "namespace":
					ours = label.GetValue() == namespace
				case label.GetName() != "name":
					key += " " + label.GetValue()
				}
			}
			if ours {
				values[key] = number(metric)
			}
		}
	}
	return values, types
}

func number(metric *dto.Metric) float64 {
	if metric.Gauge != nil {
		return metric.GetGauge().GetValue()
	}
	return metric.GetCounter().GetValue()
}

// TestMetrics follows a set through a rotation, a lost key and its deletion, and holds docs/metrics.md to what there is.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.declare()
	expect := func(what string, want map[string]float64) {
		w.Helper()
		w.eventually(what, func() string {
			got, _ := gathered(t, w.ns)
			var wrong []string
			for key, value := range want {
				if has, ok := got[key]; !ok || has != value {
					wrong = append(wrong, fmt.Sprintf("%s is %v (there: %v), want %v", key, has, ok, value))
				}
			}
			slices.Sort(wrong)
			return strings.Join(wrong, "\n")
		})
	}
	began := float64(w.clock.Now().Unix())
	expect("settled", map[string]float64{
		"keyturn_signingkeyset_keys Active": 1, "keyturn_signingkeyset_keys Published": 1, "keyturn_signingkeyset_keys Retiring": 0,
		"keyturn_signingkeyset_standby_keys": 1, "keyturn_signingkeyset_active_since_timestamp_seconds": began,
		"keyturn_signingkeyset_condition Ready": 1, "keyturn_signingkeyset_condition RotationOverdue": 0,
		"keyturn_signingkeyset_transitions_total Active": 1, "keyturn_signingkeyset_transitions_total Revoked": 0,
		"keyturn_signingkeyset_replicas": 3, "keyturn_signingkeyset_replicas_loaded": 3,
		"keyturn_signingkeyset_propagation_lag_seconds": 0, "keyturn_signingkeyset_failures_total RingRestored": 0,
		"keyturn_tokenservice_condition Ready": 1, "keyturn_tokenservice_condition StoreReachable": 1,
	})
	values, _ := gathered(t, w.ns)
	if at := values["keyturn_signingkeyset_next_transition_timestamp_seconds Active"]; at < began+24*3600 {
		t.Errorf("the next activation is announced for %v, %v after now", at, at-began)
	}
	w.step(25 * 3600e9)
	w.request("now")
	expect("rotated", map[string]float64{
		"keyturn_signingkeyset_transitions_total Active": 2, "keyturn_signingkeyset_keys Retiring": 1,
		"keyturn_signingkeyset_active_since_timestamp_seconds": began + 25*3600,
	})
	w.fleet.set("signer", fault{lag: true})
	w.remove(&corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))})
	expect("the ring was rebuilt", map[string]float64{"keyturn_signingkeyset_failures_total RingRestored": 1})
	behind := w.clock.Now()
	w.step(time.Minute)
	w.eventually("a replica is behind", func() string {
		got, _ := gathered(t, w.ns)
		if lag := got["keyturn_signingkeyset_propagation_lag_seconds"]; lag < 1 || lag > w.clock.Now().Sub(behind).Seconds() {
			return fmt.Sprintf("the lag is %v s", lag)
		}
		return ""
	})
	w.fleet.set("signer", fault{})
	expect("it has caught up", map[string]float64{"keyturn_signingkeyset_propagation_lag_seconds": 0})
	aro := w.newRollout()
	end := w.clock.Now().Add(90 * 24 * time.Hour)
	aro.Spec.Deprecation = &keyturnv1alpha1.DeprecationSpec{At: metav1.NewTime(end.Add(-30 * 24 * time.Hour))}
	aro.Spec.Sunset = &keyturnv1alpha1.SunsetSpec{At: metav1.NewTime(end)}
	w.create(aro)
	w.rolledTo(0)
	w.minute(calm(750))
	w.rolledTo(10)
	expect("a step was taken", map[string]float64{
		"keyturn_rollout_percent": 10, "keyturn_rollout_step": 1, "keyturn_rollout_legacy_ratio": 0.75, "keyturn_rollout_guard_failures": 0,
		"keyturn_rollout_since_timestamp_seconds": float64(w.clock.Now().Unix()), "keyturn_rollout_sunset_timestamp_seconds": float64(end.Unix()),
		"keyturn_rollout_stage Migrating": 1, "keyturn_rollout_stage Sunset": 0, "keyturn_rollout_condition InForce": 1,
		"keyturn_rollout_changes_total Promoted": 1, "keyturn_rollout_changes_total RolledBack": 0,
	})
	w.create(w.newAccess("nowhere", probing("http://169.254.169.254/", time.Minute)))
	expect("a probe failed", map[string]float64{
		"keyturn_accesspolicy_condition Ready": 1, "keyturn_accesspolicy_condition Enforced": 0,
		"keyturn_accesspolicy_probes_total failed": 1, "keyturn_accesspolicy_probes_total enforced": 0,
	})
	nowhere := w.newRevocation("nowhere", ofAll)
	nowhere.Spec.All.TokenServiceRef.Name = "other"
	w.create(nowhere)
	expect("a revocation waits", map[string]float64{"keyturn_revocation_pending_since_timestamp_seconds": float64(nowhere.CreationTimestamp.Unix())})
	_, types := gathered(t, w.ns)
	if want := documentedMetrics(t); !maps.Equal(types, want) {
		t.Errorf("docs/metrics.md lists\n%v\nthe manager exposes\n%v", want, types)
	}
	w.remove(nowhere)
	w.remove(w.newAccess("nowhere"))
	w.remove(w.newRollout())
	w.remove(&keyturnv1alpha1.TokenService{ObjectMeta: w.meta(serviceName)})
	w.remove(&keyturnv1alpha1.SigningKeySet{ObjectMeta: w.meta(setName)})
	w.eventually("nothing is left of what was deleted", func() string {
		values, _ := gathered(t, w.ns)
		if len(values) == 0 {
			return ""
		}
		return fmt.Sprint(slices.Sorted(maps.Keys(values)))
	})
}

// documentedMetrics are the manager's metrics in docs/metrics.md and their types.
func documentedMetrics(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n## Manager\n")
	text, _, _ := strings.Cut(rest, "\n## ")
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(keyturn_[a-z_]+)` \\| (\\S+) \\|").FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	return out
}
