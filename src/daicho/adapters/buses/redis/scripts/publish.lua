-- Appends messages to a partition, all or none. A message of a chain gets the id `number-0`; what the chain has passed
-- already is left out. Of a chain that lost its end nothing is taken that does not follow: it would leave a hole. A loose message gets the next id behind the last one, so that ids never hide the chain's end.
--
-- KEYS  1 stream, 2 channels
-- ARGV  1 channel, 2 its partitions, 3 the most messages to keep (0: all), then for each message:
--       number, the number before it, count of fields and values, fields and values
-- Returns 'done', 'no channel', or 'lost' if what the first new message follows is not there any more.

if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
    return 'no channel'
end

local number, count = '0', 0
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not info.err then
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            number, count = string.match(info[i + 1], '^(%d+)-(%d+)$')
        end
    end
end

local function is_more(a, b)
    return #a > #b or (#a == #b and a > b)
end

local j = 4
while j <= #ARGV and not is_more(ARGV[j], number) do
    j = j + 3 + tonumber(ARGV[j + 2])
end
if j <= #ARGV and number ~= '0' and is_more(ARGV[j + 1], number) then
    return 'lost'
end

local time = redis.call('TIME')
local at = time[1] .. string.format('%06d', time[2])
local i = 4
while i <= #ARGV do
    local given, size = ARGV[i], tonumber(ARGV[i + 2])
    local is_new = given == '0' or is_more(given, number)
    if is_new then
        if given == '0' then
            count = string.format('%.0f', tonumber(count) + 1)
        else
            number, count = given, '0'
        end
        redis.call('XADD', KEYS[1], number .. '-' .. count, 'at', at, unpack(ARGV, i + 3, i + 2 + size))
    end
    i = i + 3 + size
end

local most = tonumber(ARGV[3])
if most > 0 and redis.call('XLEN', KEYS[1]) > most then
    -- only what every group has acknowledged
    local lowest = nil
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
        for j = 1, #group, 2 do
            if group[j] == 'last-delivered-id' then
                local a, b = string.match(group[j + 1], '^(%d+)-(%d+)$')
                if not lowest or #a < #lowest[1] or (#a == #lowest[1] and a < lowest[1])
                    or (a == lowest[1] and (#b < #lowest[2] or (#b == #lowest[2] and b < lowest[2]))) then
                    lowest = { a, b }
                end
            end
        end
    end
    if lowest then
        redis.call('XTRIM', KEYS[1], 'MINID', '~', lowest[1] .. '-' .. lowest[2])
    end
end
return 'done'
