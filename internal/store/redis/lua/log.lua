-- A page of the log: entries above ARGV[4], ARGV[5] of them at most.
return answer(redis.call('ZRANGEBYSCORE', base .. 'log', '(' .. ARGV[4], '+inf', 'LIMIT', 0, ARGV[5]))
