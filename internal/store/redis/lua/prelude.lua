-- Stands in front of every operation. KEYS[1] is {prefix}:meta, a hash: id, seq (the newest number of the sequence), last
-- (the newest revocation), before (all sessions below it are revoked), run (the server that numbers were given by).
--   ARGV[1] the id of the store that the caller knows
--   ARGV[2] the newest revocation that the caller has seen: a server that has less has lost some
--   ARGV[3] the newest number that the caller has seen: it is never given again
-- An operation's own arguments begin at ARGV[4]. Times are decimal nanoseconds since 1970, always 20 digits, so that
-- they compare as strings: Lua's numbers are floats and hold 53 bits. The sequence stays below 2^53 until the year 2242.
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)
local stored = redis.call('HMGET', meta, 'id', 'seq', 'last', 'before')
if stored[1] ~= ARGV[1] then return {'other'} end
local seq, last, before = tonumber(stored[2]), tonumber(stored[3]), tonumber(stored[4])
if last < tonumber(ARGV[2]) then return {'lost'} end
seq = math.max(seq, tonumber(ARGV[3]))

-- text writes a number without an exponent, which tostring would use.
local function text(n) return string.format('%.0f', n) end

-- ms is a time in milliseconds, as the score of an index; rounded down.
local function ms(stamp) return string.sub(stamp, 1, 14) end

local function answer(...) return {'ok', text(last), text(seq), ...} end
