-- Queue numbers and admission passes at the edge: the format of risk/signing.py, checked and issued without Django.
--
--     v1.<fields joined by ~>.<base64url of HMAC-SHA1>
--
-- `config.keys` maps a purpose to its keys, newest first: all of them verify, the first one signs. On the path of every
-- poll, so without patterns: LuaJIT compiles plain searches, and leaves patterns to the interpreter.
local config = require "kaipiao.config"
local base64 = require "ngx.base64"

local M = {}

local find, sub = string.find, string.sub
local hmac, encode, decode = ngx.hmac_sha1, base64.encode_base64url, base64.decode_base64url
local LONGEST, DIGEST = 256, 20

function M.mac(key, text)
  return encode(hmac(key, text))
end

function M.sign(purpose, fields)
  local body = "v1." .. table.concat(fields, "~")
  return body .. "." .. M.mac(config.keys[purpose][1], body)
end

-- Two strings of Lua are equal if they are one and the same object, so the comparison's time tells nothing.
local function genuine(keys, body, raw)
  for i = 1, #keys do
    if hmac(keys[i], body) == raw then return true end
  end
  return false
end

-- The fields of `text`, or nil and why not.
function M.read(purpose, text, count)
  if not text or #text > LONGEST or sub(text, 1, 3) ~= "v1." then return nil, "malformed" end
  local dot = find(text, ".", 4, true)
  if not dot or find(text, ".", dot + 1, true) then return nil, "malformed" end
  local given = sub(text, dot + 1)
  local raw = decode(given)
  -- Base64 has several spellings for the last bits; only ours counts, as in Django.
  if not raw or #raw ~= DIGEST or encode(raw) ~= given then return nil, "malformed" end
  if not genuine(config.keys[purpose], sub(text, 1, dot - 1), raw) then return nil, "forged" end
  local fields, n, from = {}, 0, 4
  while true do
    local to = find(text, "~", from, true)
    n = n + 1
    if not to then break end
    fields[n] = sub(text, from, to - 1)
    from = to + 1
  end
  fields[n] = sub(text, from, dot - 1)
  if n ~= count then return nil, "malformed" end
  return fields
end

return M
