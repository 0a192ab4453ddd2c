// Package tokenhttp is the public face of the token service: login, refresh, logout and discovery, and the internal
// face beside it: health, metrics, status.
//
//	POST /auth/login    address limit ─▶ account limit ─▶ identity ─▶ store: new family ─▶ sign ─▶ 200
//	POST /auth/refresh  inspect ─▶ identity again ─▶ sign ─▶ store: rotate ─▶ 200
//	POST /auth/logout   resolve the session ─▶ store: revoke ─▶ wait for the edges ─▶ 200 {"propagated": …}
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
// Every error is an RFC 9457 problem with a stable code. Nothing that a client sends is quoted in an answer, a log
// or a metric.
package tokenhttp
