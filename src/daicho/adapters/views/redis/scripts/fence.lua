-- From now on, older tokens are refused.
--
-- KEYS  1 the processor's place      ARGV  1 token
-- Returns nil if a newer token is there, otherwise the position in an array, empty if there is none.

local held = redis.call('HMGET', KEYS[1], 'token', 'position')
local token = held[1] or '0'
if #token > #ARGV[1] or (#token == #ARGV[1] and token > ARGV[1]) then
    return false
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return held[2] and { held[2] } or {}
