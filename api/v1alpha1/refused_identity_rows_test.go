package v1alpha1_test

import (
	"fmt"
	"strings"
)

// fourSources are one of each kind.
const fourSources = `
  {name: staff, subjectPrefix: "staff:", htpasswd: {secretRef: {name: users}}},
  {name: app, subjectPrefix: "app:", webhook: {loginURL: "https://app.example.com/check"}},
  {name: corp, subjectPrefix: "corp:", oidc: {issuerURL: "https://login.example.com", clientID: shop}},
  {name: jobs, subjectPrefix: "jobs:", kubernetes: {accounts: [{namespace: batch}]}}`

// hook is a patch with a webhook at this URL; provider with an OIDC provider; job with these accounts; client with a
// client of these fields.
func hook(url string) string { return source(fmt.Sprintf(`{name: app, webhook: {loginURL: %q}}`, url)) }

func provider(url string) string {
	return source(fmt.Sprintf(`{name: corp, oidc: {issuerURL: %q, clientID: shop}}`, url))
}

func job(accounts string) string {
	return source(`{name: jobs, kubernetes: {accounts: [` + accounts + `]}}`)
}

func asking(fields string) string { return `{clients: [{` + fields + `}]}` }

// Parts of messages that several rows look for.
const (
	hintHook     = "use https, or http for a loopback host or a Service of this cluster"
	hintHookText = "credentials belong into the Secret of secretRef"
	hintOIDC     = "issuerURL must be an https URL"
	hintOIDCText = "write the iss claim of the provider's ID tokens"
	hintUnion    = "an identity needs exactly one source of users"
	hintClient   = "a client's id has letters, digits"
)

