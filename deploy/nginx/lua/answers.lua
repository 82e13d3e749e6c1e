-- What the edge itself says when it refuses: problem+json below /api/, a page that comes back by itself elsewhere.
local config = require "kaipiao.config"
local refused = require "refused"
local words = require "words"

local M = {}

local function is_api()
  return string.sub(ngx.var.request_uri, 1, 5) == "/api/"
end

-- `said`: the name of a detail in words.lua; by default the title says it all.
function M.problem(status, code, said)
  local told = words[ngx.var.language]
  ngx.status = status
  ngx.header["Content-Type"] = "application/problem+json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.print(string.format(
    '{"type":"%s/api/problems/%s","title":"%s","status":%d,"detail":"%s","code":"%s","request_id":"%s","retryable":%s}',
    config.public_url, code, told[code], status, told[said or code], code, ngx.var.kaipiao_request_id,
    (status == 429 or status == 503) and "true" or "false"
  ))
  return ngx.exit(ngx.HTTP_OK)
end

local pages = {}
local function page(name, language)
  local path = config.pages .. "/" .. name .. "." .. language .. ".html"
  if pages[path] == nil then
    local file = io.open(path, "r")
    pages[path] = file and file:read("*a") or "Please wait."
    if file then file:close() end
  end
  return pages[path]
end

function M.too_large()
  refused.count("", "", "too_large")
  return M.problem(413, "too_large")
end

-- Tells to come back in some seconds, not all in the same one. `show` and `tier`: what it was about, if that is known.
function M.wait(status, name, retry_after, show, tier)
  refused.count(show or "", tier or "", status == 429 and "too_many_requests" or name)
  retry_after = retry_after or math.random(3, 8)
  ngx.header["Retry-After"] = retry_after
  if is_api() then
    return M.problem(status, status == 429 and "too_many_requests" or "unavailable")
  end
  ngx.status = status
  ngx.header["Content-Type"] = "text/html; charset=utf-8"
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
  -- A function, for the replacement must not be read as a pattern.
  ngx.print((string.gsub(page(name, ngx.var.language), "@SECONDS@", function() return tostring(retry_after) end)))
  return ngx.exit(ngx.HTTP_OK)
end

return M
