package plugin

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// revocations are those that were made.
func (c *call) revocations(t *testing.T) []v1alpha1.Revocation {
	t.Helper()
	var all v1alpha1.RevocationList
	if err := c.Client.List(c.ctx, &all, client.InNamespace("demo")); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// answers plays the manager: it changes the status of the only revocation.
func (c *call) answers(t *testing.T, change func(*v1alpha1.RevocationStatus)) {
	t.Helper()
	rev := c.revocations(t)[0]
	change(&rev.Status)
	if err := c.Client.Update(c.ctx, &rev); err != nil {
		t.Fatal(err)
	}
}

func TestRevokeMakes(t *testing.T) {
	for _, row := range []struct {
		options RevokeOptions
		want    func(*v1alpha1.RevocationSpec) bool
	}{
		{RevokeOptions{Kind: "key", Name: "main", What: settledSet().Status.ActiveKid[:8]}, func(s *v1alpha1.RevocationSpec) bool {
			return s.Key != nil && s.Key.Kid == settledSet().Status.ActiveKid && s.Key.SigningKeySetRef.Name == "main"
		}},
		{RevokeOptions{Kind: "key", Name: "main", What: strings.Repeat("A", 43)}, func(s *v1alpha1.RevocationSpec) bool { return s.Key.Kid == strings.Repeat("A", 43) }},
		{RevokeOptions{Kind: "user", Name: "web", What: "staff:alice"}, func(s *v1alpha1.RevocationSpec) bool {
			return s.User != nil && s.User.Subject == "staff:alice" && s.User.TokenServiceRef.Name == "web"
		}},
		{RevokeOptions{Kind: "session", Name: "web", What: "1.AAAAAAAAAAAAAAAAAAAAAA"}, func(s *v1alpha1.RevocationSpec) bool { return s.Session != nil && s.Session.ID != "" }},
		{RevokeOptions{Kind: "all", Name: "web"}, func(s *v1alpha1.RevocationSpec) bool { return s.All != nil && s.All.TokenServiceRef.Name == "web" }},
	} {
		c := newCall(t, noFuncs, settledSet(), healthyService())
		row.options.Reason = "a test"
		for range 2 { // the same second again is another one
			if err := c.Revoke(c.ctx, row.options); err != nil {
				t.Fatalf("%s: %v", row.options.Kind, err)
			}
		}
		all := c.revocations(t)
		if len(all) != 2 || !row.want(&all[0].Spec) || all[0].Spec.Reason != "a test" || all[0].Name != row.options.Kind+"-20261201-100000" {
			t.Errorf("%s: %+v", row.options.Kind, all)
		}
		if !strings.Contains(c.err.String(), "follow it with: kubectl -n demo get rev "+all[0].Name) {
			t.Errorf("%s: %s", row.options.Kind, &c.err)
		}
	}
}

func TestRevokeRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		options RevokeOptions
		want    string
	}{
		"no reason":        {RevokeOptions{Kind: "all", Name: "web"}, "why?"},
		"no such set":      {RevokeOptions{Kind: "key", Name: "other", What: "b41e02aa", Reason: "r"}, "there is no SigningKeySet other"},
		"no such service":  {RevokeOptions{Kind: "user", Name: "other", What: "x", Reason: "r"}, "there is no TokenService other"},
		"too short a kid":  {RevokeOptions{Kind: "key", Name: "main", What: "b4", Reason: "r"}, "is too short for a kid"},
		"a kid of no key":  {RevokeOptions{Kind: "key", Name: "main", What: "zzzzzzzz", Reason: "r"}, "no key begins with zzzzzzzz"},
		"nothing sensible": {RevokeOptions{Kind: "everything", Name: "web", Reason: "r"}, "what is to be revoked"},
	} {
		c := newCall(t, noFuncs, settledSet(), healthyService())
		if err := c.Revoke(c.ctx, row.options); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
		if made := c.revocations(t); len(made) > 0 {
			t.Errorf("%s: %+v was made", name, made)
		}
	}
	twins := settledSet()
	for i := range twins.Status.Keys {
		twins.Status.Keys[i].Kid = "samesame" + twins.Status.Keys[i].Kid[8:]
	}
	if _, err := kidOf(twins, "samesame"); err == nil || !strings.Contains(err.Error(), "keys begin with samesame") {
		t.Errorf("a prefix of several keys: %v", err)
	}
}

