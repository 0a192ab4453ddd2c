package v1alpha1_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// readCRDs reads the generated CRDs, by kind.
func readCRDs(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(crdDirectory, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs in %s (run hack/generate.sh): %v", crdDirectory, err)
	}
	crds := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		crds[crd.Spec.Names.Kind] = crd
	}
	return crds
}

// design is what the design says about names and columns: wide ones in parentheses.
var design = map[string]struct{ short, plural, columns string }{
	"SigningKeySet": {"sks", "signingkeysets", "READY ALG ACTIVE KEY-AGE STANDBY REV NEXT (SERVED) (OVERDUE) (AGE)"},
	"TokenPolicy":   {"tpol", "tokenpolicies", "ACCEPTED ACCESS-TTL REFRESH-TTL USED-BY AGE"},
	"TokenService":  {"tsvc", "tokenservices", "READY ISSUER KEY REPLICAS EDGE ROLLOUT AGE"},
	"AccessPolicy":  {"acp", "accesspolicies", "READY MODE TARGETS TOKENSERVICE ENFORCED AGE"},
	"Revocation":    {"rev", "revocations", "KIND WHAT ENFORCED REPLICAS SINCE AGE"},
	"AuthRollout":   {"aro", "authrollouts", "READY STAGE STEP PERCENT LEGACY GUARD ROLLBACK-SAFE SUNSET (REPLICAS) (NEXT) (AGE)"},
}

func TestNamesAndColumns(t *testing.T) {
	crds := readCRDs(t)
	if len(crds) != len(design) {
		t.Errorf("there are %d CRDs, the design has %d", len(crds), len(design))
	}
	for kind, want := range design {
		crd := crds[kind]
		if crd == nil {
			t.Errorf("there is no CRD of %s", kind)
			continue
		}
		names := crd.Spec.Names
		if diff := cmp.Diff([]string{want.short}, names.ShortNames); diff != "" {
			t.Errorf("%s short names (-want +got):\n%s", kind, diff)
		}
		if diff := cmp.Diff([]string{"keyturn"}, names.Categories); diff != "" {
			t.Errorf("%s categories (-want +got):\n%s", kind, diff)
		}
		if names.Plural != want.plural || crd.Spec.Scope != apiextensionsv1.NamespaceScoped {
			t.Errorf("%s is %s, %s; want %s, Namespaced", kind, names.Plural, crd.Spec.Scope, want.plural)
		}
		version := crd.Spec.Versions[0]
		if version.Subresources == nil || version.Subresources.Status == nil {
			t.Errorf("%s has no status subresource", kind)
		}
		if got := columns(t, kind, version.AdditionalPrinterColumns); got != want.columns {
			t.Errorf("%s columns:\nwant %s\n got %s", kind, want.columns, got)
		}
	}
}

