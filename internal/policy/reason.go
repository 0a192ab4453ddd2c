package policy

// Reason is a stable machine-readable word for why a decision fell as it did. It goes to the operator's log and
// metrics; the client sees the coarser [Decision.Code]. The empty Reason means that nothing was found wrong.
type Reason string

// Reasons about the token, in the order in which token.Verifier finds them.
const (
	// NoCredential: the request carries no bearer token.
	NoCredential Reason = "no_credential"
	// MultipleCredentials: more than one credential in one place.
	MultipleCredentials Reason = "multiple_credentials"
	// ConflictingCredentials: two credentials of different users.
	ConflictingCredentials Reason = "conflicting_credentials"
	// TooLarge: the token is past the size bound and was not read.
	TooLarge Reason = "too_large"
	// MalformedToken: not three canonical base64url segments of strict JSON, or a member of the wrong type.
	MalformedToken Reason = "malformed_token"
	// EncryptedToken: five segments, as a JWE has; nothing is ever decrypted.
	EncryptedToken Reason = "encrypted_token"
	// WrongIssuer: another `iss`.
	WrongIssuer Reason = "wrong_issuer"
	// ReasonExpired is the reason that goes with the outcome [Expired].
	ReasonExpired Reason = "expired"
	// UnsupportedHeader: a header member that asks for something never done: crit, b64, zip, jwk, jku, x5u, x5c, …
	UnsupportedHeader Reason = "unsupported_header"
	// WrongType: `typ` is not at+jwt (RFC 9068, section 2.1).
	WrongType Reason = "wrong_type"
	// AlgorithmMismatch: `alg` is not the one that is pinned to the key, or not one of ours.
	AlgorithmMismatch Reason = "algorithm_mismatch"
	// MissingClaim: a required claim is absent or empty.
	MissingClaim Reason = "missing_claim"
	// WrongAudience: `aud` names none of our audiences.
	WrongAudience Reason = "wrong_audience"
	// NotYetValid: `nbf` or `iat` lies in the future.
	NotYetValid Reason = "not_yet_valid"
	// LifetimeTooLong: `exp` - `iat` is not positive or exceeds what any token may have.
	LifetimeTooLong Reason = "lifetime_too_long"
	// UnknownKey: no `kid`, or none that is in force.
	UnknownKey Reason = "unknown_key"
	// BadSignature: the signature does not verify.
	BadSignature Reason = "bad_signature"
	// ReasonRevoked is the reason that goes with the outcome [Revoked].
	ReasonRevoked Reason = "revoked"
)

// Reasons about the request, its way here, and the edge itself.
const (
	// OK: the request was allowed.
	OK Reason = "ok"
	// Anonymous: it was allowed without a credential, as a rule says.
	Anonymous Reason = "anonymous"
	// Preflight: it was allowed as a browser's question before a cross-origin request.
	Preflight Reason = "preflight"
	// Audited: the policy would have refused it, and only audits.
	Audited Reason = "audited"
	// NoPolicy: no policy was named, or none of that name exists here.
	NoPolicy Reason = "no_policy"
	// SpoofedIdentity: the client sent an identity header, in whatever spelling, and the proxy did not clear it.
	SpoofedIdentity Reason = "spoofed_identity"
	// BadRequestTarget: CONNECT, `*`, an empty target, one that does not begin with `/`, or a host that disagrees.
	BadRequestTarget Reason = "bad_request_target"
	// UntrustedPeer: the check did not come from one of the trusted proxies.
	UntrustedPeer Reason = "untrusted_peer"
	// MissingDialectHeader: a header that the proxy's recipe must set is absent or doubled.
	MissingDialectHeader Reason = "missing_dialect_header"
	// CrossSite: the token came in a cookie, and the request may be the doing of another site's page.
	CrossSite Reason = "cross_site"
	// UnusableIdentity: the token is good, but its user or role cannot be carried in a header.
	UnusableIdentity Reason = "unusable_identity"
	// InsufficientRole: the credential is good, and its user has none of the roles that the route needs.
	InsufficientRole Reason = "insufficient_role"
	// AmbiguousPath: two readers could take the path for two, and the policy has rules about paths.
	AmbiguousPath Reason = "ambiguous_path"
	// NotReady: no snapshot, or the revocations were not yet loaded.
	NotReady Reason = "not_ready"
	// StaleRevocations: the revocations are out of date and the TokenService says FailClosed.
	StaleRevocations Reason = "stale_revocations"
	// InternalError: a fault of ours.
	InternalError Reason = "internal_error"
)

// Code is the stable word that the client sees.
type Code string

// The codes. A client acts on these: get a token, refresh it, log in again, or give up.
const (
	CodeNoCredential   Code = "no_credential"
	CodeInvalidRequest Code = "invalid_request"
	CodeInvalidToken   Code = "invalid_token"
	CodeTokenExpired   Code = "expired"
	CodeTokenRevoked   Code = "revoked"
	CodeUnavailable    Code = "unavailable"
)

// code maps a reason to what the client may know. Which check a bad token failed is for the operator only; what is
// wrong with the way through the proxy is told, because the one who reads it is setting the proxy up.
func (r Reason) code() Code {
	switch r {
	case NoCredential:
		return CodeNoCredential
	case MultipleCredentials, ConflictingCredentials:
		return CodeInvalidRequest
	case ReasonExpired:
		return CodeTokenExpired
	case ReasonRevoked:
		return CodeTokenRevoked
	case NoPolicy, SpoofedIdentity, BadRequestTarget, UntrustedPeer, MissingDialectHeader, CrossSite, UnusableIdentity,
		InsufficientRole, AmbiguousPath, LegacySunset, LegacyBrownout, LegacyInvalid, LegacyUnavailable:
		return Code(r)
	case NotReady, StaleRevocations, InternalError:
		return CodeUnavailable
	default:
		return CodeInvalidToken
	}
}

// allows tells whether a denial for this reason would be none.
func (r Reason) allows() bool {
	switch r {
	case "", OK, Anonymous, Preflight, Audited:
		return true
	default:
		return false
	}
}
