package controllers

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/probe"
)

// enforcement are the conditions that the verdicts make.
var enforcement = map[probe.Verdict]struct {
	status metav1.ConditionStatus
	reason string
}{
	probe.Enforced:    {metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed},
	probe.Auditing:    {metav1.ConditionFalse, keyturnv1alpha1.ReasonAuditOnly},
	probe.NotEnforced: {metav1.ConditionFalse, keyturnv1alpha1.ReasonNotEnforced},
	probe.WrongPolicy: {metav1.ConditionFalse, keyturnv1alpha1.ReasonWrongPolicy},
	probe.Failed:      {metav1.ConditionUnknown, keyturnv1alpha1.ReasonProbeFailed},
}

// enforcedCondition says what the last probe proved of the policy as it is, and returns when to look again; 0: no need to.
func enforcedCondition(s *accessStep, probes *accessProbes) time.Duration {
	const kind = keyturnv1alpha1.ConditionEnforced
	unknown := func(format string, args ...any) {
		s.conds.set(kind, metav1.ConditionUnknown, keyturnv1alpha1.ReasonNotProbed, format, args...)
		s.acp.Status.ProbedTime = metav1.Time{}
	}
	if s.acp.Spec.Probe == nil {
		unknown("nobody has tried whether the ingress asks the edge: set spec.probe.url to an address that this policy protects, or send a request without a credential through it: it must be answered 401 or 403, and not by the application")
		return 0
	}
	programmed := s.conds.find(keyturnv1alpha1.ConditionProgrammed)
	if s.entry == nil || s.service == nil || s.beaten {
		unknown("%s is probed once it is in force: see the condition %s", s.acp.Spec.Probe.URL, programmed.Type)
		return 0
	}
	found, at, again := probes.look(s, programmed.Status == metav1.ConditionTrue)
	switch {
	case found != nil:
		is := enforcement[found.Verdict]
		s.conds.set(kind, is.status, is.reason, "%s: %s", s.acp.Spec.Probe.URL, found.Message)
		s.acp.Status.ProbedTime = metav1.Time{Time: at.Truncate(time.Second)}
	case s.toldBefore(): // by a manager before this one
	case programmed.Status == metav1.ConditionTrue:
		unknown("the first probe of %s is under way", s.acp.Spec.Probe.URL)
	default:
		unknown("%s is probed once the policy is in force: see the condition %s", s.acp.Spec.Probe.URL, programmed.Type)
	}
	return again
}

// toldBefore tells whether the condition speaks about a probe of the policy as it is.
func (s *accessStep) toldBefore() bool {
	before := s.conds.find(keyturnv1alpha1.ConditionEnforced)
	return before != nil && before.ObservedGeneration == s.acp.Generation && before.Reason != keyturnv1alpha1.ReasonNotProbed
}

// accessMetrics say what policies say of themselves, and what probes have found.
type accessMetrics struct {
	condition *prometheus.GaugeVec
	probes    *prometheus.CounterVec
}

func newAccessMetrics(registry prometheus.Registerer, gauge func(name, help string, labels ...string) *prometheus.GaugeVec) *accessMetrics {
	m := &accessMetrics{
		condition: gauge("keyturn_accesspolicy_condition", "1 while the condition is True, else 0.", "condition"),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_accesspolicy_probes_total", Help: "Probes through the ingress, by what they found.",
		}, []string{"namespace", "name", "verdict"}),
	}
	registry.MustRegister(m.probes)
	return m
}

// observe shows what the status says.
func (m *accessMetrics) observe(acp *keyturnv1alpha1.AccessPolicy) {
	truth(m.condition, acp.Namespace, acp.Name, acp.Status.Conditions)
	if acp.Spec.Probe == nil {
		m.probes.DeletePartialMatch(prometheus.Labels{"namespace": acp.Namespace, "name": acp.Name})
		return
	}
	for _, verdict := range probe.Verdicts { // a counter that begins at one hides its first event from rate()
		m.probes.WithLabelValues(acp.Namespace, acp.Name, string(verdict)).Add(0)
	}
}

func (m *accessMetrics) probed(acp *keyturnv1alpha1.AccessPolicy, verdict probe.Verdict) {
	if slices.Contains(probe.Verdicts, verdict) {
		m.probes.WithLabelValues(acp.Namespace, acp.Name, string(verdict)).Inc()
	}
}

// forget removes everything about a policy that is gone.
func (m *accessMetrics) forget(name types.NamespacedName) {
	at := prometheus.Labels{"namespace": name.Namespace, "name": name.Name}
	m.condition.DeletePartialMatch(at)
	m.probes.DeletePartialMatch(at)
}
