// Package legacy says what an old session says: whose it is, how long it lives; and has new ones made, and old ones ended,
// by the application that they belong to.
//
//	cookie ──▶ Hash ──▶ cache (≤ 10 s) ──▶ one question at a time ──▶ breaker ──▶ HTTP: {"session": …} ──▶ {"active", "user_id", …}
//	                      │ known            for one cookie             │ open      Redis: id of the cookie ──▶ key ──▶ user, role, TTL
//	                      ▼                                             ▼
//	                   Session / ErrInvalid                          ErrUnavailable
//
// [Keeper] is what outlives a snapshot: connections, breakers, caches, credentials. [Source] is what one snapshot says.
//
// # Two refusals, never mixed up
//
// [ErrInvalid]: the session was asked about, and there is none, or it has no user. [ErrUnavailable]: nobody can tell.
// Only what the validator clearly says makes a session invalid: the answer {"active": false}, a key that is not there, a
// document without the user, a cookie that the application cannot have written. Every status but 200, every answer that
// cannot be read, every value of an unknown form is an [ErrUnavailable], so that a broken application, a wrong URL or a
// changed format logs nobody out. The other way round, no session makes an outage: what is wrong with one user's session
// is kept from the breaker.
//
// # One session, one hash
//
// The feed refuses a session by the [Hash] of its cookie. If two spellings of a cookie led to one session, the second would
// pass. So a cookie for Redis is taken in exactly the spelling that the framework writes. With an HTTP validator the
// application reads the cookie, and only a revoker ends the session whatever its spelling.
//
// # Secrets
//
// Who has a cookie is the user. It is a [secret.Text], goes to the validator, the issuer and the revoker, and nowhere
// else: errors, logs and caches have the hash.
//
// See docs/legacy-sessions.md for the requests and the numbers. Specifications: RFC 6265 (cookies); the answer is modelled
// on RFC 7662 (introspection).
package legacy
