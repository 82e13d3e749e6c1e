-- The limiter: exact sliding windows, several rules in one atomic call. Run by Django (risk/limiter.py) and by nginx.
--
-- KEYS[i]           the counter of rule i; all keys share one hash tag
-- ARGV[2i-1], [2i]  its limit and its window in milliseconds
-- answers           "1 <index of the rule with the least remaining> 0 <that> <the store's time in milliseconds>"
--                or "0 <index of the refusing rule> <milliseconds to wait> 0 <the store's time>"
-- One line: nginx reads a reply line by line, and five numbers took as long as the limiter itself.
--
-- Remembering when each request passed would cost memory per request, so the window is cut into 10 slots that are
-- counted. A slot counts until it has left the window entirely, so no window of `window` milliseconds ever lets more than
-- `limit` pass.
--
-- A counter is a packed text: HEAD (width of a slot in ms, the present slot, passed in it, passed in earlier ones that
-- still count), then an ENTRY (slot, passed) for each earlier one, newest first. Earlier slots are added up when a slot
-- begins, not at every request: one key that everybody asks for costs what a key of one's own does.
local SLOTS = 10
local HEAD, ENTRY, HEAD_BYTES, ENTRY_BYTES = '>I4I6I4I4', '>I6I4', 18, 10
local floor, pack, unpack_at, sub = math.floor, struct.pack, struct.unpack, string.sub

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
local least, tightest
local values, begun = {}, {}

for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local width = math.max(1, floor(window / SLOTS))
  local slot, passed, before, past = floor(now / width), 0, 0, ''
  local is_new = true
  local value = redis.call('GET', key)
  if value then
    local of_width, at, count, sum = unpack_at(HEAD, value)
    if of_width == width then
      if at >= slot then
        -- `at` is later than now after the store's clock was put back: that slot lasts longer.
        slot, passed, before, past, is_new = at, count, sum, sub(value, HEAD_BYTES + 1), false
      else
        local oldest, to = slot - math.ceil(window / width), HEAD_BYTES
        if at >= oldest then
          before = count
          while to < #value do
            local earlier, its = unpack_at(ENTRY, value, to + 1)
            if earlier < oldest then break end
            before, to = before + its, to + ENTRY_BYTES
          end
          past = pack(ENTRY, at, count) .. sub(value, HEAD_BYTES + 1, to)
        end
      end
    end
  end
  local used = passed + before
  if used >= limit then
    local first = past == '' and slot or unpack_at(ENTRY, past, #past - ENTRY_BYTES + 1)
    return string.format('0 %d %d 0 %d', i, math.max(1, (first + 1) * width + window - now), now)
  end
  values[i], begun[i] = pack(HEAD, width, slot, passed + 1, before) .. past, is_new
  local remaining = limit - used - 1
  if least == nil or remaining < least then least, tightest = remaining, i end
end

for i, key in ipairs(KEYS) do
  if begun[i] then
    -- The first pass of a slot keeps the counter for two windows, which is longer than the slot and a window.
    redis.call('SET', key, values[i], 'PX', ARGV[2 * i] * 2)
  else
    redis.call('SET', key, values[i], 'KEEPTTL')
  end
end
return string.format('1 %d 0 %d %d', tightest or 0, least or 0, now)
