// Package store holds what the token service must not forget: token families, sessions, revocations, counters.
//
//	login ──▶ Create ──▶ family (session id, number) ──▶ Rotate ──▶ Rotate ──▶ … ──▶ expired or revoked
//	                                                      └ reuse ──▶ revoked, with an entry on the feed
//
// A family is one login. It has exactly one live refresh token; [Rotate] replaces it in one atomic step. The token
// just replaced still returns the same successor inside the retry window, so that a client whose answer was lost
// loses nothing; any other token of the family is a reuse and revokes that family alone.
//
// Sessions and revocations share one sequence of numbers that only grows and survives restarts. Time is an argument
// of every operation. This package has the types and the decisions; the backends are in packages below it and must
// pass storetest.Run. A nil error means that the outcome is on disk.
package store
