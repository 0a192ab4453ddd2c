package controllers

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// reportAccess writes down what was seen, and returns when the probes are to be looked at again; 0: no need to.
func reportAccess(s *accessStep, probes *accessProbes) time.Duration {
	status := &s.acp.Status
	status.AdapterObject, status.Snippet = s.adapter, snippet(s.acp)
	reportTargets(s)
	acceptedCondition(s)
	referencesCondition(s)
	programmedCondition(s)
	again := enforcedCondition(s, probes)
	sumUpAccess(s)
	return again
}

// reportTargets lists the targets.
func reportTargets(s *accessStep) {
	status := &s.acp.Status
	was := status.Targets
	status.Targets, status.Attached = nil, "by name"
	good := 0
	for i, target := range s.acp.Spec.TargetRefs {
		said := keyturnv1alpha1.AccessTargetStatus{TargetRef: target}
		for j := range was { // keeps the times of what did not change
			if targetKey("", &was[j].TargetRef) == targetKey("", &target) {
				said.Conditions = was[j].Conditions
			}
		}
		conds := conditions{&said.Conditions, s.acp.Generation}
		if holder := s.held[i]; holder != nil {
			conds.bad(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonConflicted, "AccessPolicy %s is older and has it", holder.Name)
		} else {
			conds.good(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonAccepted, "no older policy has it")
		}
		if why := s.missing[i]; why != "" {
			conds.bad(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonTargetNotFound, "%s", why)
		} else {
			conds.good(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonResolved, "it exists")
		}
		if s.held[i] == nil && s.missing[i] == "" {
			good++
		}
		status.Targets = append(status.Targets, said)
	}
	if len(s.acp.Spec.TargetRefs) > 0 {
		status.Attached = fmt.Sprintf("%d/%d", good, len(s.acp.Spec.TargetRefs))
	}
}

// contested names the targets that others have.
func (s *accessStep) contested() string {
	var out []string
	for i, target := range s.acp.Spec.TargetRefs {
		if holder := s.held[i]; holder != nil {
			out = append(out, fmt.Sprintf("%s %s is AccessPolicy %s's, which is older", target.Kind, inFull(&target), holder.Name))
		}
	}
	return strings.Join(out, "; ")
}

func inFull(target *keyturnv1alpha1.AccessTargetReference) string {
	if target.SectionName == nil {
		return target.Name
	}
	return target.Name + " section " + *target.SectionName
}

func acceptedCondition(s *accessStep) {
	const kind = keyturnv1alpha1.ConditionAccepted
	switch {
	case s.beaten:
		s.conds.bad(kind, keyturnv1alpha1.ReasonConflicted, "%s: delete one of the two, or name other targets; until then the edge refuses who asks by this policy", s.contested())
	case s.invalid != nil:
		s.conds.bad(kind, s.invalid.reason, "%s", s.invalid.message)
	case s.clash() != "":
		s.conds.bad(kind, keyturnv1alpha1.ReasonConflicted, "%s", s.clash())
	case s.full():
		s.conds.bad(kind, keyturnv1alpha1.ReasonSnapshotFull, "the edges' document has no room for this policy as it is now, the last good one stays in force: make this one or others smaller")
	case len(s.held) > 0:
		s.conds.good(kind, keyturnv1alpha1.ReasonAccepted, "the policy is valid; %s", s.contested())
	default:
		s.conds.good(kind, keyturnv1alpha1.ReasonAccepted, "the policy is valid and nobody contests its targets")
	}
}

// clash says why the policy does not go with an older one of the same TokenService.
func (s *accessStep) clash() string {
	if s.view == nil {
		return ""
	}
	return s.view.clashes[accessName(s.acp)]
}

func (s *accessStep) full() bool { return s.view != nil && s.view.left[accessName(s.acp)] }

func referencesCondition(s *accessStep) {
	const kind = keyturnv1alpha1.ConditionResolvedRefs
	if s.unresolved != nil {
		s.conds.bad(kind, s.unresolved.reason, "%s", s.unresolved.message)
		return
	}
	var missing []string
	for i := range s.acp.Spec.TargetRefs {
		if why := s.missing[i]; why != "" {
			missing = append(missing, why)
		}
	}
	if len(missing) > 0 {
		s.conds.bad(kind, keyturnv1alpha1.ReasonTargetNotFound, "%s", strings.Join(missing, "; "))
		return
	}
	s.conds.good(kind, keyturnv1alpha1.ReasonResolved, "TokenService %s exists, and so does every target", serviceOfAccess(s.acp))
}

