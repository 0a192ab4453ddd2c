package policy

// MethodSession means by a legacy session.
const MethodSession Method = "session"

// Reasons about a legacy session.
const (
	// LegacySunset: legacy sessions have ended.
	LegacySunset Reason = "legacy_session_sunset"
	// LegacyBrownout: a rehearsal of the sunset refuses this one for a while.
	LegacyBrownout Reason = "legacy_session_brownout"
	// LegacyInvalid: there is no such session, or it is over.
	LegacyInvalid Reason = "legacy_session_invalid"
	// LegacyUnavailable: nobody can tell at the moment what the session is worth.
	LegacyUnavailable Reason = "legacy_unavailable"
)

// SessionMatters tells whether the decision can depend on a legacy session beside a JWT of this outcome. A broken or
// revoked token denies even beside a good session, so that nobody gains by breaking one.
func SessionMatters(jwt Outcome) bool {
	switch jwt {
	case Absent, Foreign, Expired, Valid:
		return true
	default:
		return false
	}
}

// WithSession makes one credential of a JWT and a legacy session; either may be Absent. A session that cannot be
// validated at the moment has the outcome [Unknown] and the reason [LegacyUnavailable].
//
// Beside a valid JWT the session only counts where it is known to be another user's, or where there are two of them: a
// session that is over, that a brownout refuses, or that nobody can validate takes nothing from a user who has a token.
// In the place of a JWT it serves if it is good. An expired token tells its holder to refresh, which is more than to be
// told that a session beside it is over.
func WithSession(jwt, session Credential) Credential {
	session.Method = MethodSession
	session.Cookie = jwt.Cookie || jwt.Outcome == Absent || jwt.Outcome == Foreign
	doubled := session.Outcome == Invalid && session.Reason == MultipleCredentials
	switch {
	case !SessionMatters(jwt.Outcome) || session.Outcome == Absent:
		return jwt
	case doubled:
		return session
	case jwt.Outcome == Valid:
		if session.Outcome == Valid && session.User != "" && session.User != jwt.User {
			return Credential{Outcome: Invalid, Reason: ConflictingCredentials, Cookie: jwt.Cookie}
		}
		return jwt
	case session.Outcome == Valid, session.Outcome == Unknown:
		return session
	case jwt.Outcome == Expired:
		return jwt
	default:
		return session
	}
}
