-- Writes an entry of any kind, once for each id. Answers its number.
--   ARGV[4] hash of the id or '', [5] kind, [6] value, [7] below which number, 0 for the entry's own, [8] expires,
--   [9] hash of the user
local id, kind, value, expires = ARGV[4], ARGV[5], ARGV[6], ARGV[8]
local known = id ~= '' and redis.call('GET', base .. 'i:' .. id)
if known then
  redis.call('HSET', meta, 'last', text(last)) -- for WAIT, see revoke.lua
  return answer(known)
end
local n = append(kind, value, ARGV[7], expires)
local below = tonumber(ARGV[7])
if below == 0 then below = seq end
if kind == 'all' then
  before = math.max(before, below)
  redis.call('HSET', meta, 'before', text(before))
elseif kind == 'user' then
  for _, f in ipairs(of_user(ARGV[9], value)) do
    if f.r == '0' and tonumber(f.n) < below then finish(f, n, expires) end
  end
elseif kind == 'session' then
  redis.call('SET', base .. 'r:' .. value, n)
  redis.call('ZADD', base .. 'due', ms(expires), 'r' .. value)
  local key = redis.call('GET', base .. 's:' .. value)
  local f = key and load(key)
  if f and f.r == '0' then finish(f, n, expires) end
end
if id ~= '' then
  redis.call('SET', base .. 'i:' .. id, n)
  redis.call('ZADD', base .. 'due', ms(expires), 'i' .. id)
end
return answer(n)
