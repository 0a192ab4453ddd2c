package plugin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// StatusReport is everything on one screen, problems first.
type StatusReport struct {
	// Namespace is empty when it is about all of them.
	Namespace string          `json:"namespace"`
	Problems  []Problem       `json:"problems"`
	Sets      []SetReport     `json:"sets"`
	Services  []ServiceReport `json:"services"`
	Policies  []PolicyReport  `json:"policies"`
	Rollouts  []RolloutReport `json:"rollouts"`
	Access    []AccessReport  `json:"access"`
	// Revocations are those that are not enforced yet.
	Revocations []RevocationReport `json:"revocations"`
}

// ServiceReport is one TokenService.
type ServiceReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Ready     string `json:"ready"`
	Issuer    string `json:"issuer"`
	Set       string `json:"signingKeySet"`
	Policy    string `json:"tokenPolicy"`
	KID       string `json:"activeKid"`
	// Replicas and Edges count those that have loaded the newest revision, of all.
	Replicas  string                         `json:"replicas"`
	Edges     string                         `json:"edges"`
	Endpoints v1alpha1.TokenServiceEndpoints `json:"endpoints"`
}

// PolicyReport is one TokenPolicy.
type PolicyReport struct {
	Namespace  string   `json:"namespace"`
	Name       string   `json:"name"`
	Accepted   string   `json:"accepted"`
	AccessTTL  string   `json:"accessTTL"`
	RefreshTTL string   `json:"refreshTTL"`
	Audiences  []string `json:"audiences"`
	UsedBy     *int32   `json:"usedBy,omitempty"`
}

// Status prints the state of a namespace, or of all.
func (s *Session) Status(ctx context.Context, watch bool) error {
	return s.show(ctx, watch, func() (any, func() string, error) {
		report, err := s.statusReport(ctx)
		return report, func() string { return drawStatus(s.Screen, &report, s.Format == Wide, s.Now()) }, err
	})
}

func (s *Session) statusReport(ctx context.Context) (StatusReport, error) {
	var sets v1alpha1.SigningKeySetList
	var services v1alpha1.TokenServiceList
	var policies v1alpha1.TokenPolicyList
	var rollouts v1alpha1.AuthRolloutList
	var access v1alpha1.AccessPolicyList
	var revoked v1alpha1.RevocationList
	for _, list := range []client.ObjectList{&sets, &services, &policies, &rollouts, &access, &revoked} {
		if err := s.Client.List(ctx, list, client.InNamespace(s.Namespace)); err != nil {
			return StatusReport{}, err
		}
	}
	report := NewStatusReport(s.Namespace, sets.Items, services.Items, policies.Items, rollouts.Items...)
	report.addAccess(access.Items)
	report.addRevocations(revoked.Items)
	return report, nil
}

// NewStatusReport makes a report of objects.
func NewStatusReport(namespace string, sets []v1alpha1.SigningKeySet, services []v1alpha1.TokenService, policies []v1alpha1.TokenPolicy, rollouts ...v1alpha1.AuthRollout) StatusReport {
	r := StatusReport{
		Namespace: namespace, Problems: []Problem{}, Sets: []SetReport{}, Services: []ServiceReport{}, Policies: []PolicyReport{}, Rollouts: []RolloutReport{},
		Access: []AccessReport{}, Revocations: []RevocationReport{},
	}
	for i := range services {
		tsvc := &services[i]
		r.Problems = append(r.Problems, serviceProblems(tsvc)...)
		r.Services = append(r.Services, ServiceReport{
			Namespace: tsvc.Namespace, Name: tsvc.Name, Ready: statusOf(tsvc.Status.Conditions, v1alpha1.ConditionReady),
			Issuer: tsvc.Spec.Issuer, Set: tsvc.Spec.SigningKeySetRef.Name, Policy: tsvc.Spec.TokenPolicyRef.Name,
			KID: tsvc.Status.ActiveKid, Replicas: tsvc.Status.Replicas, Edges: tsvc.Status.Edge, Endpoints: tsvc.Status.Endpoints,
		})
	}
	for i := range sets {
		set := NewSetReport(&sets[i])
		r.Problems = append(r.Problems, set.Problems...)
		r.Sets = append(r.Sets, set)
	}
	for i := range policies {
		p := &policies[i]
		r.Problems = append(r.Problems, policyProblems(p)...)
		r.Policies = append(r.Policies, PolicyReport{
			Namespace: p.Namespace, Name: p.Name, Accepted: statusOf(p.Status.Conditions, v1alpha1.ConditionAccepted),
			AccessTTL: p.Spec.AccessToken.TTL.Duration.String(), RefreshTTL: p.Spec.RefreshToken.TTL.Duration.String(),
			Audiences: p.Spec.AccessToken.Audiences, UsedBy: p.Status.UsedBy,
		})
	}
	for i := range rollouts {
		rollout := NewRolloutReport(&rollouts[i])
		r.Problems = append(r.Problems, rollout.Problems...)
		r.Rollouts = append(r.Rollouts, rollout)
	}
	gravestFirst(r.Problems)
	return r
}

