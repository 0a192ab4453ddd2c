-- Presents a token. Doing it again, after an answer was lost, is a retry inside the window like any other.
--   ARGV[4] key, [5] hash of the token, [6] now, [7] now minus the retry window, [8] idle expiry, [9] access expiry,
--   [10] hash of the successor, [11] [12] the sealed successor in two parts: values up to 64 bytes keep the hash small,
--   [13] horizon, [14] slack, [15] the absolute expiry, if that is later
-- Answers the outcome and the family after the step.
local f = load(ARGV[4])
if not f then return answer('') end
local outcome, now = judge(f, ARGV[5], ARGV[6], ARGV[7]), ARGV[6]
local key = base .. 'f:' .. f.key
if outcome == 'rotated' then
  f.p, f.h, f.e1, f.e2 = f.h, ARGV[10], ARGV[11], ARGV[12]
  f.g, f.u, f.i, f.x = text(tonumber(f.g) + 1), now, ARGV[8], later(f.x, ARGV[9])
  f.a = later(f.a, ARGV[15])
  redis.call('HSET', key, 'p', f.p, 'h', f.h, 'e1', f.e1, 'e2', f.e2, 'g', f.g, 'u', f.u, 'i', f.i, 'a', f.a, 'x', f.x)
elseif outcome == 'retried' then
  if ARGV[9] > f.x or ARGV[15] > f.a then
    f.x, f.a = later(f.x, ARGV[9]), later(f.a, ARGV[15])
    redis.call('HSET', key, 'x', f.x, 'a', f.a)
  end
elseif outcome == 'reused' then
  revoke(f, ARGV[13], ARGV[14], zero)
end
return answer(outcome, raw(f))
