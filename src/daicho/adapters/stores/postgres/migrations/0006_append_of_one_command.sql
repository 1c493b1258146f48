-- The same function as in migration 4, which says what its parameters are; one append whose events share all but id and
-- data, as those of one command mostly do, is written without looking at what they do not have, and without sorting.
create or replace function daicho.append_columns(
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
  if is_one and refused = '{}' and coalesce(t, o, a, b, c, u) is null and coalesce(k, ev, ew) is null and m is null
    and p is null and g is null
  then
    -- the events of one command: they differ in their ids and data, and are in order already
    insert into daicho.events
    select position, ws[1], versions[1] + n, t0, k0, id, o0, at, a0, b0, c0, coalesce(u0, c0), null, m0, data, null
    from (select unnest(places) as position, unnest(i) as id, unnest(d) as data, generate_subscripts(i, 1) as n) as e;
    return;
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
