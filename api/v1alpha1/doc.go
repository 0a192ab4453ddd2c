// Package v1alpha1 is the Kubernetes API of Keyturn: group keyturn.dev, version v1alpha1.
//
//	SigningKeySet  which keys sign and verify, and when they rotate
//	TokenPolicy    how long tokens live and what they may carry
//	TokenService   the token service and the edge authorization service of one issuer
//	AuthRollout    how users of legacy sessions move to the tokens of one issuer
//
//	TokenService ──signingKeySetRef──▶ SigningKeySet
//	             ──tokenPolicyRef────▶ TokenPolicy
//	AuthRollout  ──tokenServiceRef───▶ TokenService
//
// The types say what the user may write; the API server refuses the rest with CEL rules whose messages tell how to
// mend the object. The API server also fills every default named here, so an object that was read from it has no
// unset optional field with a default. A field is a pointer only where its zero value differs from its default
// (for example standbyKeys: 0), so that Go clients can say both.
//
// The package imports apimachinery only. Objects follow the usual rules of Kubernetes types: not safe for concurrent
// writes, and what a cache returns must be copied (DeepCopy) before it is changed.
//
// Units: every duration is a Go duration with the units h, m, s and ms, such as 720h or 1m30s. Every instant is
// RFC 3339 in UTC.
//
// +kubebuilder:object:generate=true
// +groupName=keyturn.dev
package v1alpha1
