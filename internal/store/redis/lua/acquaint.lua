-- Notes a place of the account KEYS[2], a hash of place to when it was used last and when it expires.
--   ARGV[4] place, [5] now, [6] expires, [7] how many places at most
local key, now = KEYS[2], ARGV[5]
redis.call('HSET', key, ARGV[4], now .. ARGV[6])
local flat, places, longest = redis.call('HGETALL', key), {}, ARGV[6]
for i = 1, #flat, 2 do
  local expires = string.sub(flat[i + 1], 21)
  if now >= expires then
    redis.call('HDEL', key, flat[i])
  else
    places[#places + 1] = {place = flat[i], used = string.sub(flat[i + 1], 1, 20)}
    if expires > longest then longest = expires end
  end
end
-- The place just noted is the last to go, also where others were noted by a clock ahead.
table.sort(places, function(a, b)
  if (a.place == ARGV[4]) ~= (b.place == ARGV[4]) then return b.place == ARGV[4] end
  return a.used < b.used
end)
for i = 1, #places - tonumber(ARGV[7]) do redis.call('HDEL', key, places[i].place) end
redis.call('PEXPIRE', key, text(math.max(tonumber(ms(longest)) - tonumber(ms(now)), 0) + 1000))
return answer()
