-- Makes the store usable by a process that has just met this server, or found that the store is another one. Has no prelude.
--   KEYS[1] {prefix}:meta; ARGV[1] a new id, [2] the newest revocation and [3] the newest number that the process has seen,
--   [4] the server's run id, [5] where the sequence of a new store begins, [6] when its first entry expires, [7] the leap,
--   [8] the id of the store that the process knows, or '',
--   [9] for how many seconds the first entry lasts at least, by this server's clock
-- Answers the id, the newest revocation, the newest number, and 1 if this is a new store.
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)
local function text(n) return string.format('%.0f', n) end
local m = redis.call('HMGET', meta, 'id', 'seq', 'last', 'run', 'before')
local seen, highest, leap = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[7])
local seq, last = tonumber(m[2] or 0), tonumber(m[3] or 0)
-- Another store is fine if it was begun above all that this process knows of; else it knows nothing of whom that distrusted.
local same = ARGV[8] == '' or m[1] == ARGV[8] or tonumber(m[5] or 0) > highest
if m[1] and last >= seen and same then
  if m[4] ~= ARGV[4] then
    -- Another server, or one that was restarted: it may not know the numbers that were given last, so they are left out.
    seq = math.max(seq, highest) + leap
    redis.call('HSET', meta, 'seq', text(seq), 'run', ARGV[4])
  end
  return {m[1], text(last), text(seq), 0}
end
-- Empty, another one, or gone back behind a revocation that was seen: whom it distrusted is not known, so it distrusts everybody so far.
-- The process's clock may be far behind; then this server's counts.
local time, expires = tonumber(redis.call('TIME')[1]), ARGV[6]
local own = string.format('%011.0f000000000', time + tonumber(ARGV[9]))
if own > expires then expires = own end
seq = math.max(tonumber(ARGV[5]), time * 1048576, seq + leap, highest + leap, seen + leap) + 1
local n = text(seq)
redis.call('HSET', meta, 'id', ARGV[1], 'seq', n, 'last', n, 'before', n, 'run', ARGV[4])
redis.call('ZADD', base .. 'log', n, table.concat({'all', n, n, expires, ''}, ' '))
redis.call('ZADD', base .. 'due', string.sub(expires, 1, 14), 'e' .. n)
redis.call('DEL', base .. 'leases')
redis.call('PUBLISH', base .. 'revocations', ARGV[1] .. ' ' .. n)
return {ARGV[1], n, n, 1}
