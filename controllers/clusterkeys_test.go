package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// fakeCluster answers as a test says.
type fakeCluster struct {
	mu     sync.Mutex
	issuer string
	jwks   string
	err    error
	reads  int
}

func (f *fakeCluster) Read(context.Context) (string, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	return f.issuer, []byte(f.jwks), f.err
}

func (f *fakeCluster) says(issuer, jwks string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issuer, f.jwks, f.err = issuer, jwks, err
}

const (
	oneKey  = `{"keys":[{"kty":"RSA","kid":"a","use":"sig","alg":"RS256","n":"AQ","e":"AQAB"}]}`
	twoKeys = `{"keys":[{"kty":"RSA","kid":"b","n":"Ag","e":"AQAB"},{"kty":"RSA","kid":"a","use":"sig","alg":"RS256","n":"AQ","e":"AQAB"}]}`
)

// TestClusterCache: read every five minutes, again soon after a failure, and what was good stays.
func TestClusterCache(t *testing.T) {
	cluster := &fakeCluster{}
	cache := clusterCache{reader: cluster}
	broken := errors.New("forbidden")
	for i, row := range []struct {
		after  time.Duration
		issuer string
		jwks   string
		err    error
		reads  int
		keys   string // the kids that are known
		failed bool
		news   bool
	}{
		{0, "", "", broken, 1, "", true, true},
		{clusterRetry - 1, "https://k", oneKey, nil, 1, "", true, false},
		{clusterRetry, "https://k", oneKey, nil, 2, "a", false, false},
		{clusterRetry + clusterRefresh - 1, "https://k", twoKeys, nil, 2, "a", false, false},
		{clusterRetry + clusterRefresh, "https://k", twoKeys, nil, 3, "ab", false, false},
		{clusterRetry + 2*clusterRefresh, "", "", broken, 4, "ab", true, true},
		{2*clusterRetry + 2*clusterRefresh, "https://k", `{"keys":[]}`, nil, 5, "ab", true, true}, // nothing to verify by is no answer
		{3*clusterRetry + 2*clusterRefresh, "", twoKeys, nil, 6, "ab", true, true},
		{4*clusterRetry + 2*clusterRefresh, "https://k", oneKey, nil, 7, "a", false, false},
	} {
		cluster.says(row.issuer, row.jwks, row.err)
		got := cache.get(t.Context(), noon.Add(row.after))
		kids := ""
		if got.keys != nil {
			kids = kidsOf(t, got.keys.JWKS)
		}
		if cluster.reads != row.reads || kids != row.keys || (got.err != nil) != row.failed || got.news != row.news {
			t.Errorf("%d: %d reads, keys %q, error %v, news %t; want %+v", i, cluster.reads, kids, got.err, got.news, row)
		}
	}
}