// columns renders printer columns as the design writes them, and checks what each shows.
func columns(t *testing.T, kind string, all []apiextensionsv1.CustomResourceColumnDefinition) string {
	t.Helper()
	// A date in the future is printed as <invalid>; these are always past.
	dates := map[string]bool{"AGE": true, "KEY-AGE": true, "SINCE": true}
	names := make([]string, 0, len(all))
	for _, column := range all {
		if column.Type == "date" != dates[column.Name] {
			t.Errorf("%s column %s has type %s", kind, column.Name, column.Type)
		}
		if column.Description == "" {
			t.Errorf("%s column %s has no description", kind, column.Name)
		}
		name := column.Name
		if column.Priority > 0 {
			name = "(" + name + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// TestExplain walks every field as kubectl explain shows it.
func TestExplain(t *testing.T) {
	for kind, crd := range readCRDs(t) {
		schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		fields := 0
		walk(kind, schema, func(path string, field *apiextensionsv1.JSONSchemaProps) {
			fields++
			checkField(t, path, field)
		})
		if fields < 20 {
			t.Errorf("%s: only %d fields were seen", kind, fields)
		}
	}
}

// walk visits each named field below the schema.
func walk(path string, schema *apiextensionsv1.JSONSchemaProps, visit func(string, *apiextensionsv1.JSONSchemaProps)) {
	for name := range schema.Properties {
		field := schema.Properties[name]
		below := path + "." + name
		if below == path+".metadata" && !strings.Contains(path, ".") {
			continue // the API server describes it
		}
		visit(below, &field)
		walk(below, &field, visit)
	}
	if schema.Items != nil {
		walk(path+"[]", schema.Items.Schema, visit)
	}
	if schema.AdditionalProperties != nil {
		walk(path+"{}", schema.AdditionalProperties.Schema, visit)
	}
}

func checkField(t *testing.T, path string, field *apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	name := path[strings.LastIndex(path, ".")+1:]
	inCondition := strings.Contains(path, ".conditions[]")
	switch {
	case len(field.Description) < 20:
		t.Errorf("%s has no description worth the name: %q", path, field.Description)
	case strings.Count(path, ".") == 1 && (name == "apiVersion" || name == "kind"), inCondition:
		// written by Kubernetes
	case !strings.HasPrefix(field.Description, name):
		t.Errorf("%s: the description begins with another name: %q", path, field.Description)
	}
	if field.Default != nil && string(field.Default.Raw) != "{}" && !inCondition && field.Type != "object" {
		value := strings.Trim(string(field.Default.Raw), `"`)
		said := strings.ReplaceAll(strings.ReplaceAll(field.Description, `", "`, `","`), ", ", ",")
		if value = strings.Trim(strings.ReplaceAll(value, `"`, ""), "[]"); !strings.Contains(said, value) {
			t.Errorf("%s: the description does not tell the default %s: %q", path, value, field.Description)
		}
	}
	// The rules set bounds only: signs and the units us and ns are kept out by the pattern.
	for _, rule := range field.XValidations {
		if strings.Contains(rule.Rule, "duration(self)") && field.Pattern != `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$` {
			t.Errorf("%s is a duration with the pattern %q", path, field.Pattern)
		}
	}
	if field.Type == "array" && field.MaxItems == nil {
		t.Errorf("%s is a list without a bound", path)
	}
	if field.Type == "string" && (strings.HasPrefix(path, "TokenService.spec") || strings.HasPrefix(path, "AuthRollout.spec") || strings.HasPrefix(path, "AccessPolicy.spec") || strings.HasPrefix(path, "Revocation.spec")) && field.Format != "date-time" && field.MaxLength == nil && len(field.Enum) == 0 {
		t.Errorf("%s is a text without a bound", path)
	}
}

// TestRoundTrip reads the text of every accepted spec into the Go type and writes it again: nothing is lost, and what
// was not said stays unsaid, so that the API server's default applies to objects made by Go clients.
func TestRoundTrip(t *testing.T) {
	types := map[string]func() runtime.Object{
		"SigningKeySet": func() runtime.Object { return &v1alpha1.SigningKeySet{} },
		"TokenPolicy":   func() runtime.Object { return &v1alpha1.TokenPolicy{} },
		"TokenService":  func() runtime.Object { return &v1alpha1.TokenService{} },
		"AuthRollout":   func() runtime.Object { return &v1alpha1.AuthRollout{} },
		"AccessPolicy":  func() runtime.Object { return &v1alpha1.AccessPolicy{} },
		"Revocation":    func() runtime.Object { return &v1alpha1.Revocation{} },
	}
	for kind, makeTyped := range types {
		typed := makeTyped()
		made := object(t, kind, "typed", defaults[kind])
		converter := runtime.DefaultUnstructuredConverter
		if err := converter.FromUnstructuredWithValidation(made.Object, typed, true); err != nil {
			t.Errorf("%s: a field of the CRD is not in the Go type: %v", kind, err)
			continue
		}
		if copied := typed.DeepCopyObject(); cmp.Diff(typed, copied) != "" {
			t.Errorf("%s: the copy differs:\n%s", kind, cmp.Diff(typed, copied))
		}
		back, err := converter.ToUnstructured(typed)
		if err != nil {
			t.Fatal(err)
		}
		if _, said := back["status"]; said {
			t.Errorf("%s: an empty status is written", kind)
		}
		empty, err := converter.ToUnstructured(makeTyped())
		if err != nil {
			t.Fatal(err)
		}
		if text := pretty(empty); bytes.Contains([]byte(text), []byte("0s")) {
			t.Errorf("%s: the zero value says durations of 0s, which hide the defaults:\n%s", kind, text)
		}
	}
}
