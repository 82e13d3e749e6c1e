-- Everybody comes at once, then does as the waiting page says: again after three to eight seconds.
local begun = 0

function init(arguments)
  connections = tonumber(arguments[1])
  math.randomseed(7)
end

function delay()
  begun = begun + 1
  if begun <= connections then return 0 end
  return math.random(3000, 8000)
end
