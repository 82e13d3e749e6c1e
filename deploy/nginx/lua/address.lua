-- Whom to count by address, as basis/addresses.py says it: an IPv4 address, also one in IPv6 (::ffff:1.2.3.4), as it is; of
-- IPv6 the first half, for each customer has a whole /64 to change about in.
local M = {}

local byte, format, sub = string.byte, string.format, string.sub
local MAPPED = string.rep("\0", 10) .. "\255\255"

function M.customer()
  local raw = ngx.var.binary_remote_addr
  if #raw ~= 16 then return ngx.var.remote_addr end
  if sub(raw, 1, 12) == MAPPED then return format("%d.%d.%d.%d", byte(raw, 13, 16)) end
  local b = { byte(raw, 1, 8) }
  return format("%x:%x:%x:%x", b[1] * 256 + b[2], b[3] * 256 + b[4], b[5] * 256 + b[6], b[7] * 256 + b[8])
end

return M
