-- Lets readers of a name see this generation.
--
-- KEYS  1 shapes of the name's generations  2 live generations by name      ARGV  1 generation  2 name
-- Returns 0 if there is no such generation.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
return 1
