-- Ends a fetch: stores its response if there is one, releases the lock, and wakes the gateways that wait.
--
-- KEYS: the responses, the lock, the mark of waiting gateways.
-- ARGV: token, channel, message; then, with a response: variant, value, milliseconds until it expires, most variants.
if #ARGV > 3 then
  if redis.call('HEXISTS', KEYS[1], ARGV[4]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[7]) then
    redis.call('HDEL', KEYS[1], redis.call('HKEYS', KEYS[1])[1])
  end
  redis.call('HSET', KEYS[1], ARGV[4], ARGV[5])
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[6]) then redis.call('PEXPIRE', KEYS[1], ARGV[6]) end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
  if redis.call('DEL', KEYS[3]) == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
end
return redis.status_reply('OK')
