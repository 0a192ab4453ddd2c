-- Takes back the newest event under KEYS[2].
redis.call('RPOP', KEYS[2])
return answer()
