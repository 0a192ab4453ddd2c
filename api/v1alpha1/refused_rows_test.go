package v1alpha1_test

import (
	"fmt"
	"strings"
)

var signingKeySetRefusals = []refusal{
	{"unknown algorithm", `{algorithm: HS256}`, `supported values: "RS256", "PS256", "ES256", "EdDSA"`},
	{"algorithm none", `{algorithm: none}`, `supported values: "RS256"`},
	{"empty algorithm", `{algorithm: ""}`, `supported values: "RS256"`},
	{"weak RSA", `{rsaBits: 1024}`, `supported values: "2048", "3072", "4096"`},
	{"RSA bits with ES256", `{algorithm: ES256, rsaBits: 3072}`, "remove rsaBits, or change algorithm ES256"},
	{"RSA bits with EdDSA", `{algorithm: EdDSA, rsaBits: 4096}`, "remove rsaBits, or change algorithm EdDSA"},
	{"RSA bits with brought keys", `{rsaBits: 3072, keySource: {secretRef: {name: mine}}}`, "rsaBits has no meaning with keySource"},
	{"a source without a Secret", `{keySource: {}}`, "keySource.secretRef: Required value"},
	{"a source of no name", `{keySource: {secretRef: {name: ""}}}`, "at least 1 chars long"},
	{"a source in upper case", `{keySource: {secretRef: {name: Mine}}}`, "Names are in lower case"},
	{"unknown mode", `{rotation: {mode: Sometimes}}`, `supported values: "Automatic", "Manual"`},
	{"interval is a number", `{rotation: {interval: 3600}}`, `rotation.interval: Invalid value: "integer"`},
	{"interval in days", `{rotation: {interval: 30d}}`, "such as 720h"},
	{"interval in words", `{rotation: {interval: a month}}`, "such as 720h"},
	{"interval of nothing", `{rotation: {interval: 0s}}`, "use mode: Manual to rotate on request only"},
	{"negative interval", `{rotation: {interval: -720h}}`, "above 0s"},
	{"interval of three years", `{rotation: {interval: 26352h}}`, "at most 17568h (two years)"},
	{"interval that overflows", `{rotation: {interval: 99999999999999h}}`, "at most 17568h (two years)"},
	{"interval too long a text", `{rotation: {interval: 1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h}}`, "may not be more than 32"},
	{
		"interval below twice prePublish", `{rotation: {interval: 47h}}`,
		"rotation.interval (47h) must be at least twice rotation.prePublish (24h): raise interval or lower prePublish",
	},
	{
		"prePublish below what verifiers need", `{rotation: {prePublish: 26m}}`,
		"rotation.prePublish (26m) must be at least jwks.maxAge (5m) + rotation.slowestVerifier (20m) + twice clockSkew (60s): raise prePublish",
	},
	{"prePublish below a raised maxAge", `{jwks: {maxAge: 24h}}`, "rotation.prePublish (24h) must be at least jwks.maxAge (24h)"},
	{"prePublish below a raised skew", `{clockSkew: 5m, rotation: {prePublish: 34m}}`, "twice clockSkew (5m): raise prePublish or lower these"},
	{"prePublish of nothing", `{rotation: {prePublish: 0s}}`, "such as 24h"},
	{"prePublish above a year", `{rotation: {interval: 17568h, prePublish: 8785h}}`, "at most 8784h (one year)"},
	{"slowest verifier of a month", `{rotation: {slowestVerifier: 720h}}`, "from 0s to 168h (a week)"},
	{"negative slowest verifier", `{rotation: {slowestVerifier: -1s}}`, "should match"},
	{"negative standby", `{rotation: {standbyKeys: -1}}`, "greater than or equal to 0"},
	{"three standby keys", `{rotation: {standbyKeys: 3}}`, "less than or equal to 2"},
	{"maxAge of nothing", `{jwks: {maxAge: 0s}}`, "above 0s and at most 24h, such as 5m"},
	{"maxAge above a day", `{jwks: {maxAge: 25h}}`, "above 0s and at most 24h, such as 5m"},
	{"staleIfError above a week", `{jwks: {staleIfError: 169h}}`, "from 0s to 168h (a week)"},
	{"clock skew above 5m", `{clockSkew: 5m1s}`, "mend the clocks (NTP)"},
	{"clock skew below 0s", `{clockSkew: -1s}`, "should match"},
	{"unknown deletion policy", `{deletionPolicy: Delete}`, `supported values: "Retain", "Destroy"`},
}

