-- The limiter at the edge: risk/lua/limit.lua, the file that Django runs too, so that both count together.
--
-- `config.limits` lists what is limited, first match wins: methods, a pattern of the path, how many a second and
-- address, and whether it stays open while the store is away (reads do, placing orders does not).
local config = require "kaipiao.config"
local fast = require "fast"
local answers = require "answers"

local M = {}

local script = fast.script(config.scripts.limit)

local function rule_for(method, uri)
  for _, rule in ipairs(config.limits) do
    if rule.methods[method] and string.find(uri, rule.path) then return rule end
  end
end

function M.check()
  local rule = rule_for(ngx.req.get_method(), ngx.var.uri)
  if not rule then return end
  if rule.per_second <= 0 and rule.open_if_away then return end
  local address = ngx.var.remote_addr
  -- An IPv6 customer has a whole /64; 0 means that only the store's absence matters.
  local subject = string.match(address, "^(%x*:%x*:%x*:%x*):") or address
  local most = rule.per_second > 0 and rule.per_second or 1000000
  local told, why = fast.run(script, { "limit:{" .. subject .. "}:" .. rule.scope .. ":" .. subject }, { most, 1000 })
  if not told then
    if rule.open_if_away then return end
    ngx.log(ngx.WARN, "orders are closed while the fast store is away: ", why)
    return answers.wait(503, "unavailable", 5)
  end
  local passed, wait_ms, remaining, at_ms = string.match(told, "^(%d) %d+ (%d+) (%d+) (%d+)$")
  if passed == "1" then
    ngx.ctx.passed_at_ms = at_ms
    ngx.header["RateLimit-Policy"] = '"' .. rule.scope .. '";q=' .. most .. ";w=1"
    ngx.header["RateLimit"] = '"' .. rule.scope .. '";r=' .. remaining .. ";t=1"
    return
  end
  return answers.wait(429, "busy", math.max(1, math.ceil(wait_ms / 1000)))
end

return M
