-- POST /api/v1/rush/orders at the edge: the admission pass says who asks, one script does the rest.
local found, json = pcall(require, "cjson.safe")
local signing = require "signing"
local answers = require "answers"
local refused = require "refused"
local fast = require "fast"
local limit = require "limit"
local rush = require "rush"
local tiers = require "tiers"
local rooms = require "rooms"

local M = {}

local MEMBERS = { show = "string", tier = "string", quantity = "number", seats = "table", accept_equal_seats = "boolean" }
local SEATS_MAX = 100
-- What the script refuses with, as ticketing/api_rush.py says it.
local REFUSALS = {
  sold_out = { 409, "sold_out" },
  limit_reached = { 409, "limit_reached" },
  not_open = { 409, "not_on_sale" },
  closed = { 409, "not_on_sale" },
  stopped = { 503, "sale_stopped" },
  bad_quantity = { 400, "bad_quantity" },
  pass_used = { 409, "pass_used" },
  key_reused = { 422, "idempotency_key_reused" },
}

local STOPPED_RETRY_S = 30 -- ticketing/api_orders.py

local function pass_needed(show, tier)
  if tier then refused.count(show, tier, "pass_needed") end
  return answers.problem(403, "pass_needed")
end

local ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
local function digits(value, length)
  local out = {}
  for i = length, 1, -1 do
    local digit = value % 32
    out[i] = string.sub(ALPHABET, digit + 1, digit + 1)
    value = (value - digit) / 32
  end
  return table.concat(out)
end

-- basis/numbers.py: K, milliseconds, 50 random bits, which are nginx's own (its request id is 128 of them).
local function order_number(now)
  local random = ngx.var.request_id
  return "K" .. digits(now, 9) .. digits(tonumber(string.sub(random, 1, 6), 16) % 2 ^ 25 , 5)
    .. digits(tonumber(string.sub(random, 7, 13), 16) % 2 ^ 25, 5)
end

local function whole(value, most)
  return type(value) == "number" and value >= 1 and value <= most and value % 1 == 0
end

-- The body's members, or nil: Django says what is wrong with it.
local function wanted(body)
  local asked = body and json.decode(body)
  if type(asked) ~= "table" then return nil end
  for name, value in pairs(asked) do
    if type(value) ~= MEMBERS[name] then return nil end
  end
  if not asked.show or not asked.tier or (asked.quantity == nil) == (asked.seats == nil) then return nil end
  local ids, seen = {}, {}
  for _, id in ipairs(asked.seats or {}) do
    if not whole(id, 2 ^ 52) then return nil end
    if not seen[id] then ids[#ids + 1], seen[id] = id, true end
  end
  if asked.seats and (#ids < 1 or #ids > SEATS_MAX) then return nil end
  if asked.quantity and not whole(asked.quantity, 100) then return nil end
  table.sort(ids)
  for i, id in ipairs(ids) do ids[i] = string.format("%.0f", id) end
  return asked, asked.quantity or #ids, table.concat(ids, ",")
end

function M.serve()
  ngx.req.read_body()
  if not found or ngx.req.get_method() ~= "POST" then return ngx.exec("@django") end
  local pass = ngx.var.http_admission_pass
  local key = ngx.var.http_idempotency_key
  if not pass or not key or #key > 255 or string.find(key, "[^!-~]") then return ngx.exec("@django") end
  local admitted = signing.read("admission-pass", pass, 5)
  local asked, quantity, seats = wanted(ngx.req.get_body_data())
  -- Counted for shows that are on sale: whoever has no pass could make up a million names.
  if not admitted then return pass_needed(asked and asked.show, asked and tiers.known(asked.show, asked.tier) and asked.tier) end
  if not asked then return ngx.exec("@django") end
  local show, buyer, until_s, nonce = admitted[1], admitted[2], admitted[4], admitted[5]
  if show ~= asked.show then return pass_needed(show, "") end
  -- Where staff have started the room over, passes are void as the numbers are.
  local room = rooms.get(show)
  local epoch = room and string.match(nonce, "^(%d+)%-")
  if epoch and tonumber(epoch) ~= room.epoch then return pass_needed(show, "") end
  local tier = tiers.id(show, asked.tier)
  if not tier then return ngx.exec("@django") end

  local limits = tiers.limits(show)
  if limits and limit.refuses(limits, show, asked.tier, buyer) then return end

  local now = math.floor(ngx.now() * 1000)
  local number = order_number(now)
  local told, why = fast.run(rush.submit, {
    rush.key(tier, "sale"), rush.key(tier, "orders"), rush.key(tier, "key:" .. buyer .. ":" .. key),
    rush.key(tier, "count:" .. buyer), rush.key(tier, "pass:" .. nonce), rush.key(tier, "order:" .. number),
  }, {
    number, buyer, key, string.format("%d", quantity), seats, asked.accept_equal_seats and "1" or "0",
    string.format("%.0f", now), until_s .. "000",
  })
  if not told then
    ngx.log(ngx.WARN, "submissions are closed while the fast store is away: ", why)
    return answers.wait(503, "unavailable", 1, show, asked.tier)
  end
  local verdict = told[1]
  if verdict == "accepted" or verdict == "again" then
    local receipt = rush.receipt(tier, told[2], buyer)
    ngx.header["Location"] = "/api/v1/rush/orders/" .. receipt
    return rush.say(202, string.format('{"state":"queued","receipt":"%s","order":"%s","poll_after_ms":%d}',
      receipt, told[2], rush.poll_after_ms(tonumber(told[3]))))
  end
  local refusal = REFUSALS[verdict]
  if not refusal then return answers.wait(503, "unavailable", 1, show, asked.tier) end
  if verdict == "not_open" then ngx.header["Retry-After"] = 1 end
  if verdict == "stopped" then ngx.header["Retry-After"] = STOPPED_RETRY_S end
  refused.count(show, asked.tier, refusal[2])
  return answers.problem(unpack(refusal))
end

return M
