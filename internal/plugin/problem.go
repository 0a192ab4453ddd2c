package plugin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// Severity orders problems: the gravest first.
type Severity string

// The severities.
const (
	Failure Severity = "Failure" // something does not work
	Warning Severity = "Warning" // it works, and somebody should look
	Unknown Severity = "Unknown" // nobody knows
)

var severities = []Severity{Failure, Warning, Unknown}

// Problem is a condition that is not as it should be.
type Problem struct {
	Severity  Severity  `json:"severity"`
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Condition string    `json:"condition"`
	Status    string    `json:"status"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Advice    string    `json:"advice,omitempty"`
	Since     time.Time `json:"since,omitzero"`
}

// negative are the condition types whose True is the problem.
var negative = []string{
	v1alpha1.ConditionRotationOverdue, v1alpha1.ConditionClockSkewed, v1alpha1.ConditionRestoreDetected, v1alpha1.ConditionKeyMaterialLost,
	v1alpha1.ConditionRevocationPending,
}

// neutral are the condition types of which neither state is a problem.
var neutral = []string{v1alpha1.ConditionProgressing, v1alpha1.ConditionRollbackSafe}

// warnings are the condition types without which everything still works.
var warnings = []string{
	v1alpha1.ConditionPublished, v1alpha1.ConditionStandbyReady, v1alpha1.ConditionRotationOverdue, v1alpha1.ConditionClockSkewed,
	v1alpha1.ConditionRestoreDetected, v1alpha1.ConditionClientAddressKnown, v1alpha1.ConditionKeysLoaded,
	v1alpha1.ConditionInForce, v1alpha1.ConditionGuardPassing,
}

func setProblems(set *v1alpha1.SigningKeySet) []Problem {
	return problems("SigningKeySet", set, set.Status.ObservedGeneration, set.Status.Conditions)
}

func serviceProblems(tsvc *v1alpha1.TokenService) []Problem {
	return problems("TokenService", tsvc, tsvc.Status.ObservedGeneration, tsvc.Status.Conditions)
}

func policyProblems(policy *v1alpha1.TokenPolicy) []Problem {
	return problems("TokenPolicy", policy, policy.Status.ObservedGeneration, policy.Status.Conditions)
}

// problems picks the conditions that are not as they should be. A Ready that only repeats another one is left out.
func problems(kind string, object metav1.Object, observed int64, conditions []metav1.Condition) []Problem {
	about := Problem{Severity: Unknown, Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), Status: "Unknown"}
	if object.GetDeletionTimestamp() != nil {
		about.Since = object.GetDeletionTimestamp().Time
	}
	if len(conditions) == 0 || observed < object.GetGeneration() {
		p := about
		p.Condition, p.Reason = v1alpha1.ConditionReady, v1alpha1.ReasonNotObserved
		if kind == "TokenPolicy" {
			p.Condition = v1alpha1.ConditionAccepted
		}
		p.Message, p.Advice = "the manager has not reported on this object yet", managerAdvice
		if len(conditions) > 0 {
			p.Message = fmt.Sprintf("the manager has not seen the newest change yet (generation %d, seen %d)", object.GetGeneration(), observed)
		}
		return []Problem{p}
	}
	var found []Problem
	for i := range conditions {
		c := &conditions[i]
		if fine(c) || repeats(c, conditions) {
			continue
		}
		p := about
		p.Severity = severity(c, conditions)
		p.Condition, p.Status, p.Reason, p.Message, p.Since = c.Type, string(c.Status), c.Reason, c.Message, c.LastTransitionTime.Time
		p.Advice = advice(&p)
		found = append(found, p)
	}
	gravestFirst(found)
	return withoutEchoes(found)
}

// withoutEchoes leaves out what an earlier problem of the same object says too.
func withoutEchoes(found []Problem) []Problem {
	var kept []Problem
	for _, p := range found {
		if !slices.ContainsFunc(kept, func(o Problem) bool { return p.Message != "" && strings.Contains(o.Message, p.Message) }) {
			kept = append(kept, p)
		}
	}
	return kept
}

func fine(c *metav1.Condition) bool {
	if slices.Contains(negative, c.Type) {
		return c.Status == metav1.ConditionFalse
	}
	young := c.Type == v1alpha1.ConditionGuardPassing && (c.Reason == v1alpha1.ReasonTooFewSamples || c.Reason == v1alpha1.ReasonNoBaseline)
	untried := c.Type == v1alpha1.ConditionEnforced && (c.Reason == v1alpha1.ReasonNotProbed || c.Reason == v1alpha1.ReasonAuditOnly)
	return c.Status == metav1.ConditionTrue || young || untried || slices.Contains(neutral, c.Type)
}

func repeats(c *metav1.Condition, all []metav1.Condition) bool {
	return c.Type == v1alpha1.ConditionReady && slices.ContainsFunc(all, func(o metav1.Condition) bool { return o.Type != c.Type && !fine(&o) && echo(c, &o) })
}

func echo(a, b *metav1.Condition) bool { return a.Reason == b.Reason && a.Message == b.Message }

// severity is that of a condition that is not fine. What keeps an object from being ready is a failure.
func severity(c *metav1.Condition, all []metav1.Condition) Severity {
	breaks := slices.ContainsFunc(all, func(o metav1.Condition) bool {
		return o.Type == v1alpha1.ConditionReady && o.Status == metav1.ConditionFalse && echo(&o, c)
	})
	switch {
	case c.Status == metav1.ConditionUnknown:
		return Unknown
	case !breaks && slices.Contains(warnings, c.Type) && c.Reason != v1alpha1.ReasonSnapshotRefused:
		return Warning
	}
	return Failure
}

func gravestFirst(found []Problem) {
	slices.SortStableFunc(found, func(a, b Problem) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
}

// statusOf is the status of a condition, Unknown if it is missing.
func statusOf(conditions []metav1.Condition, kind string) string {
	for i := range conditions {
		if conditions[i].Type == kind {
			return string(conditions[i].Status)
		}
	}
	return "Unknown"
}

// drawHead writes what is wrong, in one line.
func drawHead(s Screen, p *Problem, now time.Time) string {
	sign, colour := "?", wary
	switch p.Severity {
	case Failure:
		sign, colour = s.glyph("✗", "x"), bad
	case Warning:
		sign = "!"
	case Unknown:
	}
	head := fmt.Sprintf("%s %s %s/%s: %s is %s", sign, p.Kind, p.Namespace, p.Name, p.Condition, p.Status)
	tail := fmt.Sprintf(" (%s", p.Reason)
	if !p.Since.IsZero() {
		tail += ", for " + span(now.Sub(p.Since))
	}
	return s.paint(colour, clean(head)) + s.paint(faint, clean(tail)+")") + "\n"
}

// drawProblems writes problems; neighbours with one cause share its message.
func drawProblems(s Screen, found []Problem, now time.Time) string {
	var b strings.Builder
	for i := range found {
		p := &found[i]
		if i == 0 || found[i-1].Message != p.Message || found[i-1].Advice != p.Advice {
			b.WriteString("\n")
		}
		b.WriteString(drawHead(s, p, now))
		if next := i + 1; next == len(found) || found[next].Message != p.Message || found[next].Advice != p.Advice {
			b.WriteString(drawCause(s, p))
		}
	}
	return b.String()
}

// drawCause writes the message, and what to do.
func drawCause(s Screen, p *Problem) string {
	var b strings.Builder
	for _, line := range wrap(clean(p.Message), s.columns()-4) {
		b.WriteString("    " + line + "\n")
	}
	b.WriteString(drawSteps(s, "    ", p.Advice))
	return b.String()
}

// drawSteps writes an advice behind an arrow.
func drawSteps(s Screen, indent, text string) string {
	var b strings.Builder
	lead := s.arrow() + strings.Repeat(" ", 3-columnsOf(s.arrow()))
	for _, line := range steps(text, s.columns()-len(indent)-3) {
		b.WriteString(indent + lead + line + "\n")
		lead = "   "
	}
	return b.String()
}
