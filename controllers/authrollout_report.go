package controllers

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// rolloutReportFormat names the members of report.json. They are only added to; another meaning is another format.
const rolloutReportFormat = "keyturn.dev/rollout-report/v1"

// The keys of the ConfigMap with the final report.
const (
	reportForPeople   = "report.md"
	reportForPrograms = "report.json"
)

// rolloutReport is report.json: how the sessions ended. It is made of the object alone, dates and steps
// from its spec and the rest from its status, so any manager makes the same of it.
type rolloutReport struct {
	Format       string    `json:"format"`
	Namespace    string    `json:"namespace"`
	Name         string    `json:"name"`
	TokenService string    `json:"tokenService"`
	Created      time.Time `json:"created"`
	// Deprecation and SunsetAnnounced are the dates of the spec, SunsetReached is when the sessions ended.
	Deprecation        time.Time `json:"deprecation,omitzero"`
	SunsetAnnounced    time.Time `json:"sunsetAnnounced,omitzero"`
	SunsetReached      time.Time `json:"sunsetReached"`
	RequireLegacyBelow string    `json:"requireLegacyBelow,omitempty"`
	Percent            int32     `json:"percent"`
	Steps              []int32   `json:"steps"`
	// Timeline are the last changes, the oldest first; Rollbacks those of them that the guard took back, with what it saw.
	Timeline  []reportChange `json:"timeline"`
	Rollbacks []reportChange `json:"rollbacks"`
	// LegacyTraffic is the use of sessions over time, the oldest first, as far as the manager has counted it.
	LegacyTraffic []reportUsage `json:"legacyTraffic"`
	// Census is who used sessions at the end; nil if no edge ever told.
	Census *reportCensus `json:"census"`
}

type reportChange struct {
	Time   time.Time `json:"time"`
	Change string    `json:"change"`
	From   int32     `json:"from"`
	To     int32     `json:"to"`
	By     string    `json:"by,omitempty"`
	Why    string    `json:"why,omitempty"`
}

type reportUsage struct {
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Sessions int64     `json:"sessions"`
	Tokens   int64     `json:"tokens"`
}

type reportCensus struct {
	Since    time.Time    `json:"since"`
	Read     time.Time    `json:"read"`
	Replicas string       `json:"replicas"`
	Requests int64        `json:"requests"`
	Routes   []reportLine `json:"routes"`
	Agents   []reportLine `json:"agents"`
	Roles    []reportLine `json:"roles"`
}

type reportLine struct {
	Value    string `json:"value"`
	Requests int64  `json:"requests"`
}

// newRolloutReport is the report of a rollout whose sessions have ended.
func newRolloutReport(aro *keyturnv1alpha1.AuthRollout) *rolloutReport {
	spec, status := &aro.Spec, &aro.Status
	r := &rolloutReport{
		Format: rolloutReportFormat, Namespace: aro.Namespace, Name: aro.Name, TokenService: spec.TokenServiceRef.Name,
		Created: aro.CreationTimestamp.UTC(), SunsetReached: status.SunsetReachedTime.UTC(), Percent: deref(status.Percent, 0),
		Steps: []int32{}, Timeline: []reportChange{}, Rollbacks: []reportChange{}, LegacyTraffic: []reportUsage{},
	}
	if spec.Deprecation != nil {
		r.Deprecation = spec.Deprecation.At.UTC()
	}
	if spec.Sunset != nil {
		r.SunsetAnnounced, r.RequireLegacyBelow = spec.Sunset.At.UTC(), string(spec.Sunset.RequireLegacyBelow)
	}
	for _, step := range spec.Steps {
		r.Steps = append(r.Steps, step.Percent)
	}
	for i := range status.History {
		h := &status.History[len(status.History)-1-i]
		change := reportChange{Time: h.Time.UTC(), Change: h.Change, From: h.From, To: h.To, By: h.By, Why: h.Why}
		r.Timeline = append(r.Timeline, change)
		if h.Change == keyturnv1alpha1.ReasonRolledBack {
			r.Rollbacks = append(r.Rollbacks, change)
		}
	}
	usage := status.Census.Days
	if current := status.Census.Current; current.Sessions+current.Tokens > 0 {
		usage = append(usage[:len(usage):len(usage)], current)
	}
	for _, u := range usage {
		r.LegacyTraffic = append(r.LegacyTraffic, reportUsage{From: u.From.UTC(), Until: u.Until.UTC(), Sessions: u.Sessions, Tokens: u.Tokens})
	}
	if c := &status.Census.Legacy; c.Replicas != "" {
		r.Census = &reportCensus{
			Since: c.Since.UTC(), Read: c.ReadTime.UTC(), Replicas: c.Replicas, Requests: c.Requests,
			Routes: reportLines(c.Routes), Agents: reportLines(c.Agents), Roles: reportLines(c.Roles),
		}
	}
	return r
}

func reportLines(lines []keyturnv1alpha1.CensusLine) []reportLine {
	out := []reportLine{}
	for _, line := range lines {
		out = append(out, reportLine(line))
	}
	return out
}

// ensureReport writes the final report once the sunset is in the status, and writes it again when somebody edits or deletes
// it. It goes with the AuthRollout, which owns it.
func (r *authRolloutReconciler) ensureReport(ctx context.Context, s *rolloutStep) error {
	if s.aro.Status.SunsetReachedTime.IsZero() || s.ended || s.recovered != "" || s.deleting() {
		return nil // only what is in the status is told: it may be refused yet
	}
	report := newRolloutReport(s.aro)
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	name := s.aro.Name + "-report"
	err = r.apply(ctx, s.aro, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.aro.Namespace, Labels: map[string]string{
			keyturnv1alpha1.LabelName: keyturnv1alpha1.NameKeyturn, keyturnv1alpha1.LabelPartOf: keyturnv1alpha1.NameKeyturn,
			keyturnv1alpha1.LabelInstance: s.aro.Name, keyturnv1alpha1.LabelManagedBy: keyturnv1alpha1.ManagerName,
		}},
		Data: map[string]string{reportForPrograms: string(raw) + "\n", reportForPeople: report.markdown()},
	})
	if err == nil {
		s.aro.Status.Report = name
	}
	return err
}
