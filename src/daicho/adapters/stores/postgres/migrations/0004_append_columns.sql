-- Appends of one stream each, without conditions and outcomes, as columns: binary arrays, which are read once and without
-- looking for their ends, where daicho.append has JSON to take apart. It decides and does the same.
--
--   ws, wx      of each write: stream, and expected version (-1 any, -2 exists)
--   es, ew, ev  of each event: stream, number of its write, place in it; null if there is one write, which then has all
--               events, or as many writes as events, one for each
--   i, d, p, g  event ids, data as JSON or else as bytes (null if there are no such), tags (null if there are none)
--
-- The other columns have a single value, in the one called `..0`, if all events share it. A null causation is the
-- correlation.
--
-- `versions`: of each write's stream, before; `refused`: writes; `places`: position of each event, null if refused.
create function daicho.append_columns(
  at text, keys text[], ws text[], wx integer[], es text[], ew integer[], ev integer[],
  t0 text, t text[], k0 integer, k integer[], o0 text, o text[], a0 text, a text[], b0 text, b text[],
  c0 text, c text[], u0 text, u text[], m0 json, m json[], i text[], d json[], p bytea[], g json[],
  out versions integer[], out refused integer[], out places bigint[]
) language plpgsql volatile
set enable_seqscan = off set jit = off set lock_timeout = '10s' set plan_cache_mode = force_generic_plan as $$
declare
  is_one boolean := cardinality(ws) = 1;
  key    bigint;
begin
  for key in  -- in one order for everybody, so that nobody waits in a circle
    select hashtextextended(name, 'daicho.daicho_positions'::regclass::oid::bigint)
    from unnest(keys) as each (name) order by 1
  loop
    if not pg_try_advisory_xact_lock_shared(key) then
      perform pg_advisory_xact_lock_shared(key);
    end if;
  end loop;

  -- a new statement, a new snapshot: it sees everything that was written under these locks
  select
    array_agg(coalesce(present.version, 0) order by w.n),
    coalesce(array_agg(w.n) filter (where not case w.x
      when -1 then true when -2 then present.version is not null else coalesce(present.version, 0) = w.x end), '{}')
  into versions, refused
  from (select unnest(ws) as s, unnest(wx) as x, generate_subscripts(ws, 1) as n) as w
  left join lateral (
    select e.version from daicho.events e where e.stream = w.s order by e.version desc limit 1
  ) as present on true;

  perform daicho.begin_append();

  -- Positions are drawn in the order of the events; rows go in sorted by stream, so that two writers who meet on two
  -- streams meet in the same order.
  if refused = '{}' then
    select array_agg(nextval('daicho.daicho_positions')) into places from generate_series(1, cardinality(i));
  elsif is_one then
    places := array_fill(null::bigint, array[cardinality(i)]);
  else
    select array_agg(case when not coalesce(w, n) = any (refused) then nextval('daicho.daicho_positions') end order by n)
    into places from (select unnest(ew) as w, generate_subscripts(i, 1) as n) as given;
  end if;
  if es is null and not is_one then
    es := ws;
  end if;

  insert into daicho.events
  select
    position, coalesce(s, ws[1]), case when is_one then versions[1] + n else versions[coalesce(w, n)] + coalesce(v, 1) end,
    coalesce(e.t, t0), coalesce(e.k, k0), e.i, coalesce(e.o, o0), at, coalesce(e.a, a0), coalesce(e.b, b0),
    coalesce(e.c, c0), coalesce(e.u, u0, e.c, c0), e.g, coalesce(e.m, m0), e.d, e.p
  from (
    select
      unnest(places) as position, unnest(es) as s, unnest(ew) as w, unnest(ev) as v, unnest(t) as t, unnest(k) as k,
      unnest(o) as o, unnest(a) as a, unnest(b) as b, unnest(c) as c, unnest(u) as u, unnest(m) as m, unnest(i) as i,
      unnest(d) as d, unnest(p) as p, unnest(g) as g, generate_subscripts(i, 1) as n
  ) as e
  where position is not null order by s, w, v, n;

  if g is not null then
    insert into daicho.event_tags
    select tag, position, coalesce(e.t, t0)
    from (select unnest(places) as position, unnest(t) as t, unnest(g) as g) as e, json_array_elements_text(e.g) as tag where position is not null;
  end if;
end $$;
