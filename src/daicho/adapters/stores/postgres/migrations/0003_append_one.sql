-- The everyday append: one event at the end of one stream, without tags, condition or outcome. It does what
-- daicho.append does for it, in a third of the time. Null, and nothing done, if the stream does not end at `x`: the
-- caller then asks daicho.append, which tells why.
--
-- For connections of Daicho's own only: it relies on their settings (READ COMMITTED, lock_timeout, index scans).
create function daicho.append_one(
  at text, s text, x integer, t text, k integer, i text, o text, a text, b text, c text, u text, m json, d json
) returns bigint language plpgsql volatile as $$
declare
  everything bigint := hashtextextended('*', 'daicho.daicho_positions'::regclass::oid::bigint);
  kind       bigint := hashtextextended('type ' || t, 'daicho.daicho_positions'::regclass::oid::bigint);
  last       integer;
  present    integer;
  place      bigint;
begin
  -- Conditions that this event may meet are kept out, in the order in which everybody takes such locks. To try first
  -- is quicker: an expression needs no executor.
  if not pg_try_advisory_xact_lock_shared(least(everything, kind)) then
    perform pg_advisory_xact_lock_shared(least(everything, kind));
  end if;
  if not pg_try_advisory_xact_lock_shared(greatest(everything, kind)) then
    perform pg_advisory_xact_lock_shared(greatest(everything, kind));
  end if;
  select version into present from daicho.events where stream = s order by version desc limit 1;
  if coalesce(present, 0) <> x then
    return null;
  end if;
  -- as daicho.begin_append does
  last := ((pg_sequence_last_value('daicho.daicho_positions') & 4294967295) - 2147483648)::integer;
  if not pg_try_advisory_xact_lock_shared(
    ('daicho.daicho_positions'::regclass::oid::bigint & 2147483647)::integer, last)
  then
    raise exception 'somebody holds a writers'' lock alone' using errcode = 'lock_not_available';
  end if;
  insert into daicho.events values (
    nextval('daicho.daicho_positions'), s, x + 1, t, k, i, o, at, a, b, c, u, null, m, d, null
  ) returning position into place;
  return place;
end $$;
