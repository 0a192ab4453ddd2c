package plugin

import (
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// PolicyDetail is all that is known of one AccessPolicy.
type PolicyDetail struct {
	AccessReport
	Targets []TargetReport `json:"targets"`
	// Rules are tried in their order; the last one, without a path and methods, is what all else needs.
	Rules []RuleReport `json:"rules"`
	// Accepts are the credentials that authorize; Pages is where a browser without one is sent, empty: it gets 401.
	Accepts []string `json:"accepts"`
	Pages   string   `json:"loginURL,omitempty"`
	// Object is what was made at the ingress.
	Object string `json:"adapterObject,omitempty"`
	// Probe is the address that is tried, Probed when it was last, EnforcedMessage what came of it.
	Probe           string    `json:"probe,omitempty"`
	Probed          time.Time `json:"probedTime,omitzero"`
	EnforcedMessage string    `json:"enforcedMessage,omitempty"`
	Problems        []Problem `json:"problems"`
}

// TargetReport is one route, gateway or Ingress that a policy is for.
type TargetReport struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Section string `json:"sectionName,omitempty"`
	// Accepted is False where another policy has it, Found where it does not exist; Why says more.
	Accepted string `json:"accepted"`
	Found    string `json:"found"`
	Why      string `json:"why,omitempty"`
}

// RuleReport is what some requests need.
type RuleReport struct {
	Path    string   `json:"path,omitempty"`
	Exact   bool     `json:"exact,omitempty"`
	Methods []string `json:"methods,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	// Anonymous lets everybody in.
	Anonymous bool `json:"anonymous,omitempty"`
}

// NewPolicyDetail makes a report of an AccessPolicy as its status tells it.
func NewPolicyDetail(acp *v1alpha1.AccessPolicy) PolicyDetail {
	r := PolicyDetail{
		AccessReport: newAccessReport(acp), Object: acp.Status.AdapterObject, Probed: acp.Status.ProbedTime.Time, Targets: []TargetReport{}, Accepts: []string{},
		Problems: problems("AccessPolicy", acp, acp.Status.ObservedGeneration, acp.Status.Conditions),
	}
	for _, credential := range acp.Spec.Accept {
		r.Accepts = append(r.Accepts, string(credential))
	}
	if login := acp.Spec.Unauthenticated.LoginURL; login != nil && acp.Spec.Unauthenticated.Navigation == v1alpha1.NavigationRedirect {
		r.Pages = *login
	}
	if acp.Spec.Probe != nil {
		r.Probe = acp.Spec.Probe.URL
	}
	if c := meta.FindStatusCondition(acp.Status.Conditions, v1alpha1.ConditionEnforced); c != nil {
		r.EnforcedMessage = c.Message
	}
	for i := range acp.Spec.TargetRefs {
		r.Targets = append(r.Targets, newTargetReport(&acp.Spec.TargetRefs[i], acp.Status.Targets))
	}
	for i := range acp.Spec.Rules {
		rule := &acp.Spec.Rules[i]
		out := RuleReport{Methods: rule.Methods, Roles: rule.Roles, Anonymous: rule.Anonymous}
		if rule.Path != nil {
			out.Path, out.Exact = rule.Path.Value, rule.Path.Type == v1alpha1.PathExact
		}
		r.Rules = append(r.Rules, out)
	}
	r.Rules = append(r.Rules, RuleReport{Roles: acp.Spec.Require.Roles})
	return r
}

func newTargetReport(ref *v1alpha1.AccessTargetReference, known []v1alpha1.AccessTargetStatus) TargetReport {
	r := TargetReport{Kind: ref.Kind, Name: ref.Name, Accepted: "Unknown", Found: "Unknown"}
	if ref.SectionName != nil {
		r.Section = *ref.SectionName
	}
	same := func(s v1alpha1.AccessTargetStatus) bool {
		o := &s.TargetRef
		section := (o.SectionName == nil && ref.SectionName == nil) || (o.SectionName != nil && ref.SectionName != nil && *o.SectionName == *ref.SectionName)
		return o.Group == ref.Group && o.Kind == ref.Kind && o.Name == ref.Name && section
	}
	if i := slices.IndexFunc(known, same); i >= 0 {
		all := known[i].Conditions
		r.Accepted, r.Found = statusOf(all, v1alpha1.ConditionAccepted), statusOf(all, v1alpha1.ConditionResolvedRefs)
		for j := range all {
			if !fine(&all[j]) && r.Why == "" {
				r.Why = all[j].Message
			}
		}
	}
	return r
}

// needs says in words what a request needs.
func (r *RuleReport) needs() string {
	switch {
	case r.Anonymous:
		return "nothing: everybody is let in"
	case len(r.Roles) == 0:
		return "a user"
	case len(r.Roles) == 1:
		return "a user with the role " + r.Roles[0]
	}
	return "a user with one of the roles " + strings.Join(r.Roles, ", ")
}

// PoliciesReport is what `access` prints for machines.
type PoliciesReport struct {
	Policies []PolicyDetail `json:"policies"`
}

// Access prints one AccessPolicy, or all of the namespace.
func (s *Session) Access(ctx context.Context, name string, watch bool) error {
	return s.show(ctx, watch, func() (any, func() string, error) {
		report, err := s.accessReport(ctx, name)
		return report, func() string {
			if len(report.Policies) == 0 {
				return "No AccessPolicy " + s.where() + ".\n"
			}
			parts := make([]string, 0, len(report.Policies))
			for i := range report.Policies {
				parts = append(parts, drawPolicy(s.Screen, &report.Policies[i], s.Now()))
			}
			return strings.Join(parts, "\n")
		}, err
	})
}

func (s *Session) accessReport(ctx context.Context, name string) (PoliciesReport, error) {
	report := PoliciesReport{Policies: []PolicyDetail{}}
	var all v1alpha1.AccessPolicyList
	if name != "" {
		var acp v1alpha1.AccessPolicy
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &acp); client.IgnoreNotFound(err) != nil {
			return report, err
		} else if err != nil {
			return report, s.missing("AccessPolicy", name, s.AccessNames(ctx), err)
		}
		all.Items = append(all.Items, acp)
	} else if err := s.Client.List(ctx, &all, client.InNamespace(s.Namespace)); err != nil {
		return report, err
	}
	for i := range all.Items {
		report.Policies = append(report.Policies, NewPolicyDetail(&all.Items[i]))
	}
	return report, nil
}

// AccessNames lists the names of AccessPolicies, for completion.
func (s *Session) AccessNames(ctx context.Context) []string {
	report, err := s.accessReport(ctx, "")
	if err != nil {
		return nil
	}
	var names []string
	for i := range report.Policies {
		names = append(names, report.Policies[i].Name)
	}
	return names
}
