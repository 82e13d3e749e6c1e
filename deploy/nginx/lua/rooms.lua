-- What this worker knows of each waiting room: its counters, at most `FRESH_S` old. A crowd's polls need no more: a
-- place is the number (or its draw), and how many are ahead is a subtraction.
local config = require "kaipiao.config"
local fast = require "fast"

local M = {}

M.lib = dofile(config.scripts.room) -- without a `redis` around it, the script answers its functions
M.script = fast.script(config.scripts.room)

local FRESH_S, REFRESH_TRIES_S = 0.1, 0.05
local known, count = {}, 0
local KNOWN_MAX = 1000

function M.key(show)
  return "room:{show:" .. show .. "}"
end

-- The room, or nil and "unknown" (the store has none) or "away" (the store does not answer and nothing is remembered).
-- While one request refreshes it, the others read what was there; so it is while the store is away.
function M.get(show)
  local now = ngx.now()
  local entry = known[show]
  if entry and (now - entry.at < FRESH_S or now < entry.busy_until) then return entry.room, entry.why end
  if not entry then
    if count >= KNOWN_MAX then known, count = {}, 0 end
    entry = { at = 0, busy_until = 0 }
    known[show] = entry
    count = count + 1
  end
  if entry.room then entry.busy_until = now + REFRESH_TRIES_S end
  local values, why = fast.call("hmget", M.key(show), unpack(M.lib.fields))
  if not values then
    entry.why = "away"
    entry.busy_until = ngx.now() + (entry.room and 1 or 0)
    return entry.room, "away"
  end
  for i = 1, #M.lib.fields do
    if values[i] == ngx.null then values[i] = false end
  end
  local room = M.lib.read(values)
  entry.room, entry.at, entry.busy_until = room, ngx.now(), 0
  entry.why = not room and "unknown" or nil
  return room, entry.why
end

-- The keys of room.lua, as risk/waiting_room.py makes them.
local BUCKETS = 32768
function M.keys(show, epoch, buyer)
  local key = M.key(show)
  local of_epoch = key .. ":" .. epoch .. ":"
  return { key, of_epoch .. (buyer % BUCKETS), of_epoch .. "claims" }, math.floor(buyer / BUCKETS)
end

return M