func drawStatus(s Screen, r *StatusReport, wide bool, now time.Time) string {
	where := "namespace " + r.Namespace
	if r.Namespace == "" {
		where = "all namespaces"
	}
	if len(r.Sets)+len(r.Services)+len(r.Policies)+len(r.Rollouts)+len(r.Access)+len(r.Revocations) == 0 {
		return fmt.Sprintf("Nothing of Keyturn in %s.\n", where)
	}
	var b strings.Builder
	b.WriteString(drawVerdict(s, r, where))
	b.WriteString(drawProblems(s, r.Problems, now))
	everywhere := r.Namespace == ""
	for _, part := range []struct {
		title string
		table *table
	}{
		{"SIGNING KEY SETS", setTable(s, r.Sets, now)}, {"TOKEN SERVICES", serviceTable(r.Services, wide)}, {"TOKEN POLICIES", policyTable(r.Policies)},
		{"ROLLOUTS", rolloutTable(r.Rollouts)}, {"ACCESS POLICIES", accessTable(r.Access)},
		{"REVOCATIONS UNDER WAY", revocationTable(r.Revocations, now)},
	} {
		if len(part.table.rows) == 0 {
			continue
		}
		if !everywhere {
			part.table.drop(0)
		}
		b.WriteString("\n" + s.paint(strong, part.title) + "\n" + part.table.String(s))
	}
	return b.String()
}

func drawVerdict(s Screen, r *StatusReport, where string) string {
	failures := 0
	for i := range r.Problems {
		if r.Problems[i].Severity == Failure {
			failures++
		}
	}
	rest := len(r.Problems) - failures
	switch {
	case failures > 0 && rest > 0:
		return s.paint(bad, fmt.Sprintf("%s and %s in %s", count(failures, "failure"), count(rest, "warning"), where)) + "\n"
	case failures > 0:
		return s.paint(bad, fmt.Sprintf("%s in %s", count(failures, "failure"), where)) + "\n"
	case rest > 0:
		return s.paint(wary, fmt.Sprintf("%s in %s", count(rest, "warning"), where)) + "\n"
	}
	return s.paint(good, fmt.Sprintf("Everything is in order in %s", where)) + "\n"
}

func truth(status string) cell {
	switch status {
	case "True":
		return toned(status, good)
	case "False":
		return toned(status, bad)
	}
	return toned(status, wary)
}

func setTable(s Screen, sets []SetReport, now time.Time) *table {
	t := &table{heads: []string{"NAMESPACE", "NAME", "READY", "ALG", "ACTIVE", "SIGNS SINCE", "STANDBY", "LOADED BY", "NEXT"}}
	for i := range sets {
		r := &sets[i]
		since := nothing
		if k := r.key(r.ActiveKID); k != nil {
			since = ago(k.SignsSince, now)
		}
		next := nothing
		if r.Next != nil {
			next = nextInShort(r.Next, now)
		}
		t.add(text(r.Namespace), text(r.Name), truth(r.Ready), text(r.Algorithm), text(short(r.ActiveKID)), text(since),
			text(short(r.StandbyKID)), text(s.count(r.Loaded)), text(next))
	}
	return t
}

// nextInShort is the NEXT column, with the time as a distance.
func nextInShort(n *NextReport, now time.Time) string {
	var what string
	switch v1alpha1.KeyState(n.To) {
	case v1alpha1.KeyActive:
		what = "rotate"
	case v1alpha1.KeyPublished:
		what = "publish"
	case v1alpha1.KeyRemoved:
		what = "remove " + short(n.KID)
	default:
		what = strings.ToLower(n.To)
	}
	switch {
	case n.NotBefore.After(now):
		return what + " in " + span(n.NotBefore.Sub(now))
	case n.WaitsFor != "":
		return what + " waits"
	}
	return what + " now"
}

func serviceTable(services []ServiceReport, wide bool) *table {
	t := &table{heads: []string{"NAMESPACE", "NAME", "READY", "ISSUER", "KEY", "REPLICAS", "EDGES", "SET", "POLICY"}}
	if wide {
		t.heads = append(t.heads, "TOKEN SERVICE", "EDGE HTTP", "EDGE GRPC")
	}
	for i := range services {
		r := &services[i]
		row := []cell{text(r.Namespace), text(r.Name), truth(r.Ready), text(r.Issuer), text(short(r.KID)), text(r.Replicas),
			text(r.Edges), text(r.Set), text(r.Policy)}
		if wide {
			row = append(row, text(r.Endpoints.TokenService), text(r.Endpoints.EdgeHTTP), text(r.Endpoints.EdgeGRPC))
		}
		t.add(row...)
	}
	return t
}

func policyTable(policies []PolicyReport) *table {
	t := &table{heads: []string{"NAMESPACE", "NAME", "ACCEPTED", "ACCESS", "REFRESH", "USED BY", "AUDIENCES"}}
	for i := range policies {
		r := &policies[i]
		used := nothing
		if r.UsedBy != nil {
			used = count(int(*r.UsedBy), "service")
		}
		t.add(text(r.Namespace), text(r.Name), truth(r.Accepted), text(spanOf(r.AccessTTL)), text(spanOf(r.RefreshTTL)), text(used),
			text(strings.Join(r.Audiences, " ")))
	}
	return t
}
