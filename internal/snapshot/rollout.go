package snapshot

import "time"

// Rollout is how users of legacy sessions move to JWTs. Both documents carry it, nil where there is no AuthRollout;
// package rollout decides by it.
type Rollout struct {
	// Name is the namespace/name of the AuthRollout.
	Name string `json:"name"`
	// Cookie is the name of the cookie with the legacy session.
	Cookie string `json:"cookie"`
	// Salt and Percent choose the cohort; Include and Exclude are users beside it.
	Salt    string   `json:"salt"`
	Percent int      `json:"percent"`
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	// Watched is the percentage by which events are counted as the cohort's or the control's: Percent, or that of the
	// first step while Percent is 0.
	Watched int `json:"watched"`
	// SlowAfter is how long a decision or a login may take before it counts as slow; 0: nothing is slow.
	SlowAfter Duration `json:"slowAfter,omitempty"`
	// DualIssue gives members of the cohort a legacy session beside their tokens.
	DualIssue bool `json:"dualIssue,omitempty"`
	// Deprecation and Sunset are announced (RFC 9745, RFC 8594); zero: never. Link tells people more.
	Deprecation time.Time `json:"deprecation,omitzero"`
	Sunset      time.Time `json:"sunset,omitzero"`
	Link        string    `json:"link,omitempty"`
	// SunsetReached is that sessions are refused. It never goes back.
	SunsetReached bool       `json:"sunsetReached,omitempty"`
	Brownouts     []Brownout `json:"brownouts,omitempty"`
	// MaxSessionLife is the longest that a legacy session may live; a revoked one is remembered for so long.
	MaxSessionLife Duration `json:"maxSessionLife"`
}

// Brownout refuses a share of the legacy sessions for a while.
type Brownout struct {
	Start    time.Time `json:"start"`
	Duration Duration  `json:"duration"`
	Percent  int       `json:"percent"`
}

// Legacy is how the token service deals with legacy sessions. Credentials are files of the directory --legacy-dir:
// `validator`, `issuer` and `revoker` each with `token`, `username`, `password`, `ca.crt`, `tls.crt`, `tls.key`, all
// optional.
type Legacy struct {
	Validator LegacyValidator `json:"validator"`
	// SubjectPrefix stands before the application's ids of users: `sub` = prefix + id. Empty for none.
	SubjectPrefix string `json:"subjectPrefix,omitempty"`
	// Issuer makes new sessions; nil: none are made, and who is not in the cohort gets tokens all the same.
	Issuer *LegacyWebhook `json:"issuer,omitempty"`
	// Revoker ends sessions; nil: the cookie is refused by its hash only.
	Revoker *LegacyRevoker `json:"revoker,omitempty"`
}

// LegacyValidator is a union: exactly one member is set.
type LegacyValidator struct {
	HTTP  *LegacyWebhook `json:"http,omitempty"`
	Redis *LegacyRedis   `json:"redis,omitempty"`
}

// LegacyRevoker is a union: exactly one member is set.
type LegacyRevoker struct {
	HTTP  *LegacyWebhook `json:"http,omitempty"`
	Redis *LegacyRedis   `json:"redis,omitempty"`
}

// LegacyWebhook is an endpoint of the legacy application.
type LegacyWebhook struct {
	URL     string   `json:"url"`
	Timeout Duration `json:"timeout,omitempty"`
}

// LegacyRedis is a session store that the legacy application keeps in Redis.
type LegacyRedis struct {
	// URL is redis://host:port/db or rediss://…, without credentials.
	URL string `json:"url"`
	// Key is the pattern of the key; {id} stands for the session's id.
	Key string `json:"key"`
	// Cookie says how the id stands in the cookie: Plain, Base64 as Spring Session writes it, or Signed as
	// express-session writes it (s:ID.SIGNATURE), whose signature is checked by the file `secret`.
	Cookie string `json:"cookieFormat,omitempty"`
	// Format is JSON, a string of JSON, or Hash, a hash as Spring Session writes it.
	Format string `json:"format,omitempty"`
	// User and Role say where they are: a JSON path such as passport.user.id, or a field of the hash
	// (FIELD, or FIELD#path inside of its value). Role may be empty.
	User string `json:"user"`
	Role string `json:"role,omitempty"`
	// UserIndex is the key of the set of a user's sessions, {user} stands for the user; empty: there is none, and the
	// sessions of a user cannot be found.
	UserIndex string `json:"userIndex,omitempty"`
}
