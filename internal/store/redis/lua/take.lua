-- Counts an event under KEYS[2], a list of the instants of those allowed, oldest first.
--   ARGV[4] limit, [5] now, [6] now minus the window, [7] how long the list is of use, in milliseconds
-- Answers 1 or 0, how many are allowed still, and the instant that must age for one more, or ''.
local key, limit, now = KEYS[2], tonumber(ARGV[4]), ARGV[5]
local events, first = redis.call('LRANGE', key, 0, -1), 1
while events[first] and events[first] <= ARGV[6] do first = first + 1 end
if first > 1 then redis.call('LTRIM', key, first - 1, -1) end
local count = #events - first + 1
if count >= limit then -- the limit may have been lowered: the event that must age is not always the first
  return answer(0, 0, events[#events - limit + 1])
end
if count > 0 and events[#events] > now then now = events[#events] end -- a clock set back must not free the past
redis.call('RPUSH', key, now)
redis.call('PEXPIRE', key, ARGV[7])
if count + 1 < limit then return answer(1, limit - count - 1, '') end
return answer(1, 0, events[first] or now)
