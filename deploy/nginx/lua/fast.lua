-- The fast store from the edge: one server or a cluster of them, and scripts called by their hash, as basis/scripts.py
-- does.
local config = require "kaipiao.config"
local node = require "node"

local M = {}

local find = string.find
local connected, settled = node.connected, node.settled

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

-- The number of keys, the keys, the arguments: what EVAL wants. Without a closure: this is run for every request.
local function flat(keys, arguments)
  local n = #keys
  local all = { n, unpack(keys) }
  for i = 1, #arguments do all[n + 1 + i] = arguments[i] end
  return all
end

if config.redis.cluster then
  local cluster = require "cluster"

  function M.call(command, key, ...)
    return cluster.ask(key, command, { key, ... })
  end

  function M.run(script, keys, arguments)
    return cluster.run(keys[1], script, flat(keys, arguments))
  end

  return M
end

local store = node.single()

-- One command, e.g. call("hmget", key, "a", "b").
function M.call(command, ...)
  local red, why = connected(store)
  if not red then return nil, why end
  return settled(store, red, red[command](red, ...))
end

-- A script's answer, or nil and why the store did not answer; whether the script ran is then not known.
function M.run(script, keys, arguments)
  local red, why = connected(store)
  if not red then return nil, why end
  local all = flat(keys, arguments)
  local answer, failure = red:evalsha(script.sha, unpack(all))
  if answer == false and failure and find(failure, "NOSCRIPT", 1, true) == 1 then
    answer, failure = red:eval(script.text, unpack(all))
  end
  return settled(store, red, answer, failure)
end

return M
