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
		"only audiences":          `{}`,
		"shortest":                `{accessToken: {ttl: 1m}, refreshToken: {ttl: 1m, absoluteTTL: 1m, reuse: {retryWindow: 0s}}, login: {rateLimit: {window: 1s}}, revocation: {maxPropagation: 1s}}`,
		"longest":                 `{accessToken: {ttl: 1h}, refreshToken: {ttl: 8784h, absoluteTTL: 8784h, reuse: {retryWindow: 60s}}, login: {rateLimit: {window: 1h, limit: 10000}}, revocation: {maxPropagation: 60s}}`,
		"no claims":               `{claims: {allow: []}}`,
		"claims with name space":  `{claims: {allow: ["https://example.com/team", tenant_id, _x, subject]}}`,
		"no failure limit":        `{login: {failureLimit: {limit: 0}}}`,
		"failure limit, widest":   `{login: {failureLimit: {limit: 10000, window: 24h}}}`,
		"failure limit, tightest": `{login: {failureLimit: {limit: 1, window: 1s}}}`,
		"cookies on request":      `{cookies: {mode: Optional, loginURL: /login}}`,
		"cookies for all":         `{cookies: {mode: Required, loginURL: "https://www.example.com/login?then=back"}}`,
		"login page at the root":  `{cookies: {mode: Required, loginURL: /}}`,
		"origins":                 `{cors: {allowedOrigins: ["https://app.example.com", "https://app.example.com:8443", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173", "https://[2001:db8::1]"]}}`,
		"32 origins":              `{cors: {allowedOrigins: [` + origins(32) + `]}}`,
		"no origins":              `{cors: {allowedOrigins: []}}`,
		"ten audiences":           `{accessToken: {audiences: [a1, b1, c1, d1, e1, f1, g1, h1, i1, j1]}}`,
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
		"redis, alone":            `{store: {redis: {addresses: ["valkey:6379"]}}}`,
		"redis by IPv6, several":  `{replicas: 3, store: {redis: {addresses: ["[2001:db8::1]:6379"], database: 15, keyPrefix: shop, minReplicas: 0, durability: Relaxed}}}`,
		"redis over TLS":          `{store: {redis: {addresses: ["cache.example.com:6380"], tls: {}, secretRef: {name: store}}}}`,
		"sentinels":               `{replicas: 2, store: {redis: {mode: Sentinel, masterName: mymaster, addresses: ["s-0.s.data.svc:26379", "s-1.s.data.svc:26379", "s-2.s.data.svc:26379"], minReplicas: 5}}}`,
		"redis cluster":           `{replicas: 100, store: {redis: {mode: Cluster, addresses: ["10.0.0.1:6379", "10.0.0.2:6379"]}}}`,
		"postgres":                `{replicas: 2, store: {postgres: {addresses: ["db.example.com:5432"], database: keyturn, secretRef: {name: db}}}}`,
		"postgres with standbys":  `{store: {postgres: {addresses: ["a:5432", "b:5433"], database: my-db, schema: keyturn_web, sslMode: verify-ca, secretRef: {name: db}}}}`,
		"postgres, clear, inside": `{store: {postgres: {addresses: ["db.data.svc:5432", "db.data.svc.cluster.local:5432", "127.0.0.1:5432", "[::1]:5432", "db:5432"], database: k, sslMode: disable, secretRef: {name: db}}}}`,
		"webhook":                 source(`{name: app, webhook: {loginURL: "https://accounts.example.com/check"}}`),
		"webhook, everything":     source(`{name: app, webhook: {loginURL: "https://accounts.example.com:8443/check?v=1", lookupURL: "https://[2001:db8::1]/user", timeout: 10s, secretRef: {name: hook}}}`),
		"webhook inside, clear":   source(`{name: app, webhook: {loginURL: "http://app.shop.svc:8080/login", lookupURL: "http://app.shop.svc.cluster.local/user", timeout: 100ms}}`),
		"webhook on loopback":     source(`{name: app, webhook: {loginURL: "http://127.0.0.1:9000/login", lookupURL: "http://[::1]:9000"}}`),
		"oidc":                    source(`{name: corp, subjectPrefix: "corp:", oidc: {issuerURL: "https://login.example.com/", clientID: shop, subjectClaim: oid, roleClaim: "https://example.com/role", secretRef: {name: ca}}}`),
		"accounts":                source(`{name: jobs, subjectPrefix: "jobs:", kubernetes: {accounts: [{namespace: batch}, {namespace: batch, name: report.v1, role: reporter}]}}`),
		"every kind of source":    source(fourSources),
		"two providers":           source(`{name: a, subjectPrefix: "a:", oidc: {issuerURL: "https://a.example.com", clientID: x}}, {name: b, subjectPrefix: "b:", oidc: {issuerURL: "https://b.example.com", clientID: x}}`),
		"32 accounts":             source(`{name: jobs, kubernetes: {accounts: [` + accounts(32) + `]}}`),
		"clients":                 `{clients: [{id: orders, secretRef: {name: orders}, audiences: ["https://api.example.com"]}, {id: A.b_c-1, secretRef: {name: orders}, audiences: [x, z]}]}`,
		"32 clients":              `{clients: [` + clients(32) + `]}`,
		"TLS of its own":          `{tls: {secretRef: {name: auth-tls}}}`,
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
	"AuthRollout": {
		"only what is required": `{}`,
		"one step":              steps(100),
		"20 steps":              steps(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 100),
		"1000 testers":          named("include", 1000),
		"in, and others out":    `{include: [alice], exclude: [bob, "staff:carol@example.com"]}`,
		"redis":                 sessions(`user: "sessionAttr:user#a.b", cookieFormat: Base64, format: Hash, role: "sessionAttr:x.y", userIndex: "user:{user}"`),
		"redis, signed":         sessions(`cookieFormat: Signed, secretRef: {name: s}`),
		"redis over TLS":        sessionsAt("rediss://[2001:db8::1]:6380/15"),
		"redis without a port":  sessionsAt("redis://sessions.shop.svc"),
		"endpoint inside":       askedAt("http://shop.shop.svc:3000/session?v=1"),
		"users of a source":     `{legacy: {subjectPrefix: "shop:"}}`,
		"Spring sessions":       `{legacy: {validator: {http: null, redis: {url: "redis://a", key: "s:{id}", user: "a#b.c", format: Hash, cookieFormat: Base64}}}}`,
		"everybody":             `{dualIssue: true, legacy: {issuer: {url: "https://a.example.com/x"}, revoker: {redis: {url: "redis://a", key: "s:{id}", user: u}}, maxSessionLife: 8784h}}`,
		"guard at its widest":   `{guard: {interval: 1h, minSamples: 1000000, maxIncrease: 99.99pp, fastFail: 100pp, maxEndpointFailures: 100%, consecutiveFailures: 20, latency: {threshold: 1m, maxIncrease: 100pp}, forcedLogins: {minSamples: 1000000, maxIncrease: 100pp}}}`,
		"guard at its tightest": `{guard: {interval: 10s, minSamples: 1, maxIncrease: 0pp, fastFail: 0.01pp, maxEndpointFailures: 0%, consecutiveFailures: 1, latency: {threshold: 1ms, maxIncrease: 0pp}, forcedLogins: {minSamples: 1, maxIncrease: 0pp}}}`,
		"never fast":            `{guard: {maxIncrease: 50pp, fastFail: 0pp}}`,
		"back to the start":     `{rollback: {to: Start, cooldown: 0s}}`,
		"announced, no end":     `{deprecation: {at: "2027-01-01T00:00:00Z", link: "https://www.example.com/new?x=1#how"}}`,
		"an end":                ending(`, brownouts: [{start: "2027-01-01T00:00:00Z", duration: 24h, percent: 100}]`),
		"an end at any price":   `{deprecation: {at: "2027-01-01T00:00:00Z"}, sunset: {at: "2027-01-01T00:00:01Z", requireLegacyBelow: 100%, maxExtension: 0s}}`,
	},
	"AccessPolicy": accessAccepted,
	"Revocation":   revocationAccepted,
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
login: {rateLimit: {limit: 10, window: 1m}, failureLimit: {limit: 100, window: 1h}}
cookies: {mode: Disabled}
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
	"AuthRollout": `
tokenServiceRef: {name: web}
legacy:
  cookieName: connect.sid
  validator: {http: {url: "https://shop.example.com/session", timeout: 2s}}
  maxSessionLife: 720h
  subjectPrefix: ""
bucketing: {algorithm: sha256-v1, salt: web-2026}
steps: [{percent: 10, bake: 24h, approval: Auto}, {percent: 100, bake: 24h, approval: Auto}]
guard: {interval: 1m, minSamples: 500, maxIncrease: 0.5pp, consecutiveFailures: 3, fastFail: 5pp, maxEndpointFailures: 5%, latency: {threshold: 250ms, maxIncrease: 1pp}, forcedLogins: {minSamples: 100, maxIncrease: 5pp}, onInconclusive: Hold}
rollback: {to: PreviousStep, cooldown: 1h}
`,
	"AccessPolicy": `
tokenServiceRef: {name: web}
accept: [JWT, LegacySession]
unauthenticated: {navigation: Status}
mode: Enforce
adapter: {type: None}
`,
	"Revocation": `
user: {tokenServiceRef: {name: web}, subject: "staff:alice"}
reason: laptop gone
`,
}

