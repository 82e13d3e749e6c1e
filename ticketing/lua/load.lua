-- Write a tier's sale from what Postgres says; what is queued is counted in the stream itself.
--
-- KEYS  1 the sale (hash)  2 the tier's submissions (stream)  3 the tier's fence
-- ARGV  1 fence  2 free seats  3 seats a buyer may have  4 seats an order may have  5 opens at, ms  6 closes at, ms; 0: stopped
--       7 lease of the sale, ms: without a living drainer nothing is accepted
--
-- Answers 1; 0 when a later drainer has the tier.
local fence, known = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[3]) or 0)
if known > fence then return 0 end
if known < fence then redis.call('SET', KEYS[3], fence) end
local queued, from = 0, '-'
while true do
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1000)
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    for i = 1, #fields, 2 do
      if fields[i] == 'q' then queued = queued + (tonumber(fields[i + 1]) or 0) end
    end
  end
  if #entries < 1000 then break end
  from = '(' .. entries[#entries][1]
end
redis.call('HSET', KEYS[1], 'free', ARGV[2], 'queued', queued, 'limit', ARGV[3], 'most', ARGV[4],
  'opens', ARGV[5], 'closes', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return 1
