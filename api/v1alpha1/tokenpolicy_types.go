package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TokenPolicySpec says how long tokens live and what they may carry. Only
// accessToken.audiences has no default.
// +kubebuilder:validation:XValidation:rule="duration(self.refreshToken.ttl) >= duration(self.accessToken.ttl)",fieldPath=".refreshToken.ttl",reason=FieldValueInvalid,messageExpression="'refreshToken.ttl (' + self.refreshToken.ttl + ') must be at least accessToken.ttl (' + self.accessToken.ttl + '), or no client could refresh in time: raise refreshToken.ttl or lower accessToken.ttl'",message="refreshToken.ttl must be at least accessToken.ttl: raise refreshToken.ttl or lower accessToken.ttl"
// +kubebuilder:validation:XValidation:rule="duration(self.refreshToken.absoluteTTL) >= duration(self.refreshToken.ttl)",fieldPath=".refreshToken.absoluteTTL",reason=FieldValueInvalid,messageExpression="'absoluteTTL (' + self.refreshToken.absoluteTTL + ') must be at least ttl (' + self.refreshToken.ttl + '): raise absoluteTTL or lower ttl'",message="absoluteTTL must be at least ttl: raise absoluteTTL or lower ttl"
type TokenPolicySpec struct {
	// accessToken says how long an access token lives and whom it is for.
	// +required
	AccessToken AccessTokenSpec `json:"accessToken"`

	// claims says which claims of the identity source an access token may carry.
	// +optional
	// +kubebuilder:default={}
	Claims ClaimsSpec `json:"claims,omitzero"`

	// refreshToken says how long a login can be kept alive by refreshing.
	// +optional
	// +kubebuilder:default={}
	RefreshToken RefreshTokenSpec `json:"refreshToken,omitzero"`

	// login bounds the attempts to log in.
	// +optional
	// +kubebuilder:default={}
	Login LoginSpec `json:"login,omitzero"`

	// cookies says whether browsers get their tokens in cookies, which no script
	// can read.
	// +optional
	// +kubebuilder:default={}
	Cookies CookiesSpec `json:"cookies,omitzero"`

	// cors says which other sites' pages may call the token service.
	// +optional
	CORS CORSSpec `json:"cors,omitzero"`

	// revocation says how fast a logout reaches every edge.
	// +optional
	// +kubebuilder:default={}
	Revocation PropagationSpec `json:"revocation,omitzero"`
}

// AccessTokenSpec says how long an access token lives and whom it is for.
type AccessTokenSpec struct {
	// ttl is the lifetime of an access token. Short is safe, long is cheap: a role
	// that is taken away stays in a token for that long. Lowering it never
	// shortens how long a retired key verifies. Default 15m; 1m to 1h.
	// +optional
	// +default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('1h')",message="accessToken.ttl must be a duration from 1m to 1h, such as 15m; for longer logins raise refreshToken.ttl instead"
	TTL metav1.Duration `json:"ttl,omitzero"`

	// audiences go into the aud claim: the services that the token is for, such as
	// https://api.example.com or shop. A verifier refuses a token that does not
	// name it. 1 to 10 different ones, each 1 to 256 printable ASCII characters
	// without spaces.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="an audience must be printable ASCII without spaces, such as https://api.example.com: remove spaces, line ends and other characters"
	Audiences []string `json:"audiences"`
}

// ClaimsSpec says which claims of the identity source an access token may
// carry.
type ClaimsSpec struct {
	// allow lists the claims that go into an access token when the identity source
	// knows them. user_id is the same as sub; role becomes the header X-Auth-Role.
	// Claims of the protocol (iss, sub, aud, exp, scope, ...) are Keyturn's own
	// and cannot be listed. Default [user_id, role]; at most 16; [] allows none.
	// +optional
	// +listType=set
	// +kubebuilder:default={"user_id","role"}
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.lowerAscii() == a.lowerAscii()))",message="two claims differ in upper and lower case only, which some readers of tokens do not tell apart: keep one of them"
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_.:/-]*$')",message="a claim's name begins with a letter or _ and has letters, digits and _ . : / - only, such as role or https://example.com/team: rename it"
	// +kubebuilder:validation:items:XValidation:rule="!(self.lowerAscii() in ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'sid', 'client_id', 'azp', 'typ', 'alg', 'kid', 'crit', 'cnf', 'act', 'may_act', 'scope', 'nonce', 'auth_time', 'acr', 'amr', 'at_hash', 'c_hash', 's_hash', 'events', 'token_use', 'token_type'])",message="this claim belongs to the token protocol and cannot come from an identity source: remove it from claims.allow, or give the claim another name"
	Allow []string `json:"allow,omitzero"`

	// maxBytes bounds the claims of one token, as JSON. A token with more is not
	// issued, because one that outgrows the proxies' header limits fails far from
	// its cause. Default 1024; 64 to 4096.
	// +optional
	// +default=1024
	// +kubebuilder:validation:Minimum=64
	// +kubebuilder:validation:Maximum=4096
	MaxBytes int32 `json:"maxBytes,omitempty"`
}

