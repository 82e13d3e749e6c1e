-- What the edge refuses, counted by show, tier and reason for those who watch the sale (risk/refusals.py reads it).
--
-- A refusal costs one addition in nginx's own memory; a timer of one worker carries the sums to the store once a second.
-- While the store is away they wait here; what a restart of nginx loses is one second's.
local fast = require "fast"

local M = {}

local FLUSH_S, KEPT_S, HOUR_S = 1, 48 * 3600, 3600
local sums = ngx.shared.refusals

-- `show` empty: refused before anything was known of one. `tier` empty: it is not known. Neither may hold a space.
function M.count(show, tier, reason)
  sums:incr(show .. " " .. tier .. " " .. reason, 1, 0)
end

local function add(key, field, times)
  local told = fast.call("hincrby", key, field, times)
  return told and (told > times or fast.call("expire", key, KEPT_S)) and true
end

local function carry(entry, times, hour)
  local show, tier, reason = string.match(entry, "^(%S*) (%S*) (%S+)$")
  if show == "" then return add("refusals:{edge}:" .. hour, reason, times) end
  local key = "refusals:{show:" .. show .. "}:" .. hour
  if tier ~= "" then add(key .. ":tiers", tier .. ":" .. reason, times) end
  return add(key, reason, times)
end

function M.flush()
  local hour = math.floor(ngx.time() / HOUR_S)
  for _, entry in ipairs(sums:get_keys(0)) do
    local times = sums:get(entry) or 0
    if times > 0 then
      -- Taken before it is carried: of two workers during a reload only one finds it.
      local left = sums:incr(entry, -times)
      if left and left < 0 then
        sums:incr(entry, times)
      elseif not carry(entry, times, hour) then
        sums:incr(entry, times)
        return
      end
    end
  end
end

function M.start()
  if ngx.worker.id() ~= 0 then return end
  assert(ngx.timer.every(FLUSH_S, function(premature)
    if not premature then M.flush() end
  end))
end

return M
