-- The leases of edges, {prefix}:leases, a hash of edge to the number it has applied and when the lease ends by this server's
-- own clock. Forgets those that ran out a minute ago.
--   ARGV[4] 'put', 'drop' or 'list', [5] edge, [6] applied, [7] length in milliseconds
local key, time = base .. 'leases', redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[4] == 'put' then
  redis.call('HSET', key, ARGV[5], ARGV[6] .. ' ' .. text(now + tonumber(ARGV[7])))
elseif ARGV[4] == 'drop' then
  redis.call('HDEL', key, ARGV[5])
end
local flat, leases, longest = redis.call('HGETALL', key), {}, 0
for i = 1, #flat, 2 do
  local applied, ends = string.match(flat[i + 1], '^(%d+) (%d+)$')
  local left = tonumber(ends) - now
  longest = math.max(longest, left)
  if left < -60000 then
    redis.call('HDEL', key, flat[i])
  elseif ARGV[4] == 'list' then
    leases[#leases + 1] = {flat[i], applied, text(left)}
  end
end
if ARGV[4] == 'put' then redis.call('PEXPIRE', key, text(longest + 61000)) end
return answer(leases)
