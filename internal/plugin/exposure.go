package plugin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// RevocationReport is one Revocation.
type RevocationReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	What      string `json:"what"`
	Reason    string `json:"reason"`
	Enforced  string `json:"enforced"`
	Message   string `json:"message"`
	// Replicas are the edges that refuse it, of all; Waiting names some that do not.
	Replicas string    `json:"replicas"`
	Waiting  []string  `json:"waiting,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Since    time.Time `json:"since,omitzero"`
	// Until is when the last token that it hits has expired; Tokens counts those of a key, or of all, when that was noted.
	Until  time.Time `json:"until,omitzero"`
	Tokens int64     `json:"tokens,omitempty"`
}

// ExposureReport is what `exposure` prints for machines.
type ExposureReport struct {
	Keys        []ExposedKey       `json:"keys"`
	Revocations []RevocationReport `json:"revocations"`
}

// ExposedKey is what is known of the tokens that a key has signed.
type ExposedKey struct {
	Namespace string `json:"namespace"`
	Set       string `json:"signingKeySet"`
	KID       string `json:"kid"`
	State     string `json:"state"`
	// Until is when the last token signed with it has expired; absent for a key that never signed, or whose end is open.
	Until time.Time `json:"tokensUntil,omitzero"`
	// Grows tells that the key signs still: Until moves on.
	Grows bool `json:"grows,omitempty"`
	// AcceptedBy counts the replicas that have the key, of all.
	AcceptedBy string `json:"acceptedBy"`
}

// Exposure prints who accepts what until when: of one set and its revocations, or of the whole namespace.
func (s *Session) Exposure(ctx context.Context, set string, watch bool) error {
	return s.show(ctx, watch, func() (any, func() string, error) {
		report, err := s.exposureReport(ctx, set)
		return report, func() string { return drawExposure(s.Screen, &report, s.Namespace == "", s.Format == Wide, s.Now()) }, err
	})
}

func (s *Session) exposureReport(ctx context.Context, name string) (ExposureReport, error) {
	report := ExposureReport{Keys: []ExposedKey{}, Revocations: []RevocationReport{}}
	sets, err := s.keysReport(ctx, KeysOptions{Set: name})
	if err != nil {
		return report, err
	}
	var all v1alpha1.RevocationList
	if err := s.Client.List(ctx, &all, client.InNamespace(s.Namespace)); err != nil {
		return report, err
	}
	for i := range sets.Sets {
		report.Keys = append(report.Keys, exposedKeys(&sets.Sets[i], s.Now())...)
	}
	for i := range all.Items {
		rev := &all.Items[i]
		if name == "" || rev.Spec.Key != nil && rev.Spec.Key.SigningKeySetRef.Name == name {
			report.Revocations = append(report.Revocations, NewRevocationReport(rev))
		}
	}
	return report, nil
}

// NewRevocationReport makes a report of a Revocation as its status tells it.
func NewRevocationReport(rev *v1alpha1.Revocation) RevocationReport {
	status := &rev.Status
	r := RevocationReport{
		Namespace: rev.Namespace, Name: rev.Name, Kind: string(status.Kind), What: status.What, Reason: rev.Spec.Reason,
		Enforced: statusOf(status.Conditions, v1alpha1.ConditionEnforced), Replicas: status.Exposure.Replicas, Waiting: status.Exposure.WaitingFor,
		Created: rev.CreationTimestamp.Time, Since: status.EnforcedTime.Time, Until: status.Exposure.Until.Time, Tokens: status.Exposure.Tokens,
	}
	for i := range status.Conditions {
		if c := &status.Conditions[i]; c.Type == v1alpha1.ConditionEnforced {
			r.Message = c.Message
		}
	}
	return r
}

// exposedKeys are the keys of a set: a token of the key that signs lives for its longest lifetime from now on, and for a
// little longer where clocks differ.
func exposedKeys(set *SetReport, now time.Time) []ExposedKey {
	var out []ExposedKey
	for _, k := range set.Keys {
		e := ExposedKey{Namespace: set.Namespace, Set: set.Name, KID: k.KID, State: k.State, AcceptedBy: k.LoadedBy}
		if k.State == string(v1alpha1.KeyActive) {
			e.Grows, e.Until = true, now.Add(k.ttl+2*set.skew)
		} else if k.State == string(v1alpha1.KeyRetiring) {
			e.Until = k.VerifiesTill
		}
		out = append(out, e)
	}
	return out
}

func drawExposure(s Screen, r *ExposureReport, everywhere, wide bool, now time.Time) string {
	if len(r.Keys)+len(r.Revocations) == 0 {
		return "No key and no Revocation here.\n"
	}
	kid := short
	if wide {
		kid = func(whole string) string { return whole }
	}
	keys := &table{heads: []string{"NAMESPACE", "SET", "KEY", "STATE", "TOKENS LIVE UNTIL", "ACCEPTED BY"}}
	for _, k := range r.Keys {
		until := "none was signed"
		switch {
		case k.Grows:
			until = fmt.Sprintf("%s, and growing", moment(k.Until, now))
		case !k.Until.IsZero():
			until = moment(k.Until, now)
		case k.State == string(v1alpha1.KeyRetiring):
			until = "open: a signer may use it"
		}
		keys.add(text(k.Namespace), text(k.Set), text(kid(k.KID)), toned(k.State, stateTone(k.State)), text(until), text(k.AcceptedBy))
	}
	revocations := revocationTable(r.Revocations, now)
	var parts []string
	for _, t := range []*table{keys, revocations} {
		if len(t.rows) == 0 {
			continue
		}
		if !everywhere {
			t.drop(0)
		}
		parts = append(parts, t.String(s))
	}
	for i := range r.Revocations {
		if rev := &r.Revocations[i]; rev.Enforced != "True" && rev.Message != "" {
			parts = append(parts, labelled(s, rev.Name, rev.Message))
		}
	}
	return strings.Join(parts, "\n")
}

func revocationTable(all []RevocationReport, now time.Time) *table {
	t := &table{heads: []string{"NAMESPACE", "REVOCATION", "KIND", "WHAT", "ENFORCED", "REFUSED BY", "TOKENS LIVE UNTIL", "REASON"}}
	for i := range all {
		r := &all[i]
		enforced, until := truth(r.Enforced), "over"
		if r.Enforced == "True" && !r.Since.IsZero() {
			enforced = toned(ago(r.Since, now)+" ago", enforced.tone)
		}
		if r.Until.After(now) {
			until = moment(r.Until, now)
			if r.Tokens > 0 {
				until += fmt.Sprintf(", %d of them", r.Tokens)
			}
		}
		t.add(text(r.Namespace), text(r.Name), text(r.Kind), text(r.What), enforced, text(r.Replicas), text(until), text(r.Reason))
	}
	return t
}

// addRevocations puts the Revocations that are not enforced into a report, and what is wrong with them.
func (r *StatusReport) addRevocations(all []v1alpha1.Revocation) {
	for i := range all {
		rev := &all[i]
		if statusOf(rev.Status.Conditions, v1alpha1.ConditionEnforced) == "True" {
			continue
		}
		r.Problems = append(r.Problems, problems("Revocation", rev, rev.Status.ObservedGeneration, rev.Status.Conditions)...)
		r.Revocations = append(r.Revocations, NewRevocationReport(rev))
	}
	gravestFirst(r.Problems)
}
