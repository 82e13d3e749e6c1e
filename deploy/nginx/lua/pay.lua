-- POST and GET /api/v1/rush/orders/<receipt>/payment at the edge: a press on Pay from the wallet, and what became of it.
-- The token is taken as it is: the drainer checks and burns it, with everything else that Postgres decides.
local found, json = pcall(require, "cjson.safe")
local answers = require "answers"
local fast = require "fast"
local limit = require "limit"
local rush = require "rush"

local M = {}

local function away(why)
  ngx.log(ngx.WARN, "no payments while the fast store is away: ", why)
  return answers.wait(503, "unavailable", 1)
end

local function status(tier, order, buyer)
  local told, why = fast.call("get", rush.key(tier, "payment:" .. order))
  if not told then return away(why) end
  if told == ngx.null or not rush.tell(told, buyer, ngx.var.receipt) then return limit.pass_on() end
end

function M.serve()
  local tier, order, buyer = rush.read(ngx.var.receipt)
  if not tier then return answers.problem(404, "not_found") end
  local method = ngx.req.get_method()
  if method == "GET" or method == "HEAD" then return status(tier, order, buyer) end
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  local asked = found and body and json.decode(body)
  if method ~= "POST" or type(asked) ~= "table" or type(asked.token) ~= "string" or #asked.token > 512 or next(asked, next(asked)) then
    return limit.pass_on()
  end
  local told, why = fast.run(rush.pay, {
    rush.key(tier, "presses"), rush.key(tier, "payment:" .. order), rush.key(tier, "sale"),
  }, { order, buyer, asked.token, string.format("%.0f", math.floor(ngx.now() * 1000)) })
  if not told then return away(why) end
  if told[1] == "cold" then return answers.wait(503, "unavailable", 1) end
  local result = told[2] ~= "" and told[2] or '{"state":"queued","buyer":' .. buyer .. "}"
  if not rush.tell(result, buyer, ngx.var.receipt, tonumber(told[3])) then return answers.problem(404, "not_found") end
end

return M
