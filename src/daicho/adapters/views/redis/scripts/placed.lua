-- Rows and their places, as one commit left them.
--
-- KEYS  1 rows  2 places      ARGV  keys of rows

return { redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV)) }
