-- The price tiers of a show by their codes, and the limits that staff have set on its orders, as its drainer wrote them to
-- the store; remembered a second.
local fast = require "fast"

local M = {}

local FRESH_S, KNOWN_MAX = 1, 1000
local known, count = {}, 0

-- ticketing/rush/limits.py: lines of scope, limit, window in ms, and whether it stays open while the store is away.
local function limits_of(show)
  local text = fast.call("get", "rush:{show:" .. show .. "}:limits")
  if not text or text == ngx.null then return nil end
  local rules = {}
  for scope, limit, window_ms, is_open in string.gmatch(text, "(%l+) (%d+) (%d+) (%d)") do
    rules[#rules + 1] = {
      scope = scope, limit = tonumber(limit), window_ms = tonumber(window_ms), open_if_away = is_open == "1",
    }
  end
  return #rules > 0 and rules or nil
end

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
    entry.limits = limits_of(show)
    known[show] = entry
  end
  return entry.ids[code]
end

-- The limits on the show's orders, or nil; of a tier that `id` has just found.
function M.limits(show)
  return known[show].limits
end

-- Whether this worker has seen the tier on sale; never asks the store.
function M.known(show, code)
  local entry = known[show]
  return entry and entry.ids[code] and true
end

return M
