-- The waiting room: a ticket dispenser. One file, three places to run:
--   in the fast store, called by Django (risk/waiting_room.py) and by the edge, for what changes something;
--   in nginx, loaded as a library (there is no `redis` there), for the polls that change nothing;
--   in the tests of either, which compare them with risk/draw.py.
--
-- KEYS[1]  the room: a hash of the fields in FIELDS
-- KEYS[2]  the marks of this buyer's bucket: field -> number, or number:expires_s once the pass was given out
-- KEYS[3]  the claims: a bitmap by place
-- KEYS[4]  for "quit": the places that were left, a bitmap as well
-- KEYS[5]  for "quit": the numbers that were left before they had a place (set)
-- ARGV     "join" | "poll" | "quit", epoch, field of the mark, number that the buyer showed (0: none), now in ms
--          "leave", the same, then 1 if nobody has counted this buyer as gone yet (he has not ordered)
--          "open", epoch, seed, pace to begin with in buyers per 1000 s
--          "restore", epoch, then names and values of the room, for a store that lost it
-- answers  what `look` answers, or {"unknown"}: no room is here, or {"epoch", epoch}: the keys belong to another epoch
local FIELDS = {
  "epoch", "state", "opens_ms", "issued", "serving", "floor", "drawn", "keys", "pace", "hopeless", "sold_out",
  "polls", "pass_s", "capacity", "restored_ms", "vacant",
}
local ROUNDS = 8
local MARK_TTL_MS = 14 * 24 * 3600 * 1000
local FASTEST_S, SLOWEST_S, AT_TURN_S = 2, 30, 0.5
local GOLDEN = 0.6180339887498949
-- In a mark, where the pass's end stands: its buyer has left the line, and his number must not bring him back.
local LEFT = 1

local floor, max, min = math.floor, math.max, math.min

-- -- the draw ------------------------------------------------------------------------------------------------------
-- A keyed permutation of 1..n: a Feistel network over a rectangle of rows x columns >= n, walked until it lands inside.
-- Every round adds a keyed value of one half to the other, modulo that half's size: it can be undone, so no two
-- numbers share a place, whatever the keys.
local function mul32(a, b)
  return ((a % 65536) * b + (floor(a / 65536) * b % 65536) * 65536) % 4294967296
end

local function mixed(x, key)
  local h = bit.bxor(x, key) % 4294967296
  h = mul32(bit.bxor(h, bit.rshift(h, 16)) % 4294967296, 2246822507)
  h = mul32(bit.bxor(h, bit.rshift(h, 13)) % 4294967296, 3266489909)
  return bit.bxor(h, bit.rshift(h, 16)) % 4294967296
end

local function permuted(number, n, keys)
  local rows = max(1, floor(math.sqrt(n)))
  local columns = floor((n + rows - 1) / rows)
  local at = number - 1
  repeat
    local row, column = floor(at / columns), at % columns
    for i = 1, ROUNDS, 2 do
      row = (row + mixed(column, keys[i])) % rows
      column = (column + mixed(row, keys[i + 1])) % columns
    end
    at = row * columns + column
  until at < n
  return at + 1
end

-- -- what a buyer is told ------------------------------------------------------------------------------------------
local NUMERIC = {
  epoch = true, opens_ms = true, issued = true, serving = true, floor = true, drawn = true, pace = true,
  hopeless = true, sold_out = true, polls = true, pass_s = true, capacity = true, restored_ms = true,
  vacant = true,
}

