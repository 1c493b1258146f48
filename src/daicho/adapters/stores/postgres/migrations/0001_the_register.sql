-- Everything that the first version keeps. Times are ISO 8601 text in UTC (text order is time order), ids are text.

-- Has "given" 0 from the beginning: last_value is then always a position that some writer may already have drawn.
create sequence daicho.daicho_positions as bigint minvalue 0 start 0 cache 1;
select setval('daicho.daicho_positions', 0, true);

create table daicho.events (
  position       bigint  primary key,                   -- epoch << 48 | number, from daicho.daicho_positions
  stream         text    collate "C" not null,
  version        integer not null check (version > 0),
  type           text    collate "C" not null,
  schema_version integer not null,
  event_id       text    collate "C" not null,
  occurred_at    text    collate "C" not null,
  recorded_at    text    collate "C" not null,
  actor          text    collate "C",
  tenant         text    collate "C",
  correlation_id text    collate "C" not null,
  causation_id   text    collate "C" not null,
  tags           json,                                  -- array, null for none
  metadata       json    not null,
  data           json,                                  -- the event itself, if it is JSON
  packed         bytea,                                 -- the event itself, if it is MessagePack or holds a NUL
  constraint events_one_version unique (stream, version),
  constraint events_one_id unique (event_id),
  check ((data is null) <> (packed is null))
) with (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- A flow is found by the index on event_id: ids of our own making begin like the id of their flow. Only events with
-- other ids (imported ones) need an index of their own, so appending everyday events does not pay for it.
create index events_of_other_ids on daicho.events (correlation_id)
where substr(event_id, 1, 13) <> substr(correlation_id, 1, 13);

create function daicho.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are facts: they are never changed or deleted' using errcode = 'restrict_violation';
end $$;

create trigger events_are_facts before update or delete or truncate on daicho.events
for each statement execute function daicho.refuse_change();

-- One row for each tag of each tagged event: what a dynamic consistency boundary looks at.
create table daicho.event_tags (
  tag      text   collate "C" not null,
  position bigint not null,
  type     text   collate "C" not null,
  primary key (tag, position)
);

create table daicho.daicho_checkpoints (
  processor   text        collate "C" primary key,
  position    bigint      not null,
  token       bigint      not null default 0,           -- grows with every change of owner
  owner       text,                                     -- host:pid:start:random
  lease_until timestamptz not null default '-infinity', -- by the database's clock
  updated_at  text        not null,
  fold        text
) with (fillfactor = 50);

create table daicho.daicho_dead_letters (
  number         bigint  generated always as identity primary key,
  processor      text    collate "C" not null,
  key            text    collate "C" not null,
  position       bigint  not null,
  event_id       text    not null,
  type           text    not null,
  stream         text    not null,
  correlation_id text    not null,
  error          text,
  trace          text,
  attempts       integer not null,
  parked_at      text    not null,
  state          text    not null,
  reason         text,
  unique (processor, key, position)
);

create index daicho_dead_letters_open on daicho.daicho_dead_letters (processor) where state in ('parked', 'retry');

create table daicho.daicho_snapshots (
  stream  text    collate "C" primary key,
  version integer not null,
  fold    text    not null,
  state   bytea   not null
);

create table daicho.daicho_commands (
  number         bigint generated always as identity primary key,
  command_id     text   collate "C" not null unique,
  name           text   not null,
  state          text   not null,
  key            text,
  fingerprint    text,
  stream         text,
  version        integer not null,
  position       bigint not null,
  reason         text,
  actor          text,
  tenant         text,
  correlation_id text   collate "C",
  cause          text,
  handler        text,
  received_at    text   collate "C" not null,
  finished_at    text,
  payload        bytea                                  -- only while it may still have to run
);

create index daicho_commands_pending on daicho.daicho_commands (received_at, number) where state = 'pending';

create index daicho_commands_age on daicho.daicho_commands (received_at, number);

create index daicho_commands_correlation on daicho.daicho_commands (correlation_id) where correlation_id is not null;

-- Every generation of every read model; readers of the name get the live one.
create table daicho.daicho_tables (
  name       text    collate "C" not null,
  generation integer not null,
  live       boolean not null default false,
  primary key (name, generation)
);
