-- Polls of many buyers: each request shows the next of the signed numbers in the file that the first argument names.
local tokens, at = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do tokens[#tokens + 1] = line end
  at = math.random(#tokens)
end

function request()
  at = at % #tokens + 1
  wrk.headers["Queue-Number"] = tokens[at]
  return wrk.format("GET")
end
