-- Makes somebody the one who hears for a group.
--
-- KEYS  1 stream, 2 places, 3 channels
-- ARGV  1 channel, 2 its partitions, 3 group, 4 token, 5 the id to hear from behind ('': where the group is)
-- Returns the id that was acknowledged last and its time, or nil if there is no such channel.

if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then
    return false
end
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[3], '0', 'MKSTREAM') -- says BUSYGROUP if it is there
if ARGV[5] ~= '' then
    redis.call('XGROUP', 'SETID', KEYS[1], ARGV[3], ARGV[5])
    redis.call('HSET', KEYS[2], 'at ' .. ARGV[3], '0')
end
redis.call('HSET', KEYS[2], 'token ' .. ARGV[3], ARGV[4])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local said = {}
    for i = 1, #group, 2 do
        said[group[i]] = group[i + 1]
    end
    if said['name'] == ARGV[3] then
        return { said['last-delivered-id'], redis.call('HGET', KEYS[2], 'at ' .. ARGV[3]) or '0' }
    end
end
return false
