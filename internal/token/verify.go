package token

import (
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// Verifier tells what a token is worth. Fill it once and do not change it; it is then safe for concurrent use. The
// zero value accepts nothing.
type Verifier struct {
	// Issuer is compared byte for byte with `iss`; a well-formed token of any other is [policy.Foreign].
	Issuer string
	// Audiences are ours: `aud` must name one of them.
	Audiences []string
	// AnyAudience asks no `aud`: for logout, which must also end the session of a token minted before the audiences
	// changed.
	AnyAudience bool
	// Keys are all whose signatures are good.
	Keys KeySet
	// MaxTTL bounds `exp` - `iat`, which come from one clock, so that Skew adds nothing; both are whole seconds. It is the longest life that
	// a signer of these Keys may have been granted, also before it was lowered. Zero accepts no token.
	MaxTTL time.Duration
	// Skew is how far the clock of the issuer may be apart from ours, in either direction.
	Skew time.Duration
}

// Verified is what a token is worth. The zero value denies. Claims are empty unless the outcome is Valid: else they would
// be a stranger's words, in memory that the next token is read into.
type Verified struct {
	Outcome policy.Outcome
	// Reason is why the outcome is not Valid; [policy.OK] if it is.
	Reason policy.Reason
	Claims Claims
	// KID is the key that verified the signature; empty unless the outcome is Valid.
	KID string
	// Until is when a bad signature becomes an expired token: before that, the same verifier answers the same. It is zero
	// with any other reason, and where it is not known.
	Until time.Time
}

// Verify tells what raw is worth at the instant now. The questions, in order; the first that fails answers:
//
//  1. Is there a token, of at most [MaxBytes], not encrypted, and is it a well-formed compact JWS of two JSON objects?
//  2. Is `iss` ours? If not, it is Foreign: none of our business.
//  3. Is `exp` past? Then it is Expired, whatever its kid and signature: the client is to refresh.
//  4. Is the header one of an access token, and do the claims hold here and now?
//  5. Is the kid known, is its algorithm the one in the header, and does the signature verify?
//
// So no signature is computed for a token that would be refused anyway. Revocation is the caller's question.
func (v *Verifier) Verify(now time.Time, raw string) Verified { return v.verify(now, raw, false) }

// VerifyExpired is [Verifier.Verify] without the third question: an expired token whose signature is good is Valid. It
// is for logout, which must work with the token the user has, however old.
func (v *Verifier) VerifyExpired(now time.Time, raw string) Verified { return v.verify(now, raw, true) }

func (v *Verifier) verify(now time.Time, raw string, expiredToo bool) Verified {
	if raw == "" {
		return Verified{Outcome: policy.Absent, Reason: policy.NoCredential}
	}
	if len(raw) > MaxBytes {
		return invalid(policy.TooLarge)
	}
	if strings.Count(raw, ".") == jweDots {
		return invalid(policy.EncryptedToken)
	}
	t := parsedPool.Get().(*parsed)
	verified := v.judge(now, t, raw, expiredToo)
	t.recycle(verified.Outcome == policy.Valid)
	return verified
}

// judge asks the questions from the first to the last. The claims of what it returns are parts of t's memory.
func (v *Verifier) judge(now time.Time, t *parsed, raw string, expiredToo bool) Verified {
	if !t.parse(raw) {
		return invalid(policy.MalformedToken)
	}
	issuer, reason := t.issuer()
	if reason != "" {
		return invalid(reason)
	}
	if issuer != v.Issuer || v.Issuer == "" {
		return Verified{Outcome: policy.Foreign, Reason: policy.WrongIssuer}
	}
	expires, reason := t.seconds("exp")
	if reason != "" {
		return invalid(reason)
	}
	if !expiredToo && !now.Before(time.Unix(expires, 0).Add(v.Skew)) {
		return Verified{Outcome: policy.Expired, Reason: policy.ReasonExpired}
	}
	if reason := t.checkHeader(); reason != "" {
		return invalid(reason)
	}
	claims, reason := t.claims()
	if reason == "" {
		reason = v.checkClaims(now, t, claims)
	}
	if reason == "" {
		reason = v.checkSignature(t)
	}
	if reason == policy.BadSignature && !expiredToo {
		return Verified{Outcome: policy.Invalid, Reason: reason, Until: time.Unix(expires, 0).Add(v.Skew)}
	}
	if reason != "" {
		return invalid(reason)
	}
	claims.Custom = t.custom()
	return Verified{Outcome: policy.Valid, Reason: policy.OK, Claims: claims, KID: t.kid}
}

// jweDots are the dots of a JWE's five segments (RFC 7516, section 7.1): nothing is decrypted, so nothing is decoded.
const jweDots = 4

func invalid(reason policy.Reason) Verified {
	return Verified{Outcome: policy.Invalid, Reason: reason}
}

func (v *Verifier) checkClaims(now time.Time, t *parsed, c Claims) policy.Reason {
	if !v.AnyAudience && !slices.ContainsFunc(c.Audience, func(a string) bool { return a != "" && slices.Contains(v.Audiences, a) }) {
		return policy.WrongAudience
	}
	latest := now.Add(v.Skew)
	if c.IssuedAt.After(latest) {
		return policy.NotYetValid
	}
	if _, given := t.payload.get("nbf"); given {
		notBefore, reason := t.seconds("nbf")
		if reason != "" {
			return reason
		}
		if time.Unix(notBefore, 0).After(latest) {
			return policy.NotYetValid
		}
	}
	if life := c.ExpiresAt.Sub(c.IssuedAt); life <= 0 || v.MaxTTL <= 0 || life >= v.MaxTTL+time.Second {
		return policy.LifetimeTooLong
	}
	return ""
}

func (v *Verifier) checkSignature(t *parsed) policy.Reason {
	key := v.Keys.Find(t.kid)
	if key == nil {
		return policy.UnknownKey
	}
	if key.algorithm != t.algorithm {
		return policy.AlgorithmMismatch
	}
	if verifySignature(key.algorithm, key.key, t.input, t.signature) != nil {
		return policy.BadSignature
	}
	return ""
}
