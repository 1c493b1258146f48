-- A stretch of a sorted set, and the rows that its members lead to, in one step.
--
-- KEYS  1 keys in order, or an index  2 rows
-- ARGV  1 ZRANGEBYLEX or ZREVRANGEBYLEX  2 from  3 to  4 how many to leave out  5 how many to give  6 'keys' or 'index'
-- Returns the members and the rows.

local members = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
if #members == 0 then
    return { {}, {} }
end
local keys = members
if ARGV[6] == 'index' then
    keys = {}
    for i, member in ipairs(members) do
        keys[i] = string.sub(member, string.find(member, '\0', 1, true) + 1)
    end
end
return { members, redis.call('HMGET', KEYS[2], unpack(keys)) }
