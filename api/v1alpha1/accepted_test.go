package v1alpha1_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// accepted are specs at the edges of what is allowed: a patch over the good spec each, by kind.
var accepted = map[string]map[string]string{
	"SigningKeySet": {
		"nothing said":             `{}`,
		"PS256 with large keys":    `{algorithm: PS256, rsaBits: 4096}`,
		"ES256":                    `{algorithm: ES256}`,
		"EdDSA, bits at default":   `{algorithm: EdDSA, rsaBits: 2048}`,
		"manual, no standby":       `{rotation: {mode: Manual, standbyKeys: 0}}`,
		"interval of exactly two":  `{rotation: {interval: 48h}}`,
		"prePublish just enough":   `{rotation: {prePublish: 27m}}`,
		"no skew, own edge only":   `{clockSkew: 0s, rotation: {slowestVerifier: 0s, prePublish: 5m}, jwks: {staleIfError: 0s}}`,
		"hundreds of milliseconds": `{clockSkew: 0s, rotation: {interval: 1s, prePublish: 250ms, slowestVerifier: 50ms}, jwks: {maxAge: 200ms}}`,
		"the longest":              `{rotation: {interval: 17568h, prePublish: 8784h, slowestVerifier: 168h, standbyKeys: 2}, jwks: {maxAge: 24h, staleIfError: 168h}, clockSkew: 5m}`,
		"composed durations":       `{rotation: {interval: 1000h30m15.5s}, clockSkew: 1m30s}`,
		"keys go with the object":  `{deletionPolicy: Destroy}`,
	},
	"TokenPolicy": {
		"only audiences":         `{}`,
		"shortest":               `{accessToken: {ttl: 1m}, refreshToken: {ttl: 1m, absoluteTTL: 1m, reuse: {retryWindow: 0s}}, login: {rateLimit: {window: 1s}}, revocation: {maxPropagation: 1s}}`,
		"longest":                `{accessToken: {ttl: 1h}, refreshToken: {ttl: 8784h, absoluteTTL: 8784h, reuse: {retryWindow: 60s}}, login: {rateLimit: {window: 1h, limit: 10000}}, revocation: {maxPropagation: 60s}}`,
		"no claims":              `{claims: {allow: []}}`,
		"claims with name space": `{claims: {allow: ["https://example.com/team", tenant_id, _x, subject]}}`,
		"ten audiences":          `{accessToken: {audiences: [a1, b1, c1, d1, e1, f1, g1, h1, i1, j1]}}`,
	},
	"TokenService": {
		"only what is required":   `{}`,
		"issuer with port, path":  `{issuer: "https://example.com:8443/auth/v1"}`,
		"issuer by address":       `{issuer: "https://192.0.2.1"}`,
		"issuer by IPv6":          `{issuer: "https://[2001:db8::1]:8443"}`,
		"issuer with an escape":   `{issuer: "https://example.com/a%20b"}`,
		"issuer on localhost":     `{issuer: "http://localhost:8080"}`,
		"issuer on 127.0.0.53":    `{issuer: "http://127.0.0.53/auth"}`,
		"issuer on IPv6 loopback": `{issuer: "http://[::1]:8080"}`,
		"issuer at last port":     `{issuer: "https://auth.example.com:65535"}`,
		"embedded by name":        `{store: {embedded: {}}}`,
		"embedded, larger":        `{store: {embedded: {size: 20Gi, storageClassName: fast}}}`,
		"embedded, in bytes":      `{store: {embedded: {size: 1073741824}}}`,
		"two sources":             two("staff:", "guest:"),
		"proxies of both kinds":   `{trustedProxies: [127.0.0.0/8, "fd00:10:244::/56", 192.0.2.7/32, "::1/128"]}`,
		"64 proxies":              `{trustedProxies: [` + proxies(64) + `]}`,
		"many edges, closed":      `{edge: {replicas: 100, onStaleRevocations: FailClosed}}`,
		"pods of their own kind": `
podTemplate:
  tokenService:
    labels: {team: identity}
    annotations: {sidecar.istio.io/inject: "false"}
    nodeSelector: {kubernetes.io/arch: amd64}
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 256Mi}}
    imagePullSecrets: [{name: registry}]
    priorityClassName: system-cluster-critical
  edge:
    tolerations: [{operator: Exists}, {key: dedicated, value: edge, effect: NoExecute, tolerationSeconds: 30}]
`,
	},
}

// TestAccepted creates what is allowed. Rules that are too strict are found here.
func TestAccepted(t *testing.T) {
	for kind, rows := range accepted {
		for name, patch := range rows {
			t.Run(kind+"/"+name, func(t *testing.T) {
				ctx := needAPIServer(t)
				if err := apiServer.Create(ctx, object(t, kind, "accepted", patch), client.DryRunAll); err != nil {
					t.Fatal(err)
				}
				if err := apply(ctx, object(t, kind, "accepted", patch), client.DryRunAll); err != nil {
					t.Errorf("by server-side apply: %v", err)
				}
			})
		}
	}
}

