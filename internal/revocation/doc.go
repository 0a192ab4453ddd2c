// Package revocation says which credentials are distrusted before they expire.
//
//	store ── numbered entries ──▶ feed ──▶ List (one an edge) ──▶ Revoked(credential)?
//
// The store numbers sessions and revocations in one growing sequence. A session id begins with its number, and the
// revocation of a user, or of all, names a number: every session below it is distrusted. So clocks decide nothing but
// when an entry may be forgotten, which is when no access token that it could hit is still inside its life.
//
// A [List] is what an edge asks. Readers take no lock and make no garbage; one writer at a time replaces small parts.
package revocation
