package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestAccessPolicyPage applies what docs/access-policies.md tells people to apply.
func TestAccessPolicyPage(t *testing.T) {
	ctx := needAPIServer(t)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "access-policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	policies := 0
	for _, block := range regexp.MustCompile("(?s)\n```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		shown := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(block[1], &shown.Object); err != nil {
			t.Fatalf("%v:\n%s", err, block[1])
		}
		if shown.GetKind() != "AccessPolicy" {
			continue // the Gateway API's, which this API server does not have
		}
		policies++
		shown.SetNamespace("test")
		if err := apply(ctx, shown, client.DryRunAll); err != nil {
			t.Errorf("%v:\n%s", err, block[1])
		}
	}
	if policies == 0 {
		t.Error("the page shows no AccessPolicy")
	}
}
