-- The fast store from the edge: a kept connection, and scripts called by their hash, as basis/scripts.py does.
local redis = require "nginx.redis"
local config = require "kaipiao.config"

local M = {}

local POOL_SIZE, IDLE_MS = 64, 30000

local function hex(raw)
  return (string.gsub(raw, ".", function(byte) return string.format("%02x", string.byte(byte)) end))
end

-- A script of the product, read from the file that Django runs too.
function M.script(path)
  local file = assert(io.open(path, "r"), "no script at " .. path)
  local text = file:read("*a")
  file:close()
  return { text = text, sha = hex(ngx.sha1_bin(text)) }
end

local function connected()
  local red = redis:new()
  red:set_timeouts(config.redis.connect_ms, config.redis.timeout_ms, config.redis.timeout_ms)
  local options = { pool = config.redis.pool, pool_size = POOL_SIZE }
  local ok, why
  if config.redis.socket then
    ok, why = red:connect("unix:" .. config.redis.socket, options)
  else
    ok, why = red:connect(config.redis.host, config.redis.port, options)
  end
  if not ok then return nil, why end
  if red:get_reused_times() == 0 then
    if config.redis.password then
      ok, why = red:auth(config.redis.password)
      if not ok then return nil, why end
    end
    if config.redis.db ~= 0 then
      ok, why = red:select(config.redis.db)
      if not ok then return nil, why end
    end
  end
  return red
end

-- Gives the connection back and answers what it answered, or nil and why. One that failed is not used again.
local function settled(red, answer, failure)
  if answer == nil or (answer == false and failure and string.find(failure, "timeout", 1, true)) then
    red:close()
    return nil, failure or "away"
  end
  red:set_keepalive(IDLE_MS, POOL_SIZE)
  if answer == false then return nil, failure end
  return answer
end

-- One command, e.g. call("hmget", key, "a", "b").
function M.call(command, ...)
  local red, why = connected()
  if not red then return nil, why or "away" end
  return settled(red, red[command](red, ...))
end

-- A script's answer, or nil and why the store did not answer; whether the script ran is then not known.
-- Written out, without a closure and a table: this is run for every request.
function M.run(script, keys, arguments)
  local red, why = connected()
  if not red then return nil, why or "away" end
  local n = #keys
  local all = { n, unpack(keys) }
  for i = 1, #arguments do all[n + 1 + i] = arguments[i] end
  local answer, failure = red:evalsha(script.sha, unpack(all))
  if answer == false and failure and string.find(failure, "NOSCRIPT", 1, true) == 1 then
    answer, failure = red:eval(script.text, unpack(all))
  end
  return settled(red, answer, failure)
end

return M
