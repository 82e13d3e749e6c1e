-- Which of a cluster's 16,384 slots a key lies in: CRC16 (XMODEM) of the part in braces, as the store itself counts.
local bit = require "bit"

local bxor, band, lshift, rshift = bit.bxor, bit.band, bit.lshift, bit.rshift
local byte, find, sub = string.byte, string.find, string.sub

local POLYNOMIAL, SLOTS = 0x1021, 16384

local crcs = {}
for i = 0, 255 do
  local crc = lshift(i, 8)
  for _ = 1, 8 do
    local carried = band(crc, 0x8000) ~= 0
    crc = band(lshift(crc, 1), 0xffff)
    if carried then crc = bxor(crc, POLYNOMIAL) end
  end
  crcs[i] = crc
end

-- The part of a key that decides: what stands in its first braces, if anything does.
local function tag(key)
  local from = find(key, "{", 1, true)
  local to = from and find(key, "}", from + 1, true)
  return to and to > from + 1 and sub(key, from + 1, to - 1) or key
end

local function of(key)
  local text, crc = tag(key), 0
  for i = 1, #text do
    crc = bxor(band(lshift(crc, 8), 0xffff), crcs[bxor(rshift(crc, 8), byte(text, i))])
  end
  return crc % SLOTS
end

return { of = of }
