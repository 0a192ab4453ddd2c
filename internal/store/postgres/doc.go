// Package postgres is the store in a PostgreSQL database, for any number of token services at once.
//
//	operation ──▶ BEGIN, locks, reads (one round trip) ──▶ decide in Go ──▶ writes, COMMIT (one round trip)
//
// Every operation is one transaction. Times are nanoseconds in bigint and come from the caller; only leases use the
// server's clock. Strings from outside are kept as bytes: they may hold what text refuses.
//
// One row, meta, holds the counter. Who writes an entry of the log takes the row's lock for its number in the same round
// trip as the COMMIT and so holds it until the entry is visible: numbers appear in their order, and a reader that has
// seen one has seen all below it. No client is waited for while the lock is held.
//
// The database has a random id, and its numbers begin at the seconds of 1970 shifted by 20 bits, so that a new one
// begins above a lost one. Its first entry distrusts everything before. So a database that was emptied or replaced
// revokes all sessions by itself; so does one whose numbers are below what this process has seen, which was restored
// from a backup or lost transactions in a failover: it gets a new id and numbers above.
//
// Durability. What was acknowledged was flushed (synchronous_commit is on, or the stronger remote_apply, in every
// session; fsync=off is refused). To survive the loss of the primary, set synchronous_standby_names: then an
// acknowledgement also means that the standby has it, and one whose wait for the standby was cut short is none.
// Counters of rate limits are not flushed: a crash of the server forgets those of the last moment.
//
// The role needs to own the schema, or the right to create it. The tables are made and migrated by the store itself.
// Connections must not go through a pooler that shares them between transactions: LISTEN needs one of its own.
package postgres
