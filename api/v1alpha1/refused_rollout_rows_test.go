package v1alpha1_test

import (
	"fmt"
	"strings"
)

// Parts of rollouts: a validator in Redis with more of its fields, an endpoint at a URL, a plan with an end.
func sessions(more string) string {
	for field, value := range map[string]string{"key": `"sess:{id}"`, "user": "user.id"} {
		if !strings.HasPrefix(more, field+":") {
			more += ", " + field + ": " + value
		}
	}
	return `{legacy: {validator: {http: null, redis: {url: "redis://a:6379", ` + more + `}}}}`
}

func sessionsAt(url string) string {
	return fmt.Sprintf(`{legacy: {validator: {http: null, redis: {url: %q, key: "sess:{id}", user: user.id}}}}`, url)
}

func askedAt(url string) string {
	return fmt.Sprintf(`{legacy: {validator: {http: {url: %q}}}}`, url)
}

func steps(percents ...int) string {
	var all []string
	for _, p := range percents {
		all = append(all, fmt.Sprintf("{percent: %d}", p))
	}
	return "{steps: [" + strings.Join(all, ", ") + "]}"
}

func ending(more string) string {
	return `{deprecation: {at: "2027-01-01T00:00:00Z"}, sunset: {at: "2027-02-01T00:00:00Z"}` + more + `}`
}

func named(list string, count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("u%d", i)
	}
	return "{" + list + ": [" + strings.Join(all, ", ") + "]}"
}

const (
	hintOrder    = "the percent of each step must be above that of the step before"
	hintWhole    = "the last step must have percent: 100"
	hintRedisURL = "url must be redis://HOST:PORT/DATABASE"
	hintEndpoint = "url must be an https URL"
	hintPoints   = `should match '^[0-9]{1,3}([.][0-9]{1,2})?pp$'`
	hintShare    = `should match '^[0-9]{1,3}([.][0-9]{1,2})?%$'`
	hintWay      = "validator needs exactly one of http and redis"
)

