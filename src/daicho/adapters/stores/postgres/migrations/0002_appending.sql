-- How events get in, and how far a reader may look. See docs/adr/0010 for the argument.

-- A writer declares itself before it draws positions: with a shared lock whose number is the last position drawn so
-- far, so that all of its own will be greater. The lock is held until its transaction has ended, either way.
-- (The sequence has given 0, so pg_sequence_last_value is never null. It reads what is there now, not a snapshot.)
create function daicho.begin_append() returns void language plpgsql as $$
declare
  last bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'daicho.append needs a transaction that is READ COMMITTED, this one is %',
      upper(current_setting('transaction_isolation')) using errcode = 'invalid_transaction_state';
  end if;
  last := pg_sequence_last_value('daicho.daicho_positions');
  perform pg_advisory_xact_lock_shared(
    ('daicho.daicho_positions'::regclass::oid::bigint & 2147483647)::integer, ((last & 4294967295) - 2147483648)::integer);
end $$;

-- The position up to which nothing new will ever appear. First what was drawn, then who is still writing: a position
-- drawn before the first look belongs to a writer whose lock was there before the second one, or who had ended.
-- Whoever reads events must do so in a later statement, which then sees all that had been committed.
-- `own`: whether the locks of this very transaction count, too.
create function daicho.safe_head(own boolean default true) returns bigint language plpgsql volatile as $$
declare
  last  bigint;
  first bigint;
