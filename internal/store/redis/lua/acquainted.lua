-- Whether ARGV[4] is a place of the account KEYS[2] at ARGV[5].
local known = redis.call('HGET', KEYS[2], ARGV[4])
if known and ARGV[5] < string.sub(known, 21) then return answer(1) end
return answer(0)