var identityRefusals = []refusal{
	{"two sources in one", source(`{name: a, htpasswd: {secretRef: {name: u}}, webhook: {loginURL: "https://a.example.com"}}`), hintUnion},
	{"four sources in one", source(`{name: a, htpasswd: {secretRef: {name: u}}, webhook: {loginURL: "https://a.example.com"}, oidc: {issuerURL: "https://a.example.com", clientID: x}, kubernetes: {accounts: [{namespace: a}]}}`), hintUnion},
	{"webhook without a URL", source(`{name: a, webhook: {}}`), "loginURL: Required value"},
	{"webhook of nothing", hook(""), "at least 1 chars long"},
	{"webhook by http", hook("http://accounts.example.com/check"), hintHook},
	{"webhook by http to an address", hook("http://10.0.0.7:8080/check"), hintHook},
	{"webhook by http to a name", hook("http://accounts:8080/check"), hintHook},
	{"webhook that looks internal", hook("http://accounts.shop.svc.example.com/check"), hintHook},
	{"webhook that looks like loopback", hook("http://localhost.example.com/check"), hintHook},
	{"webhook of another scheme", hook("file:///etc/passwd"), hintHook},
	{"webhook without a scheme", hook("accounts.example.com/check"), hintHook},
	{"webhook with a password", hook("https://user:password@accounts.example.com/check"), hintHookText},
	{"webhook with a fragment", hook("https://accounts.example.com/check#top"), hintHookText},
	{"webhook with a space", hook("https://accounts.example.com/my check"), hintHookText},
	{"webhook with a line end", hook("https://accounts.example.com/\r\n"), hintHookText},
	{"webhook at port 0", hook("https://accounts.example.com:0/check"), hintPort},
	{"webhook at port 70000", hook("https://accounts.example.com:70000/check"), hintPort},
	{"long webhook", hook("https://accounts.example.com/" + strings.Repeat("a", 500)), "may not be more than 512"},
	{"lookup by http", source(`{name: a, webhook: {loginURL: "https://a.example.com", lookupURL: "http://a.example.com"}}`), "lookupURL must be an https URL"},
	{"lookup with a user", source(`{name: a, webhook: {loginURL: "https://a.example.com", lookupURL: "https://u@a.example.com"}}`), "lookupURL must not have @"},
	{"lookup at port 65536", source(`{name: a, webhook: {loginURL: "https://a.example.com", lookupURL: "https://a.example.com:65536"}}`), hintPort},
	{"webhook that waits 11s", source(`{name: a, webhook: {loginURL: "https://a.example.com", timeout: 11s}}`), "from 100ms to 10s, such as 2s"},
	{"webhook that waits for nothing", source(`{name: a, webhook: {loginURL: "https://a.example.com", timeout: 0s}}`), "from 100ms to 10s, such as 2s"},
	{"webhook with a secret in capitals", source(`{name: a, webhook: {loginURL: "https://a.example.com", secretRef: {name: Hook}}}`), "Names are in lower case"},

	{"oidc without an issuer", source(`{name: a, oidc: {clientID: x}}`), "issuerURL: Required value"},
	{"oidc without a client", source(`{name: a, oidc: {issuerURL: "https://login.example.com"}}`), "clientID: Required value"},
	{"oidc by http", provider("http://login.example.com"), hintOIDC},
	{"oidc in capitals", provider("HTTPS://login.example.com"), hintOIDC},
	{"oidc with a query", provider("https://login.example.com?x=1"), hintOIDCText},
	{"oidc with a fragment", provider("https://login.example.com#x"), hintOIDCText},
	{"oidc with a user", provider("https://u@login.example.com"), hintOIDCText},
	{"oidc at port 0", provider("https://login.example.com:0"), hintPort},
	{"oidc client with a space", source(`{name: a, oidc: {issuerURL: "https://l.example.com", clientID: "my shop"}}`), "copy it from the provider's page"},
	{"oidc subject of a bad name", source(`{name: a, oidc: {issuerURL: "https://l.example.com", clientID: x, subjectClaim: "the sub"}}`), "subjectClaim must be the name of a claim"},
	{"oidc role of a bad name", source(`{name: a, oidc: {issuerURL: "https://l.example.com", clientID: x, roleClaim: "$.role"}}`), "roleClaim must be the name of a claim"},
	{"twice the same provider", source(`{name: a, subjectPrefix: "a:", oidc: {issuerURL: "https://l.example.com", clientID: x}}, {name: b, subjectPrefix: "b:", oidc: {issuerURL: "https://l.example.com", clientID: other}}`), "two oidc sources have the same issuerURL"},

	{"no accounts", source(`{name: a, kubernetes: {}}`), "accounts: Required value"},
	{"empty accounts", job(``), "should have at least 1 items"},
	{"account without a namespace", job(`{name: x}`), "namespace: Required value"},
	{"account of every namespace", job(`{namespace: "*"}`), "There is no wildcard: name each namespace"},
	{"account with a wildcard", job(`{namespace: a, name: "*"}`), "remove it to let in every account"},
	{"account by its user name", job(`{namespace: a, name: "system:serviceaccount:a:b"}`), "name must be the name of a ServiceAccount"},
	{"account with a bad role", job(`{namespace: a, role: "ad min"}`), "role may have letters, digits"},
	{"account with an empty role", job(`{namespace: a, role: ""}`), "at least 1 chars long"},
	{"twice the same account", job(`{namespace: a, name: b, role: x}, {namespace: a, name: b, role: y}`), "Duplicate value"},
	{"twice all of a namespace", job(`{namespace: a, role: x}, {namespace: a, role: y}`), "Duplicate value"},
	{"33 accounts", job(accounts(33)), "must have at most 32 items"},
	{"two sources of this cluster", source(`{name: a, subjectPrefix: "a:", kubernetes: {accounts: [{namespace: a}]}}, {name: b, subjectPrefix: "b:", kubernetes: {accounts: [{namespace: b}]}}`), "name all accounts in one"},

	{"client without an id", asking(`secretRef: {name: a}, audiences: [x]`), "id: Required value"},
	{"client with a path", asking(`id: ../x, secretRef: {name: a}, audiences: [x]`), hintClient},
	{"client of dots", asking(`id: .., secretRef: {name: a}, audiences: [x]`), hintClient},
	{"client with a colon", asking(`id: "a:b", secretRef: {name: a}, audiences: [x]`), hintClient},
	{"client with a line end", asking(`id: "a\n", secretRef: {name: a}, audiences: [x]`), hintClient},
	{"client of the logins", asking(`id: keyturn-web, secretRef: {name: a}, audiences: [x]`), "give the client another id"},
	{"long client", asking(`id: ` + strings.Repeat("a", 65) + `, secretRef: {name: a}, audiences: [x]`), "may not be more than 64"},
	{"client without a secret", asking(`id: a, audiences: [x]`), "secretRef: Required value"},
	{"client without audiences", asking(`id: a, secretRef: {name: a}`), "audiences: Required value"},
	{"client with no audience", asking(`id: a, secretRef: {name: a}, audiences: []`), "should have at least 1 items"},
	{"client with a bad audience", asking(`id: a, secretRef: {name: a}, audiences: ["a b"]`), "an audience must be printable ASCII"},
	{"client with twice the same audience", asking(`id: a, secretRef: {name: a}, audiences: [x, x]`), "Duplicate value"},
	{"twice the same client", `{clients: [{id: a, secretRef: {name: a}, audiences: [x]}, {id: a, secretRef: {name: b}, audiences: [x]}]}`, "Duplicate value"},
	{"33 clients", `{clients: [` + clients(33) + `]}`, "must have at most 32 items"},
	{"TLS without a secret", `{tls: {}}`, "secretRef: Required value"},
	{"TLS by a path", `{tls: {secretRef: {name: a/b}}}`, "name must be the name of an object"},
}

func accounts(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf(`{namespace: a, name: job-%d}`, i)
	}
	return strings.Join(all, ", ")
}

func clients(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf(`{id: c%d, secretRef: {name: c}, audiences: [x]}`, i)
	}
	return strings.Join(all, ", ")
}