// defaults is what the API server makes of each good spec: the defaults of the design, written out.
var defaults = map[string]string{
	"SigningKeySet": `
algorithm: RS256
rsaBits: 2048
rotation: {mode: Automatic, interval: 720h, prePublish: 24h, slowestVerifier: 20m, standbyKeys: 1}
jwks: {maxAge: 5m, staleIfError: 1h}
clockSkew: 60s
deletionPolicy: Retain
`,
	"TokenPolicy": `
accessToken: {ttl: 15m, audiences: [https://api.example.com]}
claims: {allow: [user_id, role], maxBytes: 1024}
refreshToken: {ttl: 168h, absoluteTTL: 720h, reuse: {retryWindow: 10s}, maxFamiliesPerUser: 20}
login: {rateLimit: {limit: 10, window: 1m}}
revocation: {maxPropagation: 5s}
`,
	"TokenService": `
issuer: https://auth.example.com
signingKeySetRef: {name: main}
tokenPolicyRef: {name: web}
replicas: 1
store: {embedded: {size: 1Gi}}
identity: [{name: staff, subjectPrefix: "", htpasswd: {secretRef: {name: users}}}]
trustedProxies: [10.244.0.0/16]
edge: {replicas: 2, onStaleRevocations: AllowUntilExpiry}
`,
}

func TestDefaults(t *testing.T) {
	for kind, want := range defaults {
		t.Run(kind, func(t *testing.T) {
			ctx := needAPIServer(t)
			checkDefaults(ctx, t, object(t, kind, "defaults", "{}"), want)
		})
	}
	t.Run("SigningKeySet without a spec", func(t *testing.T) {
		ctx := needAPIServer(t)
		bare := object(t, "SigningKeySet", "defaults", "{}")
		delete(bare.Object, "spec")
		checkDefaults(ctx, t, bare, defaults["SigningKeySet"])
	})
}

func checkDefaults(ctx context.Context, t *testing.T, made *unstructured.Unstructured, wantText string) {
	t.Helper()
	if err := apiServer.Create(ctx, made, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	var want any
	if err := yaml.Unmarshal([]byte(wantText), &want); err != nil {
		t.Fatal(err)
	}
	// Both through JSON, so that numbers have one type.
	if diff := cmp.Diff(pretty(want), pretty(made.Object["spec"])); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// TestChanges stores an object and changes it: what is fixed is refused with a way out, the rest is accepted.
func TestChanges(t *testing.T) {
	for _, row := range []struct {
		name, kind, before, after, hint string
	}{
		{"issuer", "TokenService", `{}`, `{issuer: "https://other.example.com"}`, "create a second TokenService with the new issuer"},
		{"issuer only in case", "TokenService", `{}`, `{issuer: "https://AUTH.example.com"}`, "issuer cannot be changed"},
		{"larger volume", "TokenService", `{}`, `{store: {embedded: {size: 2Gi}}}`, "kubectl edit pvc"},
		{"smaller volume", "TokenService", `{}`, `{store: {embedded: {size: 512Mi}}}`, "kubectl edit pvc"},
		{"volume in other words", "TokenService", `{}`, `{store: {embedded: {size: 1024Mi}}}`, ""},
		{"storage class set", "TokenService", `{}`, `{store: {embedded: {storageClassName: fast}}}`, "storageClassName cannot be changed"},
		{"storage class changed", "TokenService", `{store: {embedded: {storageClassName: slow}}}`, `{store: {embedded: {storageClassName: fast}}}`, "storageClassName cannot be changed"},
		{"storage class removed", "TokenService", `{store: {embedded: {storageClassName: slow}}}`, `{}`, "storageClassName cannot be changed"},
		{"same again", "TokenService", `{}`, `{}`, ""},
		{"key set", "TokenService", `{}`, `{signingKeySetRef: {name: other}}`, "create a second TokenService with the other set"},
		{"other proxies, edges, policy", "TokenService", `{}`, `{trustedProxies: [192.0.2.0/24], edge: {replicas: 5}, tokenPolicyRef: {name: other}}`, ""},
		{"algorithm", "SigningKeySet", `{}`, `{algorithm: EdDSA}`, ""},
		{"faster rotation", "SigningKeySet", `{}`, `{rotation: {interval: 100h}}`, ""},
		{"audience", "TokenPolicy", `{}`, `{accessToken: {audiences: [other], ttl: 5m}}`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := needAPIServer(t)
			before := object(t, row.kind, "changes", row.before)
			if err := apiServer.Create(ctx, before); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := apiServer.Delete(context.Background(), before); err != nil {
					t.Error(err)
				}
			})
			after := object(t, row.kind, "changes", row.after)
			after.SetResourceVersion(before.GetResourceVersion())
			err := apiServer.Update(ctx, after, client.DryRunAll)
			switch {
			case row.hint == "" && err != nil:
				t.Errorf("refused: %v", err)
			case row.hint != "" && err == nil:
				t.Errorf("accepted, want a message with %q", row.hint)
			case row.hint != "" && !strings.Contains(err.Error(), row.hint):
				t.Errorf("the message does not say %q: %v", row.hint, err)
			}
		})
	}
}
