-- Finds the stored responses of a key, or decides who fetches one.
--
-- KEYS: the responses (a hash: variant -> value), the lock, the mark of waiting gateways, the invalidation of the URL.
-- ARGV: token of the lock or nothing, milliseconds until the lock expires, 1 to skip the responses, largest value.
-- Reply: Unix microseconds, those of the last invalidation or 0, found | fetch | wait | none; then the values.
local time = redis.call('TIME')
local reply = { tonumber(time[1]) * 1000000 + tonumber(time[2]), tonumber(redis.call('GETRANGE', KEYS[4], 0, 31)) or 0, 'none' }
if ARGV[3] ~= '1' then
  for _, field in ipairs(redis.call('HLEN', KEYS[1]) <= 64 and redis.call('HKEYS', KEYS[1]) or {}) do
    -- Another program may have written a value of any size.
    if redis.call('HSTRLEN', KEYS[1], field) <= tonumber(ARGV[4]) then
      reply[#reply + 1] = redis.call('HGET', KEYS[1], field)
      reply[3] = 'found'
    end
  end
end
if reply[3] == 'none' and ARGV[1] ~= '' then
  if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    reply[3] = 'fetch'
  else
    redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
    reply[3] = 'wait'
  end
end
return reply