// RefreshTokenSpec says how long a login can be kept alive by refreshing.
type RefreshTokenSpec struct {
	// ttl is the idle lifetime: a refresh token that is not used for that long is
	// dead. Each refresh gives a new token and starts it anew. Default 168h (7
	// days); at least accessToken.ttl, at most 8784h (one year).
	// +optional
	// +default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('8784h')",message="refreshToken.ttl must be a duration from 1s to 8784h (one year), such as 168h"
	TTL metav1.Duration `json:"ttl,omitzero"`

	// absoluteTTL is the lifetime of a login however often it is refreshed; after
	// it the user logs in again. Default 720h (30 days); at least ttl, at most
	// 8784h (one year).
	// +optional
	// +default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('8784h')",message="refreshToken.absoluteTTL must be a duration from 1s to 8784h (one year), such as 720h"
	AbsoluteTTL metav1.Duration `json:"absoluteTTL,omitzero"`

	// reuse says what happens when a refresh token is presented a second time.
	// +optional
	// +kubebuilder:default={}
	Reuse ReuseSpec `json:"reuse,omitzero"`

	// maxFamiliesPerUser bounds the logins that one user can have at once (a
	// family is one login and its refreshes). One more ends the one least recently
	// used. Default 20; 1 to 1000.
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxFamiliesPerUser int32 `json:"maxFamiliesPerUser,omitempty"`
}

// ReuseSpec says what happens when a refresh token is presented a second time.
type ReuseSpec struct {
	// retryWindow is how long the immediately previous refresh token still returns
	// the same successor, for clients that lost an answer or refresh from two
	// tabs. Any other reuse ends that login, because the token has been stolen.
	// Default 10s; 0s (no retry) to 60s.
	// +optional
	// +default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('60s')",message="retryWindow must be a duration from 0s to 60s, such as 10s: a longer one would let a stolen token be used unnoticed"
	RetryWindow *metav1.Duration `json:"retryWindow,omitempty"`
}

// PropagationSpec says how fast a revocation must reach every edge.
type PropagationSpec struct {
	// maxPropagation is the longest time until every edge refuses what was
	// revoked. A logout answers when every edge has it or this time has passed; an
	// edge that has heard nothing for as long is stale (see
	// TokenService.spec.edge.onStaleRevocations). Default 5s; 1s to 60s.
	// +optional
	// +default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('60s')",message="maxPropagation must be a duration from 1s to 60s, such as 5s"
	MaxPropagation metav1.Duration `json:"maxPropagation,omitzero"`
}

// TokenPolicyStatus says whether the policy can be used and by how many.
type TokenPolicyStatus struct {
	// observedGeneration is the metadata.generation that this status speaks about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// usedBy is the number of TokenServices that refer to this policy.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UsedBy *int32 `json:"usedBy,omitempty"`

	// conditions: Accepted.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TokenPolicy says how long tokens live, what they may carry and how often a
// client may try to log in. It becomes nothing by itself: TokenServices refer
// to it. Ask with: kubectl get tpol
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=tokenpolicies,shortName=tpol,categories=keyturn
// +kubebuilder:printcolumn:name="ACCEPTED",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`,description="True when the policy can be used"
// +kubebuilder:printcolumn:name="ACCESS-TTL",type=string,JSONPath=`.spec.accessToken.ttl`,description="Lifetime of an access token"
// +kubebuilder:printcolumn:name="REFRESH-TTL",type=string,JSONPath=`.spec.refreshToken.ttl`,description="Idle lifetime of a refresh token"
// +kubebuilder:printcolumn:name="USED-BY",type=integer,JSONPath=`.status.usedBy`,description="TokenServices that refer to this policy"
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`,description="Age of this object"
type TokenPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says how long tokens live and what they may carry.
	// +required
	Spec TokenPolicySpec `json:"spec"`

	// status says whether the policy can be used and by how many.
	// +optional
	Status TokenPolicyStatus `json:"status,omitzero"`
}

// TokenPolicyList is a list of TokenPolicies.
// +kubebuilder:object:root=true
type TokenPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []TokenPolicy `json:"items"`
}