// TestMoreDefaults writes out the defaults of what is not there by default.
func TestMoreDefaults(t *testing.T) {
	ctx := needAPIServer(t)
	const rest = `
issuer: https://auth.example.com
signingKeySetRef: {name: main}
tokenPolicyRef: {name: web}
replicas: 1
trustedProxies: [10.244.0.0/16]
edge: {replicas: 2, onStaleRevocations: AllowUntilExpiry}
`
	const users = `
identity: [{name: staff, subjectPrefix: "", htpasswd: {secretRef: {name: users}}}]
`
	checkDefaults(ctx, t, object(t, "TokenService", "defaults", onRedis(``)), rest+users+`
store: {redis: {mode: Standalone, addresses: ["a:6379"], database: 0, durability: Strict}}
`)
	checkDefaults(ctx, t, object(t, "TokenService", "defaults", onPostgres(``)), rest+users+`
store: {postgres: {addresses: ["a:5432"], database: k, sslMode: verify-full, durability: Strict, secretRef: {name: db}}}
`)
	checkDefaults(ctx, t, object(t, "TokenService", "defaults", `{identity: [`+fourSources+`]}`), rest+`
store: {embedded: {size: 1Gi}}
identity:
  - {name: staff, subjectPrefix: "staff:", htpasswd: {secretRef: {name: users}}}
  - {name: app, subjectPrefix: "app:", webhook: {loginURL: "https://app.example.com/check", timeout: 2s}}
  - {name: corp, subjectPrefix: "corp:", oidc: {issuerURL: "https://login.example.com", clientID: shop, subjectClaim: sub}}
  - {name: jobs, subjectPrefix: "jobs:", kubernetes: {accounts: [{namespace: batch, name: ""}]}}
`)
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
		{"store of another kind", "TokenService", `{}`, onRedis(``), "the kind of store cannot be changed"},
		{"store of another kind, by its name", "TokenService", `{store: {embedded: {}}}`, `{store: {postgres: {addresses: ["db:5432"], database: k, secretRef: {name: db}}}}`, "create a second TokenService with the other store"},
		{"store removed", "TokenService", onRedis(``), `{}`, "the kind of store cannot be changed"},
		{"other servers", "TokenService", onRedis(``), `{replicas: 3, store: {redis: {mode: Sentinel, masterName: m, addresses: ["a:26379"], tls: {}, minReplicas: 2, durability: Relaxed, secretRef: {name: s}}}}`, ""},
		{"number of the database", "TokenService", onRedis(``), onRedis(`database: 1`), "database cannot be changed"},
		{"prefix set", "TokenService", onRedis(``), onRedis(`keyPrefix: "x:"`), "keyPrefix cannot be changed"},
		{"prefix changed", "TokenService", onRedis(`keyPrefix: "y:"`), onRedis(`keyPrefix: "x:"`), "keyPrefix cannot be changed"},
		{"other addresses", "TokenService", onPostgres(``), `{store: {postgres: {addresses: ["b:5432", "a:5432"], database: k, sslMode: require, secretRef: {name: other}}}}`, ""},
		{"schema set", "TokenService", onPostgres(``), onPostgres(`schema: x`), "schema cannot be changed"},
		{"schema removed", "TokenService", onPostgres(`schema: x`), onPostgres(``), "schema cannot be changed"},
		{"another database", "TokenService", onPostgres(``), onPostgres(`database: other`), "database cannot be changed"},
		{"sources, clients, TLS", "TokenService", `{}`, `{identity: [` + fourSources + `], clients: [` + clients(3) + `], tls: {secretRef: {name: t}}}`, ""},
		{"key set", "TokenService", `{}`, `{signingKeySetRef: {name: other}}`, "create a second TokenService with the other set"},
		{"other proxies, edges, policy", "TokenService", `{}`, `{trustedProxies: [192.0.2.0/24], edge: {replicas: 5}, tokenPolicyRef: {name: other}}`, ""},
		{"salt", "AuthRollout", `{}`, `{bucketing: {salt: other}}`, "bucketing cannot be changed"},
		{"whose users move", "AuthRollout", `{}`, `{tokenServiceRef: {name: other}}`, "create a second AuthRollout"},
		{"steps, testers, sessions", "AuthRollout", `{}`, `{steps: [{percent: 5}, {percent: 100}], include: [alice], paused: true, legacy: {cookieName: sid}}`, ""},
		{"everything of a policy", "AccessPolicy", `{}`, `{tokenServiceRef: {name: other, namespace: auth}, mode: Audit, accept: [JWT], adapter: {type: Nginx}}`, ""},
		{"who is revoked", "Revocation", `{}`, ofUser("staff:bob"), hintForever},
		{"what is revoked", "Revocation", `{}`, ofAll, hintForever},
		{"why it was revoked", "Revocation", `{}`, `{reason: other}`, hintForever},
		{"a revocation, same again", "Revocation", `{}`, `{}`, ""},
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
