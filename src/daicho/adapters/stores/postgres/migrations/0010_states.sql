-- The present state of each stream whose aggregate keeps that, written with its events. Not a cache: events that went
-- into it may have been pruned.
create table daicho.daicho_states (
  stream              text    collate "C" primary key,
  version             integer not null,
  position            bigint  not null,
  schema_version      integer not null,
  state               json,                             -- null if it holds a NUL: then in packed
  packed              bytea,
  updated_at          text    collate "C" not null,
  base_version        integer,                          -- where the kept history of a pruned stream begins,
  base_occurred_at    text    collate "C",              -- and the state there
  base_schema_version integer,
  base_packed         bytea,
  check ((state is null) <> (packed is null))
) with (fillfactor = 80);

-- Which way the streams of a category are kept, if it was ever in rows.
create table daicho.daicho_standings (
  category  text   collate "C" primary key,
  kind      text   collate "C" not null,                -- state or events
  moving_to text   collate "C",
  pruned_to bigint not null default 0,
  rules     json   not null default '[]'
);

-- As daicho.append, and with the events the rows of their streams:
--
--   states  [{"r": request, "w": its write, "n": events in that, "e": the last of them or null, "s": stream,
--             "c": category, "p": position if it has none, "k": schema version, "d": state or "b": in base64,
--             "x": true to remove the row, "f": true to leave it alone if the category is moved to events}]
create function daicho.append_states(
  at text, keys json, writes json, conditions json, events json, outcomes json, states json,
  out versions integer[], out refused integer[], out places bigint[]
) language plpgsql volatile set enable_seqscan = off set jit = off as $$
begin
  select done.versions, done.refused, done.places into versions, refused, places
  from daicho.append(at, keys, writes, conditions, events, outcomes) as done;

  delete from daicho.daicho_states where stream in (
    select s from json_to_recordset(states) as given (r integer, s text, x boolean) where x and not r = any (refused));

  -- in the order of the streams, as the events went in
  insert into daicho.daicho_states as old (stream, version, position, schema_version, state, packed, updated_at)
  select s, versions[w] + n, coalesce(places[e], p), k, d, decode(b, 'base64'), at
  from json_to_recordset(states) as given (
    r integer, w integer, n integer, e integer, s text, c text, p bigint, k integer, d json, b text, x boolean,
    f boolean)
  where not x and not r = any (refused)
    and (not f or not exists (
      select from daicho.daicho_standings t where t.category = c and 'events' in (t.kind, t.moving_to)))
  order by s collate "C"
  on conflict (stream) do update set version = excluded.version, position = excluded.position,
    schema_version = excluded.schema_version, state = excluded.state, packed = excluded.packed,
    updated_at = excluded.updated_at
  where excluded.version >= old.version;
end $$;

-- Deletes what `daicho prune` may delete, and nothing else can:
--   parts  [{"s": stream, "v": up to this version, "o": the latest occurred_at, "k": schema version,
--           "b": the state there, in base64}]
create or replace function daicho.refuse_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('daicho_register.pruning', true) = 'on' then
    return null;
  end if;
  raise exception 'events are facts: they are never changed or deleted' using errcode = 'restrict_violation';
end $$;

create function daicho.prune(of_category text, parts json, up_to bigint, out gone integer)
language plpgsql volatile set enable_seqscan = off set jit = off as $$
begin
  gone := 0;
  perform from daicho.daicho_standings where category = of_category and kind = 'state' and moving_to is null for update;
  if not found then
    return;
  end if;
  perform set_config('daicho_register.pruning', 'on', true);
  delete from daicho.events e
  using json_to_recordset(parts) as given (s text, v integer), daicho.daicho_states t
  where e.stream = given.s and t.stream = given.s and e.version > 1 and e.version <= given.v and e.version < t.version
    and e.tags is null;
  get diagnostics gone = row_count;
  perform set_config('daicho_register.pruning', 'off', true);
  update daicho.daicho_states set base_version = v, base_occurred_at = o, base_schema_version = k, base_packed = decode(b, 'base64')
  from json_to_recordset(parts) as given (s text, v integer, o text, k integer, b text) where stream = given.s;
  update daicho.daicho_standings set pruned_to = greatest(pruned_to, up_to) where category = of_category;
end $$;