var tokenPolicyRefusals = []refusal{
	{"no access token", `{accessToken: null}`, "accessToken: Required value"},
	{"no audiences", `{accessToken: {audiences: null}}`, "audiences: Required value"},
	{"empty audiences", `{accessToken: {audiences: []}}`, "should have at least 1 items"},
	{"eleven audiences", `{accessToken: {audiences: [a, b, c, d, e, f, g, h, i, j, k]}}`, "must have at most 10 items"},
	{"twice the same audience", `{accessToken: {audiences: [shop, shop]}}`, "Duplicate value"},
	{"empty audience", `{accessToken: {audiences: [""]}}`, "at least 1 chars long"},
	{"audience with a space", `{accessToken: {audiences: ["my shop"]}}`, "remove spaces, line ends"},
	{"audience with a line end", `{accessToken: {audiences: ["shop\n"]}}`, "remove spaces, line ends"},
	{"audience that is not ASCII", `{accessToken: {audiences: ["bücher"]}}`, "remove spaces, line ends and other characters"},
	{"long audience", fmt.Sprintf(`{accessToken: {audiences: [%s]}}`, strings.Repeat("a", 257)), "may not be more than 256"},
	{"access ttl below 1m", `{accessToken: {ttl: 59s}}`, "from 1m to 1h, such as 15m"},
	{"access ttl above 1h", `{accessToken: {ttl: 1h0m1s}}`, "for longer logins raise refreshToken.ttl instead"},
	{"access ttl in days", `{accessToken: {ttl: 1d}}`, "from 1m to 1h, such as 15m"},
	{"access ttl with a fraction of a second in ns", `{accessToken: {ttl: 60000000000ns}}`, "should match"},
	{"protocol claim", `{claims: {allow: [role, exp]}}`, "remove it from claims.allow"},
	{"protocol claim sub", `{claims: {allow: [sub]}}`, "remove it from claims.allow"},
	{"protocol claim in capitals", `{claims: {allow: [ISS]}}`, "remove it from claims.allow"},
	{"protocol claim client_id", `{claims: {allow: [client_id]}}`, "remove it from claims.allow"},
	{"protocol claim scope", `{claims: {allow: [scope]}}`, "remove it from claims.allow"},
	{"protocol claim typ", `{claims: {allow: [typ]}}`, "remove it from claims.allow"},
	{"claim with a space", `{claims: {allow: ["the role"]}}`, "rename it"},
	{"claim with a quote", `{claims: {allow: ['ro"le']}}`, "rename it"},
	{"claim that begins with a digit", `{claims: {allow: [1st]}}`, "begins with a letter or _"},
	{"empty claim", `{claims: {allow: [""]}}`, "at least 1 chars long"},
	{"twice the same claim", `{claims: {allow: [role, role]}}`, "Duplicate value"},
	{"the same claim in capitals", `{claims: {allow: [role, Role]}}`, "differ in upper and lower case only"},
	{"17 claims", `{claims: {allow: [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17]}}`, "must have at most 16 items"},
	{"claims too small", `{claims: {maxBytes: 63}}`, "greater than or equal to 64"},
	{"claims too large", `{claims: {maxBytes: 4097}}`, "less than or equal to 4096"},
	{"refresh ttl of nothing", `{refreshToken: {ttl: 0s}}`, "such as 168h"},
	{"refresh ttl above a year", `{refreshToken: {ttl: 8785h, absoluteTTL: 8784h}}`, "from 1s to 8784h (one year), such as 168h"},
	{"refresh ttl below the access ttl", `{accessToken: {ttl: 30m}, refreshToken: {ttl: 29m}}`, "raise refreshToken.ttl or lower accessToken.ttl"},
	{"absolute below idle", `{refreshToken: {ttl: 168h, absoluteTTL: 167h}}`, "absoluteTTL (167h) must be at least ttl (168h): raise absoluteTTL or lower ttl"},
	{"absolute above a year", `{refreshToken: {absoluteTTL: 9000h}}`, "from 1s to 8784h (one year), such as 720h"},
	{"retry window above 60s", `{refreshToken: {reuse: {retryWindow: 61s}}}`, "from 0s to 60s, such as 10s"},
	{"no families", `{refreshToken: {maxFamiliesPerUser: 0}}`, "greater than or equal to 1"},
	{"too many families", `{refreshToken: {maxFamiliesPerUser: 1001}}`, "less than or equal to 1000"},
	{"no logins", `{login: {rateLimit: {limit: 0}}}`, "greater than or equal to 1"},
	{"limit without effect", `{login: {rateLimit: {limit: 10001}}}`, "less than or equal to 10000"},
	{"window below 1s", `{login: {rateLimit: {window: 999ms}}}`, "from 1s to 1h, such as 1m"},
	{"window above 1h", `{login: {rateLimit: {window: 61m}}}`, "from 1s to 1h, such as 1m"},
	{"failures below none", `{login: {failureLimit: {limit: -1}}}`, "greater than or equal to 0"},
	{"failure limit without effect", `{login: {failureLimit: {limit: 10001}}}`, "less than or equal to 10000"},
	{"failure window below 1s", `{login: {failureLimit: {window: 500ms}}}`, "from 1s to 24h, such as 1h"},
	{"failure window above a day", `{login: {failureLimit: {window: 24h1s}}}`, "to have no limit set failureLimit.limit to 0"},
	{"failure window in days", `{login: {failureLimit: {window: 1d}}}`, "failureLimit.window must be a duration"},
	{"unknown cookie mode", `{cookies: {mode: Always}}`, `supported values: "Disabled", "Optional", "Required"`},
	{"login page by http", `{cookies: {mode: Optional, loginURL: "http://www.example.com/login"}}`, hintLoginURL},
	{"login page elsewhere in disguise", `{cookies: {loginURL: "//evil.example.com/login"}}`, hintLoginURL},
	{"login page of a relative path", `{cookies: {loginURL: login}}`, hintLoginURL},
	{"login page of a script", `{cookies: {loginURL: "javascript:alert(1)"}}`, hintLoginURL},
	{"login page with a backslash", `{cookies: {loginURL: "/\\evil.example.com"}}`, "loginURL must not have @, #, spaces"},
	{"login page with a line end", `{cookies: {loginURL: "/login\r\nSet-Cookie: a=b"}}`, "loginURL must not have @, #, spaces"},
	{"login page with a user", `{cookies: {loginURL: "https://www.example.com@evil.example.com/"}}`, "loginURL must not have @, #, spaces"},
	{"login page among our own", `{cookies: {loginURL: /auth/continue}}`, hintLoginPath},
	{"login page at our own", `{cookies: {loginURL: "/auth?x=1"}}`, hintLoginPath},
	{"login page with a dot segment", `{cookies: {loginURL: "/a/../login"}}`, hintLoginPath},
	{"login page with an escape", `{cookies: {loginURL: "/%2fevil.example.com"}}`, hintLoginPath},
	{"login page in capitals", `{cookies: {loginURL: "https://WWW.example.com/login"}}`, hintLoginURL},
	{"login page with https's own port", `{cookies: {loginURL: "https://www.example.com:443/login"}}`, "remove :443"},
	{"empty login page", `{cookies: {loginURL: ""}}`, "at least 1 chars long"},
	{"every origin", `{cors: {allowedOrigins: ["*"]}}`, "there is no wildcard and no null"},
	{"origins by wildcard", `{cors: {allowedOrigins: ["https://*.example.com"]}}`, "name each origin"},
	{"origin null", `{cors: {allowedOrigins: ["null"]}}`, "there is no wildcard and no null"},
	{"origin with a path", `{cors: {allowedOrigins: ["https://app.example.com/app"]}}`, "an origin has no path"},
	{"origin with a slash", `{cors: {allowedOrigins: ["https://app.example.com/"]}}`, "or slash at its end"},
	{"origin with a query", `{cors: {allowedOrigins: ["https://app.example.com?x"]}}`, "an origin has no path, query"},
	{"origin with a user", `{cors: {allowedOrigins: ["https://app.example.com@evil.example.com"]}}`, "an origin has no path, query, user"},
	{"origin by http", `{cors: {allowedOrigins: ["http://app.example.com"]}}`, hintOrigin},
	{"origin by http that looks like loopback", `{cors: {allowedOrigins: ["http://localhost.example.com"]}}`, hintOrigin},
	{"origin without a scheme", `{cors: {allowedOrigins: [app.example.com]}}`, hintOrigin},
	{"origin in capitals", `{cors: {allowedOrigins: ["https://App.example.com"]}}`, hintOrigin},
	{"origin with the scheme's own port", `{cors: {allowedOrigins: ["https://app.example.com:443"]}}`, "remove :443 (https) or :80 (http)"},
	{"loopback origin with the scheme's own port", `{cors: {allowedOrigins: ["http://localhost:80"]}}`, "remove :443 (https) or :80 (http)"},
	{"origin with port 0", `{cors: {allowedOrigins: ["https://app.example.com:0"]}}`, "the port of an origin is from 1 to 65535"},
	{"origin with port 65536", `{cors: {allowedOrigins: ["https://app.example.com:65536"]}}`, "the port of an origin is from 1 to 65535"},
	{"twice the same origin", `{cors: {allowedOrigins: ["https://a.example.com", "https://a.example.com"]}}`, "Duplicate value"},
	{"33 origins", `{cors: {allowedOrigins: [` + origins(33) + `]}}`, "must have at most 32 items"},
	{"propagation below 1s", `{revocation: {maxPropagation: 500ms}}`, "from 1s to 60s, such as 5s"},
	{"propagation above 60s", `{revocation: {maxPropagation: 2m}}`, "from 1s to 60s, such as 5s"},
}

// Parts of messages that several rows look for.
const (
	hintLoginURL  = "loginURL must be a path of the same host that begins with one slash"
	hintLoginPath = "the path of loginURL must not have %"
	hintOrigin    = "an origin must be a lower-case https origin as browsers send it"
)

func origins(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf(`"https://app%d.example.com"`, i)
	}
	return strings.Join(all, ", ")
}
