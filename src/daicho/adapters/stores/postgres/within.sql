-- The fixed statements about transactions that others began. `%s` are bound in the order of the comment line below the name.

-- name: transaction
-- What kind of transaction this is. Where the driver begins them by itself, this begins it.
select current_setting('transaction_isolation'), current_setting('transaction_read_only'),
current_setting('client_encoding')

-- name: leave_sign
-- number. To be seen by everybody in this database, until the transaction ends.
select pg_try_advisory_xact_lock_shared(%s)

-- name: is_sign_there
-- its upper 32 bits, its lower 32 bits
select exists (
  select from pg_locks where locktype = 'advisory' and objsubid = 1 and granted
  and classid::bigint = %s and objid::bigint = %s
  and database = (select oid from pg_database where datname = current_database())
)
