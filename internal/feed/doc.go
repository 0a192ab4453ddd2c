// Package feed carries revocations from the token service to every edge, and tells the token service who has them.
//
//	store ──entries──▶ Server ──GET /feed/v1/revocations──▶ Client ──▶ revocation.List
//	                     ▲  └─ Leases ◀──POST /feed/v1/leases── each second, and at once after an entry
//	   logout waits here ┘
//
// The stream is one JSON object a line: first the complete list, then a line `synced`, then every new entry in order,
// each naming the one before it, and heart-beats. A client that sees a gap, silence or nonsense connects again and
// loads the complete list.
//
// Over the same connection an edge asks what a legacy session is worth ([Client.Ask], POST /feed/v1/sessions): only the
// token service holds the credentials of who can tell. A question is answered soon or not at all, and a token service
// that does not answer is not asked for a while.
//
// A lease is an edge's promise "I have applied number N" that both sides let run out after maxPropagation. The server
// counts from when the report came in, the edge from when it sent it, so the edge's runs out first. An edge may
// decide only after one report that was acknowledged with nothing newer in the store than it has applied.
//
// A token service of one replica keeps the leases itself ([Leases]); several keep them in the store they share
// ([SharedLeases]), which times them by its own clock, and each reads the table of all. Clocks need not agree on the time
// of day: a lease is a length, which the store holds by one part in 64 longer than the edge, for clocks of different
// rates. Where the store's clock is set back, logouts wait longer; where it is set ahead, leases seem to have run out and
// logouts answer sooner, but not that all edges have it. Only a leap ahead of more than a minute makes the store forget
// an edge, for the second until it reports again.
//
// The id of the store goes with its numbers. When a shared store was emptied or replaced, its id changes, the streams end
// and every edge loads the list again before it gets another lease; what it distrusted before, it distrusts on. A token
// service follows its own store too, for what it answers itself: see [Follower].
//
// The port is private: TLS with a pinned CA and a bearer secret, both read again when the files change; without a
// directory of credentials both sides speak clear text and only on loopback addresses.
package feed
