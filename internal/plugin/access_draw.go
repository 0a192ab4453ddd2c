package plugin

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// drawPolicy writes one AccessPolicy for people.
func drawPolicy(s Screen, r *PolicyDetail, now time.Time) string {
	var b strings.Builder
	ready := map[string]string{"True": "in force", "False": "not in force"}[r.Ready]
	if ready == "" {
		ready = "readiness unknown"
	}
	b.WriteString(s.paint(strong, clean(fmt.Sprintf("AccessPolicy %s/%s", r.Namespace, r.Name))))
	b.WriteString(clean(fmt.Sprintf("  %s, tokens of TokenService %s", ready, r.TokenService)) + "\n")
	b.WriteString(drawProblems(s, r.Problems, now) + "\n")
	if len(r.Targets) > 0 {
		t := &table{heads: []string{"TARGET", "NAME", "SECTION", "ACCEPTED", "FOUND"}}
		for _, target := range r.Targets {
			t.add(text(target.Kind), text(target.Name), text(target.Section), truth(target.Accepted), truth(target.Found))
		}
		b.WriteString(t.String(s) + "\n")
	}
	b.WriteString(r.rules().String(s) + "\n")
	b.WriteString(drawList(s, r.facts(s, now)))
	if r.Snippet != "" {
		b.WriteString("\n" + s.paint(strong, "AT THE INGRESS") + "\n")
		for line := range strings.Lines(r.Snippet) {
			b.WriteString("  " + clean(strings.TrimRight(line, "\n")) + "\n")
		}
	}
	return b.String()
}

// rules are what requests need, in the order in which they are tried.
func (r *PolicyDetail) rules() *table {
	t := &table{heads: []string{"PATH", "METHODS", "NEEDS"}}
	for i := range r.Rules {
		rule := &r.Rules[i]
		path, methods := "all", "all"
		switch {
		case rule.Exact:
			path = rule.Path
		case rule.Path == "/":
		case rule.Path != "":
			path = rule.Path + "[/...]"
		}
		if i == len(r.Rules)-1 && i > 0 {
			path = "all else"
		}
		if len(rule.Methods) > 0 {
			methods = strings.Join(rule.Methods, " ")
		}
		t.add(text(path), text(methods), text(rule.needs()))
	}
	return t
}

// facts are what is known beside targets and rules.
func (r *PolicyDetail) facts(s Screen, now time.Time) []fact {
	mode := "Enforce: what it refuses is refused"
	if r.Mode == string(v1alpha1.AccessAudit) {
		mode = "Audit: NOTHING IS REFUSED, only logged (would_deny) and counted"
	}
	refused := "401"
	if r.Pages != "" {
		refused = "401; a browser that opens a page is sent to " + r.Pages
	}
	edges := "nobody has told yet"
	if r.Replicas != "" {
		edges = s.count(r.Replicas) + " decide by it"
	}
	facts := []fact{{"Mode", mode}, {"Accepts", strings.Join(r.Accepts, ", ")}, {"Without", refused}, {"Edges", edges}}
	if len(r.Targets) == 0 {
		facts = append(facts, fact{"Targets", "none: it is reached by its name only"})
	}
	for _, target := range r.Targets {
		if target.Why != "" {
			facts = append(facts, fact{"Target", target.Kind + " " + target.Name + ": " + target.Why})
		}
	}
	if r.Object != "" {
		facts = append(facts, fact{"Made", r.Object})
	}
	enforced := r.Enforced
	if r.Reason != "" {
		enforced += " (" + r.Reason + ")"
	}
	if r.EnforcedMessage != "" {
		enforced += ": " + r.EnforcedMessage
	}
	facts = append(facts, fact{"Enforced", enforced})
	probe := "none: set spec.probe, and the manager tries whether the ingress asks"
	if r.Probe != "" {
		probe = r.Probe + ", not tried yet"
		if !r.Probed.IsZero() {
			probe = r.Probe + ", last tried " + ago(r.Probed, now) + " ago"
		}
	}
	return append(facts, fact{"Probe", probe})
}
