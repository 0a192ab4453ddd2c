package charts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// releaseLabels are what the chart adds, as its README says.
var releaseLabels = map[string]string{
	"app.kubernetes.io/instance": release, "app.kubernetes.io/managed-by": "Helm",
	"app.kubernetes.io/version": "", "helm.sh/chart": "",
}

// TestParity: kubectl kustomize config/default and the chart with its defaults give the same objects, but for what the
// README of the chart lists.
func TestParity(t *testing.T) {
	kubectl := filepath.Join(needAssets(t), "kubectl")
	kustomized, err := run(t, os.Environ(), kubectl, "kustomize", filepath.Join("..", "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]any{}, map[string]any{}
	for _, object := range objects(t, kustomized) {
		if object.GetKind() == "Namespace" { // helm install --create-namespace
			continue
		}
		if object.GetKind() == "CustomResourceDefinition" && len(object.GetLabels()) > 0 {
			t.Errorf("%s of config/ has labels, so the comparison must not drop them", title(object))
		}
		want[title(object)] = object.Object
	}
	for _, object := range render(t, "") {
		if object.GetAnnotations()["helm.sh/hook"] == "test" {
			continue
		}
		withoutRelease(t, object)
		got[title(object)] = object.Object
	}
	if len(want) < 12 {
		t.Errorf("config/default gives %d objects only", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the chart (+) and config/ (-) differ; change both, or list the difference in charts/keyturn/README.md:\n%s", diff)
	}
}

// withoutRelease takes off what belongs to the release.
func withoutRelease(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if object.GetKind() == "CustomResourceDefinition" {
		if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s goes with the release", title(object))
		}
		unstructured.RemoveNestedField(object.Object, "metadata", "annotations", "helm.sh/resource-policy")
		unstructured.RemoveNestedField(object.Object, "metadata", "labels")
		return
	}
	for _, path := range [][]string{
		{"metadata", "labels"},
		{"spec", "selector", "matchLabels"},
		{"spec", "podSelector", "matchLabels"},
		{"spec", "template", "metadata", "labels"},
		{"spec", "selector"},
	} {
		labels, found, err := unstructured.NestedStringMap(object.Object, path...)
		if err != nil || !found {
			continue // another kind, or a selector that is no map of strings
		}
		for key, value := range releaseLabels {
			if has, ok := labels[key]; ok && (value == "" || has == value) {
				delete(labels, key)
			}
		}
		if err := unstructured.SetNestedStringMap(object.Object, labels, path...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopies: the chart's copies of config/ are fresh. hack/helm/sync.sh makes them.
func TestCopies(t *testing.T) {
	source := filepath.Join("..", "config", "crd", "bases")
	files, err := os.ReadDir(source)
	if err != nil {
		t.Fatal(err)
	}
	copies, err := os.ReadDir(filepath.Join(chart, "files", "crds"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 || len(files) != len(copies) {
		t.Errorf("%d CRDs in config/, %d in the chart: run hack/helm/sync.sh", len(files), len(copies))
	}
	for _, file := range files {
		want, wantErr := os.ReadFile(filepath.Join(source, file.Name()))
		got, err := os.ReadFile(filepath.Join(chart, "files", "crds", file.Name()))
		if wantErr != nil || err != nil || string(want) != string(got) {
			t.Errorf("%s of the chart is not that of config/: run hack/helm/sync.sh", file.Name())
		}
		// The anchor of templates/crds.yaml, by which labels and annotations are put in.
		if strings.Count(string(got), "\nmetadata:\n  annotations:\n") != 1 {
			t.Errorf("%s does not begin as templates/crds.yaml expects", file.Name())
		}
	}
}
