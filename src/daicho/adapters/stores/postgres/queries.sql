-- Every fixed statement of checkpoints, dead letters, commands, snapshots and tables. `%s` are bound in the order of the
-- comment line below the name. Those called `..._part` are put together into one statement (see together.py), in which
-- `moved` has a row only if the checkpoint move was the owner's next one.

-- name: register
-- processor, position, updated_at, fold
insert into daicho.daicho_checkpoints (processor, position, updated_at, fold) values (%s, %s, %s, %s)
on conflict (processor) do update set fold = excluded.fold
returning processor, position, token, owner, updated_at, fold, lease_until > clock_timestamp()

-- name: checkpoint
-- processor
select processor, position, token, owner, updated_at, fold, lease_until > clock_timestamp()
from daicho.daicho_checkpoints where processor = %s

-- name: checkpoints
select processor, position, token, owner, updated_at, fold, lease_until > clock_timestamp()
from daicho.daicho_checkpoints order by processor

-- name: claim
-- owner, owner, processor, owner, owner that is known to be gone or null, processor.
-- Writes nothing while another one lives; the first column says whether it is ours now.
with taken as (
  update daicho.daicho_checkpoints set
    token = token + (owner is distinct from %s)::integer, owner = %s,
    lease_until = clock_timestamp() + interval '10 seconds'
  where processor = %s and (owner is null or owner = %s or owner = %s or lease_until <= clock_timestamp())
  returning processor, position, token, owner, updated_at, fold, lease_until > clock_timestamp()
)
select true, taken.* from taken
union all
select false, processor, position, token, owner, updated_at, fold, lease_until > clock_timestamp()
from daicho.daicho_checkpoints where processor = %s and not exists (select from taken)

-- name: renew
-- owner
update daicho.daicho_checkpoints set lease_until = clock_timestamp() + interval '10 seconds' where owner = %s

-- name: release
-- owner, processor or null
update daicho.daicho_checkpoints set owner = null, lease_until = '-infinity'
where owner = %s and processor = coalesce(%s, processor)

-- name: pause
-- owner, processor
update daicho.daicho_checkpoints set owner = %s, lease_until = 'infinity', token = token + 1 where processor = %s

-- name: uncut
-- JSON array of processors. They stay locked until the transaction ends.
select processor, position, token, owner, updated_at, fold, lease_until > clock_timestamp()
from daicho.daicho_checkpoints where processor in (select json_array_elements_text(%s)) order by processor for update

-- name: uncut_one
-- processor
delete from daicho.daicho_checkpoints where processor = %s

-- name: recut
-- processor, position, token, updated_at, fold
insert into daicho.daicho_checkpoints (processor, position, token, updated_at, fold) values (%s, %s, %s, %s, %s)
on conflict (processor) do update set position = excluded.position, token = excluded.token,
  updated_at = excluded.updated_at, fold = excluded.fold, owner = null, lease_until = '-infinity'

-- name: stay_part
select 1

-- name: advance_part
-- new position, updated_at, processor, token, old position
update daicho.daicho_checkpoints
set position = %s, updated_at = %s, lease_until = clock_timestamp() + interval '10 seconds'
where processor = %s and token = %s and position = %s returning 1

-- name: advance_inline
-- new position, updated_at, processor, old position or null
update daicho.daicho_checkpoints set position = %s, updated_at = %s
where processor = %s and position = coalesce(%s, position) returning 1

-- name: rewind
-- position, updated_at, processor
update daicho.daicho_checkpoints
set position = %s, updated_at = %s, owner = null, lease_until = '-infinity', token = token + 1
where processor = %s and owner is distinct from 'cut'

-- name: unseat
-- processor
update daicho.daicho_checkpoints
set owner = null, lease_until = '-infinity', token = token + 1 where processor = %s

-- name: forget
-- processor, processor
with letters as (delete from daicho.daicho_dead_letters where processor = %s)
delete from daicho.daicho_checkpoints where processor = %s

-- name: park_part
-- processor, parked_at, JSON array of ParkedEvent
insert into daicho.daicho_dead_letters as old
(processor, key, position, event_id, type, stream, correlation_id, error, trace, attempts, code, parked_at, state)
select %s, key, position, event_id, type, stream, correlation_id, error, trace, attempts, code, %s, 'parked'
from json_to_recordset(%s) as e (
  key text, position bigint, event_id text, type text, stream text, correlation_id text, error text, trace text,
  attempts integer, code text)
where exists (select from moved)
on conflict (processor, key, position) do update set error = excluded.error, trace = excluded.trace,
  attempts = old.attempts + excluded.attempts, parked_at = excluded.parked_at, state = 'parked', reason = null,
  code = excluded.code

