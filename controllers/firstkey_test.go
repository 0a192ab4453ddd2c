package controllers

import (
	"fmt"
	"strings"
	"testing"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// TestFirstKey applies the objects one after the other, as people do, and reads what each step shows.
func TestFirstKey(t *testing.T) {
	w := newWorld(t)
	w.create(w.newSet())
	w.eventually("a first key signs", func() string {
		s := w.set().Status
		if s.ActiveKid == "" || s.StandbyKid == "" {
			return "no active and standby key"
		}
		return want(s.Conditions, "Ready", "True Ready", "Published", "False NoReplicas", "StandbyReady", "False StandbyPending",
			"KeyMaterialLost", "False AsExpected", "RestoreDetected", "False AsExpected")
	})
	first := w.ring().Active().KID
	w.create(w.newService())
	w.eventually("the service names what is missing", func() string {
		return want(w.service().Status.Conditions, "Ready", "False PolicyNotFound", "ResolvedRefs", "False PolicyNotFound")
	})
	w.create(w.newPolicy())
	w.create(w.newUsers())
	w.eventually("settle", w.unhealthy)

	ring := w.ring()
	if ring.Active().KID != first || len(ring.Keys) != 2 || ring.Active().Sequence != 1 {
		t.Errorf("the first key changed: %+v", ring.Keys)
	}
	set, service := w.set(), w.service()
	if set.Status.Keys[0].State != keyturnv1alpha1.KeyPublished || set.Status.Keys[1].State != keyturnv1alpha1.KeyActive {
		t.Errorf("keys %+v, want the newest first", set.Status.Keys)
	}
	if !strings.HasPrefix(set.Status.Next, "rotate 20") || !strings.HasSuffix(set.Status.Next, "Z") {
		t.Errorf("NEXT is %q", set.Status.Next)
	}
	if bad := want(set.Status.Conditions, "Published", "True AsExpected", "StandbyReady", "True AsExpected", "RotationOverdue", "False AsExpected", "ClockSkewed", "False AsExpected"); bad != "" {
		t.Error(bad)
	}
	if bad := want(service.Status.Conditions, "ResolvedRefs", "True Resolved", "KeysLoaded", "True AsExpected", "StoreReachable", "True AsExpected",
		"ClientAddressKnown", "True AsExpected", "Available", "True AsExpected"); bad != "" {
		t.Error(bad)
	}
	if got := service.Status.Endpoints.EdgeGRPC; got != "web-extauthz."+w.ns+".svc:9000" {
		t.Errorf("edgeGRPC %q", got)
	}
	w.eventually("the policy shows who uses it", func() string { // another controller looks at it
		var policy keyturnv1alpha1.TokenPolicy
		if w.get(&policy, policyName); policy.Status.UsedBy == nil || *policy.Status.UsedBy != 1 || shows(policy.Status.Conditions, "Accepted") != "True Accepted" {
			return fmt.Sprintf("%+v", policy.Status)
		}
		return ""
	})
	w.firstDocuments(ring)
}

// firstDocuments checks what the documents carry besides the keys.
func (w *world) firstDocuments(ring *keys.Ring) {
	edge, err := w.edgeDocument()
	if err != nil {
		w.Fatal(err)
	}
	issuer, err := w.issuerDocument()
	if err != nil {
		w.Fatal(err)
	}
	if edge.Issuer != "https://auth.example.com" || edge.TokenService != w.ns+"/web" || edge.MaxTTL.Std().Minutes() != 15 || len(edge.TrustedProxies) != 1 ||
		edge.OnStaleRevocation != "AllowUntilExpiry" || edge.Feed.ServerName != "web-feed."+w.ns+".svc" || !strings.HasSuffix(edge.Feed.Address, ":8444") {
		w.Errorf("edge document: %+v", edge)
	}
	if issuer.Access.TTL.Std().Minutes() != 15 || issuer.Refresh.IdleTTL.Std().Hours() != 168 || len(issuer.Identity) != 1 || issuer.Identity[0].Htpasswd == nil ||
		!issuer.Identity[0].Htpasswd.Users.Empty() || issuer.LoginLimit.Limit != 10 || issuer.JWKS.MaxAge.Std().Minutes() != 5 {
		w.Errorf("issuer document: %+v", issuer)
	}
	if edge.Keys.Name != w.ns+"/main" || edge.Keys.Active != ring.Active().KID {
		w.Errorf("keys of the edge: %+v", edge.Keys)
	}
}
