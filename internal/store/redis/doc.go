// Package redis keeps sessions in a Redis (7.0 or later) or Valkey server, for a token service of any number of replicas.
//
// Each operation is one Lua script, so it happens as a whole or not at all, whoever else is at work. All keys of an
// installation begin with one hash tag, so that a Redis Cluster keeps them on one shard:
//
//	{prefix}:meta   id of the store, newest number, newest revocation, the number below which all sessions are revoked
//	{prefix}:f:KEY  a family        {prefix}:s:SID  the family of a session   {prefix}:u:HASH  the families of a user
//	{prefix}:log    revocations     {prefix}:r:SID  a revoked session         {prefix}:i:HASH  what was appended once
//	{prefix}:due    when each of these may be forgotten: what Compact reads
//	{prefix}:l:HASH events counted  {prefix}:p:HASH places of an account      {prefix}:leases  leases of edges
//
// Limits and places expire by themselves. All else goes by [Store.Compact], whose clock is the caller's.
//
// # A server that forgets
//
// A server can be flushed, replaced, restored from a backup, or taken over by a replica that lacks the newest writes. So
// every script checks that the store still is the one that this process knows, by a random id, and that it still has the
// newest revocation that this process has seen. If not, the first process to notice begins the store again under a new id,
// with numbers above all that were ever given, and with one entry that distrusts every session before it. Numbers of a new
// store begin at the time in seconds times 2^20, so they grow also where nobody remembers the old ones.
//
// # What is acknowledged
//
// A server that evicts keys, has no append-only file, or answers before it is on disk while no replica has to acknowledge
// either, is refused; see [Store.Reason]. A revocation is acknowledged when [Config.Replicas] replicas have it too. Where
// too few answer, it may be there or not; doing it again is harmless and asks the replicas again.
//
// A primary that is cut off from its replicas goes on for the token services that are cut off with it: they acknowledge no
// revocation and renew no lease of an edge, so these edges know that they may be behind; but they refresh, which waits for
// no replica. Set min-replicas-to-write 1 where that matters: then it is refused there.
//
// The server's user needs, for keys and channels {prefix}:*,
//
//	+@read +@write +@connection -@dangerous +eval +evalsha +info +config|get +wait +time +publish +subscribe +unsubscribe +ping
//
// and in a cluster +cluster|slots +cluster|shards too.
//
// Commands are never repeated by the client library. An operation whose answer was lost fails with
// [store.ErrUnavailable]; the caller's own retry is safe, because Rotate gives the successor again inside the retry window,
// and a revocation returns the number it has. Only what the server has refused to do, e.g. because it is no longer the
// primary, is tried again here.
package redis
