-- Holds slots of a concurrency limit for one gateway.
--
-- KEYS: the limit, a hash: gateway -> "FORMAT SLOTS EXPIRES", EXPIRES in Unix milliseconds.
-- ARGV: gateway, wanted slots, limit, milliseconds until the slots expire unless they are held again.
-- Reply: the slots that the gateway holds now.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local node, wanted, limit, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local others = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local slots, expires = string.match(all[i + 1], '^1 (%d+) (%d+)$')
  if not slots then
    return redis.error_reply('FORMAT the value of a concurrency limit has an unknown format')
  end
  if tonumber(expires) <= now then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= node then
    others = others + tonumber(slots)
  end
end

local held = math.min(wanted, math.max(limit - others, 0))
if held == 0 then
  redis.call('HDEL', KEYS[1], node)
else
  redis.call('HSET', KEYS[1], node, string.format('1 %d %d', held, now + ttl))
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return held