var rolloutRefusals = []refusal{
	{"no token service", `{tokenServiceRef: null}`, "tokenServiceRef: Required value"},
	{"token service in capitals", `{tokenServiceRef: {name: Web}}`, "Names are in lower case"},
	{"nothing about sessions", `{legacy: null}`, "legacy: Required value"},
	{"no cookie", `{legacy: {cookieName: null}}`, "cookieName: Required value"},
	{"cookie with a space", `{legacy: {cookieName: "my session"}}`, "cookieName must be the name of a cookie"},
	{"cookie with its value", `{legacy: {cookieName: "sid=1"}}`, "cookieName must be the name of a cookie"},
	{"cookie of a long name", `{legacy: {cookieName: ` + strings.Repeat("a", 129) + `}}`, "may not be more than 128"},
	{"our own cookie", `{legacy: {cookieName: __Host-keyturn-access}}`, "name the cookie of the application's session"},
	{"prefix of users with a space", `{legacy: {subjectPrefix: "a b"}}`, "subjectPrefix may have letters, digits"},
	{"prefix of users with a line end", `{legacy: {subjectPrefix: "a\n"}}`, "subjectPrefix may have letters, digits"},
	{"long prefix of users", `{legacy: {subjectPrefix: ` + strings.Repeat("a", 65) + `}}`, "may not be more than 64"},
	{"unknown form of cookies", `{legacy: {validator: {http: null, redis: {url: "redis://a:6379", key: "s:{id}", user: u, cookieFormat: Hex}}}}`, "cookieFormat: Unsupported value"},
	{"nobody knows the sessions", `{legacy: {validator: {http: null}}}`, hintWay},
	{"two who know the sessions", `{legacy: {validator: {redis: {url: "redis://a:6379", key: "s:{id}", user: u}}}}`, hintWay},
	{"endpoint over clear text", askedAt("http://shop.example.com/session"), hintEndpoint},
	{"endpoint with a password", askedAt("https://a:b@shop.example.com/session"), "credentials belong into the Secret"},
	{"endpoint at no port", askedAt("https://shop.example.com:0/session"), hintPort},
	{"endpoint of another kind", askedAt("redis://a:6379"), hintEndpoint},
	{"endpoint that waits for a minute", `{legacy: {validator: {http: {timeout: 1m}}}}`, "from 100ms to 10s"},
	{"issuer without a URL", `{legacy: {issuer: {}}}`, "issuer.url: Required value"},
	{"revoker of no kind", `{legacy: {revoker: {}}}`, "revoker needs exactly one of http and redis"},
	{"redis with a password", sessionsAt("redis://u:p@a:6379"), "url must not have a user or a password"},
	{"redis of http", sessionsAt("http://a:6379"), hintRedisURL},
	{"redis with options", sessionsAt("redis://a:6379/0?x=y"), hintRedisURL},
	{"redis database by name", sessionsAt("redis://a:6379/sessions"), hintRedisURL},
	{"redis port too high", sessionsAt("redis://a:70000"), "use a port from 1 to 65535"},
	{"key without the id", sessions(`key: sess`), "key must have {id} once"},
	{"key that is the id", sessions(`key: "{id}"`), "with something before it"},
	{"user in an empty name", sessions(`user: a..b`), "user must be a path such as passport.user.id"},
	{"user beyond 16 names", sessions(`user: ` + strings.Repeat("a.", 16) + "a"), "user must be a path"},
	{"role at the end of a dot", sessions(`role: a.`), "role must be a path such as passport.user.role"},
	{"field with nothing inside", sessions(`user: "a#", format: Hash`), "FIELD#PATH"},
	{"our own cookie in capitals", `{legacy: {cookieName: __HOST-KEYTURN-ACCESS}}`, "name the cookie of the application's session"},
	{"cookie with a bar", `{legacy: {cookieName: "a|b"}}`, "cookieName must be the name of a cookie"},
	{"link without a host", `{deprecation: {at: "2027-01-01T00:00:00Z", link: "https:///x"}}`, "deprecation.link must be an https URL"},
	{"key with two ids", sessions(`key: "{id}:{id}"`), "key must have {id} once"},
	{"cookie of an unknown format", sessions(`cookieFormat: Encrypted`), `supported values: "Plain", "Base64", "Signed"`},
	{"signed by nobody", sessions(`cookieFormat: Signed`), "cookieFormat Signed needs the application's secret"},
	{"session of an unknown format", sessions(`format: Pickle`), `supported values: "JSON", "Hash"`},
	{"nobody in the session", sessions(`user: ""`), "at least 1 chars long"},
	{"index without the user", sessions(`userIndex: all`), "userIndex must have {user} once"},
	{"sessions that live for ever", `{legacy: {maxSessionLife: 9999h}}`, "the longest that a session of the application lives"},
	{"no salt", `{bucketing: {salt: null}}`, "salt: Required value"},
	{"salt with a space", `{bucketing: {salt: "web 2026"}}`, "salt may have letters"},
	{"salt of nothing", `{bucketing: {salt: ""}}`, "at least 1 chars long"},
	{"another algorithm", `{bucketing: {algorithm: md5}}`, `supported values: "sha256-v1"`},
	{"1001 testers", named("include", 1001), "must have at most 1000 items"},
	{"1001 left out", named("exclude", 1001), "must have at most 1000 items"},
	{"tester twice", `{include: [alice, alice]}`, "Duplicate value"},
	{"in and out", `{include: [alice, bob], exclude: [bob]}`, "remove the user from one of them"},
	{"no steps", `{steps: []}`, "should have at least 1 items"},
	{"step down", steps(50, 10, 100), hintOrder},
	{"step twice", steps(10, 10, 100), hintOrder},
	{"not everybody", steps(10, 50), hintWhole},
	{"beyond everybody", steps(10, 101), "less than or equal to 100"},
	{"step to nobody", steps(0, 100), "greater than or equal to 1"},
	{"21 steps", steps(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 100), "must have at most 20 items"},
	{"half a percent", `{steps: [{percent: 0.5}, {percent: 100}]}`, "steps[0].percent"},
	{"baked in days", `{steps: [{percent: 100, bake: 7d}]}`, "such as 24h"},
	{"baked for years", `{steps: [{percent: 100, bake: 9999h}]}`, "set approval: Manual"},
	{"unknown approval", `{steps: [{percent: 100, approval: Later}]}`, `supported values: "Auto", "Manual"`},
	{"hasty guard", `{guard: {interval: 1s}}`, "from 10s to 1h"},
	{"guard without samples", `{guard: {minSamples: 0}}`, "greater than or equal to 1"},
	{"increase as a number", `{guard: {maxIncrease: 0.5}}`, "maxIncrease: Invalid value"},
	{"increase in percent", `{guard: {maxIncrease: 0.5%}}`, hintPoints},
	{"increase above everything", `{guard: {maxIncrease: 101pp}}`, "from 0pp to 100pp"},
	{"increase below nothing", `{guard: {maxIncrease: -1pp}}`, hintPoints},
	{"fastFail below maxIncrease", `{guard: {maxIncrease: 2pp, fastFail: 1.5pp}}`, "fastFail must be above maxIncrease"},
	{"fastFail at maxIncrease", `{guard: {maxIncrease: 5pp}}`, "fastFail must be above maxIncrease"},
	{"never fails", `{guard: {consecutiveFailures: 0}}`, "greater than or equal to 1"},
	{"endpoints in points", `{guard: {maxEndpointFailures: 5pp}}`, hintShare},
	{"endpoints above everything", `{guard: {maxEndpointFailures: 200%}}`, "from 0% to 100%"},
	{"slow from the start", `{guard: {latency: {threshold: 0s}}}`, "from 1ms to 1m"},
	{"slow after an hour", `{guard: {latency: {threshold: 1h}}}`, "from 1ms to 1m"},
	{"latency in percent", `{guard: {latency: {maxIncrease: 1%}}}`, hintPoints},
	{"latency above everything", `{guard: {latency: {maxIncrease: 101pp}}}`, "guard.latency.maxIncrease must be from 0pp to 100pp"},
	{"forced logins without samples", `{guard: {forcedLogins: {minSamples: 0}}}`, "greater than or equal to 1"},
	{"forced logins above everything", `{guard: {forcedLogins: {maxIncrease: 100.5pp}}}`, "guard.forcedLogins.maxIncrease must be from 0pp to 100pp"},
	{"promote in the dark", `{guard: {onInconclusive: Promote}}`, `supported values: "Hold"`},
	{"back to somewhere", `{rollback: {to: "50"}}`, `supported values: "PreviousStep", "Start"`},
	{"cool for a month", `{rollback: {cooldown: 720h}}`, "from 0s to 168h"},
	{"two credentials from nobody", `{dualIssue: true}`, "dualIssue needs somebody who makes sessions"},
	{"sunset unannounced", `{sunset: {at: "2027-02-01T00:00:00Z"}}`, "a sunset must be announced"},
	{"sunset before its announcement", `{deprecation: {at: "2027-02-01T00:00:00Z"}, sunset: {at: "2027-01-01T00:00:00Z"}}`, "sunset.at must be later than deprecation.at"},
	{"sunset at its announcement", `{deprecation: {at: "2027-02-01T00:00:00Z"}, sunset: {at: "2027-02-01T00:00:00Z"}}`, "30 days between them are usual"},
	{"sunset on a day", `{deprecation: {at: "2027-01-01T00:00:00Z"}, sunset: {at: "2027-02-01"}}`, "sunset.at"},
	{"link in clear text", `{deprecation: {at: "2027-01-01T00:00:00Z", link: "http://www.example.com/x"}}`, "deprecation.link must be an https URL"},
	{"link that ends its header", `{deprecation: {at: "2027-01-01T00:00:00Z", link: "https://www.example.com/>;rel=x"}}`, "remove spaces, quotes, < and >"},
	{"threshold of nothing", `{deprecation: {at: "2027-01-01T00:00:00Z"}, sunset: {at: "2027-02-01T00:00:00Z", requireLegacyBelow: 0%}}`, "no share is below 0%"},
	{"threshold as a number", `{deprecation: {at: "2027-01-01T00:00:00Z"}, sunset: {at: "2027-02-01T00:00:00Z", requireLegacyBelow: 1}}`, "requireLegacyBelow: Invalid value"},
	{"extended for years", `{deprecation: {at: "2027-01-01T00:00:00Z"}, sunset: {at: "2027-02-01T00:00:00Z", maxExtension: 9999h}}`, "remove it to wait as long as it takes"},
	{"brownout of nothing", `{brownouts: [{start: "2027-01-15T00:00:00Z", duration: 10m, percent: 10}]}`, "brownouts rehearse the sunset"},
	{"brownout before the announcement", ending(`, brownouts: [{start: "2026-12-31T00:00:00Z", duration: 10m, percent: 10}]`), "announce the end before you rehearse it"},
	{"brownout after the sunset", ending(`, brownouts: [{start: "2027-02-01T00:00:00Z", duration: 10m, percent: 10}]`), "a brownout must begin before sunset.at"},
	{"brownout of a second", ending(`, brownouts: [{start: "2027-01-15T00:00:00Z", duration: 1s, percent: 10}]`), "from 1m to 24h"},
	{"brownout of nobody", ending(`, brownouts: [{start: "2027-01-15T00:00:00Z", duration: 1h, percent: 0}]`), "greater than or equal to 1"},
}
