package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// kid is a thumbprint as a key has it.
const kid = "b41e02aaZ3nQmJ8wX5cVfR7tYkLhGdSp9oUiEyWxA1Q"

func condition(kind, status string) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: metav1.ConditionStatus(status), Reason: v1alpha1.ReasonAsExpected,
		Message: "told in one line", LastTransitionTime: metav1.Now(), ObservedGeneration: 1,
	}
}

func ago(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-d)) }

func signingKeySetStatus() v1alpha1.SigningKeySetStatus {
	return v1alpha1.SigningKeySetStatus{
		ObservedGeneration: 1, Active: kid[:8], ActiveKid: kid, ActiveSince: ago(50 * time.Hour),
		Standby: "77ab01cd", StandbyKid: "77ab01cd" + kid[8:], JWKSRevision: 41, Epoch: 7,
		RingDigest: strings.Repeat("a", 64), RotateRequestObserved: "2026-11-21T10:00:00Z",
		NextTransition: &v1alpha1.KeyTransition{
			Kid: "77ab01cd" + kid[8:], To: v1alpha1.KeyActive, NotBefore: ago(-300 * time.Hour),
			BlockedBy: "tokenservice-7c9f has revision 40, needs 41",
		},
		Next: "rotate 2036-12-21T10:00Z",
		Keys: []v1alpha1.KeyStatus{
			{Kid: kid, Algorithm: v1alpha1.RS256, Sequence: 2, State: v1alpha1.KeyActive, CreatedTime: ago(99 * time.Hour), PublishedTime: ago(98 * time.Hour), ActivatedTime: ago(50 * time.Hour), MaxTokenTTL: metav1.Duration{Duration: 15 * time.Minute}},
			{Kid: "old", Algorithm: v1alpha1.ES256, Sequence: 1, State: v1alpha1.KeyRetiring, RetiringTime: ago(50 * time.Hour), VerifyUntil: ago(-time.Hour)},
		},
		Propagation: v1alpha1.PropagationStatus{Revision: 41, Replicas: "2/3", WaitingFor: []string{"tokenservice-7c9f"}},
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionReady, "True"), condition(v1alpha1.ConditionRotationOverdue, "False"),
		},
	}
}

// TestStatus makes objects by the Go types, as a controller does, writes a full status, and reads what
// kubectl get -o wide prints. The zero values must not hide defaults, and an instant to come must not be <invalid>.
func TestStatus(t *testing.T) {
	one := int32(1)
	meta := metav1.ObjectMeta{Name: "status", Namespace: "test"}
	moving, access, revoked := rollout(meta), accessPolicy(meta), revocationObject(meta)
	set := &v1alpha1.SigningKeySet{ObjectMeta: meta}
	policy := &v1alpha1.TokenPolicy{ObjectMeta: meta, Spec: v1alpha1.TokenPolicySpec{
		AccessToken: v1alpha1.AccessTokenSpec{Audiences: []string{"shop"}},
	}}
	service := &v1alpha1.TokenService{ObjectMeta: meta, Spec: v1alpha1.TokenServiceSpec{
		Issuer:           "https://auth.example.com",
		SigningKeySetRef: v1alpha1.SigningKeySetReference{Name: "main"},
		TokenPolicyRef:   v1alpha1.TokenPolicyReference{Name: "web"},
		Identity: []v1alpha1.IdentitySource{{
			Name: "staff", HTPasswd: &v1alpha1.HTPasswdSource{SecretRef: v1alpha1.SecretReference{Name: "users"}},
		}},
		TrustedProxies: []string{"10.244.0.0/16"},
	}}
	for _, row := range []struct {
		resource string
		object   client.Object
		report   func()
		want     string
	}{
		{
			"signingkeysets", set, func() { set.Status = signingKeySetStatus() },
			"status True RS256 b41e02aa 2d2h 77ab01cd 41 rotate 2036-12-21T10:00Z 2/3 False AGE",
		},
		{"tokenpolicies", policy, func() {
			policy.Status = v1alpha1.TokenPolicyStatus{
				ObservedGeneration: 1, UsedBy: &one, Conditions: []metav1.Condition{condition(v1alpha1.ConditionAccepted, "True")},
			}
		}, "status True 15m 168h 1 AGE"},
		{"tokenservices", service, func() {
			service.Status = v1alpha1.TokenServiceStatus{
				ObservedGeneration: 1, IssuerRevision: 9, EdgeRevision: 12, Key: kid[:8], ActiveKid: kid, Epoch: 7, Replicas: "1/1", Edge: "2/2", Rollout: "50%",
				Endpoints:  v1alpha1.TokenServiceEndpoints{TokenService: "web.demo.svc:8080", EdgeGRPC: "e.demo.svc:9001", EdgeHTTP: "e.demo.svc:9002"},
				Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, "True")},
			}
		}, "status True https://auth.example.com b41e02aa 1/1 2/2 50% AGE"},
		{
			"authrollouts", moving, func() { moving.Status = rolloutStatus() },
			"status True Migrating 1/2 10 88.20% Failing 1/3 True 2037-03-31T09:00Z 2/3 100% not before 2036-12-21T10:00Z AGE",
		},
		{
			"accesspolicies", access, func() { access.Status = accessStatus() },
			"status True Enforce 1/1 web Unknown AGE",
		},
		{"revocations", revoked, func() { revoked.Status = revocationStatus() }, "status User staff:alice False 2/3 3d AGE"},
	} {
		t.Run(row.resource, func(t *testing.T) {
			ctx := needAPIServer(t)
			if err := apiServer.Create(ctx, row.object); err != nil {
				t.Fatalf("an object made by the Go types is refused: %v", err)
			}
			t.Cleanup(func() {
				if err := apiServer.Delete(context.Background(), row.object); err != nil {
					t.Error(err)
				}
			})
			row.report()
			if err := apiServer.Status().Update(ctx, row.object); err != nil {
				t.Fatalf("the status is refused: %v", err)
			}
			if got := printed(ctx, t, row.resource); got != row.want {
				t.Errorf("kubectl get -o wide:\nwant %s\n got %s", row.want, got)
			}
		})
	}
}

