package tokencache

import "github.com/keyturn/keyturn/internal/policy"

// Verified is what a token is worth. The zero value denies. The claims are there only where the outcome is Valid; else
// each is empty. It is a value that does not change.
type Verified struct {
	Outcome policy.Outcome
	// Reason is why the outcome is not Valid; [policy.OK] if it is.
	Reason policy.Reason
	entry  entry
	kid    string
}

// Subject is `sub`.
func (v Verified) Subject() string { return v.entry.standard(0) }

// TokenID is `jti`.
func (v Verified) TokenID() string { return v.entry.standard(1) }

// SessionID is `sid`; empty if there is none.
func (v Verified) SessionID() string { return v.entry.standard(2) }

// ClientID is `client_id`; empty if there is none.
func (v Verified) ClientID() string { return v.entry.standard(3) }

// KID is the key that verified the signature.
func (v Verified) KID() string { return v.kid }

// Claim returns a claim whose value is a text: `sub`, `jti`, `sid`, `client_id` or a custom one; empty if there is none.
func (v Verified) Claim(name string) string {
	for i, standard := range standardClaims {
		if name == standard {
			return v.entry.standard(i)
		}
	}
	return v.entry.custom(name)
}

// Custom returns the claims that are texts and none of the standard ones, as a map of the caller's own.
func (v Verified) Custom() map[string]string {
	if v.entry.record == nil {
		return nil
	}
	all := map[string]string{}
	for rest := v.entry.customs(); rest != ""; {
		var name string
		name, rest = next(rest)
		all[name], rest = next(rest)
	}
	return all
}
