// Package tokenhttp is the public face of the token service: login, refresh, logout and discovery, and the internal
// face beside it: health, metrics, status.
//
//	POST /auth/login    address limit ─▶ account limit ─▶ identity ─▶ store: new family ─▶ sign ─▶ 200
//	POST /auth/refresh  inspect ─▶ identity again ─▶ sign ─▶ store: rotate ─▶ 200
//	POST /auth/logout   resolve the session ─▶ store: revoke ─▶ wait for the edges ─▶ 200 {"propagated": …}
//	POST /auth/session/exchange   validate the legacy session ─▶ store: find or make its family ─▶ sign ─▶ 200
//
// The order inside a refresh is not free. Signing comes before rotating, so that a failure to sign leaves the
// client's token as it was; the answer of the rotation decides whether the signed token leaves. What is lost after
// the rotation, e.g. the connection, the retry window gives back. A logout that comes between wins: the rotation
// says revoked, or the session is on the revocation list by the time the logout is answered.
//
// The time of a token is read before the document that it is signed with. So no token of a key expires later than
// the moment at which this replica gave the key up, plus one life. The latest expiry of each key is noted before the
// signature exists.
//
// A pair leaves in the body or in cookies, never in both; a refresh is answered the way its token came. Where cookies
// are enabled, a request that carries one must come from a page of this origin or of an allowed one: what browsers say
// about that (package browser) is looked at before the body.
//
// A failed login is counted for its account before the hash and taken back after anything but a wrong password, so that
// guesses at the same moment do not get past the limit. Places from which the account has logged in are exempt: who
// guesses does not lock the owner out.
//
// # Legacy sessions
//
// Package rollout decides who gets tokens and who a legacy session; package legacy reaches the application that has the
// sessions. No answer takes a working credential without giving another:
//
//   - A member of the cohort gets the pair also where the session beside it cannot be had. Somebody outside gets a 503
//     rather than tokens where none can be had at the moment, and a pair where nobody makes any.
//   - A refresh leads a browser back to its session only if that session is live and was extended. The refresh token is then
//     spent, not revoked: requests under way in other tabs stay good, a lost answer can be asked for again inside the
//     retry window, and the family, whose successor nobody has, ends with its last access token.
//   - A browser whose refresh token is refused, beside a live session, gets what an exchange of the session gives.
//   - A validator that does not answer changes nothing about a good refresh token.
//
// All exchanges of one session meet in one family, because its first token is derived from the cookie. Where a session
// and a token that are good name different users, nothing is answered but conflicting_credentials.
//
// A logout puts the hash of the session's cookie on the feed before the application ends the session, so that one which does
// not answer, or has no revoker, still ends the session at every edge.
//
// Every error is an RFC 9457 problem with a stable code. Nothing that a client sends is quoted in an answer, a log
// or a metric.
package tokenhttp
