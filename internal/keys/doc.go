// Package keys decides the life of signing keys: which key signs, which one is next, which ones still verify.
//
// It is one pure function, [Next]. It takes the time, a [Policy] and what was [Observed], and returns a [Plan] that the
// caller carries out. There is no clock, no log, no goroutine and no I/O here, so months of a key set's life run in a
// second of tests.
//
//	         loaded by every replica      prePublish over, gate passed       the next key became Active
//	Pending ─────────────────────▶ Published ─────────────────▶ Active ─────────────────────▶ Retiring ──────▶ Removed
//	        ◀─────────────────────     └──────────────┬────────────┴──────────┬──────────────────┘  verifyUntil
//	         seen without it                          ▼       Revocation      ▼
//	                                               Revoked (tombstone: a kid never returns)
//
// # One commit point
//
// The [Ring] is the truth. A plan changes it by one write, guarded by the resource version of the ring that was
// observed, and its epoch grows by one. Everything else (JWKS, snapshots, status) is a projection of the ring. A plan
// is a pure function of what was observed, so a caller that dies anywhere simply asks again.
//
// # Publish before sign
//
// A new key is Pending: its public half is in the ring, in JWKS and in the snapshots, and nobody signs with it. Once
// every replica reports it, it is Published, and the clock of PrePublish starts: third-party verifiers that cache a
// JWKS have that long to fetch it. A replica that is later seen with a document that lacks the key serves a JWKS without
// it, so the key is Pending again and the clock starts anew. The gate is checked again at activation: every replica that exists
// then has the key. There are two exceptions. While no key of the set was ever Active, the first one activates as soon as the
// existing replicas have it; if the Active key's private half is lost, a Published standby takes over before
// PrePublish is over, once it has been published for the clock margin, because tokens that a slow third party refuses
// for minutes are better than none. Where no replica runs, any key takes over, once it is old enough for a pod that starts to find
// it in its document.
//
// # Verify until expiry
//
// The write that activates a key makes its predecessor Retiring. Its verifyUntil stays open until every signer is seen on
// the new key; then it is the later of the latest expiry signed and that moment plus the highest lifetime in force
// while it signed, plus twice the clock skew. A signer seen on a retiring key opens it again. An unreachable replica makes
// the set wait: verifying longer is safe.
//
// Key.MaxTTL is that highest lifetime. The ring must know a lifetime before a signer uses it, therefore a snapshot
// never grants more than [Ring.TTLCap]; raising the lifetime is a ring write first, a snapshot second. Lowering the
// lifetime lowers nothing in the ring.
//
// # Emergencies
//
// [Observed].Revoke lists kids that somebody distrusts. A key that does not sign is buried as Revoked at once, in the write
// that hears of it. For the Active one an heir comes first: a Published standby, or else a key that every replica that answers
// has; PrePublish, the clock margin and replicas that do not answer are not waited for, and no time is compared. A set
// without such a key makes one. The write that activates the heir makes the old key Retiring, and it goes on verifying until
// every signer is seen on the heir, so that a client that refreshes gets a token that is good. That takes MaxPropagation at
// most; where the clock contradicts the ring, it takes none. Then it is buried: it leaves JWKS and documents, its private half is
// deleted, and its tombstone stays. The findings RevocationPending and RevocationUnconfirmed say for whom a revocation waits, and
// which replicas may take the key yet.
//
// A caller that records a kid as revoked before it writes the ring, and gives it to [Rebuild], can lose any ring and the key stays
// dead. If a restored ring is older than a document that a replica holds, keys that no document has were buried since.
//
// # Brought keys
//
// With [Policy].Brought nothing is made: where a plan would ask for a new key it names one of [Observed].Offered to take, or says
// that none is left, and everything that needs it waits. [Ring].Taken remembers every kid that ever came in so, because the owner's
// source goes on offering it: what was used once, removed or not, is never taken again.
//
// # What the caller owes
//
// Projections never go back: a document is written only over one with a lower or the same epoch. Issuer snapshots
// grant at most [Ring.TTLCap]. While the Active key's private half is lost, or a rebuilt ring has no Active key, signers keep
// the last good private key as long as its kid is in the ring, and still get every new public key: they must
// acknowledge the heir. The list of replicas is live; a report may be minutes old. A ring that is missing, refused or older than
// what the status or a replica remembers goes through [Rebuild] first.
//
// # Clocks
//
// ClockSkew is the largest difference between any two clocks; constant offsets are harmless, jumps are what the margin
// is for. If half of the replicas or more say that the manager's clock is off by more than twice ClockSkew, nothing that
// compares or records a time happens until they agree again. With no replica to ask, a forward jump can end a
// PrePublish or a verifyUntil early: that cannot be told from a long sleep. Times recorded by a clock that was ahead heal:
// the key is published anew, or its rotation counts as due.
package keys
