-- A slot for one call to a channel: at most so many in flight. Slots of callers that died end by themselves.
-- KEYS[1] the slots in use (sorted set: id by end)  ARGV[1] how many  ARGV[2] id  ARGV[3] life in ms
-- answers 1 if the slot is the caller's, else 0
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[3]) * 2)
return 1
