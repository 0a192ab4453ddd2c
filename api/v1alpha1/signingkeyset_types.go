package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Algorithm is a JWS signature algorithm (RFC 7518, RFC 8037).
// +kubebuilder:validation:Enum=RS256;PS256;ES256;EdDSA
type Algorithm string

const (
	// RS256 is RSASSA-PKCS1-v1_5 with SHA-256: the one that every verifier knows.
	RS256 Algorithm = "RS256"
	// PS256 is RSASSA-PSS with SHA-256.
	PS256 Algorithm = "PS256"
	// ES256 is ECDSA on P-256 with SHA-256: small signatures, fast to make.
	ES256 Algorithm = "ES256"
	// EdDSA is Ed25519: small and fast, not known to every verifier.
	EdDSA Algorithm = "EdDSA"
)

// RotationMode says who starts a rotation.
// +kubebuilder:validation:Enum=Automatic;Manual
type RotationMode string

const (
	// RotationAutomatic rotates every interval, and on request.
	RotationAutomatic RotationMode = "Automatic"
	// RotationManual rotates on request only.
	RotationManual RotationMode = "Manual"
)

// DeletionPolicy says what becomes of the keys of a deleted set.
// +kubebuilder:validation:Enum=Retain;Destroy
type DeletionPolicy string

const (
	// DeletionRetain leaves the ring and the keys in place.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDestroy deletes the ring and the keys.
	DeletionDestroy DeletionPolicy = "Destroy"
)

