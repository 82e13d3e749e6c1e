-- Where one stands in the waiting room, answered at the edge with the members of risk/room_answers.py.
--
-- Who waits is answered from the worker's memory. Who has come to his turn, or restores a lost mark, goes through
-- room.lua in the store. Whatever is left (no number, a forged one, a new generation) Django answers.
local rooms = require "rooms"
local signing = require "signing"
local fast = require "fast"
local answers = require "answers"
local limit = require "limit"

local M = {}

local floor, ceil, max, format = math.floor, math.ceil, math.max, string.format
local RESTORING_MS = 600000 -- after a loss, polls write the marks again for so long
local AWAY_INTERVAL_MS = 5000

local stamp_at, stamp_text = 0, ""
local function utc(seconds)
  if seconds ~= stamp_at then
    stamp_at, stamp_text = seconds, os.date("!%Y-%m-%dT%H:%M:%SZ", seconds)
  end
  return stamp_text
end

local function minutes(low_s, high_s)
  local low, high = max(1, floor(low_s / 60)), max(1, ceil(high_s / 60))
  if low == high then return low .. " min" end
  return low .. "–" .. high .. " min"
end

local NOBODY_PASSES = { closed = true, draw = true, paused = true }

local BODY = '{"inWaitingRoom":%s,"waitTime":%d,"waitTimeKnown":%s,"waitTimeFormatted":"%s","queueIsFull":false,'
  .. '"queueAll":%s,"lastUpdated":"%s","refreshIntervalSeconds":%.3f,"show":"%s","status":"%s","state":"%s",'
  .. '"number":%.0f,"token":"%s","place":%s,"ahead":%s,"waiting":%.0f,"wait_seconds":%s,"outlook":"%s","pass":%s}'

-- `answer` is what `look` in room.lua answers.
local function tell(show, buyer, answer, token, now)
  local status, number, place, ahead = answer[1], answer[3], answer[4], answer[5]
  local low, high, interval, expires, epoch = answer[7], answer[8], answer[9], answer[11], answer[12]
  local known = high >= 0
  local waiting = status == "waiting"
  local pass = "null"
  if status == "admitted" then
    local nonce = format("%.0f-%.0f-%.0f", epoch, number, buyer)
    local text = signing.sign("admission-pass", {
      show, format("%.0f", buyer), format("%.0f", number), format("%.0f", expires), nonce,
    })
    pass = format('{"token":"%s","expires_at":"%s"}', text, os.date("!%Y-%m-%dT%H:%M:%SZ", expires))
    local kept = "; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax" .. (ngx.var.scheme == "https" and "; Secure" or "")
    ngx.header["Set-Cookie"] = "pass_" .. show .. "=" .. text .. kept
  end
  ngx.status = waiting and 202 or 200
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  if waiting then ngx.header["Retry-After"] = ceil(interval / 1000) end
  ngx.print(format(
    BODY, waiting and "true" or "false", known and ceil(high / 60) or 0, known and "true" or "false",
    known and minutes(low, high) or "", NOBODY_PASSES[answer[2]] and "true" or "false", utc(floor(now / 1000)),
    interval / 1000, show, status, answer[2], number, token, place > 0 and format("%.0f", place) or "null",
    ahead >= 0 and format("%.0f", ahead) or "null", answer[6],
    known and format('{"low":%d,"high":%d}', low, high) or "null", answer[10], pass
  ))
end

local function cookie(name)
  local all = ngx.var.http_cookie
  return all and string.match("; " .. all, "; " .. string.gsub(name, "%-", "%%-") .. "=([^;]*)")
end

-- The first signed number for this show among header, address and cookie: its fields and its text.
local function shown(show)
  local header = ngx.var.http_queue_number
  local fields = header and signing.read("queue-number", header, 4)
  if fields and fields[1] == show then return fields, header end
  -- Programs that follow the letter of the standard write the number's ~ as %7E in an address.
  local argument = ngx.var.arg_number and ngx.unescape_uri(ngx.var.arg_number)
  fields = argument and signing.read("queue-number", argument, 4)
  if fields and fields[1] == show then return fields, argument end
  local kept = cookie("queue_" .. show)
  fields = kept and signing.read("queue-number", kept, 4)
  if fields and fields[1] == show then return fields, kept end
  return nil
end

-- Nothing about this room is known here and the store is away: the place is safe in the buyer's hands.
local function unknown_for_now()
  ngx.header["Retry-After"] = AWAY_INTERVAL_MS / 1000
  return answers.problem(503, "unavailable", "place_kept")
end

function M.serve()
  local method = ngx.req.get_method()
  if method ~= "GET" and method ~= "HEAD" then return limit.pass_on() end
  local show = ngx.var.show
  local fields, token = shown(show)
  if not fields then return limit.pass_on() end
  local buyer, number, epoch = tonumber(fields[2]), tonumber(fields[3]), tonumber(fields[4])

  local room, why = rooms.get(show)
  if not room and why == "away" then return unknown_for_now() end
  if not room or room.epoch ~= epoch then return limit.pass_on() end

  local now = floor(ngx.now() * 1000)
  local answer = rooms.lib.look(room, number, 0, now)
  local in_line = answer[4] == 0 or answer[4] > room.serving
  local restoring = now - room.restored_ms < RESTORING_MS
  if why == "away" or (in_line and number <= room.issued and not restoring and answer[1] ~= "closed") then
    if answer[1] == "turn" then answer[1], answer[9] = "waiting", AWAY_INTERVAL_MS end
    return tell(show, buyer, answer, token, now)
  end

  local keys, field = rooms.keys(show, fields[4], buyer)
  local told = fast.run(rooms.script, keys, { "poll", fields[4], field, fields[3], now })
  if not told then
    if answer[1] == "turn" then answer[1], answer[9] = "waiting", AWAY_INTERVAL_MS end
    return tell(show, buyer, answer, token, now)
  end
  if #told == 2 or told[1] == "unknown" then return limit.pass_on() end
  if told[3] ~= number then
    token = signing.sign("queue-number", { show, fields[2], format("%.0f", told[3]), fields[4] })
  end
  return tell(show, buyer, told, token, now)
end

return M
