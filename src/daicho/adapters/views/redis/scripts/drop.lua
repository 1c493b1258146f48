-- Forgets a generation and everything in it. UNLINK frees large keys later, in a thread of their own.
--
-- KEYS  1 shapes of the name's generations  2 live generations by name  3... what is in the table
-- ARGV  1 generation  2 name

redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[1] then
    redis.call('HDEL', KEYS[2], ARGV[2])
end
for n = 3, #KEYS do
    redis.call('UNLINK', KEYS[n])
end
return 1
