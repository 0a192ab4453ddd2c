package v1alpha1_test

import (
	"fmt"
	"strings"
)

// Parts of messages that several rows look for.
const (
	hintHTTPS   = "use https, or http for a loopback host only"
	hintURL     = "issuer must be a URL such as https://auth.example.com"
	hintNoQuery = "remove everything from ? or # on, and anything before @"
	hintChars   = "issuer must not have . or .. as a path segment, spaces"
	hintFindIt  = "kubectl get pods -n NAMESPACE-OF-THE-INGRESS -o wide"
	hintPrefix  = "give each source a distinct prefix that ends with a separator"
)

// two is a patch with two identity sources that have these prefixes.
func two(first, second string) string {
	return fmt.Sprintf(`{identity: [
  {name: staff, subjectPrefix: %q, htpasswd: {secretRef: {name: users}}},
  {name: guest, subjectPrefix: %q, htpasswd: {secretRef: {name: guests}}}]}`, first, second)
}

// source is a patch with one identity source.
func source(text string) string { return "{identity: [" + text + "]}" }

var tokenServiceRefusals = []refusal{
	{"no issuer", `{issuer: null}`, "issuer: Required value"},
	{"empty issuer", `{issuer: ""}`, "at least 1 chars long"},
	{"issuer without a scheme", `{issuer: auth.example.com}`, hintURL},
	{"issuer of another scheme", `{issuer: "ftp://auth.example.com"}`, hintHTTPS},
	{"plain http", `{issuer: "http://auth.example.com"}`, hintHTTPS},
	{"http and a name that looks like loopback", `{issuer: "http://127.0.0.1.example.com"}`, hintHTTPS},
	{"http and a name below localhost", `{issuer: "http://localhost.example.com"}`, hintHTTPS},
	{"http and an address beside loopback", `{issuer: "http://128.0.0.1"}`, hintHTTPS},
	{"http and IPv6 that is not loopback", `{issuer: "http://[::2]"}`, hintHTTPS},
	{"issuer with a query", `{issuer: "https://auth.example.com?tenant=1"}`, hintNoQuery},
	{"issuer with a fragment", `{issuer: "https://auth.example.com#top"}`, hintNoQuery},
	{"issuer with a user", `{issuer: "https://admin@auth.example.com"}`, hintNoQuery},
	{"http and loopback as a user", `{issuer: "http://localhost@evil.example.com"}`, hintNoQuery},
	{"issuer with a trailing slash", `{issuer: "https://auth.example.com/"}`, "must not end with a slash: remove it"},
	{"issuer with a path and a slash", `{issuer: "https://example.com/auth/"}`, "must not end with a slash: remove it"},
	{"issuer with an empty segment", `{issuer: "https://example.com//auth"}`, hintURL},
	{"issuer with a dot segment", `{issuer: "https://example.com/a/../auth"}`, hintChars},
	{"issuer that ends in dots", `{issuer: "https://example.com/.."}`, hintChars},
	{"issuer with a space", `{issuer: "https://example.com/my auth"}`, hintChars},
	{"issuer with a line end", `{issuer: "https://example.com\n"}`, hintChars},
	{"issuer with a backslash", `{issuer: "https://example.com/a\\b"}`, hintChars},
	{"issuer with a quote", `{issuer: 'https://example.com/a"b'}`, hintChars},
	{"issuer in capitals", `{issuer: "https://Auth.Example.com"}`, "lower-case scheme and host"},
	{"issuer with a scheme in capitals", `{issuer: "HTTPS://auth.example.com"}`, "lower-case scheme and host"},
	{"issuer without a host", `{issuer: "https:///auth"}`, hintURL},
	{"issuer with a port of nothing", `{issuer: "https://auth.example.com:"}`, hintURL},
	{"issuer with port 0", `{issuer: "https://auth.example.com:0"}`, hintURL},
	{"issuer with port 70000", `{issuer: "https://auth.example.com:70000"}`, "use a port from 1 to 65535"},
	{"long issuer", fmt.Sprintf(`{issuer: "https://example.com/%s"}`, strings.Repeat("a", 493)), "may not be more than 512"},
	{"no key set", `{signingKeySetRef: null}`, "signingKeySetRef: Required value"},
	{"key set without a name", `{signingKeySetRef: {name: ""}}`, "at least 1 chars long"},
	{"no policy", `{tokenPolicyRef: null}`, "tokenPolicyRef: Required value"},
	{"policy without a name", `{tokenPolicyRef: {name: null}}`, "tokenPolicyRef.name: Required value"},
	{"two replicas on the embedded store", `{replicas: 2}`, "set replicas to 1"},
	{"two replicas, store named", `{replicas: 2, store: {embedded: {size: 2Gi}}}`, "scale that with edge.replicas"},
	{"no replicas", `{replicas: 0}`, "greater than or equal to 1"},
	{"store without a store", `{store: {}}`, "set embedded: {}, or remove store"},
	{"tiny volume", `{store: {embedded: {size: 1Mi}}}`, "from 16Mi to 1Ti, such as 1Gi"},
	{"negative volume", `{store: {embedded: {size: "-1Gi"}}}`, "from 16Mi to 1Ti, such as 1Gi"},
	{"volume as a number of bytes, too few", `{store: {embedded: {size: 1}}}`, "from 16Mi to 1Ti, such as 1Gi"},
	{"huge volume", `{store: {embedded: {size: 2Ti}}}`, "from 16Mi to 1Ti, such as 1Gi"},
	{"volume that is not a quantity", `{store: {embedded: {size: big}}}`, "from 16Mi to 1Ti, such as 1Gi"},
	{"storage class of nothing", `{store: {embedded: {storageClassName: ""}}}`, "at least 1 chars long"},
	{"no identity", `{identity: null}`, "identity: Required value"},
	{"empty identity", `{identity: []}`, "should have at least 1 items"},
	{"identity without a source", source(`{name: staff}`), "set htpasswd, such as htpasswd: {secretRef: {name: users}}"},
	{"identity without a name", source(`{htpasswd: {secretRef: {name: users}}}`), "name: Required value"},
	{"identity with a bad name", source(`{name: The Staff, htpasswd: {secretRef: {name: users}}}`), "must be a DNS label"},
	{"identity without a secret", source(`{name: staff, htpasswd: {}}`), "secretRef: Required value"},
	{"prefix with a space", source(`{name: staff, subjectPrefix: "a b", htpasswd: {secretRef: {name: users}}}`), "subjectPrefix may have letters, digits"},
	{"prefix with a line end", source(`{name: staff, subjectPrefix: "a\r\n", htpasswd: {secretRef: {name: users}}}`), "subjectPrefix may have letters, digits"},
	{"long prefix", source(fmt.Sprintf(`{name: staff, subjectPrefix: %s, htpasswd: {secretRef: {name: users}}}`, strings.Repeat("a", 65))), "may not be more than 64"},
	{"twice the same source name", source(`{name: a, subjectPrefix: "a:", htpasswd: {secretRef: {name: u}}}, {name: a, subjectPrefix: "b:", htpasswd: {secretRef: {name: u}}}`), "two sources have the same name: give each its own"},
	{"twice the same prefix", two("x:", "x:"), hintPrefix},
	{"twice no prefix", two("", ""), hintPrefix},
	{"one prefix, one without", two("", "guest:"), hintPrefix},
	{"a prefix that begins another", two("corp:staff:", "corp:"), hintPrefix},
	{"nine sources", source(nineSources()), "must have at most 8 items"},
	{"no trusted proxies", `{trustedProxies: null}`, "trustedProxies: Required value"},
	{"empty trusted proxies", `{trustedProxies: []}`, "should have at least 1 items"},
	{"trusted proxy of all", `{trustedProxies: [0.0.0.0/0]}`, "a /0 would let anyone forge a client address"},
	{"trusted proxy of all IPv6", `{trustedProxies: ["::/0"]}`, "a /0 would let anyone forge a client address"},
	{"trusted proxy of all, behind a good one", `{trustedProxies: [10.0.0.0/8, 0.0.0.0/0]}`, hintFindIt},
	{"trusted proxy without a prefix", `{trustedProxies: [10.244.0.7]}`, hintFindIt},
	{"trusted proxy by name", `{trustedProxies: [ingress-nginx]}`, hintFindIt},
	{"trusted proxy of mapped IPv4", `{trustedProxies: ["::ffff:10.0.0.0/104"]}`, hintFindIt},
	{"trusted proxy with host bits", `{trustedProxies: [10.244.3.7/16]}`, "10.244.3.7/16 has bits beyond its prefix: write the first address of the range"},
	{"trusted proxy of a long prefix", `{trustedProxies: [10.0.0.0/33]}`, hintFindIt},
	{"twice the same proxy", `{trustedProxies: [10.0.0.0/8, 10.0.0.0/8]}`, "Duplicate value"},
	{"65 proxies", `{trustedProxies: [` + proxies(65) + `]}`, "must have at most 64 items"},
	{"no edges", `{edge: {replicas: 0}}`, "greater than or equal to 1"},
	{"101 edges", `{edge: {replicas: 101}}`, "less than or equal to 100"},
	{"unknown stale policy", `{edge: {onStaleRevocations: Deny}}`, `supported values: "AllowUntilExpiry", "FailClosed"`},
	{"label of ours", `{podTemplate: {edge: {labels: {keyturn.dev/token-service: other}}}}`, "remove them or use another prefix"},
	{"label of the application", `{podTemplate: {tokenService: {labels: {app.kubernetes.io/name: other}}}}`, "remove them or use another prefix"},
	{"annotation of ours", `{podTemplate: {edge: {annotations: {keyturn.dev/snapshot-revision: "9"}}}}`, "remove them or use another prefix"},
	{"annotation of ours on the token service", `{podTemplate: {tokenService: {annotations: {keyturn.dev/snapshot-revision: "9"}}}}`, "annotations of keyturn.dev/ are set by Keyturn itself"},
	{"label of ours on the token service", `{podTemplate: {tokenService: {labels: {x.keyturn.dev/y: z}}}}`, "labels of app.kubernetes.io/ and keyturn.dev/"},
	{"label of a bad key", `{podTemplate: {edge: {labels: {my team: identity}}}}`, "must be a Kubernetes label key"},
	{"label of a bad value", `{podTemplate: {edge: {labels: {team: the identity team}}}}`, "a label's value has at most 63 letters"},
	{"annotation of a bad key", `{podTemplate: {edge: {annotations: {my/own/key: "1"}}}}`, "such as team or example.com/team"},
	{"node selector of a bad key", `{podTemplate: {edge: {nodeSelector: {"": amd64}}}}`, "the key of a node selector must be"},
	{"node selector of a bad value", `{podTemplate: {edge: {nodeSelector: {arch: "amd64,arm64"}}}}`, "a label's value has at most 63 letters"},
	{"toleration of nothing", `{podTemplate: {edge: {tolerations: [{}]}}}`, "must have operator: Exists"},
	{"toleration with a value too many", `{podTemplate: {edge: {tolerations: [{key: a, operator: Exists, value: b}]}}}`, "remove value, or use operator: Equal"},
	{"toleration for a time of a lasting taint", `{podTemplate: {edge: {tolerations: [{key: a, tolerationSeconds: 3}]}}}`, "needs effect: NoExecute"},
	{"pull secret in capitals", `{podTemplate: {edge: {imagePullSecrets: [{name: Registry}]}}}`, "Names are in lower case"},
	{"key set in capitals", `{signingKeySetRef: {name: Main}}`, "Names are in lower case"},
	{"policy of another namespace", `{tokenPolicyRef: {name: other/web}}`, "name must be the name of an object"},
	{"users by a path", source(`{name: staff, htpasswd: {secretRef: {name: ../users}}}`), "name must be the name of an object"},
	{"unknown effect on the token service", `{podTemplate: {tokenService: {tolerations: [{operator: Exists, effect: Never}]}}}`, `supported values: "NoSchedule"`},
	{"unknown operator", `{podTemplate: {edge: {tolerations: [{key: a, operator: In}]}}}`, `supported values: "Equal", "Exists"`},
	{"memory in words", `{podTemplate: {edge: {resources: {limits: {memory: much}}}}}`, "limits.memory: Invalid value"},
	{"101 token services", `{replicas: 101}`, "less than or equal to 100"},
	{"unknown effect", `{podTemplate: {edge: {tolerations: [{operator: Exists, effect: Never}]}}}`, `supported values: "NoSchedule"`},
}

func nineSources() string {
	all := make([]string, 9)
	for i := range all {
		all[i] = fmt.Sprintf(`{name: s%d, subjectPrefix: "s%d:", htpasswd: {secretRef: {name: u}}}`, i, i)
	}
	return strings.Join(all, ", ")
}

func proxies(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("192.0.2.%d/32", i)
	}
	return strings.Join(all, ", ")
}
