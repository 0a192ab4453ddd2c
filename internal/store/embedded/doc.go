// Package embedded is the store in one file, for a token service of one replica.
//
// The file is a bbolt database. Every answer waits for fsync, but writers do not wait for each other: one goroutine
// takes every operation that is waiting, does them in one transaction and commits once, so that a hundred refreshes
// at the same moment cost one flush, and a single one waits for nobody.
//
//	meta        format, id, lastRevocation, allBefore, longestLease
//	families    family key (16 bytes)              → Family as JSON
//	sessions    session id                         → family key
//	users       SHA-256/2 of the subject ‖ family key → nothing
//	revocations number (8 bytes, big endian)       → Entry as JSON
//	revoked     session id                         → number, expiry
//	ids         id given by the caller             → number, expiry
//	places      SHA-256/2 of the account           → SHA-256/2 of each place, last use and expiry, as JSON
//
// A bucket that a file lacks is made when it is opened: a newer build reads the files of an older one.
//
// The sequence is that of the revocations bucket, which bbolt keeps in the file. A new file begins it at the seconds of
// the clock times 2²⁰ and revokes all sessions from before: a file that is lost takes no logout back. Login counters are in memory: after
// a restart a client may try again. Leases are not here either: see package feed.
package embedded
