-- Writes the rows that are newer than what is there, and moves the position, in one step.
--
-- KEYS  1 the processor's place  2 shapes of the table's generations  3 rows  4 places  5 keys in order
--       6 deleted keys by time  7... one index for each indexed field
-- ARGV  1 generation  2 time in microseconds  3 token, or empty: no position is asked for or moved
--       4 the position that must be there  5 the position to move to, or empty: later
--       6 'again' if an earlier attempt may have been carried out  7 three arrays, as MessagePack: keys; what to note as
--       their places; rows as JSON, empty for those to delete
--
-- A place is a position, and behind it, each after a NUL, the row's texts in the indexes; a deleted row's is '-' and the
-- position. Positions are compared as texts: numbers of Lua are exact only up to 2^53.

local function is_newer(this, that)
    return #this > #that or (#this == #that and this > that)
end

local function split(place)
    local texts = {}
    for text in string.gmatch(place, '%z([^%z]*)') do
        texts[#texts + 1] = text
    end
    return texts
end

local function all(command, key, arguments)
    if #arguments > 0 then
        redis.call(command, key, unpack(arguments))
    end
end

local token, old, new = ARGV[3], ARGV[4], ARGV[5]
if token ~= '' then
    local held = redis.call('HMGET', KEYS[1], 'token', 'position')
    if is_newer(held[1] or '0', token) then
        return 'another owner'
    end
    if (held[2] or '0') ~= old then
        if ARGV[6] == 'again' and held[1] == token and held[2] == new then
            return 'done'
        end
        return 'another position'
    end
end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
    return 'no table'
end

local keys, noted, rows = unpack(cmsgpack.unpack(ARGV[7]))
if #keys > 0 then
    local put, places, gone, came, left, again = {}, {}, {}, {}, {}, {}
    local out, into = {}, {}
    for n = 7, #KEYS do
        out[n], into[n] = {}, {}
    end
    for i, before in ipairs(redis.call('HMGET', KEYS[4], unpack(keys))) do
        local key, place, row = keys[i], noted[i], rows[i]
        if not before or is_newer(string.match(place, '%d+'), string.match(before, '%d+')) then
            local was = before and string.sub(before, 1, 1) ~= '-'
            local is = row ~= ''
            places[#places + 1], places[#places + 2] = key, place
            if is then
                put[#put + 1], put[#put + 2] = key, row
                if not was then
                    came[#came + 1], came[#came + 2] = 0, key
                    if before then
                        again[#again + 1] = key
                    end
                end
            else
                gone[#gone + 1], gone[#gone + 2] = ARGV[2], key
                if was then
                    left[#left + 1] = key
                end
            end
            if #KEYS > 6 then
                local from, to = was and split(before) or {}, is and split(place) or {}
                for n = 7, #KEYS do
                    local this, that = from[n - 6], to[n - 6]
                    if this ~= that then
                        if this then
                            out[n][#out[n] + 1] = this .. '\0' .. key
                        end
                        if that then
                            into[n][#into[n] + 1], into[n][#into[n] + 2] = 0, that .. '\0' .. key
                        end
                    end
                end
            end
        end
    end
    all('HSET', KEYS[4], places)
    all('HSET', KEYS[3], put)
    all('HDEL', KEYS[3], left)
    all('ZADD', KEYS[5], came)
    all('ZREM', KEYS[5], left)
    all('ZADD', KEYS[6], gone)
    all('ZREM', KEYS[6], again)
    for n = 7, #KEYS do
        all('ZREM', KEYS[n], out[n])
        all('ZADD', KEYS[n], into[n])
    end
end

if token ~= '' then
    if new ~= '' then
        redis.call('HSET', KEYS[1], 'token', token, 'position', new)
    else
        redis.call('HSET', KEYS[1], 'token', token)
    end
end
return 'done'
