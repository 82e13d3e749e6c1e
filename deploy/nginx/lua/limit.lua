-- The limiter at the edge: risk/lua/limit.lua, the file that Django runs too, so that both count together.
--
-- `config.limits` lists what is limited, first match wins: methods, a pattern of the path, how many a second and
-- address, and whether it stays open while the store is away (reads do, placing orders does not).
local config = require "kaipiao.config"
local fast = require "fast"
local answers = require "answers"
local address = require "address"

local M = {}

local script = fast.script(config.scripts.limit)
local WINDOW_MS = 1000

local function rule_for(method, uri)
  for _, rule in ipairs(config.limits) do
    if rule.methods[method] and string.find(uri, rule.path) then return rule end
  end
end

-- risk/limiter.py
local function key(tag, scope, window_ms, subject)
  return "limit:{" .. tag .. "}:" .. scope .. ":" .. window_ms .. ":" .. subject
end

local function tell(scope, most, window_ms, remaining)
  local seconds = math.max(1, math.ceil(window_ms / 1000))
  ngx.header["RateLimit-Policy"] = '"' .. scope .. '";q=' .. most .. ";w=" .. seconds
  ngx.header["RateLimit"] = '"' .. scope .. '";r=' .. remaining .. ";t=" .. seconds
end

local PASSED, REFUSED = "^1 %d+ 0 (%d+) (%d+)$", "^0 (%d+) (%d+)"

-- By address, before anything is known of the request.
function M.check()
  local rule = rule_for(ngx.req.get_method(), ngx.var.uri)
  if not rule then return end
  if rule.per_second <= 0 and rule.open_if_away then return end
  local subject = address.customer()
  -- 0 means that only the store's absence matters.
  local most = rule.per_second > 0 and rule.per_second or 1000000
  local told, why = fast.run(script, { key(subject, rule.scope, WINDOW_MS, subject) }, { most, WINDOW_MS })
  if not told then
    if rule.open_if_away then return end
    ngx.log(ngx.WARN, "orders are closed while the fast store is away: ", why)
    return answers.wait(503, "unavailable", 5)
  end
  local remaining, at_ms = string.match(told, PASSED)
  if remaining then
    ngx.ctx.passed_at_ms = at_ms
    return tell(rule.scope, most, WINDOW_MS, remaining)
  end
  local _, wait_ms = string.match(told, REFUSED)
  tell(rule.scope, most, WINDOW_MS, 0)
  return answers.wait(429, "busy", math.max(1, math.ceil(wait_ms / 1000)))
end

-- To Python, from places that answer most requests themselves: what costs it something is limited by address.
function M.pass_on()
  M.check()
  return ngx.exec("@django")
end

-- By what staff have set for orders of the show, in the counters that Django uses, all in one call: `rules` is what
-- tiers.limits knows. True if the request was refused and answered.
function M.refuses(rules, show, tier, buyer)
  local keys, arguments, is_open = {}, {}, true
  for i, rule in ipairs(rules) do
    local subject = rule.scope == "show" and show or rule.scope == "buyer" and buyer or address.customer()
    keys[i] = key(show, "order:" .. rule.scope, rule.window_ms, subject)
    arguments[2 * i - 1], arguments[2 * i] = rule.limit, rule.window_ms
    is_open = is_open and rule.open_if_away
  end
  local told, why = fast.run(script, keys, arguments)
  if not told then
    if is_open then return false end
    ngx.log(ngx.WARN, "limited orders are closed while the fast store is away: ", why)
    answers.wait(503, "unavailable", 2, show, tier)
    return true
  end
  local index, wait_ms = string.match(told, REFUSED)
  if not index then return false end
  local rule = rules[tonumber(index)]
  tell(rule.scope, rule.limit, rule.window_ms, 0)
  answers.wait(429, "busy", math.max(1, math.ceil(wait_ms / 1000)), show, tier)
  return true
end

return M
