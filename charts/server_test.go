package charts

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const fieldOwner = client.FieldOwner("test")

// TestValues puts every documented combination of values before Helm's linter and a real API server: each object by a
// dry run that refuses unknown fields, each pod in a namespace with restricted pod security.
func TestValues(t *testing.T) {
	needAPIServer(t)
	restricted(t, namespace)
	for _, file := range valueFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), "-values.yaml"), func(t *testing.T) {
			mustHelm(t, "lint", chart, "--strict", "--values", file)
			all := render(t, file)
			for _, object := range all {
				if err := dryRun(t.Context(), object); err != nil {
					t.Errorf("%s: %v", title(object), err)
				}
				if template := podTemplate(t, object); template != nil {
					if err := admitPod(t.Context(), namespace, template); err != nil {
						t.Errorf("a pod of %s: %v", title(object), err)
					}
				}
			}
			if len(all) < 3 {
				t.Errorf("%d objects only", len(all))
			}
		})
	}
}

// TestRefusedValues: the schema refuses what would be ignored or would do harm.
func TestRefusedValues(t *testing.T) {
	for _, row := range []struct{ set, says string }{
		{"replica=2", "replica"},
		{"crds.instal=false", "instal"},
		{"replicas=-1", "replicas"},
		{"image.digest=sha256:short", "digest"},
		{"guardRails.minimumRSABits=1024", "minimumRSABits"},
		{"guardRails.maximumAccessTTL=15", "maximumAccessTTL"},
		{"guardRails.allowedIssuerHosts={https://example.com}", "allowedIssuerHosts"},
		{"guardRails.enabled=true,guardRails.validationActions={Deny,Warn}", "exclude each other"},
		{"serviceAccount.create=false", "serviceAccount.name"},
		{"metrics.serviceMonitor.enable=true", "enable"},
		{"networkPolicy.egress.probes.to={ingress-nginx}", "probes"},
		{"networkPolicy.egress.probes.to[0].namespace=traefik", "probes"},
		{"networkPolicy.egress.probes.ports={https}", "ports"},
		{"probes.private=false", "private"},
		{"kubeAPI.qps=-1", "qps"},
	} {
		if _, err := helm(t, "template", release, chart, "--namespace", namespace, "--set", row.set); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("--set %s: %v; want a refusal that names %q", row.set, err, row.says)
		}
	}
}

// TestRestrictedRefuses: the namespace of these tests does refuse a pod that is not restricted.
func TestRestrictedRefuses(t *testing.T) {
	needAPIServer(t)
	restricted(t, namespace)
	for _, object := range render(t, "") {
		template := podTemplate(t, object)
		if template == nil {
			continue
		}
		template.Spec.SecurityContext.RunAsNonRoot = nil
		if err := admitPod(t.Context(), namespace, template); !apierrors.IsForbidden(err) {
			t.Errorf("a pod of %s that may run as root: %v, want it refused", title(object), err)
		}
	}
}

// restricted makes a namespace as the README advises.
func restricted(t *testing.T, name string) {
	t.Helper()
	err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// dryRun does what kubectl apply --server-side --dry-run=server --validate=strict does.
func dryRun(ctx context.Context, object *unstructured.Unstructured) error {
	strict := client.WithFieldValidation(admin, metav1.FieldValidationStrict)
	return strict.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), fieldOwner, client.ForceOwnership, client.DryRunAll)
}

// podTemplate gives the template of a workload, nil for another kind.
func podTemplate(t *testing.T, object *unstructured.Unstructured) *corev1.PodTemplateSpec {
	t.Helper()
	content, found, err := unstructured.NestedMap(object.Object, "spec", "template")
	if err != nil || !found {
		return nil
	}
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content, &template, true); err != nil {
		t.Fatalf("%s: %v", title(object), err)
	}
	return &template
}

// admitPod asks the API server whether it would take a pod of that template.
func admitPod(ctx context.Context, namespace string, template *corev1.PodTemplateSpec) error {
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.Namespace, pod.GenerateName = namespace, "pod-"
	return admin.Create(ctx, pod, client.DryRunAll)
}

// eventually waits until check has nothing to object.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// removeKinds removes our CRDs and every object of theirs: the tests share one server, and some want it without.
func removeKinds(t *testing.T) {
	t.Helper()
	ctx := context.Background() // also when the test is over
	crds := &unstructured.UnstructuredList{}
	crds.SetAPIVersion("apiextensions.k8s.io/v1")
	crds.SetKind("CustomResourceDefinitionList")
	if err := admin.List(ctx, crds); err != nil {
		t.Fatal(err)
	}
	for i := range crds.Items {
		crd := &crds.Items[i]
		if !strings.HasSuffix(crd.GetName(), ".keyturn.dev") {
			continue
		}
		kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
		all := &unstructured.UnstructuredList{}
		all.SetAPIVersion("keyturn.dev/v1alpha1")
		all.SetKind(kind + "List")
		if err := admin.List(ctx, all); err != nil {
			t.Fatal(err)
		}
		for j := range all.Items { // nobody is there who would take off a finalizer
			// A guard rail that was deleted holds for a moment still.
			eventually(t, "the finalizers of "+title(&all.Items[j])+" go", func() error {
				return admin.Patch(ctx, &all.Items[j], client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
			})
		}
		if err := admin.Delete(ctx, crd); err != nil {
			t.Fatal(err)
		}
		eventually(t, crd.GetName()+" is gone", func() error {
			err := admin.Get(ctx, client.ObjectKeyFromObject(crd), crd.DeepCopy())
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(errors.New("it is still there"), err)
		})
	}
}
