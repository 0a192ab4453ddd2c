package tokentest

import (
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// Setting is how the verifier is set up that the tokens are for. All members but Others are needed.
type Setting struct {
	// Issuer and Audience are those of a good token.
	Issuer, Audience string
	// Now is the instant of the verification, in whole seconds: some cases are one second from being good.
	Now time.Time
	// Skew and MaxTTL are the verifier's.
	Skew, MaxTTL time.Duration
	// MaxBytes bounds a token.
	MaxBytes int
	// Others are further keys that the verifier knows.
	Others []*Key
}

// Case is one token and what it must come to.
type Case struct {
	// Name tells what is wrong with it, unique within Class; Class is the kind of attack.
	Class, Name string
	// Source is the RFC section that forbids it, or a CVE in which it was accepted or did harm.
	Source string
	// Raw is the token as it is sent.
	Raw string
	// Outcome and Reason are what the verifier must say.
	Outcome policy.Outcome
	Reason  policy.Reason
	// Header and Payload are the texts of the two segments, before any damage to the token as a whole.
	Header, Payload string
}

// Carriable tells whether Raw arrives as it is in the value of an HTTP header field (RFC 9110, section 5.5). Another is
// cut, stripped or refused before any verifier sees it.
func (c Case) Carriable() bool {
	for i := range len(c.Raw) {
		if b := c.Raw[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	blank := func(b byte) bool { return b == ' ' || b == '\t' }
	return c.Raw != "" && !blank(c.Raw[0]) && !blank(c.Raw[len(c.Raw)-1])
}

// attack is one way to go wrong. want is the reason; only, if not empty, the algorithms that it is for.
type attack struct {
	class, name, source string
	want                policy.Reason
	change              func(*forged)
	only                []string
}

var (
	onRSA = []string{"RS256", "PS256"}
	onRS  = []string{"RS256"}
	onPS  = []string{"PS256"}
	onES  = []string{"ES256"}
	onEd  = []string{"EdDSA"}
)

// Cases are the hostile tokens for a verifier that knows key: some 500 for each algorithm.
func (s Setting) Cases(key *Key) []Case {
	var cases []Case
	for _, a := range slices.Concat(
		shapeAttacks, segmentAttacks(), objectAttacks(), nameAttacks(), algorithmAttacks(), confusionAttacks(key), kidAttacks, headerAttacks(),
		typeAttacks, identityAttacks, claimTypeAttacks(), audienceAttacks(), numberAttacks(), timeAttacks, signatureAttacks, rsaAttacks, curveAttacks, edwardsAttacks,
	) {
		if len(a.only) > 0 && !slices.Contains(a.only, key.Algorithm) {
			continue
		}
		f := s.forge(key)
		a.change(f)
		cases = append(cases, f.finish(a.class, a.name, a.source, outcomeOf(a.want), a.want))
	}
	return cases
}

func outcomeOf(r policy.Reason) policy.Outcome {
	switch r {
	case policy.OK:
		return policy.Valid
	case policy.WrongIssuer:
		return policy.Foreign
	case policy.ReasonExpired:
		return policy.Expired
	default:
		return policy.Invalid
	}
}

// Variants are the tokens that look unusual and are good.
func (s Setting) Variants(key *Key) []Case {
	var cases []Case
	for _, v := range variants {
		if len(v.only) > 0 && !slices.Contains(v.only, key.Algorithm) {
			continue
		}
		f := s.forge(key)
		v.change(f)
		cases = append(cases, f.finish("variant", v.name, v.source, policy.Valid, policy.OK))
	}
	return cases
}
