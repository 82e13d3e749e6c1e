-- A Redis Cluster from the edge: each question goes to the node that has the slot of its key.
--
-- Where the slots are is read with CLUSTER SLOTS and kept in nginx's shared memory for all workers; each has it as a table.
-- It is read again when a node says that a slot has moved, does not answer, or nobody has a slot. A question that may have
-- reached a node is never repeated by itself: whether a script ran is then not known, and the buyer's client repeats.
local config = require "kaipiao.config"
local node = require "node"
local slots = require "slots"

local M = {}

local find, match, format = string.find, string.match, string.format
local shared = ngx.shared.cluster

-- Tries of one question, and how long it waits between two for a cluster that is just changing, s: half a second in all.
local TRIES, PAUSES_S, WAITING_MAX = 6, { 0.02, 0.04, 0.08, 0.12, 0.24 }, 1000
local READ_AGAIN_S = 0.1 -- the map is read at most so often, whatever happens
local READING_S = 2      -- a worker that died while it read keeps the others no longer
local NEVER = -1

-- -- the map ---------------------------------------------------------------------------------------------------------
local servers = {} -- by "host:port": what is known of a node's health outlives the map
local mine = { version = NEVER, of = {} }

local function server(host, port)
  if find(host, ":", 1, true) and not find(host, "[", 1, true) then host = "[" .. host .. "]" end
  local name = host .. ":" .. port
  local found = servers[name] or node.at(host, tonumber(port))
  servers[name] = found
  return found
end

-- This worker's table of the map that is in force.
local function map()
  local version = shared:get("version") or 0
  if version ~= mine.version then
    local of = {}
    for from, to, host, port in string.gmatch(shared:get("map") or "", "(%d+) (%d+) (%S+) (%d+)\n") do
      local one = server(host, port)
      for slot = tonumber(from), tonumber(to) do of[slot] = one end
    end
    mine = { version = version, of = of }
  end
  return mine.of
end

-- CLUSTER SLOTS as lines "from to host port"; nil where a node does not know them.
local function read_from(one)
  local red = node.connected(one)
  if not red then return nil end
  local told, why = node.settled(one, red, red:cluster("slots"))
  if type(told) ~= "table" or #told == 0 then return nil, why end
  local lines = {}
  for i, range in ipairs(told) do
    local host, port = range[3][1], range[3][2]
    -- A node that does not know its own name answers with none: it is the one that was asked.
    if type(host) ~= "string" or host == "" then host = one.host end
    lines[i] = format("%d %d %s %d\n", range[1], range[2], host, port)
  end
  return table.concat(lines)
end

local function readers(first)
  local all = { first }
  for _, one in pairs(servers) do all[#all + 1] = one end
  for _, seed in ipairs(config.redis.nodes) do all[#all + 1] = server(seed[1], seed[2]) end
  return all
end

-- Read the map again; `first` is asked first. Only one request does, and not more often than `READ_AGAIN_S`; for the
-- others the pause between two tries is long enough.
local function read(first)
  if not shared:add("read lately", true, READ_AGAIN_S) then return end
  if not shared:add("reading", true, READING_S) then return end
  local asked = {}
  for _, one in ipairs(readers(first)) do
    local lines = not asked[one] and read_from(one)
    asked[one] = true
    if lines then
      if lines ~= shared:get("map") then
        shared:set("map", lines)
        shared:incr("version", 1, 0)
      end
      break
    end
  end
  shared:delete("reading")
end

-- -- a question --------------------------------------------------------------------------------------------------------
local function sent(red, asking, question)
  if asking then
    -- The slot is on its way: the node that takes it answers for it if it is asked so.
    local ok, why = red:asking()
    if not ok then return ok, why end
  end
  return red[question.command](red, unpack(question.arguments))
end

-- One try at one node: its answer; or nil, why, and what became of it: "unsent", "refused" (it did nothing) or "unknown".
local function tried(one, asking, question)
  local red, failure = node.connected(one)
  if not red then return nil, failure, "unsent" end
  local answer
  answer, failure = sent(red, asking, question)
  if answer == false and question.text and find(failure, "NOSCRIPT", 1, true) == 1 then
    question.command, question.arguments[1], question.text = "eval", question.text, nil
    answer, failure = sent(red, asking, question)
  end
  local told, why = node.settled(one, red, answer, failure)
  return told, why, answer == false and "refused" or "unknown"
end

-- What a refusal says about where to go: a node, and whether it must be told ASKING; nothing if it says no such thing.
local function redirected(failure, from)
  local kind, host, port = match(failure, "^(%u+) %d+ (%S-):(%d+)$")
  if kind ~= "MOVED" and kind ~= "ASK" then return nil, false end
  return server(host ~= "" and host or from.host, port), kind == "ASK"
end

local PASSING = { "CLUSTERDOWN", "TRYAGAIN", "LOADING" }
local function passes(failure)
  for _, kind in ipairs(PASSING) do
    if find(failure, kind, 1, true) == 1 then return true end
  end
  return false
end

-- Wait for a cluster that is just changing; false if that was long enough, or enough others wait already.
local waiting = 0
local function paused(try)
  local seconds = PAUSES_S[try]
  if not seconds or waiting >= WAITING_MAX then return false end
  waiting = waiting + 1
  ngx.sleep(seconds)
  waiting = waiting - 1
  return true
end

local function owner(slot)
  local one = map()[slot]
  if not one then
    read()
    one = map()[slot]
  end
  return one
end

-- Whether asking the slot's node again may help, where `one` did not do what it was asked.
local function may_help(slot, one, why, became)
  if became == "refused" and not passes(why) then return false end
  read()
  -- Known to be away: whoever found that out waits for another node to take the slot, the others do not.
  return why ~= "away" or map()[slot] ~= one
end

local function ask(key, question)
  local slot, to, asking, why = slots.of(key), nil, false, nil
  for try = 1, TRIES do
    local one = to or owner(slot)
    if one then
      local answer, became
      answer, why, became = tried(one, asking, question)
      if answer ~= nil then return answer end
      if became == "unknown" then
        read()
        return nil, why
      end
      to, asking = nil, false
      if became == "refused" then to, asking = redirected(why, one) end
      if to and not asking then read(to) end
      if not to and not may_help(slot, one, why, became) then return nil, why end
    end
    if not to and not paused(try) then break end
  end
  return nil, why or "no node has the slot"
end

-- One command for the node of `key`: its answer, or nil and why there is none.
function M.ask(key, command, arguments)
  return ask(key, { command = command, arguments = arguments })
end

-- A script of fast.lua with everything that EVAL wants, for the node of `key`.
function M.run(key, script, all)
  return ask(key, { command = "evalsha", arguments = { script.sha, unpack(all) }, text = script.text })
end

return M
