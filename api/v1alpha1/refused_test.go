package v1alpha1_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// good is the smallest spec of each kind that is accepted. Tests lay a patch over it.
var good = map[string]string{
	"SigningKeySet": `{}`,
	"TokenPolicy": `
accessToken:
  audiences: [https://api.example.com]
`,
	"TokenService": `
issuer: https://auth.example.com
signingKeySetRef: {name: main}
tokenPolicyRef: {name: web}
identity:
  - name: staff
    htpasswd: {secretRef: {name: users}}
trustedProxies: [10.244.0.0/16]
`,
	"AuthRollout": `
tokenServiceRef: {name: web}
legacy:
  cookieName: connect.sid
  validator: {http: {url: "https://shop.example.com/session"}}
bucketing: {salt: web-2026}
steps: [{percent: 10}, {percent: 100}]
`,
	"AccessPolicy": `
tokenServiceRef: {name: web}
`,
	"Revocation": `
user: {tokenServiceRef: {name: web}, subject: "staff:alice"}
reason: laptop gone
`,
}

// object makes an object of the kind from its good spec and a patch over the spec: maps are merged, null removes,
// anything else replaces (RFC 7386).
func object(t *testing.T, kind, name, patch string) *unstructured.Unstructured {
	t.Helper()
	var spec, over map[string]any
	for text, into := range map[string]*map[string]any{good[kind]: &spec, patch: &over} {
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("the test's YAML does not parse: %v\n%s", err, text)
		}
	}
	made := &unstructured.Unstructured{Object: map[string]any{"spec": merge(spec, over)}}
	made.SetAPIVersion("keyturn.dev/v1alpha1")
	made.SetKind(kind)
	made.SetName(name)
	made.SetNamespace("test")
	return made
}

func merge(base, over map[string]any) map[string]any {
	if base == nil {
		base = map[string]any{}
	}
	for key, value := range over {
		if value == nil {
			delete(base, key)
			continue
		}
		child, isMap := value.(map[string]any)
		was, wasMap := base[key].(map[string]any)
		if isMap && wasMap {
			base[key] = merge(was, child)
			continue
		}
		base[key] = value
	}
	return base
}

// refusals are specs that must be refused. hint is the part of the message that tells the user how to mend it; the
// API server must give it at apply. To add one, write the smallest patch over the good spec that is wrong.
type refusal struct {
	name  string
	patch string
	hint  string
}

// TestRefused applies every bad spec, and then checks that the good spec beneath it is not what was refused.
func TestRefused(t *testing.T) {
	total := 0
	for kind, rows := range map[string][]refusal{
		"SigningKeySet": signingKeySetRefusals,
		"TokenPolicy":   tokenPolicyRefusals,
		"TokenService":  slices.Concat(tokenServiceRefusals, storeRefusals, identityRefusals),
		"AuthRollout":   rolloutRefusals,
		"AccessPolicy":  accessRefusals,
		"Revocation":    revocationRefusals,
	} {
		t.Run(kind, func(t *testing.T) {
			ctx := needAPIServer(t)
			if err := apply(ctx, object(t, kind, "good", "{}"), client.DryRunAll); err != nil {
				t.Fatalf("the good spec is refused: %v", err)
			}
			for _, row := range rows {
				t.Run(row.name, func(t *testing.T) { checkRefused(ctx, t, kind, row) })
			}
		})
		total += len(rows)
	}
	if total < 400 {
		t.Errorf("only %d bad specs are tried, want at least 400", total)
	}
}

func checkRefused(ctx context.Context, t *testing.T, kind string, row refusal) {
	if len(row.hint) < 8 {
		t.Fatalf("the hint %q is too short to mean anything", row.hint)
	}
	err := apiServer.Create(ctx, object(t, kind, "bad", row.patch), client.DryRunAll)
	if err == nil {
		t.Fatalf("accepted:\n%s", row.patch)
	}
	if !apierrors.IsInvalid(err) {
		t.Errorf("refused as %s, want Invalid: %v", apierrors.ReasonForError(err), err)
	}
	if !strings.Contains(err.Error(), row.hint) {
		t.Errorf("the message does not say %q:\n%v", row.hint, err)
	}
	if strings.Contains(err.Error(), "no such key") || strings.Contains(err.Error(), "no such overload") {
		t.Errorf("a rule broke down instead of deciding:\n%v", err)
	}
	// Server-side apply finds duplicates and wrong types before validation, in words of its own.
	if err := apply(ctx, object(t, kind, "bad", row.patch), client.DryRunAll); err == nil {
		t.Errorf("accepted by server-side apply:\n%s", row.patch)
	}
}

// TestRefusedNames applies good specs under names that Secrets, Services or labels could not carry.
func TestRefusedNames(t *testing.T) {
	ctx := needAPIServer(t)
	for _, row := range []struct{ kind, name, hint string }{
		{"SigningKeySet", "1st", "begin with a letter"},
		{"SigningKeySet", "with.dot", "begin with a letter"},
		{"SigningKeySet", strings.Repeat("k", 51), "at most 50 characters"},
		{"TokenService", "1st", "begin with a letter"},
		{"TokenService", "with.dot", "begin with a letter"},
		{"TokenService", strings.Repeat("s", 41), "at most 40 characters"},
		{"AuthRollout", "1st", "begin with a letter"},
		{"AuthRollout", strings.Repeat("r", 64), "at most 63 characters"},
		{"AccessPolicy", "with.dot", "begin with a letter"},
		{"AccessPolicy", strings.Repeat("r", 64), "at most 63 characters"},
	} {
		err := apply(ctx, object(t, row.kind, row.name, "{}"), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), row.hint) {
			t.Errorf("%s %q: want a message with %q, got %v", row.kind, row.name, row.hint, err)
		}
	}
	for kind, name := range map[string]string{
		"SigningKeySet": strings.Repeat("k", 50), "TokenService": strings.Repeat("s", 40),
	} {
		if err := apply(ctx, object(t, kind, name, "{}"), client.DryRunAll); err != nil {
			t.Errorf("%s %q: %v", kind, name, err)
		}
	}
}

// TestUnknownFieldRefused shows that a misspelt field is refused as kubectl does it, and not dropped in silence.
func TestUnknownFieldRefused(t *testing.T) {
	ctx := needAPIServer(t)
	for kind := range good {
		bad := object(t, kind, "misspelt", `{rotaton: {interval: 1h}}`)
		err := apply(ctx, bad, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "rotaton") {
			t.Errorf("%s: want a message that names the field, got %v", kind, err)
		}
	}
}

// pretty is an object as JSON, for messages of failed tests.
func pretty(value any) string {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}
