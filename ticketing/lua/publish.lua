-- Answer a batch that Postgres has committed, and drop its messages, in one step: a message is in the stream exactly
-- as long as it has no answer.
--
-- KEYS  1 the sale (hash)  2 the stream  3 the tier's fence  4… results, then counts of buyers who were refused, then
--       marks of passes that were burned for nothing
-- ARGV  1 fence  2 the id after the last message  3 free seats, or empty  4 seats no longer queued  5 lease of the sale, ms
--       6 how many results  7 how long the first of them waited, ms  8… the results (JSON), then how much to take off
--       each count; nothing for a mark, which goes
--
-- Answers 1; 0 when a later drainer has the tier: then its word counts, and nothing was published.
local MEMORY_MS = 3600000
local fence, known = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[3]) or 0)
if known > fence then return 0 end
if known < fence then redis.call('SET', KEYS[3], fence) end
local results = tonumber(ARGV[6])
for i = 1, results do redis.call('SET', KEYS[3 + i], ARGV[7 + i], 'PX', MEMORY_MS) end
for i = results + 1, #KEYS - 3 do
  local key, much = KEYS[3 + i], ARGV[7 + i]
  if not much then
    redis.call('DEL', key)
  elseif redis.call('EXISTS', key) == 1 then
    redis.call('DECRBY', key, much)
  end
end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
-- A sale that is gone is not half written here: its drainer loads it whole.
if redis.call('EXISTS', KEYS[1]) == 1 then
  if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'free', ARGV[3]) end
  redis.call('HSET', KEYS[1], 'wait', ARGV[7])
  redis.call('HINCRBY', KEYS[1], 'queued', -tonumber(ARGV[4]))
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return 1
