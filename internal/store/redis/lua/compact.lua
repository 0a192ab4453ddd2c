-- Forgets what expired before ARGV[4]; looks at ARGV[5] records at most. Answers how many went and how many it looked at.
-- The index {prefix}:due has them by when they may be due: 'e' entries, 'f' families, 'r' revoked sessions, 'i' ids. A
-- family that was used since is put back further on, so that a refresh need not touch the index.
local now, removed = ARGV[4], 0
local due = redis.call('ZRANGEBYSCORE', base .. 'due', '-inf', '(' .. ms(now), 'LIMIT', 0, ARGV[5])
for _, member in ipairs(due) do
  local kind, rest = string.sub(member, 1, 1), string.sub(member, 2)
  local again
  if kind == 'e' then
    redis.call('ZREMRANGEBYSCORE', base .. 'log', rest, rest)
  elseif kind == 'f' then
    local f = load(rest)
    if f then
      local over = f.k
      if f.r == '0' then over = later(f.x, earlier(f.i, f.a)) end -- a logout must still find how long to distrust
      if over < now then
        redis.call('DEL', base .. 'f:' .. rest, base .. 's:' .. f.sid)
        redis.call('SREM', base .. 'u:' .. f.o, rest)
      else
        again = ms(over)
      end
    end
  else
    redis.call('DEL', base .. kind .. ':' .. rest)
  end
  if again then
    redis.call('ZADD', base .. 'due', again, member)
  else
    redis.call('ZREM', base .. 'due', member)
    removed = removed + 1
  end
end
return answer(removed, #due)
