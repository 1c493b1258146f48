-- The fixed statements about epochs. `%s` are bound in the order of the comment line below the name.

-- name: seat
-- The last epoch, its mark, whether the server is a standby, whether it is read-only by default, and whether it is the
-- one on which that epoch began.
select coalesce(e.epoch, -1), coalesce(e.mark, ''), s.is_standby, current_setting('default_transaction_read_only') = 'on',
coalesce((e.timeline, e.system_id) = (s.timeline, s.system_id), false)
from daicho.server() s left join (select * from daicho.daicho_epochs order by epoch desc limit 1) e on true

-- name: begin_epoch
-- mark, its number at least, whether even if nothing has changed
select daicho.begin_epoch(%s, %s, %s)

-- name: epochs
select epoch, timeline, system_id, mark, survived, drawn, seen,
to_char(began_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') from daicho.daicho_epochs order by epoch

-- name: note_seen
-- epoch, position
select daicho.note_seen(%s, %s)

-- name: glance
select s.is_standby or current_setting('default_transaction_read_only') = 'on', coalesce((select max(epoch) from daicho.daicho_epochs), -1), s.timeline from daicho.server() s

-- name: server_state
select pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer end,
case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_flush_lsn() end::text,
case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end::text,
case when not pg_is_in_recovery() or pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end::float8,
current_setting('synchronous_standby_names'), current_setting('synchronous_commit')

-- name: newest
select coalesce(max(position), 0) from daicho.events

-- name: count_behind
-- position
select count(*) from daicho.events where position > %s

-- name: standbys_of
-- application name, state, sync state, replayed, bytes behind, seconds behind
select application_name, state, sync_state, replay_lsn::text,
pg_wal_lsn_diff(pg_current_wal_flush_lsn(), replay_lsn)::bigint, coalesce(extract(epoch from replay_lag), 0)::float8
from pg_stat_replication order by application_name

-- name: slots
select slot_name::text, slot_type, active, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn)::bigint
from pg_replication_slots order by slot_name

-- name: may_fence
select rolsuper from pg_roles where rolname = current_user

-- name: end_others
select pg_terminate_backend(pid) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() and datname = current_database()

-- name: others
select count(*) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() and datname = current_database()

-- name: lsn_behind
-- place, place
select pg_wal_lsn_diff(%s::pg_lsn, %s::pg_lsn)::bigint

-- name: promote
-- seconds
select pg_promote(true, %s)

-- name: events_of
-- position, limit
select position, stream, version, type, event_id, recorded_at, coalesce(convert_to(data::text, 'UTF8'), packed)
from daicho.events where position > %s order by position limit %s

-- name: present
-- event ids
select event_id from daicho.events where event_id = any (%s)