// printed is the row of the object named status as the API server renders it for kubectl get -o wide.
func printed(ctx context.Context, t *testing.T, resource string) string {
	t.Helper()
	config := rest.CopyConfig(environment.Config)
	config.APIPath = "/apis"
	config.GroupVersion = &schema.GroupVersion{Group: v1alpha1.Group, Version: "v1alpha1"}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	reader, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	err = reader.Get().Namespace("test").Resource(resource).Name("status").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(ctx).Into(table)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 1 {
		t.Fatalf("the table has %d rows", len(table.Rows))
	}
	cells := make([]string, 0, len(table.Rows[0].Cells))
	for i, cell := range table.Rows[0].Cells {
		text := fmt.Sprint(cell)
		if table.ColumnDefinitions[i].Name == "AGE" && strings.HasSuffix(text, "s") {
			text = "AGE"
		}
		cells = append(cells, text)
	}
	return strings.Join(cells, " ")
}

// TestStatusBounds shows that a state or a list out of bounds is refused, so that no bug fills etcd.
func TestStatusBounds(t *testing.T) {
	ctx := needAPIServer(t)
	set := &v1alpha1.SigningKeySet{ObjectMeta: metav1.ObjectMeta{Name: "bounds", Namespace: "test"}}
	if err := apiServer.Create(ctx, set); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*v1alpha1.SigningKeySetStatus){
		"unknown state": func(s *v1alpha1.SigningKeySetStatus) { s.Keys[0].State = "Sleeping" },
		"33 keys": func(s *v1alpha1.SigningKeySetStatus) {
			for i := range 31 {
				s.Keys = append(s.Keys, v1alpha1.KeyStatus{Kid: fmt.Sprint(i), Algorithm: v1alpha1.RS256, State: v1alpha1.KeyRemoved})
			}
		},
		"twice the same kid": func(s *v1alpha1.SigningKeySetStatus) { s.Keys[1].Kid = s.Keys[0].Kid },
		"17 laggards":        func(s *v1alpha1.SigningKeySetStatus) { s.Propagation.WaitingFor = make([]string, 17) },
	} {
		bad := set.DeepCopy()
		bad.Status = signingKeySetStatus()
		spoil(&bad.Status)
		if err := apiServer.Status().Update(ctx, bad, client.DryRunAll); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
