-- Seats of a tier came back (an order expired, was cancelled or refunded): they can be submitted for at once.
--
-- KEYS  1 the sale (hash)  2… counts of the buyers who had them
-- ARGV  1 seats  2… how many of them each buyer had
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'free', ARGV[1])
  -- The drainer looks at the rows themselves before it chooses again.
  redis.call('HSET', KEYS[1], 'dirty', 1)
end
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('DECRBY', KEYS[i], ARGV[i]) end
end
return 1
