-- Take one submission for a price tier: all of it or none of it, in the order in which the store hears of them.
--
-- KEYS  1 the sale (hash)  2 the tier's submissions (stream)  3 the mark of this buyer's client key
--       4 the buyer's seats submitted lately  5 the mark of the admission pass  6 the result of this order number
-- ARGV  1 order number  2 buyer  3 client key  4 quantity  5 chosen seats, ids with commas, or empty
--       6 accept equal seats (1 or 0)  7 now, ms  8 the pass ends at, ms; 0: submitted without a pass
--
-- Answers {verdict, value, wait}: accepted|again <order number> <how long an answer took lately, ms>; not_open <opens at, ms>; limit_reached <left>;
-- sold_out <left>; key_reused, bad_quantity, closed, stopped (by staff), pass_used, cold: ''.
local MEMORY_MS = 3600000     -- how long results and client keys are known here; Postgres knows them for good
local COUNT_MEMORY_MS = 120000 -- a lost decrement refuses a buyer no longer than this; Postgres decides the limit
local number, buyer, key, quantity, seats = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now, pass_until = tonumber(ARGV[7]), tonumber(ARGV[8])

-- A repetition comes first: it needs neither a fresh pass nor a seat.
local asked = quantity .. '~' .. seats
local known = redis.call('GET', KEYS[3])
if known then
  local first, wanted = string.match(known, '^(%w+)~(.*)$')
  if wanted ~= asked then return {'key_reused', ''} end
  return {'again', first, '0'}
end

local sale = redis.call('HMGET', KEYS[1], 'free', 'queued', 'limit', 'most', 'opens', 'closes', 'wait')
if not sale[1] then return {'cold', ''} end
local left = tonumber(sale[1]) - tonumber(sale[2] or 0)
local limit = tonumber(sale[3])
if now < tonumber(sale[5]) then return {'not_open', sale[5]} end
if now >= tonumber(sale[6]) then return {sale[6] == '0' and 'stopped' or 'closed', ''} end
if quantity < 1 or quantity > tonumber(sale[4]) then return {'bad_quantity', ''} end
local taken = tonumber(redis.call('GET', KEYS[4]) or 0)
if taken + quantity > limit then return {'limit_reached', tostring(math.max(0, limit - taken))} end
if quantity > left then return {'sold_out', tostring(math.max(0, left))} end
if pass_until > 0 then
  if pass_until <= now then return {'pass_used', ''} end
  if not redis.call('SET', KEYS[5], number, 'NX', 'PX', pass_until - now) then return {'pass_used', ''} end
end

redis.call('XADD', KEYS[2], '*', 'n', number, 'b', buyer, 'q', quantity, 'k', key, 's', seats, 'e', ARGV[6], 't', now)
redis.call('HINCRBY', KEYS[1], 'queued', quantity)
redis.call('SET', KEYS[3], number .. '~' .. asked, 'PX', MEMORY_MS)
redis.call('SET', KEYS[4], taken + quantity, 'PX', COUNT_MEMORY_MS)
-- An order that is refused gives the pass back, so where its mark is stands with it.
local pass = pass_until > 0 and ',"pass":"' .. KEYS[5] .. '"' or ''
redis.call('SET', KEYS[6], '{"state":"queued","buyer":' .. buyer .. ',"at":' .. ARGV[7] .. pass .. '}', 'PX', MEMORY_MS)
return {'accepted', number, sale[7] or '0'}
