-- The price tiers of a show by their codes, as its drainer wrote them to the store; remembered a second.
local fast = require "fast"

local M = {}

local FRESH_S, KNOWN_MAX = 1, 1000
local known, count = {}, 0

-- The id of a tier as text; nil if the store has none or is away.
function M.id(show, code)
  local now = ngx.now()
  local entry = known[show]
  if not entry or now - entry.at >= FRESH_S then
    local pairs_of, why = fast.call("hgetall", "rush:{show:" .. show .. "}:tiers")
    if not pairs_of then return entry and entry.ids[code], why end
    if count >= KNOWN_MAX then known, count = {}, 0 end
    if not known[show] then count = count + 1 end
    entry = { at = now, ids = {} }
    for i = 1, #pairs_of, 2 do entry.ids[pairs_of[i]] = pairs_of[i + 1] end
    known[show] = entry
  end
  return entry.ids[code]
end

-- Whether this worker has seen the tier on sale; never asks the store.
function M.known(show, code)
  local entry = known[show]
  return entry and entry.ids[code] and true
end

return M
