-- Writes down how far a group has come.
--
-- KEYS  1 stream, 2 places
-- ARGV  1 group, 2 token, 3 the id that was acknowledged last, 4 its time
-- Returns 1, or 0 if somebody else hears for the group.

if redis.call('HGET', KEYS[2], 'token ' .. ARGV[1]) ~= ARGV[2] then
    return 0
end
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], 'at ' .. ARGV[1], ARGV[4])
return 1
