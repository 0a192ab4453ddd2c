package v1alpha1_test

import (
	"fmt"
	"strings"
)

// Parts of access policies: a rule for a path, a target, a source, a header for the application.
func pathOf(kind, value string) string {
	return fmt.Sprintf(`{rules: [{path: {type: %s, value: %q}}]}`, kind, value)
}

func targets(all ...string) string {
	return "{targetRefs: [" + strings.Join(all, ", ") + "]}"
}

func route(kind, more string) string {
	return "{group: gateway.networking.k8s.io, kind: " + kind + ", name: orders" + more + "}"
}

func repeated(count int, form string) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf(form, i)
	}
	return strings.Join(all, ", ")
}

func header(name string) string { return fmt.Sprintf(`{tokenSources: [{header: {name: %q}}]}`, name) }

func upstream(name, claim string) string {
	return fmt.Sprintf(`{upstreamHeaders: [{name: %q, claim: %q}]}`, name, claim)
}

func login(url string) string {
	return fmt.Sprintf(`{unauthenticated: {navigation: Redirect, loginURL: %q}}`, url)
}

const (
	ingress       = "{group: networking.k8s.io, kind: Ingress, name: orders}"
	hintTarget    = "a target is a HTTPRoute, GRPCRoute or Gateway of group"
	hintPath      = "value may have letters, digits and"
	hintSegment   = "value must not have . or .. as a segment"
	hintHeader    = "this header means something else"
	hintOwn       = "name must begin with X-"
	hintRole      = "a role is printable ASCII"
	hintMethod    = "a method is written in capitals"
	hintEnvoyNone = "adapter EnvoyGateway attaches a SecurityPolicy to targetRefs"
)

// accessAccepted are policies at the edges of what is allowed.
var accessAccepted = map[string]string{
	"only what is required":  `{}`,
	"a probe":                `{probe: {url: "https://shop.example.com:8443/a/b%20c.d~e", interval: 24h, caRef: {name: authorities}}}`,
	"a probe of an address":  probed("http://[fd00::1]:8080"),
	"no session any more":    `{accept: [JWT]}`,
	"another namespace":      `{tokenServiceRef: {namespace: auth-system}}`,
	"every kind of target":   targets(route("HTTPRoute", ""), route("GRPCRoute", ""), route("Gateway", ""), ingress),
	"sections beside all":    targets(route("Gateway", ""), route("Gateway", ", sectionName: https"), route("HTTPRoute", ", sectionName: rule.1")),
	"16 targets":             targets(repeated(16, "{group: networking.k8s.io, kind: Ingress, name: i%d}")),
	"roles":                  `{require: {roles: [admin, "shop keeper", "https://example.com/role"]}}`,
	"32 roles":               `{require: {roles: [` + repeated(32, "r%d") + `]}}`,
	"the root":               pathOf("PathPrefix", "/"),
	"a path of its own":      pathOf("Exact", "/api/v1.2/orders/"),
	"every plain character":  pathOf("Exact", "/aZ09._~!$&()*+,=:@-[]"),
	"dots that resolve not":  pathOf("Exact", "/.well-known/...x/a..b"),
	"a rule for methods":     `{rules: [{methods: [GET, HEAD, PROPFIND, M-SEARCH], anonymous: true}]}`,
	"64 rules":               `{rules: [` + repeated(64, "{path: {value: /r%d}, methods: [GET], roles: [admin]}") + `]}`,
	"preflight, audited":     `{preflight: true, mode: Audit}`,
	"login page":             login("/login?from=here"),
	"refresh by cookie":      login("/auth/continue"),
	"login page elsewhere":   login("https://www.example.com:8443/login"),
	"sources":                `{tokenSources: [{header: {name: Authorization, scheme: Bearer}, foreign: Reject}, {header: {name: X-Api-Token}}, {cookie: {name: __Host-keyturn-access}}]}`,
	"8 sources":              `{tokenSources: [` + repeated(8, "{cookie: {name: c%d}}") + `]}`,
	"headers":                `{upstreamHeaders: [{name: X-User-Team, claim: "https://example.com/team"}, {name: X-Session, claim: sid}]}`,
	"Envoy Gateway":          `{adapter: {type: EnvoyGateway}, targetRefs: [` + route("HTTPRoute", "") + `]}`,
	"Traefik without target": `{adapter: {type: Traefik}}`,
	"nginx":                  `{adapter: {type: Nginx}, targetRefs: [` + ingress + `]}`,
}

