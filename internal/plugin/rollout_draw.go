package plugin

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// drawRollout writes one rollout for people.
func drawRollout(s Screen, r *RolloutReport, now time.Time) string {
	var b strings.Builder
	ready := map[string]string{"True": "in force", "False": "not in force"}[r.Ready]
	if ready == "" {
		ready = "readiness unknown"
	}
	head := fmt.Sprintf("AuthRollout %s/%s", r.Namespace, r.Name)
	b.WriteString(s.paint(strong, clean(head)) + clean(fmt.Sprintf("  %s, users of TokenService %s", ready, r.TokenService)) + "\n")
	b.WriteString(drawProblems(s, r.Problems, now))
	if r.Stage == "" {
		b.WriteString("\nNothing is decided yet: the manager begins once it has seen this rollout.\n")
		return b.String()
	}
	b.WriteString("\n" + drawBar(s, r.Percent) + "\n\n")
	t := &table{heads: []string{"STEP", "PERCENT", "BAKE", "APPROVAL", "STATE"}, right: map[int]bool{0: true, 1: true}}
	for i, step := range r.Steps {
		state := cell{text: strings.ToLower(step.State), tone: faint}
		switch step.State {
		case "Now":
			state = toned("now, for "+ago(r.Since, now), good)
		case "Taken":
			state.tone = plain
		}
		t.add(text(fmt.Sprint(i+1)), text(fmt.Sprintf("%d%%", step.Percent)), text(spanOf(step.Bake)), text(step.Approval), state)
	}
	b.WriteString(t.String(s) + "\n")
	b.WriteString(drawFacts(s, r))
	b.WriteString(drawCensus(s, r.Census, now))
	b.WriteString(drawHistory(s, r, now))
	return b.String()
}

// drawBar shows the share of the users.
func drawBar(s Screen, percent int32) string {
	width := min(s.columns()-12, 60)
	full := int(percent) * width / 100
	bar := strings.Repeat(s.glyph("█", "#"), full)
	rest := strings.Repeat(s.glyph("░", "."), width-full)
	return s.paint(good, bar) + s.paint(faint, rest) + fmt.Sprintf("  %d%% get JWTs", percent)
}

// drawFacts writes what is known beside the steps.
func drawFacts(s Screen, r *RolloutReport) string {
	guard := r.Guard.Summary
	if r.Guard.Cohort != "" {
		guard += fmt.Sprintf("; failures in the cohort %s, among the others %s", r.Guard.Cohort, orNothing(r.Guard.Control))
		if r.Guard.Endpoints != "" {
			guard += ", of refreshes and exchanges " + r.Guard.Endpoints
		}
	}
	replicas := s.count(r.Replicas) + " work with it"
	if len(r.Waiting) > 0 {
		replicas += "; waiting: " + strings.Join(r.Waiting, "; ")
	}
	legacy := "nobody was counted yet"
	if r.LegacyShare != "" {
		legacy = r.LegacyShare + " of the requests of the last day had a session"
	}
	if r.Stage == "Sunset" {
		replicas = nothing
	}
	safe := map[string]string{"True": "safe", "False": "no way back"}[r.RollbackSafe]
	facts := []fact{
		{"Stage", r.Stage}, {"Replicas", replicas}, {"Guard", guard}, {"Legacy", legacy},
		{"Rollback", safe + ": " + r.Rollback}, {"Sunset", r.Sunset}, {"Next", r.Next},
	}
	if r.ProgressReason != "" && !strings.Contains(r.Next, "not before") {
		facts = append(facts, fact{"Because", r.Progress})
	}
	if r.Report != "" {
		facts = append(facts, fact{"Report", fmt.Sprintf("kubectl -n %s get configmap %s -o jsonpath='{.data.report\\.md}'", r.Namespace, r.Report)})
	}
	if r.Refused != "" {
		facts = append(facts, fact{"Refused", r.Refused})
	}
	return drawList(s, facts)
}

// fact is a word and what is known of it.
type fact struct{ name, words string }

// drawList writes facts below each other.
func drawList(s Screen, facts []fact) string {
	var b strings.Builder
	for _, fact := range facts {
		lead := fmt.Sprintf("%-10s", fact.name)
		for _, line := range wrap(clean(fact.words), s.columns()-10) {
			b.WriteString(s.paint(faint, lead) + line + "\n")
			lead = strings.Repeat(" ", 10)
		}
	}
	return b.String()
}

func orNothing(text string) string {
	if text == "" {
		return nothing
	}
	return text
}

// drawHistory writes the changes, the newest first.
func drawHistory(s Screen, r *RolloutReport, now time.Time) string {
	if len(r.History) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n" + s.paint(strong, "HISTORY") + "\n")
	for _, h := range r.History {
		colour := plain
		if h.Change == v1alpha1.ReasonRolledBack || h.Change == v1alpha1.ReasonAborted {
			colour = bad
		}
		lead := fmt.Sprintf("%-17s  %-13s  %3d%% %s %3d%%  ", moment(h.Time.Time, now), clean(h.Change), h.From, s.arrow(), h.To)
		indent := strings.Repeat(" ", min(columnsOf(lead), 16))
		for i, line := range wrap(clean(h.Why), max(s.columns()-columnsOf(lead), 30)) {
			if i == 0 {
				b.WriteString(s.paint(colour, lead) + line + "\n")
				indent = strings.Repeat(" ", columnsOf(lead))
				continue
			}
			b.WriteString(indent + line + "\n")
		}
	}
	return b.String()
}

// rolloutTable is the part of `status`.
func rolloutTable(rollouts []RolloutReport) *table {
	t := &table{heads: []string{"NAMESPACE", "NAME", "READY", "SERVICE", "STAGE", "STEP", "PERCENT", "LEGACY", "GUARD", "SUNSET", "NEXT"}}
	for i := range rollouts {
		r := &rollouts[i]
		t.add(text(r.Namespace), text(r.Name), truth(r.Ready), text(r.TokenService), text(r.Stage), text(r.Step), text(fmt.Sprintf("%d%%", r.Percent)),
			text(r.LegacyShare), text(r.Guard.Summary), text(r.Sunset), text(r.Next))
	}
	return t
}