-- name: retried_part
-- JSON array of numbers, processor or null
update daicho.daicho_dead_letters set state = 'retried'
where number in (select value::bigint from json_array_elements_text(%s)) and processor = coalesce(%s, processor)
  and exists (select from moved)

-- name: letters
-- processor or null, JSON array of states, limit
select number, processor, key, position, event_id, type, stream, correlation_id, error, trace, attempts, parked_at,
state, reason, code from daicho.daicho_dead_letters
where processor = coalesce(%s, processor) and state in (select json_array_elements_text(%s)) order by number limit %s

-- name: has_parked
-- processor
select 1 from daicho.daicho_dead_letters where processor = %s and state in ('parked', 'retry') limit 1

-- name: parked_keys
-- processor
select distinct key from daicho.daicho_dead_letters where processor = %s and state in ('parked', 'retry')

-- name: ask_retry_all
-- processor or null
update daicho.daicho_dead_letters set state = 'retry', reason = null
where state = 'parked' and processor = coalesce(%s, processor)

-- name: ask_retry_key
-- number, processor or null
update daicho.daicho_dead_letters set state = 'retry', reason = null where state = 'parked' and (processor, key) in (
  select processor, key from daicho.daicho_dead_letters where number = %s and processor = coalesce(%s, processor)
)

-- name: ask_retry_by
-- reason, processor, processor, code. Of a key, the first open letter tells which code failed on it.
update daicho.daicho_dead_letters set state = 'retry', reason = %s
where state = 'parked' and processor = %s and key in (
  select key from (
    select distinct on (key) key, code from daicho.daicho_dead_letters
    where processor = %s and state in ('parked', 'retry') order by key, number
  ) as first where code is distinct from %s
)

-- name: retried
-- JSON array of numbers, processor
update daicho.daicho_dead_letters set state = 'retried'
where number in (select value::bigint from json_array_elements_text(%s)) and processor = %s

-- name: failed_again
-- error, code, JSON array of numbers, processor
update daicho.daicho_dead_letters
set state = 'parked', attempts = attempts + 1, error = %s, reason = null, code = %s
where number in (select value::bigint from json_array_elements_text(%s)) and processor = %s
and state in ('parked', 'retry')

-- name: skip
-- reason, number
update daicho.daicho_dead_letters set state = 'skipped', reason = %s where number = %s and state in ('parked', 'retry')

-- name: parked_counts
select processor, count(*) from daicho.daicho_dead_letters where state in ('parked', 'retry') group by processor

-- name: purge
-- time, JSON array of states
delete from daicho.daicho_dead_letters where state in ('retried', 'skipped') and parked_at collate "C" < %s
and state in (select json_array_elements_text(%s))

-- name: load_snapshot
-- stream
select stream, version, fold, state from daicho.daicho_snapshots where stream = %s

-- name: save_snapshots
-- JSON array of Snapshot
insert into daicho.daicho_snapshots as old
select stream, version, fold, decode(state, 'base64')
from json_to_recordset(%s) as s (stream text, version integer, fold text, state text) order by stream collate "C"
on conflict (stream) do update set version = excluded.version, fold = excluded.fold, state = excluded.state
where excluded.fold <> old.fold or excluded.version >= old.version

-- name: drop_snapshot
-- stream
delete from daicho.daicho_snapshots where stream = %s

-- name: drop_snapshots
delete from daicho.daicho_snapshots

-- name: record_commands
-- JSON array of CommandOutcome
insert into daicho.daicho_commands (command_id, name, state, key, fingerprint, stream, version, position, reason, actor,
  tenant, correlation_id, cause, handler, received_at, finished_at, payload)
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
  cause, handler, received_at, finished_at, decode(payload, 'base64')
from json_to_recordset(%s) as o (
  command_id text, name text, state text, key text, fingerprint text, stream text, version integer, position bigint,
  reason text, actor text, tenant text, correlation_id text, cause text, handler text, received_at text,
  finished_at text, payload text)
order by command_id collate "C"
on conflict (command_id) do update set name = excluded.name, state = excluded.state, key = excluded.key,
  fingerprint = excluded.fingerprint, stream = excluded.stream, version = excluded.version,
  position = excluded.position, reason = excluded.reason, actor = excluded.actor, tenant = excluded.tenant,
  correlation_id = excluded.correlation_id, cause = excluded.cause, handler = excluded.handler,
  received_at = excluded.received_at, finished_at = excluded.finished_at, payload = excluded.payload

