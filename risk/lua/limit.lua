-- The limiter: exact sliding windows, several rules in one atomic call. Run by Django (risk/limiter.py) and by nginx.
--
-- KEYS[i]           the counter of rule i; all keys share one hash tag
-- ARGV[2i-1], [2i]  its limit and its window in milliseconds
-- answers           "1 0 0 <least remaining> <the store's time in milliseconds>"
--                or "0 <index of the refusing rule> <milliseconds to wait> 0 <the store's time>"
-- One line: nginx reads a reply line by line, and five numbers took as long as the limiter itself.
--
-- Each rule keeps the times of its last `limit` passes in a ring: a list as long as its limit would cost memory per
-- request, so the window is cut into 10 slots that are counted in a hash. A slot counts until it has left the window
-- entirely, so no window of `window` milliseconds ever lets more than `limit` pass.
local SLOTS = 10

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local least = nil
local slots = {}

for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local width = math.max(1, math.floor(window / SLOTS))
  local slot = math.floor(now / width)
  local oldest = math.floor((now - window) / width)
  slots[i] = slot
  local used, first = 0, nil
  local counts = redis.call('HGETALL', key)
  local dead = {}
  for j = 1, #counts, 2 do
    local at = tonumber(counts[j])
    if at < oldest then
      dead[#dead + 1] = counts[j]
    else
      used = used + tonumber(counts[j + 1])
      if first == nil or at < first then first = at end
    end
  end
  if #dead > 0 then redis.call('HDEL', key, unpack(dead)) end
  if used >= limit then
    local free_at = ((first or slot) + 1) * width + window
    return string.format('0 %d %d 0 %d', i, math.max(1, free_at - now), now)
  end
  local remaining = limit - used - 1
  if least == nil or remaining < least then least = remaining end
end

for i, key in ipairs(KEYS) do
  -- The first pass of a slot keeps the counter for two windows, which is longer than the slot and a window.
  if redis.call('HINCRBY', key, slots[i], 1) == 1 then
    redis.call('PEXPIRE', key, tonumber(ARGV[2 * i]) * 2)
  end
end
return string.format('1 0 0 %d %d', least or 0, now)