// TestRevokeWait plays a manager, until every edge has confirmed.
func TestRevokeWait(t *testing.T) {
	c := newCall(t, noFuncs, settledSet(), healthyService())
	c.onWait = func(waits int) bool {
		switch waits {
		case 2:
			c.answers(t, func(s *v1alpha1.RevocationStatus) {
				s.Conditions = []metav1.Condition{condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonStoreUnavailable, "web-tokenservice-0 cannot write its store, and tries again: the disk is full")}
			})
		case 4:
			c.answers(t, func(s *v1alpha1.RevocationStatus) {
				s.Exposure = v1alpha1.RevocationExposure{Until: at(-17 * time.Minute), Replicas: "1/2", WaitingFor: []string{"web-extauthz-1-a"}}
				s.Conditions[0].Message = "web-extauthz-1-a has applied number 41, wants 42"
			})
		case 6:
			c.answers(t, func(s *v1alpha1.RevocationStatus) {
				s.Exposure.Replicas, s.Exposure.WaitingFor = "2/2", nil
				s.Conditions[0] = condition(v1alpha1.ConditionEnforced, "True", v1alpha1.ReasonEnforced, "all 2 edges refuse it")
			})
		}
		return waits < 20
	}
	if err := c.Revoke(c.ctx, RevokeOptions{Kind: "user", Name: "web", What: "staff:alice", Reason: "laptop gone", Wait: true, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	golden(t, "revoke-wait", c.err.String())
}

func TestRevokeWaitEnds(t *testing.T) {
	for name, row := range map[string]struct {
		onWait func(*call) func(int) bool
		want   string
	}{
		"a key that nobody has": {func(c *call) func(int) bool {
			return func(waits int) bool {
				if waits == 1 {
					c.answers(t, func(s *v1alpha1.RevocationStatus) {
						s.Conditions = []metav1.Condition{condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonKeyNotFound, "SigningKeySet main has no key AAAAAAAA")}
					})
				}
				return true
			}
		}, "nothing is revoked: SigningKeySet main has no key"},
		"nobody answers": {func(*call) func(int) bool { return func(int) bool { return true } }, "not enforced after 1m0s: asked; the manager has not answered yet"},
		"interrupted":    {func(*call) func(int) bool { return func(waits int) bool { return waits < 3 } }, "interrupted"},
	} {
		c := newCall(t, noFuncs, settledSet(), healthyService())
		c.onWait = row.onWait(c)
		err := c.Revoke(c.ctx, RevokeOptions{Kind: "key", Name: "main", What: strings.Repeat("A", 43), Reason: "r", Wait: true, Timeout: time.Minute})
		var trouble *Trouble
		if !errors.As(err, &trouble) || !strings.Contains(trouble.What, row.want) || !strings.Contains(trouble.Mend, "kubectl") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func revocationObjects() []client.Object {
	done := &v1alpha1.Revocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "alice-laptop", CreationTimestamp: at(3 * time.Minute)},
		Spec:       v1alpha1.RevocationSpec{User: &v1alpha1.UserRevocation{TokenServiceRef: v1alpha1.TokenServiceReference{Name: "web"}, Subject: "staff:alice"}, Reason: "laptop gone"},
		Status: v1alpha1.RevocationStatus{
			Kind: v1alpha1.RevocationUser, What: "staff:alice", Number: 42, EnforcedTime: at(3 * time.Minute),
			Exposure:   v1alpha1.RevocationExposure{Until: at(-14 * time.Minute), Replicas: "2/2"},
			Conditions: []metav1.Condition{condition(v1alpha1.ConditionEnforced, "True", v1alpha1.ReasonEnforced, "all 2 edges refuse it")},
		},
	}
	waits := done.DeepCopy()
	kid := settledSet().Status.ActiveKid
	waits.Name, waits.Spec = "leaked", v1alpha1.RevocationSpec{Key: &v1alpha1.KeyRevocation{SigningKeySetRef: v1alpha1.SigningKeySetReference{Name: "main"}, Kid: kid}, Reason: "in a public repository"}
	waits.Status = v1alpha1.RevocationStatus{
		Kind: v1alpha1.RevocationKey, What: kid[:8], Exposure: v1alpha1.RevocationExposure{Until: at(-18 * time.Minute), Tokens: 1240, Replicas: "1/2", WaitingFor: []string{"web-extauthz-1-a"}},
		Conditions: []metav1.Condition{condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonWaitingForReplicas, "web-extauthz-1-a accepts it at epoch 7")},
	}
	return []client.Object{done, waits}
}

func TestExposure(t *testing.T) {
	c := newCall(t, noFuncs, append(revocationObjects(), rotatedSet())...)
	if err := c.Exposure(c.ctx, "", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "exposure", c.out.String())
	c.out.Reset()
	if err := c.Exposure(c.ctx, "main", false); err != nil {
		t.Fatal(err)
	}
	if out := c.out.String(); strings.Contains(out, "alice") || !strings.Contains(out, "leaked") {
		t.Errorf("of one set:\n%s", out)
	}
	report, err := c.statusReport(c.ctx)
	if err != nil || len(report.Revocations) != 1 || report.Revocations[0].Name != "leaked" {
		t.Errorf("status shows %+v, %v", report.Revocations, err)
	}
}