-- A room from the values of FIELDS; nil if there is none.
local function read(values)
  if not values[1] then return nil end
  local room = {}
  for i, name in ipairs(FIELDS) do
    local value = values[i]
    if NUMERIC[name] then value = tonumber(value or nil) or (name == "drawn" and -1 or 0) end
    room[name] = value or ""
  end
  local keys = {}
  for key in string.gmatch(room.keys, "%d+") do keys[#keys + 1] = tonumber(key) end
  room.keys = keys
  return room
end

-- The place of a number in the line; nil before the draw (`drawn` is -1 until then).
local function place_of(room, number)
  if room.drawn < 0 then return nil end
  if number <= room.drawn then return permuted(number, room.drawn, room.keys) end
  return number
end

-- Seconds until the next poll, spread by the number so that nobody moves in step with his neighbours. `polls` is how
-- many polls a second the edge is ready to answer in all.
local function interval_ms(room, number, waiting, wait_s, now)
  local spread = number * GOLDEN % 1
  local crowd_s = waiting / max(1, room.polls)
  local seconds
  if room.drawn < 0 then
    local ahead_s = max(0, (room.opens_ms - now) / 1000)
    seconds = max(10, crowd_s) * (0.8 + 0.4 * spread)
    -- The poll that would come after the opening comes soon after it, all of them spread over the crowd's seconds.
    if seconds >= ahead_s then seconds = ahead_s + 0.5 + spread * max(FASTEST_S, crowd_s) end
  elseif wait_s < 0 then
    seconds = max(5, crowd_s) * (0.8 + 0.4 * spread)
  else
    seconds = max(FASTEST_S, crowd_s, min(wait_s / 8, SLOWEST_S)) * (0.8 + 0.4 * spread)
    -- Whose turn comes before that is told to come at his turn: one poll, and no place left empty meanwhile.
    if wait_s < seconds then seconds = max(AT_TURN_S, wait_s) * (1 + 0.1 * spread) end
  end
  return floor(seconds * 1000)
end

local function outlook_of(room, place)
  if room.sold_out == 1 then return "none" end
  if room.hopeless == 0 or not place then return "unknown" end
  if place > room.hopeless then return "unlikely" end
  if place > room.hopeless * 0.7 then return "tight" end
  return "good"
end

-- How many wait: places that their buyers have left and that nobody has come to yet are not waiting.
local function waiting_in(room)
  return max(0, room.issued - room.serving - room.vacant)
end

-- {status, state, number, place, ahead, waiting, wait_low_s, wait_high_s, interval_ms, outlook, expires_s, epoch}
-- status: waiting, turn (a pass may be claimed), admitted, missed, over, sold_out, closed. -1 and 0 mean unknown.
local function look(room, number, expires_s, now)
  local place = place_of(room, number)
  local waiting = waiting_in(room)
  local ahead = place and max(0, place - room.serving - 1) or -1
  local low, high, wait_s = -1, -1, -1
  if place and room.pace > 0 and place > room.serving then
    wait_s = (ahead + 1) * 1000 / room.pace
    low, high = floor(wait_s * 0.7), floor(wait_s * 1.5) + 1
  end
  local status = "waiting"
  if expires_s > 0 then
    status = expires_s * 1000 > now and "admitted" or "over"
  elseif room.sold_out == 1 then
    status = "sold_out"
  elseif place and place <= room.floor then
    status = "missed"
  elseif place and place <= room.serving then
    status = "turn"
  elseif room.state == "closed" then
    status = "closed"
  end
  local outlook = outlook_of(room, place)
  -- Whom the stock will hardly reach is told no moment to come at: he asks as often as the crowd may.
  local interval = interval_ms(room, number, waiting, outlook == "unlikely" and -1 or wait_s, now)
  return {
    status, room.state, number, place or 0, ahead, waiting, low, high, interval, outlook,
    expires_s, room.epoch,
  }
end

if not redis then
  return { fields = FIELDS, read = read, look = look, place_of = place_of, permuted = permuted }
end

-- -- in the fast store: what changes something ---------------------------------------------------------------------
local room = read(redis.call("HMGET", KEYS[1], unpack(FIELDS)))
local what, epoch = ARGV[1], tonumber(ARGV[2])
if what == "restore" then
  -- Of two who restore, the first one wins; an older generation never replaces a newer one.
  if room and room.epoch >= epoch then return { "kept", room.epoch } end
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "epoch", ARGV[2], unpack(ARGV, 3))
  return { "restored", epoch }
