-- Every fixed statement. `?` are bound in the order of the comment line below the name.

-- name: insert_event
-- position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
-- correlation_id, causation_id, tags, metadata, data
insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: version_exists
-- stream, version
select 1 from events where stream = ? and version = ?

-- name: insert_tag
-- tag, position, type
insert into event_tags values (?, ?, ?)

-- name: head
select max(position) from events

-- name: stream_version
-- stream
select max(version) from events where stream = ?

-- name: place_of_event
-- event_id
select stream, version, position from events where event_id = ?

-- name: streams
-- name before the first one, upper bound or null, upper bound or null, limit.
-- One index seek for each stream, however long it is. (Every text is less than a blob.)
with recursive names (name) as (
  select min(stream) from events where stream > ?
  union all
  select (select min(stream) from events where stream > name) from names where name < coalesce(?, x'00')
)
select name, (select max(version) from events where stream = name) from names
where name < coalesce(?, x'00') limit ?

-- name: counts
select type, schema_version, count(*) from events group by type, schema_version

-- name: register
-- processor, position, updated_at, fold
insert into daicho_checkpoints (processor, position, updated_at, fold) values (?, ?, ?, ?)
on conflict (processor) do update set fold = excluded.fold

-- name: checkpoint
-- processor
select processor, position, token, owner, updated_at, fold, lease_until from daicho_checkpoints where processor = ?

-- name: checkpoints
select processor, position, token, owner, updated_at, fold, lease_until from daicho_checkpoints order by processor

-- name: lease
-- processor
select owner, lease_until from daicho_checkpoints where processor = ?

-- name: prolong
-- lease_until, processor
update daicho_checkpoints set lease_until = ? where processor = ?

-- name: take
-- owner, lease_until, processor
update daicho_checkpoints set owner = ?, lease_until = ?, token = token + 1 where processor = ?

-- name: renew
-- lease_until, owner
update daicho_checkpoints set lease_until = ? where owner = ?

-- name: release
-- owner, processor or null, processor or null
update daicho_checkpoints set owner = null, lease_until = 0 where owner = ? and (? is null or processor = ?)

-- name: pause
-- owner, lease_until, processor
update daicho_checkpoints set owner = ?, lease_until = ?, token = token + 1 where processor = ?

-- name: recut
-- processor, position, token, updated_at, fold
insert or replace into daicho_checkpoints (processor, position, token, updated_at, fold) values (?, ?, ?, ?, ?)

-- name: advance
-- new position, updated_at, processor, token, old position
update daicho_checkpoints set position = ?, updated_at = ? where processor = ? and token = ? and position = ?

-- name: advance_inline
-- position, updated_at, processor
update daicho_checkpoints set position = ?, updated_at = ? where processor = ?

-- name: rewind
-- position, updated_at, processor
update daicho_checkpoints
set position = ?, updated_at = ?, owner = null, lease_until = 0, token = token + 1
where processor = ? and owner is not 'cut'

-- name: unseat
-- processor
update daicho_checkpoints set owner = null, lease_until = 0, token = token + 1 where processor = ?

-- name: forget_checkpoint
-- processor
delete from daicho_checkpoints where processor = ?

-- name: forget_letters
-- processor
delete from daicho_dead_letters where processor = ?

-- name: park
-- processor, key, position, event_id, type, stream, correlation_id, error, trace, attempts, code, parked_at
insert into daicho_dead_letters
(processor, key, position, event_id, type, stream, correlation_id, error, trace, attempts, code, parked_at, state)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'parked')
on conflict (processor, key, position) do update set error = excluded.error, trace = excluded.trace,
attempts = attempts + excluded.attempts, parked_at = excluded.parked_at, state = 'parked', reason = null,
code = excluded.code

-- name: letters
-- processor or null, processor or null, JSON array of states, limit
select number, processor, key, position, event_id, type, stream, correlation_id, error, trace, attempts, parked_at,
state, reason, code from daicho_dead_letters
where (? is null or processor = ?) and state in (select value from json_each(?)) order by number limit ?

-- name: has_parked
-- processor
select 1 from daicho_dead_letters where processor = ? and state in ('parked', 'retry') limit 1

-- name: parked_keys
-- processor
select distinct key from daicho_dead_letters where processor = ? and state in ('parked', 'retry')