func programmedCondition(s *accessStep) {
	const kind = keyturnv1alpha1.ConditionProgrammed
	status := &s.acp.Status
	status.Replicas = ""
	for _, why := range []string{keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ConditionResolvedRefs} {
		if c := s.conds.find(why); c.Status != metav1.ConditionTrue && c.Reason != keyturnv1alpha1.ReasonTargetNotFound {
			s.conds.bad(kind, c.Reason, "%s", c.Message)
			return
		}
	}
	service := serviceOfAccess(s.acp)
	pending := fmt.Sprintf("TokenService %s has not put it into the edges' document yet; if that stays: kubectl -n %s describe tsvc %s", service, service.Namespace, service.Name)
	if s.view == nil || s.entry == nil {
		s.conds.bad(kind, keyturnv1alpha1.ReasonProgressing, "%s", pending)
		return
	}
	stored, known := s.view.entries[accessName(s.acp)]
	if !known || stored.entry.digest != s.entry.digest {
		s.conds.bad(kind, keyturnv1alpha1.ReasonProgressing, "%s", pending)
		return
	}
	loaded, reason, lagging := s.view.loaded(stored.revision)
	status.Replicas = fmt.Sprintf("%d/%d", loaded, len(s.view.edges))
	switch {
	case len(s.view.edges) == 0:
		s.conds.bad(kind, keyturnv1alpha1.ReasonNoReplicas, "no edge of TokenService %s runs: the ingress gets no answer and lets nobody through", service)
	case len(lagging) > 0:
		s.conds.bad(kind, reason, "%s", strings.Join(lagging, "; "))
	case s.detached != nil:
		s.conds.bad(kind, s.detached.reason, "%s", s.detached.message)
	case s.adapter != "":
		s.conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "all %d edges decide by it, and %s is there", loaded, s.adapter)
	default:
		s.conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "all %d edges decide by it; what the ingress needs is in status.snippet", loaded)
	}
}

// loaded counts the edges that work with a revision or a newer one, and says of each other why it does not.
func (v *accessView) loaded(revision int64) (count int, reason string, lagging []string) {
	reason = keyturnv1alpha1.ReasonWaitingForReplicas
	for _, edge := range v.edges {
		switch {
		case edge.err != nil:
			reason = keyturnv1alpha1.ReasonReplicaUnreachable
			lagging = append(lagging, fmt.Sprintf("%s does not answer: %v", edge.name, edge.err))
		case edge.revision >= revision:
			count++
		case edge.refused != nil:
			reason = keyturnv1alpha1.ReasonSnapshotRefused
			lagging = append(lagging, fmt.Sprintf("%s refused revision %d (%s: %s)", edge.name, edge.refused.Revision, edge.refused.Reason, edge.refused.Message))
		default:
			lagging = append(lagging, fmt.Sprintf("%s has revision %d, wants %d", edge.name, edge.revision, revision))
		}
	}
	return count, reason, lagging
}

// sumUpAccess derives Ready. That nobody has tried the ingress does not keep a policy from being ready.
func sumUpAccess(s *accessStep) {
	const ready = keyturnv1alpha1.ConditionReady
	bad := s.conds.firstBad(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ConditionProgrammed)
	switch {
	case bad != nil:
		s.conds.bad(ready, bad.Reason, "%s", bad.Message)
	case len(s.held) > 0:
		s.conds.bad(ready, keyturnv1alpha1.ReasonConflicted, "%s: the policy is in force at the other targets; delete one of the two, or name other targets", s.contested())
	case s.acp.Spec.Mode == keyturnv1alpha1.AccessAudit:
		s.conds.good(ready, keyturnv1alpha1.ReasonReady, "every edge decides by this policy, and refuses nothing: its mode is Audit")
	default:
		s.conds.good(ready, keyturnv1alpha1.ReasonReady, "every edge decides by this policy")
	}
}
