-- What is to be done later.
create table daicho.daicho_timers (
  timer_id text collate "C" primary key,
  due      text collate "C" not null,
  "group"  text not null,
  key      text not null,
  name     text not null,
  number   integer not null,
  every    double precision not null,
  payload  bytea
);
create index daicho_timers_due on daicho.daicho_timers ("group", due);
comment on column daicho.daicho_timers."group" is 'who deals with it';
comment on column daicho.daicho_timers.number is 'how often it came up';
comment on column daicho.daicho_timers.every is 'seconds; 0: once';