-- name: ask_retry_all
-- processor or null, processor or null
update daicho_dead_letters set state = 'retry', reason = null where state = 'parked' and (? is null or processor = ?)

-- name: ask_retry_key
-- number, processor or null, processor or null
update daicho_dead_letters set state = 'retry', reason = null where state = 'parked' and (processor, key) in (
  select processor, key from daicho_dead_letters
  where number = ? and (? is null or processor = ?)
)

-- name: ask_retry_by
-- reason, processor, processor, code. Of a key, the first open letter tells which code failed on it.
update daicho_dead_letters set state = 'retry', reason = ? where state = 'parked' and processor = ? and key in (
  select key from daicho_dead_letters where number in (
    select min(number) from daicho_dead_letters where processor = ? and state in ('parked', 'retry') group by key
  ) and code is not ?
)

-- name: retried
-- number, processor or null, processor or null
update daicho_dead_letters set state = 'retried' where number = ? and (? is null or processor = ?)

-- name: failed_again
-- error, code, number, processor
update daicho_dead_letters set state = 'parked', attempts = attempts + 1, error = ?, reason = null, code = ?
where number = ? and processor = ? and state in ('parked', 'retry')

-- name: skip
-- reason, number
update daicho_dead_letters set state = 'skipped', reason = ? where number = ? and state in ('parked', 'retry')

-- name: parked_counts
select processor, count(*) from daicho_dead_letters where state in ('parked', 'retry') group by processor

-- name: purge
-- time, JSON array of states
delete from daicho_dead_letters where state in ('retried', 'skipped') and parked_at < ?
and state in (select value from json_each(?))

-- name: load_snapshot
-- stream
select stream, version, fold, cast(state as blob) from daicho_snapshots where stream = ?

-- name: save_snapshot
-- stream, version, fold, state
insert into daicho_snapshots values (?, ?, ?, ?)
on conflict (stream) do update set version = excluded.version, fold = excluded.fold, state = excluded.state
where excluded.fold <> fold or excluded.version >= version

-- name: drop_snapshot
-- stream
delete from daicho_snapshots where stream = ?

-- name: drop_snapshots
delete from daicho_snapshots

-- name: record_command
-- command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id, cause,
-- handler, received_at, finished_at, payload
insert into daicho_commands (command_id, name, state, key, fingerprint, stream, version, position, reason, actor,
tenant, correlation_id, cause, handler, received_at, finished_at, payload)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (command_id) do update set name = excluded.name, state = excluded.state, key = excluded.key,
fingerprint = excluded.fingerprint, stream = excluded.stream, version = excluded.version, position = excluded.position,
reason = excluded.reason, actor = excluded.actor, tenant = excluded.tenant, correlation_id = excluded.correlation_id,
cause = excluded.cause, handler = excluded.handler, received_at = excluded.received_at, finished_at = excluded.finished_at,
payload = excluded.payload

-- name: keep_first_command
-- as record_command
insert into daicho_commands (command_id, name, state, key, fingerprint, stream, version, position, reason, actor,
tenant, correlation_id, cause, handler, received_at, finished_at, payload)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (command_id) do nothing

-- name: command
-- command_id
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, cast(payload as blob) from daicho_commands where command_id = ?

-- name: pending_commands
-- names as a JSON array or null, twice; limit
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, cast(payload as blob) from daicho_commands
where state = 'pending' and (? is null or name in (select value from json_each(?))) order by received_at, number limit ?

-- name: commands
-- state or null, state or null, limit
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, cast(payload as blob) from daicho_commands
where (? is null or state = ?) order by received_at desc, number desc limit ?

-- name: commands_of_flow
-- correlation_id, state or null, state or null, limit
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, cast(payload as blob) from daicho_commands
where correlation_id = ? and (? is null or state = ?) order by received_at, number limit ?

-- name: note_table
-- name, generation
insert into daicho_tables (name, generation) values (?, ?) on conflict do nothing

-- name: live_generation
-- name
select generation from daicho_tables where name = ? and live

-- name: generations
-- name
select generation from daicho_tables where name = ? order by generation

-- name: make_live
-- generation, name
update daicho_tables set live = generation = ? where name = ?

-- name: forget_table
-- name, generation
delete from daicho_tables where name = ? and generation = ?

