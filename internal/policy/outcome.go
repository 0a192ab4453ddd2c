package policy

// Outcome is what a JWT is worth at one instant. The zero value is no outcome at all and denies.
type Outcome uint8

// The outcomes, and what each means beside another credential: Absent, Foreign and Expired leave the decision to the
// other one; Invalid and Revoked deny even beside a good one, so that nobody gains by breaking a token.
const (
	// Unknown is the zero value: nobody looked.
	Unknown Outcome = iota
	// Absent means that the request carries no token.
	Absent
	// Foreign means a well-formed token of another issuer.
	Foreign
	// Expired means a well-formed token of our issuer whose `exp` is past, whatever its kid and signature.
	Expired
	// Invalid means a token that is not, or not yet, good.
	Invalid
	// Revoked means a token that was good and is distrusted now.
	Revoked
	// Valid means a token to act on.
	Valid
)

var outcomeNames = [...]string{"unknown", "absent", "foreign", "expired", "invalid", "revoked", "valid"}

// String returns the stable lower-case word for logs and metrics.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return outcomeNames[Unknown]
	}
	return outcomeNames[o]
}
