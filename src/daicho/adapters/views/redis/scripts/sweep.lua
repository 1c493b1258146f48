-- Removes some marks of deleted rows.
--
-- KEYS  1 places  2 deleted keys by time
-- ARGV  1 the last position to remove  2 before this time, in microseconds  3 how many marks to pass over
--       4 how many to look at
-- Returns how many were looked at, and how many removed.

local keys = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[2], 'LIMIT', ARGV[3], ARGV[4])
if #keys == 0 then
    return { 0, 0 }
end
local up_to, old = ARGV[1], {}
for i, place in ipairs(redis.call('HMGET', KEYS[1], unpack(keys))) do
    local position = string.match(place or '-0', '^%-(%d+)')
    if position and (#position < #up_to or (#position == #up_to and position <= up_to)) then
        old[#old + 1] = keys[i]
    end
end
if #old > 0 then
    redis.call('HDEL', KEYS[1], unpack(old))
    redis.call('ZREM', KEYS[2], unpack(old))
end
return { #keys, #old }
