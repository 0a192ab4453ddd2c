-- This server's own clock: seconds since 1970 and microseconds.
local time = redis.call('TIME')
return answer(time[1], time[2])
