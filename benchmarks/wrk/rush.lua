-- The buyers of a rush for wrk (one thread): each submits, asks when told to, presses Pay, asks again.
-- RUSH_BUYERS: a file of lines `signed tier quantity`, signed a queue number (RUSH_QUEUE=1) or an admission pass; RUSH_SHOW; RUSH_WINDOW: how many are under way at once;
-- RUSH_TOLD: where the counts go, JSON. Ends by itself when every buyer has an answer.
local ffi = require "ffi"
ffi.cdef [[ typedef struct { long s; long us; } kaipiao_tv; int gettimeofday(kaipiao_tv *tv, void *zone); ]]
local tv = ffi.new "kaipiao_tv"
local function now()
  ffi.C.gettimeofday(tv, nil)
  return tonumber(tv.s) * 1000 + tonumber(tv.us) / 1000
end

local show, window = os.getenv "RUSH_SHOW", tonumber(os.getenv "RUSH_WINDOW")
local give_up_ms = 1000 * tonumber(os.getenv "RUSH_GIVE_UP_S" or 100)
local queue = os.getenv "RUSH_QUEUE" == "1"
-- Whose tier is sold out asks for the next cheaper one, and the cheapest one's buyers for the dearest.
local another = { GOLD = "SILVER", SILVER = "BRONZE", BRONZE = "UPPER", UPPER = "GOLD" }
-- Forty thousand buyers live as long as the run: marking them again and again cost a third of the generator's time.
collectgarbage("setpause", 1000)
local buyers = {}
for line in io.lines(os.getenv "RUSH_BUYERS") do
  local signed, tier, quantity = string.match(line, "^(%S+) (%S+) (%d+)$")
  buyers[#buyers + 1] = { number = signed, pass = not queue and signed, tier = tier, first = tier, quantity = quantity }
end

local SLOT_MS, IDLE_MS = 5, 100
local slots, slot = {}, nil           -- what is due when, in slots of some milliseconds
local ready, head, tail = {}, 1, 0    -- what is due now
local verified = false                -- wrk calls request once without sending it
local next_buyer, under_way, over, serial = 1, 0, 0, 0
local sent = {}                       -- by request id: what was asked, for whom, when
local unused = {}                     -- ids whose answers came: a new text for each would cost more than sending it
local counts, took = {}, { queue = {}, submit = {}, status = {}, pay = {} }
local begun, ended

local function count(name) counts[name] = (counts[name] or 0) + 1 end

local function later(job, ms)
  local at = math.floor((now() + ms) / SLOT_MS)
  if slot and at <= slot then at = slot + 1 end
  slots[at] = slots[at] or {}
  table.insert(slots[at], job)
end

local function turn()
  local current = math.floor(now() / SLOT_MS)
  slot = slot or current - 1
  while slot < current do
    slot = slot + 1
    for _, job in ipairs(slots[slot] or {}) do
      tail = tail + 1
      ready[tail] = job
    end
    slots[slot] = nil
  end
end

local function share(values, part)
  table.sort(values)
  return #values > 0 and values[math.max(1, math.floor(#values * part))] or 0
end

local function tell()
  local out = io.open(os.getenv "RUSH_TOLD", "w")
  out:write(string.format('{"begun_ms":%.3f,"ended_ms":%.3f,"requests":%d,"under_way":%d,"counts":{', begun, ended or now(),
    serial, #buyers - over))
  local parts = {}
  for name, n in pairs(counts) do parts[#parts + 1] = string.format('"%s":%d', name, n) end
  out:write(table.concat(parts, ","), '},"took_ms":{')
  parts = {}
  for kind, values in pairs(took) do
    parts[#parts + 1] = string.format('"%s":{"n":%d,"p50":%.1f,"p99":%.1f,"max":%.1f}', kind, #values,
      share(values, 0.5), share(values, 0.99), share(values, 1))
  end
  out:write(table.concat(parts, ","), "}}")
  out:close()
end

local function finished(what)
  count(what)
  under_way, over = under_way - 1, over + 1
  if what == "paid" then ended = now() end
  if over == #buyers then
    tell()
    wrk.thread:stop()
  end
end

function delay()
  if begun and now() - begun > give_up_ms then
    give_up_ms = math.huge
    tell()
    wrk.thread:stop()
  end
  turn()
  if head <= tail or (next_buyer <= #buyers and under_way < window) then return 0 end
  return IDLE_MS
end

-- wrk.format builds every request from tables; a rush is a quarter of a million of them.
local function raw(method, path, id, headers, body)
  return method .. " " .. path .. " HTTP/1.1\r\nHost: rush\r\nX-Request-ID: " .. id .. "\r\n" .. headers
    .. (body and "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body or "\r\n")
end

local function ask(kind, buyer, method, path, headers, body)
  serial = serial + 1
  local id = table.remove(unused) or "rush-" .. (10000000 + serial)
  sent[id] = { kind, buyer, now() }
  return raw(method, path, id, headers, body)
end

local queue_path = "/api/v1/shows/" .. show .. "/queue"
local wanted = '{"show":"' .. show .. '","tier":"'

function request()
  if not verified then
    verified = true
    return raw("GET", "/edge/livez", "rush-idle", "")
  end
  begun = begun or now()
  turn()
  local job = ready[head]
  if job then
    ready[head] = nil
    head = head + 1
    local buyer = job[2]
    if job[1] == "submit" or job[1] == "queue" then under_way = under_way - 1
    elseif job[1] == "pay" then
      return ask("pay", buyer, "POST", buyer.address .. "/payment", "", '{"token":"' .. buyer.token .. '"}')
    else
      return ask("status", buyer, "GET", buyer.address .. (buyer.pressed and "/payment" or ""), "")
    end
  end
  local buyer = job and job[2] or (under_way < window and buyers[next_buyer])
  if not buyer then return raw("GET", "/edge/livez", "rush-idle", "") end
  if not job then next_buyer = next_buyer + 1 end
  under_way = under_way + 1
  if not buyer.pass then
    return ask("queue", buyer, "GET", queue_path, "Queue-Number: " .. buyer.number .. "\r\n")
  end
  return ask("submit", buyer, "POST", "/api/v1/rush/orders",
    "Admission-Pass: " .. buyer.pass .. "\r\nIdempotency-Key: rush-" .. buyer.tier .. "\r\n",
    wanted .. buyer.tier .. '","quantity":' .. buyer.quantity .. "}")
end

function response(status, headers, body)
  local id = headers["X-Request-ID"]
  local asked = sent[id]
  if not asked then count "idle" return end
  sent[id] = nil
  unused[#unused + 1] = id
  local kind, buyer = asked[1], asked[2]
  table.insert(took[kind], now() - asked[3])
  local state = string.match(body, '"state":"(%a+)"')
  if kind == "queue" and (status == 200 or status == 202) then
    buyer.pass = string.match(body, '"pass": ?{"token": ?"([^"]+)"')
    local standing = string.match(body, '"status": ?"([%a_]+)"')
    if buyer.pass then later({ "submit", buyer }, 0)
    elseif standing == "waiting" then
      later({ "queue", buyer }, 1000 * tonumber(string.match(body, '"refreshIntervalSeconds": ?([%d.]+)')))
    else finished("queue " .. standing) end
  elseif status == 429 or status == 503 then
    count("told to wait")
    later({ kind, buyer }, 1000)
  elseif state == "queued" then
    local receipt = string.match(body, '"receipt":"([^"]+)"')
    buyer.address = "/api/v1/rush/orders/" .. receipt
    if kind == "pay" then buyer.pressed = true end
    later({ "status", buyer }, tonumber(string.match(body, '"poll_after_ms":(%d+)')))
  elseif state == "held" then
    buyer.token = string.match(body, '"payment_token":"([^"]+)"')
    buyer.address = buyer.address
    later({ "pay", buyer }, 0)
  elseif state == "paid" then finished "paid"
  else
    local why = string.match(body, state and '"reason":"([%w_]+)"' or '"code":"([%w_]+)"') or ""
    buyer.tier = why == "sold_out" and another[buyer.tier] or nil
    if not buyer.tier or buyer.tier == buyer.first then return finished((state or status) .. " " .. why) end
    count "tried another tier"
    later({ "submit", buyer }, 0)
  end
end
