package charts

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// guarded is a namespace that carries the label of ci/guard-rails-values.yaml.
const guarded = "guarded"

// TestGuardRails applies the guard rails of ci/guard-rails-values.yaml and asks the API server what it takes.
func TestGuardRails(t *testing.T) {
	needAPIServer(t)
	restricted(t, namespace)
	restricted(t, "unguarded")
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: guarded, Labels: map[string]string{"keyturn.example.com/guarded": "true"},
	}}); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	var rails []*unstructured.Unstructured
	for _, object := range render(t, filepath.Join(chart, "ci", "guard-rails-values.yaml")) {
		switch kind := object.GetKind(); {
		case kind == "CustomResourceDefinition":
			applyAndKeep(t, object)
		case strings.HasPrefix(kind, "ValidatingAdmissionPolicy"), kind == "ConfigMap":
			rails = append(rails, object)
		}
	}
	t.Cleanup(func() { removeKinds(t) })
	old := keySet("old", "RS256", 2048)
	old.SetNamespace(guarded)
	eventually(t, "the kinds are served", func() error {
		return client.IgnoreAlreadyExists(admin.Create(t.Context(), old.DeepCopy()))
	})
	for _, object := range rails {
		applyAndKeep(t, object)
	}
	// A binding takes effect a moment after it was stored.
	eventually(t, "the rails hold", func() error {
		for _, object := range []*unstructured.Unstructured{keySet("k", "RS256", 2048), policy("p", "1h", "720h"), service("s", "https://auth.example.net")} {
			if err := try(t.Context(), guarded, object); !apierrors.IsForbidden(err) {
				return &refusalMissing{title(object), err}
			}
		}
		return nil
	})
	for _, row := range []struct {
		object *unstructured.Unstructured
		says   string // empty: it is taken
	}{
		{keySet("k", "RS256", 2048), "rsaBits (2048) must be at least 3072 in this cluster"},
		{keySet("k", "RS256", 3072), ""},
		{keySet("k", "PS256", 4096), ""},
		{keySet("k", "ES256", 0), ""},
		{policy("p", "20m", "720h"), "accessToken.ttl (20m) must be at most 15m in this cluster"},
		{policy("p", "15m", "721h"), "refreshToken.absoluteTTL (721h) must be at most 720h in this cluster"},
		{policy("p", "15m", "720h"), ""},
		{service("s", "https://auth.example.com"), ""},
		{service("s", "https://example.com/auth"), ""},
		{service("s", "https://auth.example.org:8443"), ""},
		{service("s", "https://example.org"), "must be one of, or under one of, example.com,auth.example.org"},
		{service("s", "https://notexample.com"), "must be one of, or under one of"},
		{service("s", "https://example.com.evil.test"), "must be one of, or under one of"},
	} {
		err := try(t.Context(), guarded, row.object)
		if row.says == "" && err != nil {
			t.Errorf("%s %v is refused: %v", title(row.object), row.object.Object["spec"], err)
		}
		if row.says != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%s %v: %v; want it refused with %q", title(row.object), row.object.Object["spec"], err, row.says)
		}
		if err := try(t.Context(), "unguarded", row.object); err != nil {
			t.Errorf("%s in a namespace without the label is refused: %v", title(row.object), err)
		}
	}
	keepsWorking(t, old)
}

// keepsWorking: an object that is older than the rails can be labelled and gets its finalizer; its spec can change only
// to what they allow.
func keepsWorking(t *testing.T, old *unstructured.Unstructured) {
	t.Helper()
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(old), old); err != nil {
		t.Fatal(err)
	}
	old.SetFinalizers([]string{"keyturn.dev/in-use"})
	if err := admin.Update(t.Context(), old.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the manager cannot write the finalizer of an older object: %v", err)
	}
	if err := unstructured.SetNestedField(old.Object, "30m", "spec", "rotation", "slowestVerifier"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Update(t.Context(), old.DeepCopy(), client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("a change of an older object's spec: %v, want it refused until it keeps the limits", err)
	}
}

type refusalMissing struct {
	what string
	err  error
}

func (r *refusalMissing) Error() string {
	if r.err == nil {
		return r.what + " is taken"
	}
	return r.what + ": " + r.err.Error()
}

// applyAndKeep stores an object until the test ends. CRDs go by removeKinds.
func applyAndKeep(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if err := admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()), fieldOwner, client.ForceOwnership); err != nil {
		t.Fatalf("%s: %v", title(object), err)
	}
	if object.GetKind() != "CustomResourceDefinition" {
		t.Cleanup(func() {
			if err := admin.Delete(context.Background(), object); err != nil {
				t.Errorf("%s: %v", title(object), err)
			}
		})
	}
}

func try(ctx context.Context, namespace string, object *unstructured.Unstructured) error {
	object = object.DeepCopy()
	object.SetNamespace(namespace)
	return admin.Create(ctx, object, client.DryRunAll)
}

func declared(kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keyturn.dev/v1alpha1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

func keySet(name, algorithm string, bits int64) *unstructured.Unstructured {
	spec := map[string]any{"algorithm": algorithm}
	if bits > 0 {
		spec["rsaBits"] = bits
	}
	return declared("SigningKeySet", name, spec)
}

func policy(name, access, absolute string) *unstructured.Unstructured {
	return declared("TokenPolicy", name, map[string]any{
		"accessToken":  map[string]any{"ttl": access, "audiences": []any{"https://api.example.com"}},
		"refreshToken": map[string]any{"absoluteTTL": absolute},
	})
}

func service(name, issuer string) *unstructured.Unstructured {
	return declared("TokenService", name, map[string]any{
		"issuer": issuer, "signingKeySetRef": map[string]any{"name": "main"}, "tokenPolicyRef": map[string]any{"name": "web"},
		"trustedProxies": []any{"10.244.0.0/16"},
		"identity":       []any{map[string]any{"name": "staff", "htpasswd": map[string]any{"secretRef": map[string]any{"name": "users"}}}},
	})
}
