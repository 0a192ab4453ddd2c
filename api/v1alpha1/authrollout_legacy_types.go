package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TokenServiceReference names a TokenService in the namespace of the object that
// refers to it.
type TokenServiceReference struct {
	// name of the TokenService in this namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`
}

// LegacySpec says what the old sessions are: the cookie that carries one, who
// knows whose it is, who makes new ones and who ends them.
type LegacySpec struct {
	// cookieName is the name of the cookie with the session, such as connect.sid.
	// At most 128 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+$')",message="cookieName must be the name of a cookie: letters, digits and . _ - only, such as connect.sid"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('__host-keyturn') && !self.lowerAscii().startsWith('__secure-keyturn')",message="cookies that begin with __Host-keyturn or __Secure-keyturn are Keyturn's own: name the cookie of the application's session"
	CookieName string `json:"cookieName"`

	// subjectPrefix is put before the application's ids of users to make sub (=
	// user_id = X-Auth-User), such as shop: for shop:4711. Give it the
	// subjectPrefix of the identity source of the TokenService that logs the same
	// users in, so that a session and a token name one user. If no source does,
	// it must not be the beginning of a source's prefix, nor begin with one, or a
	// session could name a user of that source. Do not change it later: users
	// would become other users. Default: empty, the application answers whole
	// subjects, and may name a user of any source. At most 64 characters: letters,
	// digits and . _ : / @ -
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._:/@-]*$')",message="subjectPrefix may have letters, digits and . _ : / @ - only, such as shop: (quote it in YAML)"
	SubjectPrefix string `json:"subjectPrefix,omitempty"`

	// validator says whose a session is: an endpoint of the application, or the
	// Redis in which it keeps its sessions.
	// +required
	Validator LegacyValidator `json:"validator"`

	// issuer makes and extends sessions for users who are not in the cohort.
	// Without it who is not in the cohort gets tokens all the same at a login, and
	// only sessions that the application makes itself are there.
	// +optional
	Issuer *LegacyWebhook `json:"issuer,omitempty"`

	// revoker ends sessions at a logout and when a user is revoked. Without it
	// a logout makes Keyturn refuse the cookie by its hash, and the application
	// goes on knowing the session; the sessions of a revoked user that never
	// became a login are not found.
	// +optional
	Revoker *LegacyRevoker `json:"revoker,omitempty"`

	// maxSessionLife is the longest that a session lives, extensions included. A
	// revoked one is remembered for so long: with too short a time it would come
	// back. Default 720h; 1m to 8784h (a year).
	// +optional
	// +default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8784h')",message="maxSessionLife must be a duration from 1m to 8784h (a year), such as 720h: the longest that a session of the application lives"
	MaxSessionLife metav1.Duration `json:"maxSessionLife,omitzero"`
}

// LegacyValidator is a union: exactly one way to know whose a session is.
// +kubebuilder:validation:XValidation:rule="has(self.http) != has(self.redis)",message="validator needs exactly one of http and redis: set http: {url: ...} for an endpoint of the application, or redis: {...} for its session store"
type LegacyValidator struct {
	// http asks an endpoint of the application about each session that is not in
	// the cache.
	// +optional
	HTTP *LegacyWebhook `json:"http,omitempty"`

	// redis reads the sessions where the application keeps them.
	// +optional
	Redis *LegacyRedis `json:"redis,omitempty"`
}

// LegacyRevoker is a union: exactly one way to end a session.
// +kubebuilder:validation:XValidation:rule="has(self.http) != has(self.redis)",message="revoker needs exactly one of http and redis: set http: {url: ...} for an endpoint of the application, or redis: {...} to delete the session in its store; or remove revoker"
type LegacyRevoker struct {
	// http tells an endpoint of the application.
	// +optional
	HTTP *LegacyWebhook `json:"http,omitempty"`

	// redis deletes the session where the application keeps it.
	// +optional
	Redis *LegacyRedis `json:"redis,omitempty"`
}

