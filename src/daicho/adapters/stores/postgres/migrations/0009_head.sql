-- Up to where the log was complete, and when: for replicas, which cannot ask (locks are not replicated). See docs/adr/0034.
-- Whoever reads this row on a replica finds every event up to `position` there: their commits lie before its own.
create table daicho.daicho_head (
  id       integer     primary key check (id = 1),
  beat     bigint      not null,
  position bigint      not null,
  at       timestamptz not null                         -- by the clock of the primary
) with (fillfactor = 10);

insert into daicho.daicho_head (id, beat, position, at) values (1, 0, 0, clock_timestamp());