begin
  last := pg_sequence_last_value('daicho.daicho_positions');
  -- a lock holds 32 bits of a position, with the highest one turned around; what is in flight is never that far back
  select min(last - ((last - (objid::bigint # 2147483648)) & 4294967295)) into first
  from pg_locks
  where locktype = 'advisory' and objsubid = 2 and granted
    and classid::bigint = ('daicho.daicho_positions'::regclass::oid::bigint & 2147483647)
    and database = (select oid from pg_database where datname = current_database())
    and (own or pid is distinct from pg_backend_pid());
  return coalesce(first, last);
end $$;

-- Plans are kept, and the first ones are made for empty tables: without these settings one might read a table from
-- beginning to end for ever after, or be compiled.
--
-- Whether an event after position `behind`, and not among `seen`, meets one of the alternatives:
-- [{"t": [types] or null, "g": [tags] or null}, ...].
create function daicho.is_met(alternatives json, behind bigint, seen bigint[]) returns boolean
language plpgsql volatile set enable_seqscan = off set jit = off as $$
declare
  item  record;
begin
  for item in
    select
      case when t is not null then array(select json_array_elements_text(t)) end as types,
      case when g is not null then array(select json_array_elements_text(g)) end as tags
    from json_to_recordset(alternatives) as a (t json, g json)
  loop
    if item.tags is not null then
      perform 1 from daicho.event_tags e
      where e.tag = item.tags[1] and e.position > behind and e.position <> all (seen)
        and (item.types is null or e.type = any (item.types))
        and not exists (
          select 1 from unnest(item.tags[2:]) as other
          where not exists (select 1 from daicho.event_tags o where o.tag = other and o.position = e.position))
      limit 1;
    else
      perform 1 from daicho.events e
      where e.position > behind and e.position <> all (seen) and (item.types is null or e.type = any (item.types))
      limit 1;
    end if;
    if found then
      return true;
    end if;
  end loop;
  return false;
end $$;

-- Several appends in one statement, each on its own: those whose expected versions or condition do not hold are left
-- out. They must not depend on each other (no stream, event id or command id twice).
--
--   keys        [{"k": text, "x": true if alone}]: what the conditions ask for (alone), what the events carry (shared)
--   writes      [{"r": request, "s": stream, "x": expected version, -1 any, -2 exists}]
--   conditions  [{"r": request, "b": behind, "s": [seen], "a": [alternatives]}]
--   events      [{"r": request, "w": write, "v": offset in it, from 1, "s": stream, "t": type, ...}]
--   outcomes    [{"r": request, "w": its first write or null, "n": events in that, "e": its last event or null, ...}]
--
-- Requests, writes and events are counted from 1. `versions`: of each write's stream, before; `refused`: requests;
-- `places`: position of each event, null if refused.
create function daicho.append(
  at text, keys json, writes json, conditions json, events json, outcomes json,
  out versions integer[], out refused integer[], out places bigint[]
) language plpgsql volatile set enable_seqscan = off set jit = off set lock_timeout = '10s' as $$
declare
  each record;
begin
  for each in  -- in one order for everybody, so that nobody waits in a circle
    select key, bool_or(x) as alone
    from (
      select hashtextextended(k, 'daicho.daicho_positions'::regclass::oid::bigint) as key, x
      from json_to_recordset(keys) as a (k text, x boolean)
    ) as hashed group by key order by key
  loop
    if each.alone then
      perform pg_advisory_xact_lock(each.key);
    else
      perform pg_advisory_xact_lock_shared(each.key);
    end if;
  end loop;

  -- a new statement, a new snapshot: it sees everything that was written under these locks
  select
    array_agg(coalesce(present.version, 0) order by w.n),
    coalesce(array_agg(w.r) filter (where not case w.x
      when -1 then true when -2 then present.version is not null else coalesce(present.version, 0) = w.x end), '{}')
  into versions, refused
  from rows from (json_to_recordset(writes) as (r integer, s text, x integer)) with ordinality as w (r, s, x, n)
  left join lateral (
    select e.version from daicho.events e where e.stream = w.s order by e.version desc limit 1
  ) as present on true;

  if conditions is not null then
    for each in
      select c.r, c.b, c.s, c.a from json_to_recordset(conditions) as c (r integer, b bigint, s bigint[], a json)
    loop
      if not each.r = any (refused) and daicho.is_met(each.a, each.b, each.s) then
        refused := refused || each.r;
      end if;
    end loop;
  end if;

  if events is not null then
    perform daicho.begin_append();

    -- Positions are drawn in the order of the events; rows go in sorted by stream, so that two writers who meet on
    -- two streams meet in the same order.
    with fresh as materialized (
      select ordered.*, nextval('daicho.daicho_positions') as position
      from (
        select * from rows from (json_to_recordset(events) as (
          r integer, w integer, v integer, s text, t text, k integer, i text, o text, a text, b text, c text, u text,
          g json, m json, d json, p text
        )) with ordinality as given (r, w, v, s, t, k, i, o, a, b, c, u, g, m, d, p, n)
        where not r = any (refused) order by n
      ) as ordered
    ), stored as (
      insert into daicho.events
      select position, s, versions[w] + v, t, k, i, o, at, a, b, c, u, g, m, d, decode(p, 'base64')
      from fresh order by s, versions[w] + v
    ), tagged as (
      insert into daicho.event_tags select tag, position, t from fresh, json_array_elements_text(g) as tag
    )
    select array_agg(fresh.position order by every.n) into places
    from generate_series(1, json_array_length(events)) as every (n) left join fresh on fresh.n = every.n;
  end if;

  if outcomes is not null then
    insert into daicho.daicho_commands as old (
      command_id, name, state, key, fingerprint, stream, version, position, reason, actor, tenant, correlation_id,
      cause, handler, received_at, finished_at, payload)
    select
      command_id, name, state, key, fingerprint, stream,
      case when w is null then version else versions[w] + n end, case when e is null then position else places[e] end,
      reason, actor, tenant, correlation_id, cause, handler, received_at, finished_at, decode(payload, 'base64')
    from json_to_recordset(outcomes) as o (
      r integer, w integer, n integer, e integer, command_id text, name text, state text, key text, fingerprint text,
      stream text, version integer, position bigint, reason text, actor text, tenant text, correlation_id text,
      cause text, handler text, received_at text, finished_at text, payload text)
    where not r = any (refused) order by command_id
    on conflict (command_id) do update set
      name = excluded.name, state = excluded.state, key = excluded.key, fingerprint = excluded.fingerprint,
      stream = excluded.stream, version = excluded.version, position = excluded.position, reason = excluded.reason,
      actor = excluded.actor, tenant = excluded.tenant, correlation_id = excluded.correlation_id,
      cause = excluded.cause, handler = excluded.handler, received_at = excluded.received_at,
      finished_at = excluded.finished_at, payload = excluded.payload;
  end if;
end $$;