// LegacyWebhook is an endpoint of the application.
type LegacyWebhook struct {
	// url of the endpoint. https; http for loopback hosts and Services of this
	// cluster (NAME.NAMESPACE.svc) only.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9:/?&=._~%+,;!$()*[-]+$')",message="url must not have @, #, spaces, quotes, backslashes or other characters that a URL encodes: remove them; credentials belong into the Secret of secretRef"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(https://[a-z0-9[]|http://(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?[.]svc([.]cluster[.]local)?)([:/?]|$))')",message="url must be an https URL, such as https://shop.example.com/session: use https, or http for a loopback host or a Service of this cluster (NAME.NAMESPACE.svc) only"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?]*:(0*|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})([/?]|$)')",message="url has a port that cannot be: use a port from 1 to 65535, or none"
	URL string `json:"url"`

	// timeout bounds one question; past it the answer is 503. Default 2s; 100ms to
	// 10s.
	// +optional
	// +default="2s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10s')",message="timeout must be a duration from 100ms to 10s, such as 2s: the user waits for it, and so does the ingress"
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// secretRef names a Secret of this namespace; each of its keys is optional:
	// token is sent as Authorization: Bearer, ca.crt has the only authorities that
	// are trusted, tls.crt and tls.key are shown to the server.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// SessionCookieFormat says how a session's id stands in its cookie.
// +kubebuilder:validation:Enum=Plain;Base64;Signed
type SessionCookieFormat string

const (
	// SessionCookiePlain is the id itself.
	SessionCookiePlain SessionCookieFormat = "Plain"
	// SessionCookieBase64 is the id in base64, as Spring Session writes it.
	SessionCookieBase64 SessionCookieFormat = "Base64"
	// SessionCookieSigned is s:ID.SIGNATURE, as express-session writes it.
	SessionCookieSigned SessionCookieFormat = "Signed"
)

// SessionFormat says how a session stands in Redis.
// +kubebuilder:validation:Enum=JSON;Hash
type SessionFormat string

const (
	// SessionJSON is a string of JSON.
	SessionJSON SessionFormat = "JSON"
	// SessionHash is a hash, as Spring Session writes it.
	SessionHash SessionFormat = "Hash"
)

// LegacyRedis says where the application keeps its sessions.
// +kubebuilder:validation:XValidation:rule="!has(self.cookieFormat) || self.cookieFormat != 'Signed' || has(self.secretRef)",fieldPath=".secretRef",reason=FieldValueInvalid,message="cookieFormat Signed needs the application's secret, or anybody could write a cookie: set secretRef to a Secret with the key secret"
// +kubebuilder:validation:XValidation:rule="has(self.format) && self.format == 'Hash' ? self.user.matches('^[^#[:cntrl:]]+(#[^.[:cntrl:]]+([.][^.[:cntrl:]]+){0,15})?$') : self.user.matches('^[^.[:cntrl:]]+([.][^.[:cntrl:]]+){0,15}$')",fieldPath=".user",reason=FieldValueInvalid,message="user must be a path such as passport.user.id, names with a dot between two; with format Hash a field, or FIELD#PATH: mend it"
// +kubebuilder:validation:XValidation:rule="!has(self.role) || (has(self.format) && self.format == 'Hash' ? self.role.matches('^[^#[:cntrl:]]+(#[^.[:cntrl:]]+([.][^.[:cntrl:]]+){0,15})?$') : self.role.matches('^[^.[:cntrl:]]+([.][^.[:cntrl:]]+){0,15}$'))",fieldPath=".role",reason=FieldValueInvalid,message="role must be a path such as passport.user.role, names with a dot between two; with format Hash a field, or FIELD#PATH: mend it"
type LegacyRedis struct {
	// url of the server without credentials: redis://HOST:PORT/DATABASE, or
	// rediss:// over TLS.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="url must not have a user or a password: put them into the Secret of secretRef, as username and password"
	// +kubebuilder:validation:XValidation:rule="self.contains('@') || self.matches('^rediss?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[1-9][0-9]{0,4})?(/[0-9]{0,3})?$')",message="url must be redis://HOST:PORT/DATABASE, such as redis://sessions.shop.svc:6379/0, or rediss://HOST:PORT/DATABASE over TLS: mend it"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/]*:(6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})(/|$)')",message="url has a port above 65535: use a port from 1 to 65535, such as 6379"
	URL string `json:"url"`

	// key is the pattern of a session's key; {id} stands for its id. Such as
	// sess:{id} (express-session) or spring:session:sessions:{id}.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.split('{id}').size() == 2 && !self.startsWith('{id}')",message="key must have {id} once, with something before it, where the id of the session stands, such as sess:{id}"
	Key string `json:"key"`

	// cookieFormat says how the id stands in the cookie: Plain (default), Base64 (as
	// Spring Session writes it), or Signed (s:ID.SIGNATURE, as express-session writes
	// it), checked by the key secret of the Secret.
	// +optional
	// +default="Plain"
	CookieFormat SessionCookieFormat `json:"cookieFormat,omitempty"`

	// format says how a session stands there: JSON (default), a string of JSON, or
	// Hash, a hash as Spring Session writes it.
	// +optional
	// +default="JSON"
	Format SessionFormat `json:"format,omitempty"`

	// user says where the user is: a path into the JSON, such as passport.user.id; in
	// a hash a field, or FIELD#PATH for what is inside of its value. What is there is
	// the application's id of the user; subjectPrefix goes before it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	User string `json:"user"`

	// role says where the user's role is, as user does. Without it users have no
	// role.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Role *string `json:"role,omitempty"`

	// userIndex is the key of the set of a user's sessions; {user} stands for the
	// user. Without it the sessions of a user cannot be found, and revoking a user
	// ends those that became logins, once shown.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.split('{user}').size() == 2",message="userIndex must have {user} once, where the user stands, such as user-sessions:{user}; remove it if there is no such set"
	UserIndex *string `json:"userIndex,omitempty"`

	// secretRef names a Secret of this namespace; each of its keys is optional:
	// username and password, secret checks cookies of the format Signed, ca.crt has
	// the only authorities that are trusted, tls.crt and tls.key are shown to the
	// server.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}
