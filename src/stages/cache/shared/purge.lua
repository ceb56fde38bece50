-- Records a purge and announces it.
--
-- KEYS: the number of purges, the last purges (a sorted set by number).
-- ARGV: the purge, the channel, how many purges are kept.
-- Reply: the number of the purge.
local number = redis.call('INCR', KEYS[1])
redis.call('ZADD', KEYS[2], number, number .. ' ' .. ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[3]))
redis.call('PUBLISH', ARGV[2], number .. ' ' .. ARGV[1])
return number
