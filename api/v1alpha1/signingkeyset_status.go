package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// KeyState is a state in the life of a key.
//
//	Pending ──▶ Published ──▶ Active ──▶ Retiring ──▶ Removed
//	                └──────────┴────────────┴──▶ Revoked
//
// +kubebuilder:validation:Enum=Pending;Published;Active;Retiring;Removed;Revoked
type KeyState string

const (
	// KeyPending is made, and not yet loaded by every replica.
	KeyPending KeyState = "Pending"
	// KeyPublished is known to every replica and does not sign yet.
	KeyPublished KeyState = "Published"
	// KeyActive signs. One key of a set at most.
	KeyActive KeyState = "Active"
	// KeyRetiring no longer signs and still verifies.
	KeyRetiring KeyState = "Retiring"
	// KeyRemoved neither signs nor verifies; every token it signed has expired.
	KeyRemoved KeyState = "Removed"
	// KeyRevoked is distrusted for ever; its kid never returns.
	KeyRevoked KeyState = "Revoked"
)

// MaxRevokedKids bounds status.revokedKids, and MaxTakenKids status.takenKids.
const (
	MaxRevokedKids = 128
	MaxTakenKids   = 1000
)

// SigningKeySetStatus is a projection of the ring for people. Keyturn decides
// by it in two things: rotateRequestObserved remembers which request was served,
// and epoch, ringDigest and keys which ring and which keys the manager made, so
// that nobody else's are taken for them.
type SigningKeySetStatus struct {
	// observedGeneration is the metadata.generation that this status speaks about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// active is the first 8 characters of activeKid, for the ACTIVE column.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Active string `json:"active,omitempty"`

	// activeKid is the kid of the key that signs now: its RFC 7638 thumbprint
	// (SHA-256, base64url, 43 characters).
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ActiveKid string `json:"activeKid,omitempty"`

	// activeSince is when the active key began to sign, for the KEY-AGE column.
	// +optional
	ActiveSince metav1.Time `json:"activeSince,omitzero"`

	// standby is the first 8 characters of standbyKid, for the STANDBY column.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Standby string `json:"standby,omitempty"`

	// standbyKid is the kid of the key that signs next.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	StandbyKid string `json:"standbyKid,omitempty"`

	// jwksRevision counts the changes of the published keys.
	// +optional
	JWKSRevision int64 `json:"jwksRevision,omitempty"`

	// epoch only grows; replicas refuse a lower one. It jumps when a ring that was
	// restored from a backup is recovered.
	// +optional
	Epoch int64 `json:"epoch,omitempty"`

	// ringDigest is the SHA-256 of the last ring that the manager wrote; another
	// value in the cluster means that somebody else edited or restored the ring.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	RingDigest string `json:"ringDigest,omitempty"`

	// rotateRequestObserved is the last value of the annotation
	// keyturn.dev/rotate-requested-at that was acted upon.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	RotateRequestObserved string `json:"rotateRequestObserved,omitempty"`

	// nextTransition is the next step in the life of a key; absent when none is
	// planned.
	// +optional
	NextTransition *KeyTransition `json:"nextTransition,omitempty"`

	// next is the next step in words, for the NEXT column, such as: rotate
	// 2026-12-21T10:00Z
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Next string `json:"next,omitempty"`

	// keys are the keys of the set, the newest first. A key is named here before
	// it is made, and believed only because it is. Tombstones of keys removed
	// long ago are in the ring only.
	// +optional
	// +listType=map
	// +listMapKey=kid
	// +kubebuilder:validation:MaxItems=32
	Keys []KeyStatus `json:"keys,omitempty"`

	// revokedKids are the kids that were revoked, the last 128 of them. None of them
	// ever returns, whatever becomes of the ring.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=64
	RevokedKids []string `json:"revokedKids,omitempty"`

	// takenKids are the kids of all keys that were taken from spec.keySource, at
	// most 1,000. None of them is taken again, whatever becomes of the ring.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=64
	TakenKids []string `json:"takenKids,omitempty"`

	// propagation says how many replicas have loaded the newest revision.
	// +optional
	Propagation PropagationStatus `json:"propagation,omitzero"`

	// conditions: Ready, Published, StandbyReady, with spec.keySource ResolvedRefs,
	// and the negative ones RotationOverdue, ClockSkewed, RestoreDetected,
	// KeyMaterialLost, RevocationPending. A message names the key, the replica and the revisions.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// KeyTransition is a planned step in the life of a key.
type KeyTransition struct {
	// kid of the key that moves; empty when the key is yet to be made.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Kid string `json:"kid,omitempty"`

	// to is the state that the key moves to.
	// +required
	To KeyState `json:"to"`

	// notBefore is the earliest instant of the step; absent when only blockedBy
	// holds it.
	// +optional
	NotBefore metav1.Time `json:"notBefore,omitzero"`

	// blockedBy says what the step waits for besides time, such as:
	// tokenservice-7c9f has revision 40, needs 41
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	BlockedBy string `json:"blockedBy,omitempty"`
}

// KeyStatus is one key and its times. An instant that has not come is absent.
type KeyStatus struct {
	// kid is the key's RFC 7638 thumbprint (SHA-256, base64url, 43 characters).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Kid string `json:"kid"`

	// algorithm that the key is pinned to.
	// +required
	Algorithm Algorithm `json:"algorithm"`

	// sequence is the key's number in the set, from 1: its private half is the
	// Secret <set>-<sequence>.
	// +required
	// +kubebuilder:validation:Minimum=0
	Sequence int64 `json:"sequence"`

	// state in the life of the key: Pending, Published, Active, Retiring, Removed
	// or Revoked.
	// +required
	State KeyState `json:"state"`

	// createdTime is when the key was made.
	// +optional
	CreatedTime metav1.Time `json:"createdTime,omitzero"`

	// publishedTime is when the last replica had loaded the key; prePublish counts
	// from here.
	// +optional
	PublishedTime metav1.Time `json:"publishedTime,omitzero"`

	// activatedTime is when the key began to sign.
	// +optional
	ActivatedTime metav1.Time `json:"activatedTime,omitzero"`

	// retiringTime is when the next key took over.
	// +optional
	RetiringTime metav1.Time `json:"retiringTime,omitzero"`

	// verifyUntil is when the last token signed by the key has expired everywhere.
	// It is set once the last signer has acknowledged the switch; the key is
	// removed after it.
	// +optional
	VerifyUntil metav1.Time `json:"verifyUntil,omitzero"`

	// maxTokenTTL is the highest access-token lifetime in force while the key
	// signed.
	// +optional
	MaxTokenTTL metav1.Duration `json:"maxTokenTTL,omitzero"`
}

// PropagationStatus says how far the newest revision has come.
type PropagationStatus struct {
	// revision that the replicas should load.
	// +optional
	Revision int64 `json:"revision,omitempty"`

	// replicas that have loaded it, of all that should, such as: 3/3
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`

	// waitingFor names the replicas that have not, at most 16 of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	WaitingFor []string `json:"waitingFor,omitempty"`
}
