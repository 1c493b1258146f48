-- Statements about the primary and its replicas.

-- name: beat
-- seconds after which the same position is told again, seconds after which a newer one is
with head as materialized (select daicho.safe_head() as position)
update daicho.daicho_head h set beat = beat + 1, position = greatest(h.position, head.position), at = clock_timestamp()
from head where h.id = 1 and (h.at < clock_timestamp() - make_interval(secs => %s)
  or (h.position < head.position and h.at < clock_timestamp() - make_interval(secs => %s)))

-- name: followed
select exists (select from pg_stat_replication)

-- name: told_head
select coalesce((select position from daicho.daicho_head where id = 1), 0)

-- name: sample
-- whose data this is; which start of which server; standby; beat, position, its time and now, in seconds; bytes of the
-- log that have arrived and that are shown; whether more of it comes
select (select system_identifier from pg_control_system())::text || '/'
  || (select oid from pg_database where datname = current_database())::text,
extract(epoch from pg_postmaster_start_time())::float8::text || ' '
  || coalesce(host(inet_server_addr()), '') || ' ' || coalesce(inet_server_port(), 0)::text,
pg_is_in_recovery(), beat, position, extract(epoch from at)::float8, extract(epoch from clock_timestamp())::float8,
pg_wal_lsn_diff(case when pg_is_in_recovery() then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0')
  else pg_current_wal_flush_lsn() end, '0/0')::bigint,
pg_wal_lsn_diff(case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), '0/0')
  else pg_current_wal_flush_lsn() end, '0/0')::bigint,
exists (select from pg_stat_wal_receiver)
from daicho.daicho_head where id = 1

-- name: live_tables
select name, generation from daicho.daicho_tables where live

-- name: server
select extract(epoch from pg_postmaster_start_time())::float8::text || ' '
  || coalesce(host(inet_server_addr()), '') || ' ' || coalesce(inet_server_port(), 0)::text as server,
(select system_identifier from pg_control_system())::text || '/'
  || (select oid from pg_database where datname = current_database())::text
