-- Which server the register is on. When a standby was promoted, or a dump or an old backup was put in its place, events
-- that had been acknowledged may be gone, and the sequence would hand out their positions again. So a new epoch begins
-- before the first append there, and with it positions that nobody has ever had.
create table daicho.daicho_epochs (
  epoch     integer primary key,
  timeline  integer not null,                          -- of the server that it began on; 0 if that could not be told
  system_id bigint  not null,
  mark      text    not null,                          -- made up: two servers may begin the same epoch
  survived  bigint  not null,                          -- the greatest position of an event when it began
  drawn     bigint  not null,                          -- the greatest position that may have been drawn by then
  seen      bigint  not null default 0,                -- the greatest position of before that any process has known of
  began_at  timestamptz not null default clock_timestamp()
);
comment on table daicho.daicho_epochs is
  'a position of an older epoch that is greater than what survived is of an event that was lost';

-- The timeline on which appends are taken; 0: any. A sequence, because to read one costs next to nothing.
create sequence daicho.daicho_timeline as bigint minvalue 0 start 0 cache 1;
select setval('daicho.daicho_timeline', 0, true);

-- What this server says of itself. Some hosted ones keep it to themselves: then 0.
create function daicho.server(out timeline integer, out system_id bigint, out is_standby boolean)
language plpgsql volatile as $$
begin
  is_standby := pg_is_in_recovery();
  begin
    if is_standby then
      timeline := (select timeline_id from pg_control_checkpoint());
    else  -- the control file learns of a promotion with the next checkpoint only
      timeline := ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer;
    end if;
  exception when others then
    timeline := 0;
  end;
  begin
    system_id := (select system_identifier from pg_control_system());
  exception when others then
    system_id := 0;
  end;
end $$;

-- The present epoch; a new one, if this server is not the one on which the last began. One process at a time.
--
--   new_mark  for a new epoch
--   at_least  its number
--   anyway    begins one whatever server this is, for one that was put back to an earlier state by other means
create function daicho.begin_epoch(new_mark text, at_least integer, anyway boolean default false) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  here    record;
  present record;
  is_new  boolean;
  last    bigint;
  step    integer := 1;
  number  integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('epoch', 'daicho.daicho_positions'::regclass::oid::bigint));
  select * into here from daicho.server();
  select * into present from daicho.daicho_epochs order by epoch desc limit 1;
  is_new := present.epoch is null;
  if not is_new and not anyway and (present.timeline, present.system_id) = (here.timeline, here.system_id) then
    return present.epoch;
  end if;
  last := pg_sequence_last_value('daicho.daicho_positions');
  if is_new then
    number := last >> 48;
  else
    -- whoever was promoted from the same place may have begun an epoch, too, of which nothing is known here
    if here.system_id = present.system_id and here.timeline > present.timeline then
      step := here.timeline - present.timeline;
    end if;
    number := greatest(present.epoch + step, (last >> 48) + 1, at_least);
    -- numbers go on, so that they tell roughly how many events there are
    perform setval('daicho.daicho_positions', (number::bigint << 48) | (last & 281474976710655), true);
  end if;
  insert into daicho.daicho_epochs (epoch, timeline, system_id, mark, survived, drawn) values (
    number, here.timeline, here.system_id, new_mark, coalesce((select max(position) from daicho.events), 0), last);
  perform setval('daicho.daicho_timeline', here.timeline, true);
  return number;
end $$;

-- As in 0002; and refuses what would be appended in the wrong epoch. Everybody comes by here, except daicho.append_one,
-- which is only used on connections that were looked at when they were made, and end with their server.
create or replace function daicho.begin_append() returns void language plpgsql as $$
declare
  last   bigint;
  wanted bigint := pg_sequence_last_value('daicho.daicho_timeline');
begin
  if wanted <> 0
    and wanted <> ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer
  then
    raise exception 'this server was promoted: a new epoch has to begin first' using errcode = 'DA001';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'daicho.append needs a transaction that is READ COMMITTED, this one is %',
      upper(current_setting('transaction_isolation')) using errcode = 'invalid_transaction_state';
  end if;
  last := pg_sequence_last_value('daicho.daicho_positions');
  perform pg_advisory_xact_lock_shared(
    ('daicho.daicho_positions'::regclass::oid::bigint & 2147483647)::integer, ((last & 4294967295) - 2147483648)::integer);
end $$;

-- How far anybody has seen events of before an epoch: so much is known to be lost, if it did not survive.
create function daicho.note_seen(of_epoch integer, place bigint) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update daicho.daicho_epochs set seen = place where epoch = of_epoch and seen < place
$$;

-- There is nothing in them that whoever may use the schema should not know, and nobody has to be granted them anew.
grant select on daicho.daicho_epochs, daicho.daicho_timeline to public;

-- Whoever read events before a failover, and writes what came of them after it, must not vouch for what was lost.
create function daicho.refuse_lost() returns trigger language plpgsql as $$
begin
  if exists (select from daicho.daicho_epochs where epoch > (new.position >> 48) and survived < new.position) then
    raise exception '% was to move to %, which was lost in a failover', new.processor, new.position
      using errcode = 'DA002';
  end if;
  return new;
end $$;

create trigger checkpoints_of_what_is before update of position on daicho.daicho_checkpoints for each row
when (
  new.position > old.position
  and (new.position >> 48) <> (pg_sequence_last_value('daicho.daicho_positions') >> 48)
  and split_part(new.processor, ':', 1) in ('projection', 'reaction', 'process', 'courier', 'relay')
) execute function daicho.refuse_lost();
