// Package embedded is the store in one file, for a token service of one replica.
//
// The file is a bbolt database. Every answer waits for fsync, but writers do not wait for each other: one goroutine
// takes every operation that is waiting, does them in one transaction and commits once, so that a hundred refreshes
// at the same moment cost one flush, and a single one waits for nobody.
//
//	meta        format, lastRevocation, allBefore
//	families    family key (16 bytes)              → Family as JSON
//	sessions    session id                         → family key
//	users       SHA-256/2 of the subject ‖ family key → nothing
//	revocations number (8 bytes, big endian)       → Entry as JSON
//	revoked     session id                         → number, expiry
//	ids         id given by the caller             → number, expiry
//
// The sequence is that of the revocations bucket, which bbolt keeps in the file. Login counters are in memory: after
// a restart a client may try again.
package embedded
