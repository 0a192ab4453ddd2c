package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// revocationMetrics say which Revocations are not enforced. Who or what is revoked is no label.
type revocationMetrics struct{ pendingSince *prometheus.GaugeVec }

func newRevocationMetrics(gauge func(name, help string, labels ...string) *prometheus.GaugeVec) *revocationMetrics {
	return &revocationMetrics{
		pendingSince: gauge("keyturn_revocation_pending_since_timestamp_seconds", "When a Revocation was created that is not enforced; absent once it is."),
	}
}

// observe shows what the status says.
func (m *revocationMetrics) observe(rev *keyturnv1alpha1.Revocation) {
	if enforced(rev) {
		m.pendingSince.DeleteLabelValues(rev.Namespace, rev.Name)
		return
	}
	m.pendingSince.WithLabelValues(rev.Namespace, rev.Name).Set(float64(rev.CreationTimestamp.Unix()))
}

// forget removes everything about a Revocation that is gone.
func (m *revocationMetrics) forget(name types.NamespacedName) {
	m.pendingSince.DeleteLabelValues(name.Namespace, name.Name)
}
