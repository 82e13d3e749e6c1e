-- One server of the fast store: a kept connection, and what is known of its health. How long it may take is set in
-- edge.conf (lua_socket_*_timeout): Debian's client knows one timeout for everything.
local redis = require "nginx.redis"
local config = require "kaipiao.config"

local M = {}

local POOL_SIZE, IDLE_MS = 64, 30000
-- As basis/fast.py: a server that stays silent costs every question the whole timeout. For so long after it nobody asks;
-- then one request finds out, and the others go on without.
local AWAY_S = 1
local GONE = { timeout = true, ["connection refused"] = true, ["no route to host"] = true }

-- What `connected` wants: where a server is, and how its pool is called.
function M.at(host, port)
  return { host = host, port = port, away_until = 0, pool = { pool = host .. ":" .. port, pool_size = POOL_SIZE } }
end

function M.single()
  local store = config.redis
  if not store.socket then
    local found = M.at(store.host, store.port)
    found.pool.pool = store.pool
    return found
  end
  return { host = "unix:" .. store.socket, away_until = 0, pool = { pool = store.pool, pool_size = POOL_SIZE } }
end

local function greeted(red)
  if config.redis.password then
    local ok, why = red:auth(config.redis.password)
    if not ok then return nil, why end
  end
  if config.redis.db ~= 0 then return red:select(config.redis.db) end
  return true
end

-- A connection, or nil and why not; then nothing was asked of the server.
function M.connected(server)
  if server.away_until > 0 then
    local now = ngx.now()
    if now < server.away_until then return nil, "away" end
    server.away_until = now + AWAY_S
  end
  local red = redis:new()
  local ok, why
  if server.port then
    ok, why = red:connect(server.host, server.port, server.pool)
  else
    ok, why = red:connect(server.host, server.pool)
  end
  if ok and red:get_reused_times() == 0 then ok, why = greeted(red) end
  if ok then return red end
  -- Not for anything else: a backlog that is full for a moment says that many ask, not that nobody answers.
  if GONE[why] then server.away_until = ngx.now() + AWAY_S end
  return nil, why or "not reached"
end

-- Gives the connection back and answers what it answered, or nil and why. One that failed is not used again.
function M.settled(server, red, answer, failure)
  if answer == nil then
    if failure == "timeout" then server.away_until = ngx.now() + AWAY_S end
    red:close()
    return nil, failure or "away"
  end
  server.away_until = 0
  red:set_keepalive(IDLE_MS, POOL_SIZE)
  if answer == false then return nil, failure end
  return answer
end

return M
