package identity

import (
	"errors"
	"fmt"
)

// The refusals of a [Directory].
var (
	// ErrDenied: the name is unknown or the password is wrong; which of both is not told. A token that is refused is
	// denied too: see [Denial].
	ErrDenied = errors.New("the name or the password is wrong")
	// ErrGone: the user is not known any more.
	ErrGone = errors.New("the user is gone")
	// ErrUnavailable: a source that had to be asked could not answer.
	ErrUnavailable = errors.New("an identity source is not available")
	// ErrTokenType: no source takes tokens of this type at all.
	ErrTokenType = errors.New("the subject token's type must be " + TypeIDToken + " or " + TypeJWT)
	// ErrPasswordTooLong is returned for a password past [MaxPasswordBytes], whoever sends it.
	ErrPasswordTooLong = fmt.Errorf("a password has at most %d bytes", MaxPasswordBytes)
)

// User is somebody whom a source knows.
type User struct {
	// Subject is `sub`: the source's prefix and the name.
	Subject string
	// Name is the canonical name in the source.
	Name string
	// Role is what the source says; empty if it says nothing.
	Role string
	// Source is the name of the source that knows the user.
	Source string
	// Claims are what the source says beside the role, by name: at most [MaxClaims], none of the protocol's, neither
	// user_id nor role. The policy chooses among them.
	Claims map[string]string
	// Refreshable tells whether the user may have a refresh token. The zero value denies it.
	Refreshable bool
	// Remembered tells that the source cannot be asked about the user again: who keeps a session keeps Role and Claims
	// with it, and shows them to [Directory.Lookup].
	Remembered bool
}

// Denial is the refusal of a token. It is an [ErrDenied].
type Denial struct {
	// Reason is for the log.
	Reason Reason
}

// Error implements error.
func (d *Denial) Error() string { return "the token is refused: " + string(d.Reason) }

// Is makes every denial an [ErrDenied].
func (d *Denial) Is(target error) bool { return target == ErrDenied }

// Reason tells why a token is refused, as a stable code. It quotes nothing of the token.
type Reason string

// The reasons, in about the order in which they are looked for.
const (
	TooLarge             Reason = "too_large"
	Malformed            Reason = "malformed_token"
	UnsupportedHeader    Reason = "unsupported_header"
	UnsupportedAlgorithm Reason = "unsupported_algorithm"
	WrongType            Reason = "wrong_type" // it is no ID token and no ServiceAccount token
	UnknownIssuer        Reason = "unknown_issuer"
	WrongTokenType       Reason = "wrong_token_type" // the issuer's tokens have another subject_token_type
	MissingClaim         Reason = "missing_claim"
	WrongAudience        Reason = "wrong_audience"
	ForeignParty         Reason = "foreign_party" // azp is another client
	Expired              Reason = "expired"
	NotYetValid          Reason = "not_yet_valid"
	TooOld               Reason = "too_old"
	LifetimeTooLong      Reason = "lifetime_too_long"
	BadSubject           Reason = "bad_subject"
	BadRole              Reason = "bad_role"
	Unverified           Reason = "unverified_email"
	NotAllowed           Reason = "not_allowed" // the ServiceAccount is not in the list
	UnknownKey           Reason = "unknown_key"
	BadSignature         Reason = "bad_signature"
)

func deny(reason Reason) error { return &Denial{reason} }

// DenialReason returns the reason of a [Denial], empty for any other error.
func DenialReason(err error) Reason {
	var d *Denial
	if errors.As(err, &d) {
		return d.Reason
	}
	return ""
}
