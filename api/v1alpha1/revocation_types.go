package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// FinalizerUnenforced keeps a Revocation that was accepted until every edge refuses
// what it names, or nothing is left that could: the TokenService or the set is gone.
// To give it up before, remove it by hand.
const FinalizerUnenforced = "keyturn.dev/unenforced"

// RevocationSpec says what is distrusted from now on. It cannot be changed, and
// deleting the object takes nothing back: a revocation is for ever.
// +kubebuilder:validation:XValidation:rule="(has(self.key) ? 1 : 0) + (has(self.user) ? 1 : 0) + (has(self.session) ? 1 : 0) + (has(self.all) ? 1 : 0) == 1",reason=FieldValueInvalid,message="a Revocation is of exactly one thing: set one of key, user, session and all"
// +kubebuilder:validation:XValidation:rule="self == oldSelf",reason=FieldValueForbidden,message="a Revocation cannot be changed: what is revoked stays revoked. Create another one"
type RevocationSpec struct {
	// key distrusts every token that a key has signed. The standby key takes over
	// first, so that nobody is logged out.
	// +optional
	Key *KeyRevocation `json:"key,omitempty"`

	// user ends every session that a user has now. It does not keep the user from
	// logging in again: take the account away first.
	// +optional
	User *UserRevocation `json:"user,omitempty"`

	// session ends one session: an access token's sid.
	// +optional
	Session *SessionRevocation `json:"session,omitempty"`

	// all ends every session that there is now: everybody has to log in again, once.
	// +optional
	All *AllRevocation `json:"all,omitempty"`

	// reason says why, for those who ask later. At most 256 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="reason must say why: it is the audit trail"
	Reason string `json:"reason"`
}

// KeyRevocation names a key of a set.
type KeyRevocation struct {
	// signingKeySetRef names the SigningKeySet that has the key.
	// +required
	SigningKeySetRef SigningKeySetReference `json:"signingKeySetRef"`

	// kid is the key's whole name, as status.keys of the set has it: 43 characters.
	// +required
	// +kubebuilder:validation:MinLength=43
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]{43}$')",message="kid must be the whole kid of a key, 43 characters: kubectl get sks NAME -o jsonpath='{.status.keys[*].kid}', or let kubectl keyturn revoke key find it"
	Kid string `json:"kid"`
}

// UserRevocation names a user.
type UserRevocation struct {
	// tokenServiceRef names the TokenService that the user has logged in at.
	// +required
	TokenServiceRef TokenServiceReference `json:"tokenServiceRef"`

	// subject is the user as tokens name it (sub, X-Auth-User): the subjectPrefix of
	// the identity source and the user's name. It is compared byte for byte.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.trim() == self && !self.matches('[[:cntrl:]]')",message="subject must be the sub of the user's tokens, without space at its ends and without control characters, such as staff:alice"
	Subject string `json:"subject"`
}

// SessionRevocation names a session.
type SessionRevocation struct {
	// tokenServiceRef names the TokenService that has issued it.
	// +required
	TokenServiceRef TokenServiceReference `json:"tokenServiceRef"`

	// id is the session's, as its access tokens have it (sid).
	// +required
	// +kubebuilder:validation:MinLength=24
	// +kubebuilder:validation:MaxLength=48
	// +kubebuilder:validation:XValidation:rule="self.matches('^(0|[1-9a-z][0-9a-z]{0,12})[.][A-Za-z0-9_-]{21}[AQgw]$')",message="id must be the sid of an access token: a number in base 36, a dot and 22 characters"
	ID string `json:"id"`
}

// AllRevocation names a TokenService.
type AllRevocation struct {
	// tokenServiceRef names the TokenService whose sessions end.
	// +required
	TokenServiceRef TokenServiceReference `json:"tokenServiceRef"`
}

// Revocation says what is distrusted from now on: a key, a user, a session or all
// of a TokenService; and tells when every edge refuses it. Ask with: kubectl get
// rev
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=revocations,shortName=rev,categories=keyturn
// +kubebuilder:printcolumn:name="KIND",type=string,JSONPath=`.status.kind`,description="What is revoked: Key, User, Session or All"
// +kubebuilder:printcolumn:name="WHAT",type=string,JSONPath=`.status.what`,description="The user, the session, the beginning of the kid, or the TokenService"
// +kubebuilder:printcolumn:name="ENFORCED",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`,description="True when every live edge refuses it"
// +kubebuilder:printcolumn:name="REPLICAS",type=string,JSONPath=`.status.exposure.replicas`,description="Edges that refuse it, of all"
// +kubebuilder:printcolumn:name="SINCE",type=date,JSONPath=`.status.enforcedTime`,description="How long ago the last edge confirmed"
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`,description="Age of this object"
type Revocation struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is distrusted from now on.
	// +required
	Spec RevocationSpec `json:"spec"`

	// status says how far it is enforced.
	// +optional
	Status RevocationStatus `json:"status,omitzero"`
}

// RevocationList is a list of Revocations.
// +kubebuilder:object:root=true
type RevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Revocation `json:"items"`
}
