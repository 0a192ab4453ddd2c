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
// A lease is an edge's promise "I have applied number N" that both sides let run out after maxPropagation. The server
// counts from when the report came in, the edge from when it sent it, so the edge's runs out first. An edge may
// decide only after one report that was acknowledged with nothing newer in the store than it has applied.
//
// The port is private: TLS with a pinned CA and a bearer secret, both read again when the files change; without a
// directory of credentials both sides speak clear text and only on loopback addresses.
package feed
