-- GET /api/v1/rush/orders/<receipt> at the edge: one GET of the store. What it forgot, Django asks Postgres for.
local answers = require "answers"
local fast = require "fast"
local limit = require "limit"
local rush = require "rush"

local M = {}

function M.serve()
  local tier, order, buyer = rush.read(ngx.var.receipt)
  if not tier then return answers.problem(404, "not_found") end
  local told, why = fast.call("get", rush.key(tier, "order:" .. order))
  if not told then
    ngx.log(ngx.WARN, "no status while the fast store is away: ", why)
    return answers.wait(503, "unavailable", 1)
  end
  if told == ngx.null or not rush.tell(told, buyer, ngx.var.receipt) then return limit.pass_on() end
end

return M
