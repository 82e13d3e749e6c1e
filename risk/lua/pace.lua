-- One step of the pacer (risk/pacing.py), taken only if the room still is as the pacer saw it: two pacers, or one that
-- slept, cannot let the same people in twice.
--
-- KEYS[1]  the room          KEYS[2]  the waves: a list of "second:serving:claims:finished:issued:left", one a second
-- KEYS[3…] what else belongs to this generation: bitmaps by place
-- ARGV     epoch, serving as it was seen, serving from now on, second, wave, waves to keep, then names and values
-- answers  1 if taken, 0 if the room had changed
local seen = redis.call("HMGET", KEYS[1], "epoch", "serving")
if seen[1] ~= ARGV[1] or seen[2] ~= ARGV[2] then return 0 end
redis.call("HSET", KEYS[1], "serving", ARGV[3], unpack(ARGV, 7))
local last = redis.call("LINDEX", KEYS[2], -1)
if last and string.match(last, "^%d+") == ARGV[4] then
  redis.call("LSET", KEYS[2], -1, ARGV[5])
else
  redis.call("RPUSH", KEYS[2], ARGV[5])
  redis.call("LTRIM", KEYS[2], -tonumber(ARGV[6]), -1)
end
-- As long as the marks of buyers (room.lua): nothing of a room that nobody steers any more stays for good. Whoever still
-- asks has the room restored from Postgres.
for i = 1, #KEYS do redis.call("PEXPIRE", KEYS[i], 14 * 24 * 3600 * 1000) end
return 1