// SigningKeySetSpec says which keys sign and how they rotate. Every field has
// a default: an empty spec is a good one. Rules across its fields stand at
// SigningKeySet, because a rule at a field with a default is also tried on
// that default before its own fields have theirs.
type SigningKeySetSpec struct {
	// algorithm of the keys: RS256 (default, known to every verifier), PS256,
	// ES256 or EdDSA (Ed25519; smaller and faster, not known to every verifier). A
	// change starts a migration: the next key has the new algorithm, and both are
	// published until the last token of the old one has expired. Nobody is logged
	// out.
	// +optional
	// +default="RS256"
	Algorithm Algorithm `json:"algorithm,omitempty"`

	// rsaBits is the size of new RSA keys in bits: 2048 (default), 3072 or 4096.
	// Larger is slower: a 4096-bit signature costs several times as much as one of
	// 2048 bits. Only with RS256 and PS256, and not with keySource: a brought key
	// has the size that it has, 2048 to 4096.
	// +optional
	// +default=2048
	// +kubebuilder:validation:Enum=2048;3072;4096
	RSABits int32 `json:"rsaBits,omitempty"`

	// keySource says where keys come from that you make yourself. Without it
	// Keyturn makes them. With it Keyturn makes none: where a new key is wanted, the
	// next one that was never used is taken from the source, and where none is left,
	// the rotation waits and the conditions say so. Adding or removing keySource is
	// like a change of algorithm: the next key is of the other origin, and nobody is
	// logged out.
	// +optional
	KeySource *KeySource `json:"keySource,omitempty"`

	// rotation says when a new key takes over and how long before that it is
	// published.
	// +optional
	// +kubebuilder:default={}
	Rotation RotationSpec `json:"rotation,omitzero"`

	// jwks says what the public JWKS endpoint tells caches.
	// +optional
	// +kubebuilder:default={}
	JWKS JWKSSpec `json:"jwks,omitzero"`

	// clockSkew is the largest difference between any two clocks that is
	// tolerated: of the manager, the replicas and third-party verifiers. It is
	// added twice to every wait. Default 60s; 0s to 5m.
	// +optional
	// +default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('5m')",message="clockSkew must be a duration from 0s to 5m, such as 60s: mend the clocks (NTP) rather than raise it further"
	ClockSkew *metav1.Duration `json:"clockSkew,omitempty"`

	// deletionPolicy says what becomes of the keys when this object is deleted.
	// Retain (default) leaves the ring and the key Secrets, and a set re-created
	// under this name adopts them. Destroy deletes them: every token signed by
	// them stops verifying.
	// +optional
	// +default="Retain"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// KeySource says where keys come from that their owner makes.
type KeySource struct {
	// secretRef names the Secret that holds the keys: any type, up to 32 entries,
	// one private key each, as PEM (PKCS#8, PKCS#1, SEC1; not encrypted) or JWK. The
	// entries tls.crt and ca.crt are ignored, so that Secrets of cert-manager work.
	// Keys are taken in the order of the names of their entries, each once: a key
	// that was removed or revoked is not taken again, though its entry stays. Weak or
	// damaged keys are refused, and the condition ResolvedRefs says which and why.
	// Who may write this Secret decides who can sign.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// RotationSpec says when a new key takes over.
type RotationSpec struct {
	// mode is Automatic (default: rotate every interval, and on request) or Manual
	// (on request only). A request is the annotation
	// keyturn.dev/rotate-requested-at with a new value:
	// kubectl annotate sks main keyturn.dev/rotate-requested-at=$(date -u +%FT%TZ) --overwrite
	// +optional
	// +default="Automatic"
	Mode RotationMode `json:"mode,omitempty"`

	// interval is how long a key signs before the next takes over. The instant is
	// jittered by up to 5 % so that many sets do not rotate at once. Default 720h
	// (30 days); at least twice prePublish, at most 17568h (two years).
	// +optional
	// +default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('17568h')",message="interval must be a duration above 0s and at most 17568h (two years), such as 720h; use mode: Manual to rotate on request only"
	Interval metav1.Duration `json:"interval,omitzero"`

	// prePublish is how long a key is published before it signs, counted from when
	// the last replica has loaded it. Default 24h; at least jwks.maxAge +
	// slowestVerifier + twice clockSkew, at most 8784h (one year).
	// +optional
	// +default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('8784h')",message="prePublish must be a duration above 0s and at most 8784h (one year), such as 24h"
	PrePublish metav1.Duration `json:"prePublish,omitzero"`

	// slowestVerifier is how long the slowest third-party verifier keeps a JWKS
	// before it asks again (Istio: 20m). Set it to 0s if nobody but Keyturn's edge
	// verifies. Default 20m; 0s to 168h.
	// +optional
	// +default="20m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('168h')",message="slowestVerifier must be a duration from 0s to 168h (a week), such as 20m"
	SlowestVerifier *metav1.Duration `json:"slowestVerifier,omitempty"`

	// standbyKeys is the number of keys always published ahead, so that one can
	// take over at once when the active key has leaked. With 0 an emergency waits
	// until a new key is loaded. Default 1; 0 to 2.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	StandbyKeys *int32 `json:"standbyKeys,omitempty"`
}

// JWKSSpec says what the public JWKS endpoint tells caches.
type JWKSSpec struct {
	// maxAge is what the endpoint sends as Cache-Control: max-age, in whole
	// seconds: how long a verifier may keep the keys. Default 5m; above 0s, at
	// most 24h.
	// +optional
	// +default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('24h')",message="maxAge must be a duration above 0s and at most 24h, such as 5m"
	MaxAge metav1.Duration `json:"maxAge,omitzero"`

	// staleIfError is what the endpoint sends as Cache-Control: stale-if-error
	// (RFC 5861): how long a verifier may go on with old keys while the endpoint
	// fails. 0s leaves it out. Default 1h; 0s to 168h.
	// +optional
	// +default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('168h')",message="staleIfError must be a duration from 0s to 168h (a week), such as 1h"
	StaleIfError *metav1.Duration `json:"staleIfError,omitempty"`
}

// SigningKeySet makes signing keys, publishes them before they sign, rotates
// them, and goes on publishing a retired key until the last token it signed
// has expired. Ask with: kubectl get sks -o wide
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sks,categories=keyturn
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when a key signs and every replica has what it needs"
// +kubebuilder:printcolumn:name="ALG",type=string,JSONPath=`.spec.algorithm`,description="Algorithm of new keys"
// +kubebuilder:printcolumn:name="ACTIVE",type=string,JSONPath=`.status.active`,description="First 8 characters of the kid that signs now"
// +kubebuilder:printcolumn:name="KEY-AGE",type=date,JSONPath=`.status.activeSince`,description="How long the active key has signed"
// +kubebuilder:printcolumn:name="STANDBY",type=string,JSONPath=`.status.standby`,description="First 8 characters of the kid that signs next"
// +kubebuilder:printcolumn:name="REV",type=integer,JSONPath=`.status.jwksRevision`,description="Revision of the published keys"
// +kubebuilder:printcolumn:name="NEXT",type=string,JSONPath=`.status.next`,description="What happens next, and when"
// +kubebuilder:printcolumn:name="SERVED",type=string,priority=1,JSONPath=`.status.propagation.replicas`,description="Replicas that have loaded the revision, of all"
// +kubebuilder:printcolumn:name="OVERDUE",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="RotationOverdue")].status`,description="True when something holds a rotation"
// +kubebuilder:printcolumn:name="AGE",type=date,priority=1,JSONPath=`.metadata.creationTimestamp`,description="Age of this object"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must have at most 50 characters a-z, 0-9 and -, begin with a letter and not end with -: Secrets and labels are named after it"
// +kubebuilder:validation:XValidation:rule="self.spec.algorithm in ['RS256', 'PS256'] || self.spec.rsaBits == 2048",fieldPath=".spec.rsaBits",reason=FieldValueInvalid,messageExpression="'rsaBits has a meaning only with RS256 and PS256: remove rsaBits, or change algorithm ' + self.spec.algorithm + ' to one of those'",message="rsaBits has a meaning only with RS256 and PS256: remove rsaBits"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.keySource) || self.spec.rsaBits == 2048",fieldPath=".spec.rsaBits",reason=FieldValueInvalid,message="rsaBits has no meaning with keySource, because a brought key has the size that it has (2048 to 4096): remove rsaBits, or remove keySource"
// +kubebuilder:validation:XValidation:rule="duration(self.spec.rotation.interval) >= duration(self.spec.rotation.prePublish) + duration(self.spec.rotation.prePublish)",fieldPath=".spec.rotation.interval",reason=FieldValueInvalid,messageExpression="'rotation.interval (' + self.spec.rotation.interval + ') must be at least twice rotation.prePublish (' + self.spec.rotation.prePublish + '): raise interval or lower prePublish'",message="rotation.interval must be at least twice rotation.prePublish: raise interval or lower prePublish"
// +kubebuilder:validation:XValidation:rule="duration(self.spec.rotation.prePublish) >= duration(self.spec.jwks.maxAge) + duration(self.spec.rotation.slowestVerifier) + duration(self.spec.clockSkew) + duration(self.spec.clockSkew)",fieldPath=".spec.rotation.prePublish",reason=FieldValueInvalid,messageExpression="'rotation.prePublish (' + self.spec.rotation.prePublish + ') must be at least jwks.maxAge (' + self.spec.jwks.maxAge + ') + rotation.slowestVerifier (' + self.spec.rotation.slowestVerifier + ') + twice clockSkew (' + self.spec.clockSkew + '): raise prePublish or lower these, or a verifier meets a token whose key it has not fetched yet'",message="rotation.prePublish must be at least jwks.maxAge + rotation.slowestVerifier + twice clockSkew: raise prePublish"
type SigningKeySet struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which keys sign and how they rotate. Every field has a default.
	// +optional
	// +kubebuilder:default={}
	Spec SigningKeySetSpec `json:"spec,omitzero"`

	// status is a projection of the ring, the Secret <name>-ring: it can be lost
	// and is rebuilt from there.
	// +optional
	Status SigningKeySetStatus `json:"status,omitzero"`
}

// SigningKeySetList is a list of SigningKeySets.
// +kubebuilder:object:root=true
type SigningKeySetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []SigningKeySet `json:"items"`
}
