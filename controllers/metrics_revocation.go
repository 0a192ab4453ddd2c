package controllers

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// revocationMetrics say which Revocations are not enforced, and how long the others took. Who or what is revoked is no label.
type revocationMetrics struct {
	pendingSince *prometheus.GaugeVec
	took         *prometheus.HistogramVec
}

func newRevocationMetrics(registry prometheus.Registerer, gauge func(name, help string, labels ...string) *prometheus.GaugeVec) *revocationMetrics {
	m := &revocationMetrics{
		pendingSince: gauge("keyturn_revocation_pending_since_timestamp_seconds", "When a Revocation was created that is not enforced; absent once it is."),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keyturn_revocation_enforcement_seconds", Help: "From the creation of a Revocation until every edge was seen to refuse it, to the second.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 300, 1800},
		}, []string{"kind"}),
	}
	registry.MustRegister(m.took)
	for _, kind := range []keyturnv1alpha1.RevocationKind{
		keyturnv1alpha1.RevocationKey, keyturnv1alpha1.RevocationUser, keyturnv1alpha1.RevocationSession, keyturnv1alpha1.RevocationAll,
	} {
		m.took.WithLabelValues(strings.ToLower(string(kind)))
	}
	return m
}

// observe shows what the status says.
func (m *revocationMetrics) observe(rev *keyturnv1alpha1.Revocation) {
	if enforced(rev) {
		m.pendingSince.DeleteLabelValues(rev.Namespace, rev.Name)
		return
	}
	m.pendingSince.WithLabelValues(rev.Namespace, rev.Name).Set(float64(rev.CreationTimestamp.Unix()))
}

// enforced counts one that has just been seen to be.
func (m *revocationMetrics) enforced(rev *keyturnv1alpha1.Revocation, now time.Time) {
	m.took.WithLabelValues(strings.ToLower(string(rev.Status.Kind))).Observe(max(now.Sub(rev.CreationTimestamp.Time), 0).Seconds())
}

// forget removes everything about a Revocation that is gone.
func (m *revocationMetrics) forget(name types.NamespacedName) {
	m.pendingSince.DeleteLabelValues(name.Namespace, name.Name)
}
