-- Sliding counters of one request, all in one atomic call (risk/counters.py).
--
-- KEYS[1 .. n]      counters, one hash of slots each: by buyer, address, device
-- KEYS[n+1 .. ]     pairs of HyperLogLogs, this hour's and the last one's: who was seen with whom
-- ARGV[1]           n
-- ARGV[2], [3 .. 2+w] the number w of windows, then the windows in seconds
-- ARGV[3+w ..]      per pair of HyperLogLogs the member to add
-- answers           n * w counts (counter by counter, window by window), then one number of members per pair
--
-- Slots are 1/20 of the longest window that they serve, so a count is at most 5 % of a window too high, never too low.
local n, w = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1])
local windows, longest = {}, 0
for i = 1, w do
  windows[i] = tonumber(ARGV[2 + i])
  if windows[i] > longest then longest = windows[i] end
end
local answers = {}

for i = 1, n do
  local key = KEYS[i]
  -- Two grains: seconds serve the windows up to 60 s, slots of longest/20 the longer ones.
  local coarse = math.max(1, math.floor(longest / 20))
  redis.call('HINCRBY', key, 's' .. now, 1)
  redis.call('HINCRBY', key, 'c' .. math.floor(now / coarse), 1)
  redis.call('EXPIRE', key, longest + coarse)
  local counts, dead = {}, {}
  for j = 1, w do counts[j] = 0 end
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    local grain, at, seen = string.sub(all[j], 1, 1), tonumber(string.sub(all[j], 2)), tonumber(all[j + 1])
    if grain == 's' then
      if at <= now - 60 then dead[#dead + 1] = all[j] end
      for k = 1, w do
        if windows[k] <= 60 and at > now - windows[k] then counts[k] = counts[k] + seen end
      end
    else
      if at < math.floor((now - longest) / coarse) then dead[#dead + 1] = all[j] end
      for k = 1, w do
        if windows[k] > 60 and at >= math.floor((now - windows[k]) / coarse) then counts[k] = counts[k] + seen end
      end
    end
  end
  if #dead > 0 then redis.call('HDEL', key, unpack(dead)) end
  for j = 1, w do answers[#answers + 1] = counts[j] end
end

local member = 3 + w
for i = n + 1, #KEYS, 2 do
  redis.call('PFADD', KEYS[i], ARGV[member])
  redis.call('EXPIRE', KEYS[i], 7200)
  answers[#answers + 1] = redis.call('PFCOUNT', KEYS[i], KEYS[i + 1])
  member = member + 1
end
return answers
