-- Counts requests against limits, all or none, with the arithmetic of fixed_window.rs and token_bucket.rs.
--
-- KEYS: one counter for each limit.
-- ARGV: requests, maximum lease, divisor of the lease, tokens to return; then for each limit: kind (w or b), limit or
--       nanoseconds per token, period or burst, penalty, id of the window of the returned tokens.
-- Reply: admitted requests, leased tokens, index of the rejecting limit or 0, nanoseconds until the next request may
--       pass; then for each limit: remaining requests, nanoseconds until the reset, id of the window.
--
-- A counter is "FORMAT SECONDS START EXCEEDED COUNT": START and EXCEEDED are nanoseconds after SECONDS, the Unix time of
-- the last change, so that they are exact integers; EXCEEDED is n while the limit is not exceeded.
local time = redis.call('TIME')
local seconds, now = tonumber(time[1]), tonumber(time[2]) * 1000
local need, lease, divisor, returned = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local SECOND = 1000000000

-- The counters, with times relative to the current second.
local limits = {}
for i, key in ipairs(KEYS) do
  local at = 4 + (i - 1) * 5
  local limit = { kind = ARGV[at + 1], a = tonumber(ARGV[at + 2]), b = tonumber(ARGV[at + 3]), c = tonumber(ARGV[at + 4]),
    id = ARGV[at + 5], count = 0 }
  local text = redis.call('GETRANGE', key, 0, 127)
  if text ~= '' then
    local base, start, exceeded, count = string.match(text, '^1 (%d+) (%-?%d+) (%-?[n%d]+) (%d+)$')
    if not base then
      return redis.error_reply('FORMAT the value of a rate limit has an unknown format')
    end
    local shift = (tonumber(base) - seconds) * SECOND
    limit.start, limit.count = tonumber(start) + shift, tonumber(count)
    if exceeded ~= 'n' then limit.exceeded = tonumber(exceeded) + shift end
  end
  limits[i] = limit
end

local function window_end(limit)
  if limit.c == 0 or not limit.exceeded then return limit.start + limit.b end
  return limit.exceeded + limit.c
end

local function acquire(limit)
  if limit.kind == 'b' then
    local full = math.max(limit.start or now, now)
    local next = full + limit.a
    local admitted = next - now <= limit.a * limit.b
    limit.start = admitted and next or full
    limit.retry = next - limit.a * limit.b - now
    return admitted
  end
  if limit.start and now < window_end(limit) then
    limit.count = limit.count + 1
  else
    limit.start, limit.exceeded, limit.count = now, nil, 1
  end
  local admitted = limit.count <= limit.a
  if not admitted and not limit.exceeded then limit.exceeded = now end
  limit.retry = window_end(limit) - now
  return admitted
end

local function give_back(limit, tokens)
  if limit.kind == 'b' then
    limit.start = limit.start - limit.a * tokens
  elseif not limit.exceeded then
    limit.count = math.max(limit.count - tokens, 0)
  end
end

local function remaining(limit)
  if limit.kind == 'w' then return math.max(limit.a - limit.count, 0) end
  local capacity = limit.a * limit.b
  return math.floor((capacity - math.min(limit.start - now, capacity)) / limit.a)
end

local function window_id(limit)
  return string.format('%d:%d', seconds, limit.start)
end

local function is_window(limit, id)
  local base, start = string.match(id, '^(%d+):(%-?%d+)$')
  return base and tonumber(start) + (tonumber(base) - seconds) * SECOND == limit.start
end

-- Without requests and tokens the counters are only read.
local is_read_only = need == 0 and returned == 0
if is_read_only then need = 1 end

local admitted, rejecting = 0, 0
for _ = 1, need do
  for i, limit in ipairs(limits) do
    if not acquire(limit) then
      rejecting = i
      break
    end
  end
  if rejecting > 0 then
    -- All others of this call would be rejected too.
    for i = 1, rejecting - 1 do give_back(limits[i], 1) end
    break
  end
  admitted = admitted + 1
end

local granted = 0
if rejecting == 0 and lease > 0 then
  granted = lease
  for _, limit in ipairs(limits) do granted = math.min(granted, math.floor(remaining(limit) / divisor)) end
  for _, limit in ipairs(limits) do
    if limit.kind == 'b' then limit.start = limit.start + limit.a * granted else limit.count = limit.count + granted end
  end
end

local reply = { admitted, granted, rejecting, rejecting > 0 and limits[rejecting].retry or 0 }
for i, limit in ipairs(limits) do
  if returned > 0 and limit.start and (limit.kind == 'b' or is_window(limit, limit.id)) then give_back(limit, returned) end
  local is_new = not limit.start
  limit.start = limit.start or now
  local resets = limit.kind == 'b' and limit.start - now or limit.start + limit.b - now
  reply[#reply + 1] = remaining(limit)
  reply[#reply + 1] = math.max(resets, 0)
  reply[#reply + 1] = window_id(limit)
  if not is_read_only and not is_new then
    local expires = limit.kind == 'b' and limit.start or window_end(limit)
    -- A second more than needed costs memory only.
    local ttl = math.max(math.ceil((expires - now) / 1000000), 0) + 1000
    local exceeded = limit.exceeded and string.format('%d', limit.exceeded) or 'n'
    redis.call('SET', KEYS[i], string.format('1 %d %d %s %d', seconds, limit.start, exceeded, limit.count), 'PX', string.format('%d', ttl))
  end
end
return reply
