-- What the operations on families share. A family is a hash, {prefix}:f:KEY; fields that Go reads too are in this order.
local fields = {'n', 'sid', 'su', 'na', 'so', 'cl', 'g', 'c', 'u', 'i', 'a', 'x', 'h', 'p', 'e1', 'e2', 'r', 'k', 'o', 'ro'}
local zero = '00000000000000000000'

local function load(key)
  local values = redis.call('HMGET', base .. 'f:' .. key, unpack(fields))
  if not values[1] then return nil end
  local f = {key = key}
  for i, name in ipairs(fields) do f[name] = values[i] or '' end
  return f
end

local function raw(f)
  local values = {}
  for i, name in ipairs(fields) do values[i] = f[name] end
  return values
end

local function earlier(a, b) if a < b then return a end return b end
local function later(a, b) if a > b then return a end return b end

-- plus adds two times: seconds and nanoseconds apart, because a float does not hold their sum.
local function plus(a, b)
  local s = tonumber(string.sub(a, 1, 11)) + tonumber(string.sub(b, 1, 11))
  local n = tonumber(string.sub(a, 12)) + tonumber(string.sub(b, 12))
  if n >= 1000000000 then s, n = s + 1, n - 1000000000 end
  return string.format('%011.0f%09.0f', s, n)
end

-- judge is store.Family.Judge. edge is now minus the retry window. Hashes of 256 random bits need no constant time here:
-- what leaks of a hash opens nothing.
local function judge(f, presented, now, edge)
  if f.r ~= '0' or tonumber(f.n) < before then return 'revoked' end
  if now >= earlier(f.i, f.a) then return 'expired' end
  if f.h == presented then return 'rotated' end
  if f.g ~= '0' and f.p == presented and f.u > edge then return 'retried' end
  return 'reused'
end

-- append writes a revocation. Its number is stored with it in one step, so a reader who has seen a number has seen all below.
local function append(kind, value, below, expires)
  seq = seq + 1
  last = seq
  local n = text(seq)
  if below == '0' and (kind == 'user' or kind == 'all') then below = n end
  redis.call('HSET', meta, 'seq', n, 'last', n)
  redis.call('ZADD', base .. 'log', n, table.concat({kind, n, below, expires, value}, ' '))
  redis.call('ZADD', base .. 'due', ms(expires), 'e' .. n)
  redis.call('PUBLISH', base .. 'revocations', stored[1] .. ' ' .. n)
  return n
end

-- append_session also remembers the number by session, so that doing it again changes nothing.
local function append_session(sid, expires)
  local n = append('session', sid, '0', expires)
  redis.call('SET', base .. 'r:' .. sid, n)
  redis.call('ZADD', base .. 'due', ms(expires), 'r' .. sid)
  return n
end

-- finish makes a family unusable: number n did it.
local function finish(f, n, forget)
  f.r, f.k, f.e1, f.e2 = n, forget, '', ''
  redis.call('HSET', base .. 'f:' .. f.key, 'r', n, 'k', forget, 'e1', '', 'e2', '')
  redis.call('SREM', base .. 'u:' .. f.o, f.key)
  redis.call('ZADD', base .. 'due', ms(forget), 'f' .. f.key)
end

-- revoke ends a family and writes the entry of its session. The entry is kept as store.Retention says: horizon is now and
-- the longest life of a token in force.
local function revoke(f, horizon, slack, latest)
  local expires = plus(later(horizon, later(f.x, latest)), slack)
  finish(f, append_session(f.sid, expires), expires)
end

-- of_user returns the families of a user that no entry of their own has ended, expired ones included.
local function of_user(hash, subject)
  local all = {}
  for _, key in ipairs(redis.call('SMEMBERS', base .. 'u:' .. hash)) do
    local f = load(key)
    if f and f.su == subject then all[#all + 1] = f end
  end
  return all
end