end
if not room then return { "unknown" } end
if epoch ~= room.epoch then return { "epoch", room.epoch } end

if what == "open" then
  -- From here on numbers are drawn or first come, first served; the two meet at `drawn`, in one atomic step.
  if room.drawn >= 0 then return { "opened", room.drawn } end
  local keys = {}
  for i = 1, ROUNDS do
    keys[i] = tonumber(string.sub(redis.sha1hex(ARGV[3] .. ":" .. room.issued .. ":" .. i), 1, 8), 16)
    keys[i] = string.format("%.0f", keys[i])
  end
  redis.call("HSET", KEYS[1], "state", "open", "drawn", room.issued, "keys", table.concat(keys, ","), "pace", ARGV[4])
  return { "opened", room.issued }
end

local field, shown, now = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local number, expires_s = 0, 0

local function remember(value)
  redis.call("HSET", KEYS[2], field, value)
  if redis.call("HLEN", KEYS[2]) == 1 then redis.call("PEXPIRE", KEYS[2], MARK_TTL_MS) end
end

local mark = redis.call("HGET", KEYS[2], field)
if mark then
  local digits, expires = string.match(mark, "^(%d+):?(%d*)$")
  number, expires_s = tonumber(digits), tonumber(expires) or 0
end
-- The store lost this mark: the signed number that the buyer holds restores it, and the counter with it.
if shown > number then
  number, expires_s = shown, 0
  remember(shown)
  if shown > room.issued then
    room.issued = shown
    redis.call("HSET", KEYS[1], "issued", shown)
  end
end

if what == "leave" then
  -- His turn is over before its time: whoever waits may have his place inside.
  if number ~= shown or expires_s * 1000 <= now then return { "none", room.state } end
  expires_s = floor(now / 1000)
  remember(string.format("%.0f:%.0f", number, expires_s))
  if ARGV[6] == "1" then redis.call("HINCRBY", KEYS[1], "left", 1) end
  return look(room, number, expires_s, now)
end

local answer = number > 0 and expires_s ~= LEFT and look(room, number, expires_s, now) or nil

if what == "quit" then
  -- Whoever has a pass is told so and stays: it must be made void first.
  if not answer then return { "none", room.state } end
  if answer[1] == "admitted" then return answer end
  remember(string.format("%.0f:%d", number, LEFT))
  local place = answer[4]
  if place == 0 then
    redis.call("SADD", KEYS[5], number)
    redis.call("PEXPIRE", KEYS[5], MARK_TTL_MS)
  elseif expires_s == 0 and place > room.floor then
    redis.call("SETBIT", KEYS[4], place, 1)
  end
  if place == 0 or place > room.serving then redis.call("HINCRBY", KEYS[1], "vacant", 1) end
  return { "left", room.state }
end

local lost_turn = answer and (answer[1] == "missed" or answer[1] == "over")
if what == "join" and (not answer or lost_turn) then
  if room.sold_out == 1 then return { "sold_out", room.state } end
  if room.state == "closed" or room.state == "draining" then return { "closed", room.state } end
  if room.capacity > 0 and waiting_in(room) >= room.capacity then return { "full", room.state } end
  number, expires_s = redis.call("HINCRBY", KEYS[1], "issued", 1), 0
  room.issued = number
  remember(number)
  answer = look(room, number, 0, now)
end
if not answer then return { "none", room.state } end

if answer[1] == "turn" then
  -- Coming at one's turn is the claim: the pacer counts those who come, and skips those who do not.
  expires_s = floor(now / 1000) + room.pass_s
  remember(string.format("%.0f:%.0f", number, expires_s))
  redis.call("SETBIT", KEYS[3], answer[4], 1)
  answer = look(room, number, expires_s, now)
end
return answer
