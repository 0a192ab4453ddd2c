-- Ends a session, known or not. Answers its number.
--   ARGV[4] session id, [5] horizon, [6] slack, [7] latest expiry that the caller knows of
local sid, n = ARGV[4], redis.call('GET', base .. 'r:' .. ARGV[4])
local key = redis.call('GET', base .. 's:' .. sid)
local f = key and load(key)
if not n and f and f.r ~= '0' then n = f.r end
if n then
  -- A write that changes nothing: WAIT counts the replicas that have what its connection wrote, so the earlier entry too.
  redis.call('HSET', meta, 'last', text(last))
  return answer(n)
end
if f then
  revoke(f, ARGV[5], ARGV[6], ARGV[7])
  return answer(f.r)
end
return answer(append_session(sid, plus(later(ARGV[5], ARGV[7]), ARGV[6])))
