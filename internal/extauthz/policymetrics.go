package extauthz

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyturn/keyturn/internal/policy"
)

// policyMetrics are the figures about policies. A label never holds a policy's name: there may be thousands.
type policyMetrics struct {
	audited *prometheus.CounterVec
}

func newPolicyMetrics(registry *prometheus.Registry, policies func() float64) *policyMetrics {
	m := &policyMetrics{audited: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_audited_total", Help: "Requests that a policy in the mode Audit let through, by the reason for which it would have refused them.",
	}, []string{"reason"})}
	// A counter that begins at its first event hides that event from rate().
	for _, reason := range []policy.Reason{policy.NoCredential, policy.ReasonExpired, policy.InsufficientRole, policy.AmbiguousPath} {
		m.audited.WithLabelValues(string(reason))
	}
	registry.MustRegister(m.audited, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keyturn_access_policies", Help: "AccessPolicies of the document in force.",
	}, policies))
	return m
}
