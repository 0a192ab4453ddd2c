-- A new family. Of the user's live ones, those used least recently are revoked until it fits.
--   ARGV[4] key, [5] subject, [6] name, [7] source, [8] client, [9] hash of the subject, [10] now, [11] idle expiry,
--   [12] absolute expiry, [13] access expiry, [14] hash of the token, [15] the random part of the session id,
--   [16] how many families are allowed, 0 for any number, [17] horizon, [18] slack, [19] role and claims as JSON or ''
-- Answers how many were evicted, and the family; or 'exists', where a family that lives has the key.
local now, allowed, evicted = ARGV[10], tonumber(ARGV[16]), 0
local old = load(ARGV[4])
if old then
  if old.r == '0' and tonumber(old.n) >= before and now < earlier(old.i, old.a) then return answer('exists') end
  -- Ending the old session again must not end the family that takes its place.
  redis.call('DEL', base .. 's:' .. old.sid)
  redis.call('SREM', base .. 'u:' .. old.o, old.key)
end
if allowed > 0 then
  local live = {}
  for _, f in ipairs(of_user(ARGV[9], ARGV[5])) do
    -- One that ends with its first access token takes no place: see Family.TakesPlace. Floats are exact enough for a second.
    local ends = earlier(f.i, f.a)
    if f.r == '0' and now < ends and tonumber(ends) - tonumber(f.x) >= 1e9 then live[#live + 1] = f end
  end
  table.sort(live, function(a, b) return a.u < b.u end)
  for i = 1, #live - allowed + 1 do
    revoke(live[i], ARGV[17], ARGV[18], zero)
    evicted = evicted + 1
  end
end

-- base36 writes the number as revocation.SessionID does.
local function base36(n)
  local digits, s = '0123456789abcdefghijklmnopqrstuvwxyz', ''
  while n > 0 do
    local d = n % 36
    s = string.sub(digits, d + 1, d + 1) .. s
    n = (n - d) / 36
  end
  return s
end

seq = seq + 1
local f = {
  key = ARGV[4], n = text(seq), sid = base36(seq) .. '.' .. ARGV[15],
  su = ARGV[5], na = ARGV[6], so = ARGV[7], cl = ARGV[8], o = ARGV[9],
  g = '0', c = now, u = now, i = ARGV[11], a = ARGV[12], x = ARGV[13],
  h = ARGV[14], p = '', e1 = '', e2 = '', r = '0', k = zero, ro = ARGV[19],
}
redis.call('HSET', meta, 'seq', f.n)
local pairs_of = {}
for _, name in ipairs(fields) do
  pairs_of[#pairs_of + 1] = name
  pairs_of[#pairs_of + 1] = f[name]
end
redis.call('HSET', base .. 'f:' .. f.key, unpack(pairs_of))
redis.call('SET', base .. 's:' .. f.sid, f.key)
redis.call('SADD', base .. 'u:' .. f.o, f.key)
redis.call('ZADD', base .. 'due', ms(later(f.x, earlier(f.i, f.a))), 'f' .. f.key)
return answer(evicted, raw(f))