-- name: keep_first_command
-- as CommandOutcome. The update changes nothing: it waits for whoever came first, and returns what that one wrote.
insert into daicho.daicho_commands as old (command_id, name, state, key, fingerprint, stream, version, position, reason,
  actor, tenant, correlation_id, cause, handler, received_at, finished_at, payload)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (command_id) do update set command_id = old.command_id
returning command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
  cause, handler, received_at, finished_at, payload

-- name: command
-- command_id
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, payload from daicho.daicho_commands where command_id = %s

-- name: pending_commands
-- names or null, twice; limit
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, payload from daicho.daicho_commands
where state = 'pending' and (%s::text[] is null or name = any(%s::text[])) order by received_at, number limit %s

-- name: commands
-- state or null, limit
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, payload from daicho.daicho_commands
where state = coalesce(%s, state) order by received_at desc, number desc limit %s

-- name: commands_of_flow
-- correlation_id, state or null, limit
select command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
cause, handler, received_at, finished_at, payload from daicho.daicho_commands
where correlation_id = %s and state = coalesce(%s, state) order by received_at, number limit %s

-- name: note_table
-- name, generation. Whoever opens the same table at the same time waits here.
insert into daicho.daicho_tables (name, generation) values (%s, %s) on conflict do nothing

-- name: live_generation
-- name
select generation from daicho.daicho_tables where name = %s and live

-- name: generations
-- name
select generation from daicho.daicho_tables where name = %s order by generation

-- name: make_live
-- generation, name
update daicho.daicho_tables set live = generation = %s where name = %s

-- name: forget_table
-- name, generation
delete from daicho.daicho_tables where name = %s and generation = %s returning live

-- name: columns
-- table or view, as it is written in SQL. Comments tell what the type does not.
select attname::text, concat_ws(' ', format_type(atttypid, atttypmod), col_description(attrelid, attnum))
from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum

-- name: stretch
-- types, parked streams, after, up to, limit: how many events of any type, the last one's position; and of these types,
-- how many are to be dealt with, are of parked streams, hold what SQL cannot read
select count(*), max(position), count(*) filter (where wanted and not parked), count(*) filter (where wanted and parked),
count(*) filter (where wanted and not parked and hidden)
from (
  select position, type = any (%s::text[]) as wanted, stream = any (%s::text[]) as parked, packed is not null as hidden
  from daicho.events where position > %s and position <= %s order by position limit %s
) as page

-- name: step_events
-- after, up to, types, streams to leave out: what the SQL of a projection sees
select position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
correlation_id, causation_id, tags, metadata, data
from daicho.events where position > %s and position <= %s and type = any (%s::text[]) and not stream = any (%s::text[])

-- name: hidden
-- as step_events
select 1 from daicho.events where position > %s and position <= %s and type = any (%s::text[])
and not stream = any (%s::text[]) and packed is not null limit 1

-- name: set_timers
-- JSON array of Timer
insert into daicho.daicho_timers (timer_id, due, "group", key, name, number, every, payload)
select timer_id, due, "group", key, name, number, every, decode(payload, 'base64')
from json_to_recordset(%s) as t (
  timer_id text, due text, "group" text, key text, name text, number integer, every double precision, payload text)
order by timer_id collate "C"
on conflict (timer_id) do update set due = excluded.due, "group" = excluded."group", key = excluded.key,
  name = excluded.name, number = excluded.number, every = excluded.every, payload = excluded.payload

-- name: drop_timers
-- timer ids
delete from daicho.daicho_timers where timer_id = any (%s::text[])

-- name: drop_timer
-- timer id, due, number
delete from daicho.daicho_timers where timer_id = %s and due = %s and number = %s

-- name: move_timer
-- due, group, key, name, number, every, payload; of timer id, due, number
update daicho.daicho_timers set due = %s, "group" = %s, key = %s, name = %s, number = %s, every = %s, payload = %s
where timer_id = %s and due = %s and number = %s

-- name: due_timers
-- groups, now, limit
select timer_id, due, "group", key, name, number, every, payload from daicho.daicho_timers
where "group" = any (%s::text[]) and due <= %s order by due, timer_id limit %s

-- name: next_due
-- groups
select min(due) from daicho.daicho_timers where "group" = any (%s::text[])

-- name: timer
-- timer id
select timer_id, due, "group", key, name, number, every, payload from daicho.daicho_timers where timer_id = %s

-- name: timers
-- group, name or null, limit
select timer_id, due, "group", key, name, number, every, payload from daicho.daicho_timers
where "group" = %s and name = coalesce(%s, name) order by due, timer_id limit %s
