-- The fixed statements about events. `%s` are bound in the order of the comment line below the name.

-- name: append
-- now, keys, writes, conditions, events, outcomes: see migrations/0002
select versions, refused, places from daicho.append(%s, %s::json, %s::json, %s::json, %s::json, %s::json)

-- name: append_states
-- now, keys, writes, conditions, events, outcomes, states: see migrations/0010
select versions, refused, places
from daicho.append_states(%s, %s::json, %s::json, %s::json, %s::json, %s::json, %s::json)

-- name: append_columns
-- see migrations/0004
select versions, refused, places from daicho.append_columns(
  %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: append_one
-- now, stream, expected version, and the event: see migrations/0003
select daicho.append_one(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: inline_turn
-- Appends with inline work go one after another, over all processes: each finds the views at the event before its own.
select set_config('idle_in_transaction_session_timeout', '10s', true),
pg_advisory_xact_lock(hashtextextended('inline', 'daicho.daicho_positions'::regclass::oid::bigint))

-- name: nothing_between
-- position, position: whether everything before the second is decided, and no event lies between the two.
select daicho.safe_head(false) >= %s - 1
and not exists (select 1 from daicho.events where position > %s and position < %s)

-- name: load_one
-- stream, fold, stream, stream, fold, limit.
-- The snapshot is the row without a position; the events begin with the last one that is in it.
(select null::bigint, version, null::text, null::integer, null::json, state from daicho.daicho_snapshots
where stream = %s and fold = %s)
union all
(select position, version, type, schema_version, data, packed from daicho.events
where stream = %s
and version >= coalesce((select version from daicho.daicho_snapshots where stream = %s and fold = %s), 1)
order by version limit %s)

-- name: load_many
-- [[stream, fold, limit], ...] as JSON
select wanted.n::integer, e.* from rows from (json_array_elements(%s::json)) with ordinality as wanted (item, n),
lateral (
  (select null::bigint, version, null::text, null::integer, null::json, state from daicho.daicho_snapshots
  where stream = wanted.item ->> 0 and fold = wanted.item ->> 1)
  union all
  (select position, version, type, schema_version, data, packed from daicho.events
  where stream = wanted.item ->> 0 and version >= coalesce((
    select version from daicho.daicho_snapshots where stream = wanted.item ->> 0 and fold = wanted.item ->> 1), 1)
  order by version limit (wanted.item ->> 2)::integer)
) as e
order by wanted.n, e.version

-- name: load_state_one
-- stream, stream, stream, limit.
-- The state is the row without a position, which stands before the time; the events are those behind it.
(select null::bigint, version, position || ' ' || updated_at, schema_version, state, packed from daicho.daicho_states
where stream = %s)
union all
(select position, version, type, schema_version, data, packed from daicho.events
where stream = %s and version > coalesce((select version from daicho.daicho_states where stream = %s), 0)
order by version limit %s)

-- name: load_state_many
-- [[stream, "", limit], ...] as JSON
select wanted.n::integer, e.* from rows from (json_array_elements(%s::json)) with ordinality as wanted (item, n),
lateral (
  (select null::bigint, version, position || ' ' || updated_at, schema_version, state, packed from daicho.daicho_states
  where stream = wanted.item ->> 0)
  union all
  (select position, version, type, schema_version, data, packed from daicho.events
  where stream = wanted.item ->> 0
  and version > coalesce((select version from daicho.daicho_states where stream = wanted.item ->> 0), 0)
  order by version limit (wanted.item ->> 2)::integer)
) as e
order by wanted.n, e.version

-- name: states
-- name before the first one, upper bound, limit
select stream, version, position, schema_version, state, packed, updated_at from daicho.daicho_states
where stream > %s and stream < %s order by stream limit %s

-- name: standings
select category, kind, moving_to, pruned_to, rules from daicho.daicho_standings

-- name: note_standing
-- category, kind, moving_to, pruned_to, rules
insert into daicho.daicho_standings values (%s, %s, %s, %s, %s::json)
on conflict (category) do update set kind = excluded.kind, moving_to = excluded.moving_to,
  pruned_to = excluded.pruned_to, rules = excluded.rules

-- name: note_new_standing
-- category, kind, moving_to, pruned_to, rules
insert into daicho.daicho_standings values (%s, %s, %s, %s, %s::json) on conflict (category) do nothing

-- name: prune
-- category, JSON (see migrations/0010), position
select daicho.prune(%s, %s::json, %s)

-- name: base
-- stream
select base_version, base_occurred_at, base_schema_version, base_packed from daicho.daicho_states
where stream = %s and base_version is not null

-- name: places
-- event ids
select event_id, stream, version, position from daicho.events where event_id = any (%s)

-- name: safe_head
select daicho.safe_head()

-- name: stream_version
-- stream
select coalesce((select version from daicho.events where stream = %s order by version desc limit 1), 0)

-- name: streams
-- name before the first one, upper bound or null, limit.
-- One index seek for each stream, however long it is.
with recursive names (name) as (
  (select stream from daicho.events where stream > %s order by stream limit 1)
  union all
  select (select stream from daicho.events where stream > name order by stream limit 1) from names where name is not null
)
select name, (select version from daicho.events where stream = name order by version desc limit 1)
from names where name is not null and name < coalesce(%s, chr(1114111)) limit %s

-- name: counts
select type, schema_version, count(*) from daicho.events group by type, schema_version

-- name: settings
select version(), current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
current_setting('max_connections'), current_setting('max_locks_per_transaction')

-- name: size
select daicho.safe_head(), (select last_value from daicho.daicho_positions), greatest(reltuples, 0)::bigint,
pg_size_pretty(pg_total_relation_size(oid)) from pg_class where oid = 'daicho.events'::regclass

-- name: in_flight
-- Whose writes have not ended: process, application, seconds, state, statement; oldest first.
select a.pid, a.application_name, extract(epoch from clock_timestamp() - a.xact_start)::float8, a.state, left(a.query, 80)
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
and l.classid::bigint = ('daicho.daicho_positions'::regclass::oid::bigint & 2147483647)
and l.database = (select oid from pg_database where datname = current_database())
order by a.xact_start

-- name: long_transactions
-- seconds
select pid, application_name, extract(epoch from clock_timestamp() - xact_start)::float8, state, left(query, 80)
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and xact_start < clock_timestamp() - make_interval(secs => %s)
order by xact_start

-- name: vacuum
select age(datfrozenxid)::bigint from pg_database where datname = current_database()
