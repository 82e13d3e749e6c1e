-- Queue numbers and admission passes at the edge: the format of risk/signing.py, checked and issued without Django.
--
--     v1.<fields joined by ~>.<base64url of HMAC-SHA1>
--
-- `keys` maps a purpose to its keys, newest first: all of them verify, the first one signs.
local config = require "kaipiao.config"

local M = {}

local find, gmatch, gsub, sub = string.find, string.gmatch, string.gsub, string.sub
local hmac, base64 = ngx.hmac_sha1, ngx.encode_base64
local URL_SAFE = { ["+"] = "-", ["/"] = "_" }

function M.mac(key, text)
  return (gsub(base64(hmac(key, text), true), "[+/]", URL_SAFE))
end

-- Compares without telling by its time where the first difference is.
local function same(a, b)
  if #a ~= #b then return false end
  local difference = 0
  for i = 1, #a do
    difference = bit.bor(difference, bit.bxor(string.byte(a, i), string.byte(b, i)))
  end
  return difference == 0
end

function M.sign(purpose, fields)
  local body = "v1." .. table.concat(fields, "~")
  return body .. "." .. M.mac(config.keys[purpose][1], body)
end

-- The fields of `text`, or nil and why not.
function M.read(purpose, text, count)
  if not text or #text > 256 then return nil, "malformed" end
  local from, _, payload, given = find(text, "^v1%.([%w_~-]+)%.([%w_-]+)$")
  if not from then return nil, "malformed" end
  local body = sub(text, 1, #text - #given - 1)
  local genuine = false
  for _, key in ipairs(config.keys[purpose]) do
    if same(M.mac(key, body), given) then genuine = true break end
  end
  if not genuine then return nil, "forged" end
  local fields, n = {}, 0
  for field in gmatch(payload, "[^~]+") do
    n = n + 1
    fields[n] = field
  end
  if n ~= count then return nil, "malformed" end
  return fields
end

return M