func kidsOf(t *testing.T, jwks []byte) string {
	t.Helper()
	var set struct {
		Keys []struct{ KID string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, k := range set.Keys {
		out += k.KID
	}
	return out
}

// TestPublicJWKS: another order is no other document, and nothing private gets into one.
func TestPublicJWKS(t *testing.T) {
	const first = `{"kty":"RSA","kid":"a","n":"AQ","e":"AQAB"}`
	const second = `{"kty":"EC","crv":"P-256","kid":"b","x":"AQ","y":"Ag","d":"canary","x5c":["x"]}`
	one, err := publicJWKS([]byte(`{"keys":[` + first + `,` + second + `,{"kty":"oct","k":"canary"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	other, err := publicJWKS([]byte(` {"keys": [` + second + `, ` + first + `], "more": 1}`))
	if err != nil || string(one) != string(other) {
		t.Errorf("%v:\n%s\n%s", err, one, other)
	}
	if want := `{"keys":[{"e":"AQAB","kid":"a","kty":"RSA","n":"AQ"},{"crv":"P-256","kid":"b","kty":"EC","x":"AQ","y":"Ag"}]}`; string(one) != want {
		t.Errorf("%s\nwant %s", one, want)
	}
	for _, bad := range []string{"", "<html>", `{"keys":[]}`, `{"keys":"x"}`, `{"keys":[` + strings.Repeat(first+",", 64) + first + `]}`} {
		if got, err := publicJWKS([]byte(bad)); err == nil {
			t.Errorf("%.40s gives %s", bad, got)
		}
	}
}

// takesAccounts adds a source that takes the cluster's tokens.
func takesAccounts(_ *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, tsvc *keyturnv1alpha1.TokenService) {
	tsvc.Spec.Identity[0].SubjectPrefix = "staff:"
	tsvc.Spec.Identity = append(tsvc.Spec.Identity, keyturnv1alpha1.IdentitySource{
		Name: "jobs", SubjectPrefix: "jobs:", Kubernetes: &keyturnv1alpha1.KubernetesSource{Accounts: []keyturnv1alpha1.KubernetesAccount{{Namespace: "batch"}}},
	})
}

// inForce is the source that takes the cluster's tokens as the stored document has it, nil if it has none.
func (w *world) inForce() *snapshot.Kubernetes {
	w.Helper()
	issuer, err := w.issuerDocument()
	if err != nil {
		return nil
	}
	at := slices.IndexFunc(issuer.Identity, func(s snapshot.IdentitySource) bool { return s.Kubernetes != nil })
	if at < 0 {
		return nil
	}
	return issuer.Identity[at].Kubernetes
}

// TestClusterKeysOfTheAPIServer: the keys of this very API server get into the document, with the rights of config/rbac
// and no others.
func TestClusterKeysOfTheAPIServer(t *testing.T) {
	w := settled(t, takesAccounts)
	found := w.inForce()
	if found == nil {
		t.Fatalf("no source takes the cluster's tokens: %s", w.describe())
	}
	if !strings.HasPrefix(found.Issuer, "https://") || len(kidsOf(t, found.JWKS)) < 20 || len(found.Accounts) != 1 {
		t.Errorf("issuer %q, keys %s, accounts %v", found.Issuer, found.JWKS, found.Accounts)
	}
}

// TestClusterKeysLost: a cluster that does not tell its keys any more keeps those in force, for a while in silence but for
// an Event; a manager that starts meanwhile takes them from the document; and a cluster that never did lets nobody in.
func TestClusterKeysLost(t *testing.T) {
	w := newQuietWorld(t)
	cluster := &fakeCluster{err: errors.New("forbidden: User \"manager\" cannot get path \"/openid/v1/jwks\"")}
	w.cluster = cluster
	w.startManager()
	w.declare(takesAccounts)
	const unavailable = "False ClusterKeysUnavailable"
	w.eventually("a cluster that says nothing is reported", func() string {
		list := w.service().Status.Conditions
		if m := conditionMessage(list, "ResolvedRefs"); !strings.Contains(m, "ClusterRole keyturn-manager") || !strings.Contains(m, "cannot get path") {
			return m
		}
		issuer, err := w.issuerDocument()
		if err != nil || len(issuer.Identity) != 1 || issuer.Identity[0].Htpasswd == nil {
			return fmt.Sprintf("sources %+v: %v", issuer.Identity, err)
		}
		return want(list, "ResolvedRefs", unavailable, "Ready", unavailable, "KeysLoaded", "True AsExpected")
	})
	cluster.says("https://kubernetes.default.svc", oneKey, nil)
	w.clock.step(clusterRetry)
	w.eventually("settle", w.unhealthy)

	cluster.says("https://kubernetes.default.svc", twoKeys, nil)
	w.clock.step(clusterRefresh) // and not before: it is asked once then
	w.eventually("a new key of the cluster is taken up", func() string {
		if k := w.inForce(); k == nil || kidsOf(t, k.JWKS) != "ab" {
			return fmt.Sprintf("%+v", k)
		}
		return ""
	})

	edit(w, w.service(), func(s *keyturnv1alpha1.TokenService) {
		s.Spec.Identity = append(s.Spec.Identity, keyturnv1alpha1.IdentitySource{
			Name: "same", SubjectPrefix: "same:", OIDC: &keyturnv1alpha1.OIDCSource{IssuerURL: "https://kubernetes.default.svc", ClientID: "x"},
		})
	})
	w.eventually("two sources of one issuer are refused", func() string {
		if w.inForce() != nil {
			return "both are in the document"
		}
		return want(w.service().Status.Conditions, "ResolvedRefs", "False InvalidSpec", "KeysLoaded", "True AsExpected")
	})
	edit(w, w.service(), func(s *keyturnv1alpha1.TokenService) { s.Spec.Identity = s.Spec.Identity[:2] })
	w.eventually("settle again", w.unhealthy)

	cluster.says("", "", errors.New("no route to host"))
	before := cluster.count()
	w.clock.step(clusterRefresh)
	w.eventually("it is asked again", func() string {
		if cluster.count() == before {
			return "not asked"
		}
		return w.unhealthy() // in silence
	})
	w.eventually("an Event says so", func() string {
		if !slices.Contains(w.events(), "ClusterKeysUnavailable") {
			return fmt.Sprint(w.events())
		}
		return ""
	})
	w.clock.step(clusterGrace)
	w.eventually("lasting trouble is reported", func() string {
		return want(w.service().Status.Conditions, "ResolvedRefs", unavailable)
	})
	w.stopManager()
	w.startManager()
	edit(w, w.newPolicy(), func(p *keyturnv1alpha1.TokenPolicy) { p.Spec.Claims.MaxBytes = 512 })
	w.eventually("a document of the next manager", func() string {
		if issuer, err := w.issuerDocument(); err != nil || issuer.Access.MaxClaimBytes != 512 {
			return fmt.Sprintf("%d: %v", issuer.Access.MaxClaimBytes, err)
		}
		if k := w.inForce(); k == nil || kidsOf(t, k.JWKS) != "ab" || k.Issuer != "https://kubernetes.default.svc" {
			t.Fatalf("the last good keys are lost: %+v", k)
		}
		return ""
	})
	w.eventually("it is reported by the next manager", func() string {
		if m := conditionMessage(w.service().Status.Conditions, "ResolvedRefs"); !strings.Contains(m, "since the manager started") {
			return m
		}
		return ""
	})
}

func (f *fakeCluster) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}
