-- Take one press on Pay from the wallet for an order of this tier. A thousand presses are one message.
--
-- KEYS  1 the tier's presses (stream)  2 the result of this order's payment  3 the sale (hash)
-- ARGV  1 order number  2 buyer  3 payment token  4 now, ms
--
-- Answers {verdict, result, wait}: queued '' (now or by an earlier press) and how long an answer took lately, ms; or done
-- <the result, JSON>; cold '': nobody drains.
local MEMORY_MS = 3600000
local mark = string.sub(redis.sha1hex(ARGV[3]), 1, 16)
local known = redis.call('GET', KEYS[2])
if known then
  local result = cjson.decode(known)
  if result.state == 'queued' then return {'queued', '', '0'} end
  -- A refused payment may be tried again, with the token of the next try.
  if result.state == 'paid' or result.mark == mark then return {'done', known, '0'} end
end
local sale = redis.call('HMGET', KEYS[3], 'free', 'wait')
if not sale[1] then return {'cold', '', '0'} end
redis.call('XADD', KEYS[1], '*', 'n', ARGV[1], 'b', ARGV[2], 'p', ARGV[3], 't', ARGV[4])
redis.call('SET', KEYS[2], '{"state":"queued","buyer":' .. ARGV[2] .. ',"at":' .. ARGV[4] .. ',"mark":"' .. mark .. '"}', 'PX', MEMORY_MS)
return {'queued', '', sale[2] or '0'}