var accessRefusals = []refusal{
	{"no token service", `{tokenServiceRef: null}`, "tokenServiceRef: Required value"},
	{"token service without name", `{tokenServiceRef: {name: null}}`, "name: Required value"},
	{"token service in capitals", `{tokenServiceRef: {name: Web}}`, "Names are in lower case"},
	{"namespace in capitals", `{tokenServiceRef: {namespace: Auth}}`, "namespace must be the name of a namespace"},
	{"namespace with a dot", `{tokenServiceRef: {namespace: a.b}}`, "namespace must be the name of a namespace"},

	{"a Service", targets(`{group: "", kind: Service, name: orders}`), "should be at least 1 chars long"},
	{"a TCPRoute", targets(route("TCPRoute", "")), hintTarget},
	{"Ingress of another group", targets("{group: extensions, kind: Ingress, name: orders}"), hintTarget},
	{"HTTPRoute of the Ingress's group", targets("{group: networking.k8s.io, kind: HTTPRoute, name: orders}"), hintTarget},
	{"target without a name", targets("{group: networking.k8s.io, kind: Ingress}"), "name: Required value"},
	{"target in capitals", targets("{group: networking.k8s.io, kind: Ingress, name: Orders}"), "Names are in lower case"},
	{"target elsewhere", targets("{group: networking.k8s.io, kind: Ingress, name: shop/orders}"), "name must be the name of an object"},
	{"section of an Ingress", targets("{group: networking.k8s.io, kind: Ingress, name: orders, sectionName: a}"), "an Ingress has no sections"},
	{"section in capitals", targets(route("Gateway", ", sectionName: HTTPS")), "sectionName must be a name"},
	{"target named twice", targets(ingress, ingress), "a target is named twice"},
	{"section named twice", targets(route("Gateway", ", sectionName: a"), route("Gateway", ", sectionName: a")), "a target is named twice"},
	{"17 targets", targets(repeated(17, "{group: networking.k8s.io, kind: Ingress, name: i%d}")), "must have at most 16 items"},

	{"nothing accepted", `{accept: []}`, "should have at least 1 items"},
	{"sessions only", `{accept: [LegacySession]}`, "accept must have JWT"},
	{"another credential", `{accept: [JWT, Password]}`, "Unsupported value"},
	{"accepted twice", `{accept: [JWT, JWT]}`, "Duplicate value"},

	{"an empty role", `{require: {roles: [""]}}`, "should be at least 1 chars long"},
	{"a role with a line end", `{require: {roles: ["admin\n"]}}`, hintRole},
	{"a role with a space at its end", `{require: {roles: ["admin "]}}`, hintRole},
	{"a role that is not ASCII", `{require: {roles: ["ädmin"]}}`, hintRole},
	{"a role twice", `{require: {roles: [a, a]}}`, "Duplicate value"},
	{"33 roles", `{require: {roles: [` + repeated(33, "r%d") + `]}}`, "must have at most 32 items"},

	{"a rule for nothing", `{rules: [{}]}`, "what every request needs is said by require"},
	{"a rule for no method", `{rules: [{methods: []}]}`, "what every request needs is said by require"},
	{"roles for nobody", `{rules: [{methods: [GET], roles: [a], anonymous: true}]}`, "who is let in without a credential has no role"},
	{"65 rules", `{rules: [` + repeated(65, "{path: {value: /r%d}}") + `]}`, "must have at most 64 items"},
	{"rule with a bad role", `{rules: [{methods: [GET], roles: [" a"]}]}`, hintRole},
	{"method in lower case", `{rules: [{methods: [get]}]}`, hintMethod},
	{"CONNECT", `{rules: [{methods: [CONNECT]}]}`, hintMethod},
	{"every method by a star", `{rules: [{methods: ["*"]}]}`, hintMethod},
	{"a method twice", `{rules: [{methods: [GET, GET]}]}`, "Duplicate value"},

	{"path without value", `{rules: [{path: {type: Exact}}]}`, "value: Required value"},
	{"empty path", pathOf("Exact", ""), "should be at least 1 chars long"},
	{"path without a slash", pathOf("Exact", "api"), "value must begin with a slash"},
	{"a URL", pathOf("Exact", "https://shop.example.com/api"), "value must begin with a slash"},
	{"a pattern", pathOf("RegularExpression", "/api"), "Unsupported value"},
	{"path with a query", pathOf("Exact", "/api?x=1"), hintPath},
	{"path with a fragment", pathOf("Exact", "/api#a"), hintPath},
	{"path with an encoded slash", pathOf("Exact", "/api%2Forders"), hintPath},
	{"path with an encoded letter", pathOf("Exact", "/%61pi"), hintPath},
	{"path with a parameter", pathOf("Exact", "/api;v=1"), hintPath},
	{"path with a backslash", pathOf("Exact", `/api\orders`), hintPath},
	{"path with a space", pathOf("Exact", "/api orders"), hintPath},
	{"path with a line end", pathOf("Exact", "/api\n"), hintPath},
	{"path that is not ASCII", pathOf("Exact", "/größe"), hintPath},
	{"path with two slashes", pathOf("Exact", "/api//orders"), "value must not have two slashes in a row"},
	{"path of two slashes", pathOf("PathPrefix", "//"), "value must not have two slashes in a row"},
	{"path that goes up", pathOf("Exact", "/api/../orders"), hintSegment},
	{"path that stays", pathOf("Exact", "/api/./orders"), hintSegment},
	{"path that ends with dots", pathOf("PathPrefix", "/api/.."), hintSegment},
	{"prefix that ends with a slash", pathOf("PathPrefix", "/api/"), "remove the slash at the end"},
	{"a long path", pathOf("Exact", "/"+strings.Repeat("a", 1024)), "may not be more than 1024"},

	{"redirect to nowhere", `{unauthenticated: {navigation: Redirect}}`, "navigation Redirect needs to know where to"},
	{"a login page that is not used", `{unauthenticated: {loginURL: /login}}`, "loginURL is used with navigation Redirect only"},
	{"login page by http", login("http://www.example.com/login"), "loginURL must be a path of the same host"},
	{"login page of two slashes", login("//evil.example.com"), "loginURL must be a path of the same host"},
	{"login page with a user", login("https://me@example.com/"), "loginURL must not have @"},
	{"login page of the token service", login("/auth/login"), "it can only be /auth/continue"},
	{"login page that goes up", login("/a/../login"), "the path of loginURL must not have %"},
	{"login page at https's own port", login("https://www.example.com:443/login"), "remove :443"},
	{"login page with a line end", login("/login\r\nSet-Cookie: a=b"), "loginURL must not have @"},
	{"another answer", `{unauthenticated: {navigation: Teapot}}`, "Unsupported value"},
	{"another mode", `{mode: Disabled}`, "Unsupported value"},

	{"a source of nothing", `{tokenSources: [{foreign: Reject}]}`, "a token source is exactly one of header and cookie"},
	{"a source of both", `{tokenSources: [{header: {name: A}, cookie: {name: a}}]}`, "a token source is exactly one of header and cookie"},
	{"the same header twice", `{tokenSources: [{header: {name: Authorization, scheme: Bearer}}, {header: {name: authorization}}]}`, "two tokenSources are the same header or cookie"},
	{"the same cookie twice", `{tokenSources: [{cookie: {name: a}}, {cookie: {name: a}}]}`, "two tokenSources are the same header or cookie"},
	{"9 sources", `{tokenSources: [` + repeated(9, "{cookie: {name: c%d}}") + `]}`, "must have at most 8 items"},
	{"cookies by header", header("Cookie"), hintHeader},
	{"an identity as a token", header("X-Auth-User"), hintHeader},
	{"the proxy's header", header("X-Forwarded-Uri"), hintHeader},
	{"a header with an underscore", header("X_Token"), "name must be the name of a header"},
	{"a header with a line end", header("X-Token\r\nA"), "name must be the name of a header"},
	{"a scheme of two words", `{tokenSources: [{header: {name: Authorization, scheme: "Bearer token"}}]}`, "scheme is one word"},
	{"a cookie of two", `{tokenSources: [{cookie: {name: "a; b"}}]}`, "name must be the name of a cookie"},
	{"foreign tokens accepted", `{tokenSources: [{cookie: {name: a}, foreign: Accept}]}`, "Unsupported value"},

	{"the user under another claim", upstream("X-Auth-User", "sub"), hintHeader},
	{"the role in lower case", upstream("x-auth-role", "role"), hintHeader},
	{"the application's credential", upstream("Authorization", "sub"), hintOwn},
	{"the host", upstream("Host", "sub"), hintOwn},
	{"the request's number", upstream("X-Request-Id", "sub"), hintHeader},
	{"the proxy's file", upstream("X-Accel-Redirect", "sub"), hintHeader},
	{"nothing after X", upstream("X-", "sub"), hintOwn},
	{"the client's address", upstream("X-Forwarded-For", "sub"), hintHeader},
	{"a header that nginx drops", upstream("X_User", "sub"), hintOwn},
	{"a claim that is none", upstream("X-Team", "team name"), "a claim's name begins with a letter or _"},
	{"a header twice", `{upstreamHeaders: [{name: X-Team, claim: a}, {name: x-team, claim: b}]}`, "two upstreamHeaders have the same name"},
	{"17 headers", `{upstreamHeaders: [` + repeated(17, "{name: X-H%d, claim: a}") + `]}`, "must have at most 16 items"},

	{"another adapter", `{adapter: {type: Istio}}`, "Unsupported value"},
	{"Envoy Gateway on nothing", `{adapter: {type: EnvoyGateway}}`, hintEnvoyNone},
	{"Envoy Gateway on an empty list", `{adapter: {type: EnvoyGateway}, targetRefs: []}`, hintEnvoyNone},
	{"Envoy Gateway on an Ingress", `{adapter: {type: EnvoyGateway}, targetRefs: [` + ingress + `]}`, "Envoy Gateway does not serve an Ingress"},

	{"a probe of nothing", `{probe: {}}`, "probe.url: Required value"},
	{"a probe without a scheme", probed("shop.example.com/orders"), hintProbe},
	{"a probe of a file", probed("file:///etc/passwd"), hintProbe},
	{"a probe by name", probed("gopher://shop.example.com/"), hintProbe},
	{"a probe with a password", probed("https://ann:secret@shop.example.com/"), hintProbe},
	{"a probe with a query", probed("https://shop.example.com/?a=b"), hintProbe},
	{"a probe with a fragment", probed("https://shop.example.com/#a"), hintProbe},
	{"a probe of port 0", probed("https://shop.example.com:0/"), hintProbe},
	{"a probe with a line end", probed(`https://shop.example.com/\r\nHost: x`), hintProbe},
	{"a probe with a backslash", probed(`https://shop.example.com\\@evil.test/`), hintProbe},
	{"a probe of nobody", probed("https://:443/"), hintProbe},
	{"a probe too often", `{probe: {url: "https://a", interval: 59s}}`, "probe.interval must be a duration from 1m to 24h"},
	{"a probe too seldom", `{probe: {url: "https://a", interval: 25h}}`, "probe.interval must be a duration from 1m to 24h"},
	{"a probe at times", `{probe: {url: "https://a", interval: often}}`, "should match"},
	{"an authority without a name", `{probe: {url: "https://a", caRef: {}}}`, "caRef.name: Required value"},
}

const hintProbe = "probe.url must be such as https://shop.example.com/orders"

func probed(url string) string { return `{probe: {url: "` + url + `"}}` }
