-- Which code failed on a parked event: other code tries it again by itself, once.
alter table daicho.daicho_dead_letters add column code text;
