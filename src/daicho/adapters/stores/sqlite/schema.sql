-- The whole database, the newest version (schema.py has the way from older ones). Statements are separated by blank lines and run in one transaction.
-- Times are ISO 8601 text in UTC, ids are text, JSON is text (MessagePack is a blob): `sqlite3 app.db` can read all of it.

create table events (
  position       integer primary key,                   -- assigned under the write lock: commit order, without gaps
  stream         text    not null,
  version        integer not null check (version > 0),
  type           text    not null,
  schema_version integer not null,
  event_id       text    not null,
  occurred_at    text    not null,
  recorded_at    text    not null,
  actor          text,
  tenant         text,
  correlation_id text    not null,
  causation_id   text    not null,
  tags           text,                                  -- JSON array, null for none
  metadata       text    not null,
  data                   not null,
  unique (stream, version),
  unique (event_id)
)

-- A flow is found by the index on event_id: ids of our own making begin like the id of their flow. Only events with
-- other ids (imported ones) need an index of their own, so appending everyday events does not pay for it.
create index events_of_other_ids on events (correlation_id) where substr(event_id, 1, 13) <> substr(correlation_id, 1, 13)

create trigger events_are_not_changed before update on events
begin select raise(abort, 'events are facts: they are never changed'); end

create trigger events_are_not_deleted before delete on events
begin select raise(abort, 'events are facts: they are never deleted'); end

-- One row for each tag of each tagged event: what a dynamic consistency boundary looks at.
create table event_tags (
  tag      text    not null,
  position integer not null,
  type     text    not null,
  primary key (tag, position)
) without rowid

create table daicho_checkpoints (
  processor   text    primary key,
  position    integer not null,
  token       integer not null default 0,               -- grows with every change of owner
  owner       text,                                     -- host:pid:start:random
  lease_until real    not null default 0,               -- seconds since 1970, by the machine's clock
  updated_at  text    not null,
  fold        text
) without rowid

create table daicho_dead_letters (
  number         integer primary key autoincrement,
  processor      text    not null,
  key            text    not null,
  position       integer not null,
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
  code           text,                                  -- which code failed on it
  unique (processor, key, position)
)

create table daicho_snapshots (
  stream  text    primary key,
  version integer not null,
  fold    text    not null,
  state           not null
) without rowid

-- The present state of each stream whose aggregate keeps that, written with its events. Not a cache: events that went
-- into it may have been pruned.
create table daicho_states (
  stream              text    primary key,
  version             integer not null,
  position            integer not null,
  schema_version      integer not null,
  state               text    not null,
  updated_at          text    not null,
  base_version        integer,                          -- where the kept history of a pruned stream begins,
  base_occurred_at    text,                             -- and the state there
  base_schema_version integer,
  base_state          text
) without rowid

-- Which way the streams of a category are kept, if it was ever in rows.
create table daicho_standings (
  category  text    primary key,
  kind      text    not null,                           -- state or events
  moving_to text,
  pruned_to integer not null default 0,
  rules     text    not null default '[]'
) without rowid

create table daicho_commands (
  number         integer primary key,
  command_id     text    not null unique,
  name           text    not null,
  state          text    not null,
  key            text,
  fingerprint    text,
  stream         text,
  version        integer not null,
  position       integer not null,
  reason         text,
  actor          text,
  tenant         text,
  correlation_id text,
  cause          text,
  handler        text,
  received_at    text    not null,
  finished_at    text,
  payload
)

create index daicho_commands_pending on daicho_commands (received_at) where state = 'pending'

create index daicho_commands_age on daicho_commands (received_at)

create index daicho_commands_correlation on daicho_commands (correlation_id) where correlation_id is not null

-- Every generation of every read model; readers of the name get the live one.
create table daicho_tables (
  name       text    not null,
  generation integer not null,
  live       integer not null default 0,
  primary key (name, generation)
) without rowid

-- What is to be done later.
create table daicho_timers (
  timer_id text    not null primary key,
  due      text    not null,
  "group"  text    not null,                             -- who deals with it
  key      text    not null,
  name     text    not null,
  number   integer not null,                             -- how often it came up
  every    real    not null,                             -- seconds; 0: once
  payload
) without rowid

create index daicho_timers_due on daicho_timers ("group", due)
