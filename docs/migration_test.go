package docs

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

var (
	yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)```")
	captured  = regexp.MustCompile("(?s)<!-- capture: ([a-z-]+) -->\n\n```text\n(.*?)```\n")
)

// TestAuthRollouts holds each AuthRollout of the documentation to the type and to the schema of the CRD. A block of
// migration-guide.md that begins with spec: is a change of the page's plan: what comes out is checked. The plan itself is
// the sample, which the tests of the API apply to a real API server, the CRD's rules included.
func TestAuthRollouts(t *testing.T) {
	check := rolloutSchema(t)
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen, changes := 0, 0
	var guide map[string]any
	for _, page := range append(pages, filepath.Join("..", "README.md")) {
		var plan map[string]any
		for _, found := range yamlBlock.FindAllStringSubmatch("\n"+readPage(t, page), -1) {
			for text := range strings.SplitSeq(found[1], "\n---\n") {
				switch {
				case strings.Contains(text, "kind: AuthRollout"):
					seen++
					plan = check(t, page, text)
					if page == "migration-guide.md" {
						guide = plan
					}
				case page == "migration-guide.md" && strings.HasPrefix(text, "spec:"):
					changes++
					var change map[string]any
					if err := yaml.UnmarshalStrict([]byte(text), &change); err != nil || plan == nil {
						t.Fatalf("%s: %v:\n%s", page, err, text)
					}
					changed, err := yaml.Marshal(merged(plan, change))
					if err != nil {
						t.Fatal(err)
					}
					check(t, page, string(changed))
				}
			}
		}
	}
	sample, err := os.ReadFile(filepath.Join("..", "config", "samples", "legacy-sessions", "authrollout.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(guide, check(t, "the sample", string(sample))); diff != "" {
		t.Errorf("the plan of migration-guide.md and config/samples/legacy-sessions differ (-guide +sample):\n%s", diff)
	}
	if seen == 0 || changes == 0 {
		t.Errorf("%d AuthRollouts and %d changes: the test sees too few", seen, changes)
	}
}

// rolloutSchema returns the check of an AuthRollout in YAML, which answers it as an object.
func rolloutSchema(t *testing.T) func(t *testing.T, where, text string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "config", "crd", "bases", "keyturn.dev_authrollouts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		t.Fatal(err)
	}
	raw, err = json.Marshal(crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	var schema openapi3.Schema
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, where, text string) map[string]any {
		t.Helper()
		var typed v1alpha1.AuthRollout
		if err := yaml.UnmarshalStrict([]byte(text), &typed); err != nil {
			t.Errorf("%s: %v:\n%s", where, err, text)
		}
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if err := schema.VisitJSON(object, openapi3.MultiErrors()); err != nil {
			t.Errorf("%s: %v:\n%s", where, err, text)
		}
		return object
	}
}

// merged is a JSON merge patch (RFC 7396).
func merged(into, change map[string]any) map[string]any {
	out := maps.Clone(into)
	for name, value := range change {
		inner, isMap := value.(map[string]any)
		before, wasMap := out[name].(map[string]any)
		switch {
		case value == nil:
			delete(out, name)
		case isMap && wasMap:
			out[name] = merged(before, inner)
		default:
			out[name] = value
		}
	}
	return out
}

// TestMigrationGuide holds what the guide shows to what kubectl keyturn prints, and its metrics to metrics.md.
func TestMigrationGuide(t *testing.T) {
	page := readPage(t, "migration-guide.md")
	shown := captured.FindAllStringSubmatch(page, -1)
	for _, found := range shown {
		golden, err := os.ReadFile(filepath.Join("..", "internal", "plugin", "testdata", found[1]+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimRight(string(golden), "\n") != strings.TrimRight(found[2], "\n") {
			t.Errorf("migration-guide.md shows another %s than the plugin prints:\n%s", found[1], golden)
		}
	}
	if len(shown) < 3 || len(shown) != strings.Count(page, "<!-- capture:") {
		t.Errorf("%d captures were seen, of %d", len(shown), strings.Count(page, "<!-- capture:"))
	}
}
