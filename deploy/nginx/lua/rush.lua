-- What submit, status and pay share: keys, receipts, and how long a buyer is told to wait.
local signing = require "signing"
local config = require "kaipiao.config"
local fast = require "fast"

local M = {}

M.submit = fast.script(config.scripts.ticketing .. "/submit.lua")
M.pay = fast.script(config.scripts.ticketing .. "/pay.lua")

local RECEIPT = "rush-receipt"
-- As ticketing/rush/pressing.py: who has waited long asks again later, so that polls stay few whatever the pipeline does.
local POLL_MIN_MS, POLL_MAX_MS, OF_WAITED = 200, 4000, 0.6

-- ticketing/rush/keys.py
function M.key(tier, what)
  return "rush:{tier:" .. tier .. "}:" .. what
end

function M.receipt(tier, order, buyer)
  return signing.sign(RECEIPT, { tier, order, buyer })
end

-- Tier, order and buyer of a receipt of ours, as texts; nil for any other.
function M.read(receipt)
  local fields = signing.read(RECEIPT, receipt, 3)
  if fields then return fields[1], fields[2], fields[3] end
end

-- `others_ms`: how long the tier's last batch waited; `since_ms`: since when this buyer does.
function M.poll_after_ms(others_ms, since_ms)
  local waited = since_ms and ngx.now() * 1000 - since_ms or 0
  local after = math.min(POLL_MAX_MS, math.max(POLL_MIN_MS, others_ms or 0, waited * OF_WAITED))
  return math.floor(after * (1 + math.random() / 4))
end

function M.say(status, body)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  if status == 202 then ngx.header["Retry-After"] = 1 end
  ngx.print(body)
end

-- A result as the store has it, for its own buyer; false if it is another's.
function M.tell(told, buyer, receipt, others_ms)
  if not string.find(told, '"buyer":' .. buyer .. '[,}]') then return false end
  if string.find(told, '"state":"queued"', 1, true) then
    M.say(202, string.format('{"state":"queued","receipt":"%s","poll_after_ms":%d}', receipt,
      M.poll_after_ms(others_ms, tonumber(string.match(told, '"at":(%d+)')))))
  else
    -- Whose it is and the mark of its token are ours to know.
    told = string.gsub(told, '"buyer":%d+,', "", 1)
    told = string.gsub(told, ',"mark":"%x+"', "", 1)
    M.say(200, '{"receipt":"' .. receipt .. '",' .. string.sub(told, 2))
  end
  return true
end

return M