-- name: columns
-- table
select name, type from pragma_table_info(?)

-- name: has_fts
select 1 from pragma_module_list where name = 'fts5'

-- name: stretch
-- JSON array of types, JSON array of parked streams, after, up to, limit: how many events of any type, the last one's
-- position; and of these types, how many are to be dealt with, are of parked streams, hold what SQL cannot read
select count(*), max(position), coalesce(sum(wanted and not parked), 0), coalesce(sum(wanted and parked), 0),
coalesce(sum(wanted and not parked and hidden), 0)
from (
  select position, type in (select value from json_each(?)) as wanted,
  stream in (select value from json_each(?)) as parked, typeof(data) = 'blob' as hidden
  from events where position > ? and position <= ? order by position limit ?
)

-- name: step_events
-- after, up to, JSON array of types, JSON array of streams to leave out: what the SQL of a projection sees
select * from events where position > ? and position <= ? and type in (select value from json_each(?))
and stream not in (select value from json_each(?))

-- name: hidden
-- as step_events
select 1 from events where position > ? and position <= ? and type in (select value from json_each(?))
and stream not in (select value from json_each(?)) and typeof(data) = 'blob' limit 1

-- name: set_timer
-- timer id, due, group, key, name, number, every, payload
insert or replace into daicho_timers values (?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_timers
-- JSON array of timer ids
delete from daicho_timers where timer_id in (select value from json_each(?))

-- name: drop_timer
-- timer id, due, number
delete from daicho_timers where timer_id = ? and due = ? and number = ?

-- name: due_timers
-- JSON array of groups, now, limit
select * from daicho_timers where "group" in (select value from json_each(?)) and due <= ? order by due, timer_id limit ?

-- name: next_due
-- JSON array of groups
select min(due) from daicho_timers where "group" in (select value from json_each(?))

-- name: timer
-- timer id
select * from daicho_timers where timer_id = ?

-- name: timers
-- group, name or null, name or null, limit
select * from daicho_timers where "group" = ? and (? is null or name = ?) order by due, timer_id limit ?

-- name: load_state
-- stream
select version, position, schema_version, state, updated_at from daicho_states where stream = ?

-- name: states
-- name before the first one, upper bound, limit
select stream, version, position, schema_version, state, updated_at from daicho_states
where stream > ? and stream < ? order by stream limit ?

-- name: keep_state
-- stream, version, position, schema_version, state, updated_at, whether without looking at the standing, category
insert into daicho_states (stream, version, position, schema_version, state, updated_at)
select ?, ?, ?, ?, ?, ?
where ? or not exists (select 1 from daicho_standings where category = ? and 'events' in (kind, moving_to))
on conflict (stream) do update set version = excluded.version, position = excluded.position,
  schema_version = excluded.schema_version, state = excluded.state, updated_at = excluded.updated_at

-- name: drop_state
-- stream
delete from daicho_states where stream = ?

-- name: standings
select category, kind, moving_to, pruned_to, rules from daicho_standings

-- name: standing
-- category
select kind, moving_to from daicho_standings where category = ?

-- name: note_standing
-- category, kind, moving_to, pruned_to, rules
insert into daicho_standings values (?, ?, ?, ?, ?)
on conflict (category) do update set kind = excluded.kind, moving_to = excluded.moving_to,
  pruned_to = excluded.pruned_to, rules = excluded.rules

-- name: note_new_standing
-- category, kind, moving_to, pruned_to, rules
insert into daicho_standings values (?, ?, ?, ?, ?) on conflict (category) do nothing

-- name: allow_deletes
drop trigger events_are_not_deleted

-- name: prune_events
-- stream, version, stream
delete from events where stream = ? and version > 1 and version <= ? and tags is null
and version < (select version from daicho_states where stream = ?)

-- name: keep_base
-- version, occurred_at, schema_version, state, stream
update daicho_states set base_version = ?, base_occurred_at = ?, base_schema_version = ?, base_state = ? where stream = ?

-- name: note_pruned
-- position, category
update daicho_standings set pruned_to = max(pruned_to, ?) where category = ?

-- name: base
-- stream
select base_version, base_occurred_at, base_schema_version, base_state from daicho_states
where stream = ? and base_version is not null
