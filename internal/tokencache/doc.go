// Package tokencache remembers which tokens were found valid, so that a signature is verified once and not for each
// request.
//
//	raw ── SHA-256 ──▶ shard ──▶ entry ── from ≤ now < until? ──▶ Valid, with its claims
//	                     │                      │ no
//	                     └── none ──▶ token.Verifier.Verify ◀──┘      Valid ──▶ entry
//
// The answer is always that of the verifier, whatever was asked before; a test holds the two against each other. A token
// is known by the SHA-256 of all of it, so no two can be taken for one another, and no token is kept.
//
// What a valid token is worth depends on the verifier and on the clock, and on nothing else. A [Cache] belongs to one
// verifier; [Next] makes that of the next one and takes over only what the change cannot touch. An entry counts from the
// instant at which the token was verified until `exp`: within that, time can make a valid token only expire. A clock that
// was set back makes the verifier look again. Revocation is the caller's question, to be asked for every hit too.
//
// Only valid tokens are kept. A flood of others pushes none of them out, and costs what each costs without a cache and a
// hash. Of the others, those whose signature was computed and is bad have a few thousand places of their own, so that a
// client that repeats one does not have it computed each time: until the token expires the verifier would say the same.
// Whatever else is wrong with a token is found without a signature, and is looked for again.
//
// The records lie one after the other in segments, which the collector never looks into, and are found by numbers instead
// of pointers: a collection takes as long with a hundred thousand tokens as with none. Nothing is written again, so what a
// check was told stays true while the cache forgets it.
//
// The bound is in bytes. When it is reached, the tokens that were seen once go first (a queue of new ones, a tenth of the
// bytes), and of the others those that nobody used since the hand came by (second chance): ten thousand users that pass
// by do not push out those who stay. The queues are those of S3-FIFO (Yang et al., SOSP 2023) without its ghosts.
package tokencache
