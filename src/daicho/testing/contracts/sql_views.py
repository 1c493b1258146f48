"""The contract of `daicho.ports.sql_views.SqlViews`."""

import asyncio
from typing import Any

import pytest

from daicho.core.errors import LostLease, WiringError
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance, Checkpoint
from daicho.ports.sql_views import SetStep, SqlViews, StepRefused
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.testing.contracts.base import HOSTILE, Contract, append, event, request
from daicho.testing.contracts.checkpoint_store import claimed, present
from daicho.testing.contracts.dead_letter_store import parked

__all__ = ["SqlViewsContract"]


class Tally(Row):
    stream: str
    events: int


TALLY = TableSpec("tally", 1, Tally)
COUNT = """
insert into {table} (_key, stream, events) select stream, stream, count(*) from {events} group by stream
on conflict (_key) do update set events = {table}.events + excluded.events
"""
REFUSED = "insert into {table} (_key, stream, events) select null, stream, 1 from {events} where type = 'poison'"


def able(store: Storage) -> SqlViews:
    assert isinstance(store, SqlViews)
    return store


def step(mine: Checkpoint, new: int, *statements: str, old: int = 0, **more: Any) -> SetStep:
    move = Advance(processor=mine.processor, token=mine.token, old=old, new=new)
    given: dict[str, Any] = {"table": TALLY, "types": ("a", "b"), "after": old, "up_to": new, "advance": move, **more}
    return SetStep(statements=statements or (COUNT,), **given)


async def positions(store: Storage, *requests: tuple[str, str]) -> list[int]:
    """Of events of (stream, type), appended one after another."""
    answers = [await append(store, request(stream, kind)) for stream, kind in requests]
    return [answer.positions[0] for [answer] in answers]


async def tally(store: Storage, table: TableSpec = TALLY) -> dict[str, int]:
    return {row.stream: row.events for row in await store.find(table, {})}


class SqlViewsContract(Contract):
    @pytest.fixture
    def sets(self, store: Storage) -> SqlViews:
        if not self.capabilities.sql:
            pytest.skip("this store does not claim to run SQL")
        return able(store)

    async def test_a_store_runs_sql_if_it_says_so(self, store: Storage) -> None:
        assert isinstance(store, SqlViews) is self.capabilities.sql

    async def test_statements_see_the_events_of_the_step_and_no_others(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        at = await positions(
            store, *[("s-1", "a"), ("s-1", "c"), ("s-2", "b"), ("s-3", "a"), ("s-2", "a"), ("s-1", "a")]
        )
        mine = await claimed(store)
        await sets.apply_set(step(mine, at[0]))
        await sets.apply_set(step(mine, at[4], old=at[0], without=("s-3",)))
        assert await tally(store) == {"s-1": 1, "s-2": 2}
        assert (await present(store)).position == at[4]

    async def test_every_column_of_the_events_is_there(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        whole = event("a", actor="ann", tenant="north", tags=("t",), data=b'{"n":7}')
        [answer] = await append(store, request("s-1", whole))
        every = """
        with known as (
          select position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
          correlation_id, causation_id, tags, metadata, data from {events}
        )
        insert into {table} (_key, stream, events)
        select event_id, actor || '/' || tenant || '/' || (data ->> 'n'), position from known
        """
        mine = await claimed(store)
        await sets.apply_set(step(mine, answer.positions[0], every))
        assert await store.get(TALLY, whole.event_id) == Tally(stream="ann/north/7", events=answer.positions[0])

    async def test_several_statements_run_in_order(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        [at] = await positions(store, ("s-1", "a"))
        mine = await claimed(store)
        double = "update {table} set events = events * 10 where _key in (select stream from {events})"
        await sets.apply_set(step(mine, at, COUNT, double, "delete from {table} where events <> 10"))
        assert await tally(store) == {"s-1": 10}

    async def test_braces_and_signs_of_all_kinds_reach_the_database(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        [at] = await positions(store, ("s-1", "a"))
        mine = await claimed(store)
        text = "100%s %% {} {{table}} ? :name $1 @x {Events} %(name)s"
        odd = f"insert into {{table}} (_key, stream, events) select 'k', '{text}', 5 % 3 from {{events}}"
        await sets.apply_set(step(mine, at, odd))
        found = await store.get(TALLY, "k")
        shown = text.replace("{table}", "")
        assert found is not None
        assert found.stream.startswith("100%s %% {} {")
        assert found.stream.endswith(shown[shown.index("} ?") :])
        assert found.events == 2

    async def test_tables_with_hostile_names_get_their_own_rows(self, store: Storage, sets: SqlViews) -> None:
        [at] = await positions(store, ("s-1", "a"))
        for n, text in enumerate((*HOSTILE, "{events}", "{table}")):
            table = TableSpec(f"t {text}", 1, Tally)
            await store.open_table(table)
            mine = await claimed(store, f"p{n}")
            await sets.apply_set(step(mine, at, table=table))
            assert await tally(store, table) == {"s-1": 1}

    async def test_types_and_streams_with_hostile_names_are_told_apart(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        await append(store, *[request(f"s-{text}", text) for text in HOSTILE])
        head = await store.head()
        mine = await claimed(store)
        left_out, kept = [f"s-{text}" for text in HOSTILE[::2]], [f"s-{text}" for text in HOSTILE[1::2]]
        await sets.apply_set(step(mine, head, types=HOSTILE, without=left_out))
        assert await tally(store) == dict.fromkeys(kept, 1)

    async def test_who_has_lost_the_lease_writes_no_rows(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        [at] = await positions(store, ("s-1", "a"))
        mine = await claimed(store)
        await store.release("one")
        theirs = await claimed(store, owner="two")
        for stale in (step(mine, at, parked=[parked("x")]), step(theirs, at, old=1), step(theirs, at, old=at + 1)):
            with pytest.raises(LostLease):
                await sets.apply_set(stale)
        assert await tally(store) == {}
        assert await present(store) == theirs
        assert list(await store.letters()) == []

    async def test_of_racing_steps_from_the_same_place_one_counts(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        [at] = await positions(store, ("s-1", "a"))
        mine = await claimed(store)
        ends = await asyncio.gather(*[sets.apply_set(step(mine, at)) for _ in range(8)], return_exceptions=True)
        assert [end for end in ends if end is None] == [None]
        assert sum(isinstance(end, LostLease) for end in ends) == 7
        assert await tally(store) == {"s-1": 1}

    async def test_a_refused_step_leaves_nothing_behind(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        at = await positions(store, ("s-1", "a"), ("s-1", "poison"))
        mine = await claimed(store)
        with pytest.raises(StepRefused):
            await sets.apply_set(step(mine, at[1], COUNT, REFUSED, types=("a", "poison"), parked=[parked("x")]))
        assert await tally(store) == {}
        assert await present(store) == mine
        assert list(await store.letters()) == []

    async def test_letters_are_written_with_the_step(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        at = await positions(store, ("s-1", "a"), ("s-2", "a"))
        mine = await claimed(store)
        move = Advance(processor=mine.processor, token=mine.token, old=0, new=at[0])
        nothing = SetStep(
            table=TALLY, statements=(), types=("a",), after=0, up_to=at[0], advance=move, parked=[parked("x")]
        )
        await sets.apply_set(nothing)
        [letter] = await store.letters()
        assert (letter.key, (await present(store)).position) == ("x", at[0])
        await sets.apply_set(step(mine, at[1], old=at[0], retried=[letter.number]))
        assert [each.number for each in await store.letters(states=["retried"])] == [letter.number]
        assert await tally(store) == {"s-2": 1}

    async def test_a_rehearsal_changes_nothing(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        await positions(store, ("s-1", "a"))
        await sets.rehearse(TALLY, (COUNT, "insert into {table} (_key, stream, events) values ('k', 'k', 1)"))
        assert await tally(store) == {}

    async def test_a_trial_of_steps_builds_on_each_other_and_changes_nothing(
        self, store: Storage, sets: SqlViews
    ) -> None:
        await store.open_table(TALLY)
        at = await positions(store, ("s-1", "a"), ("s-1", "a"), ("s-1", "poison"))
        mine = await claimed(store)
        known = "select case when exists (select 1 from {table} where _key = 's-1') then 'after' end"
        builds = "insert into {table} (_key, stream, events) " + known + ", 'after', 1 from {events}"
        first, second = step(mine, at[0]), step(mine, at[1], builds, old=at[0])  # taken only if the first row is there
        assert await sets.try_set([first, second]) == (2, None)
        types = ("a", "poison")
        third = step(mine, at[2], COUNT, REFUSED, old=at[1], types=types, retried=[7], parked=[parked("x")])
        done, refusal = await sets.try_set([first, second, third, first])
        assert done == 2
        assert isinstance(refusal, StepRefused)
        assert await tally(store) == {}
        assert await present(store) == mine
        assert list(await store.letters()) == []
        assert (await sets.try_set([second]))[0] == 0
        await sets.apply_set(first)  # the store goes on
        assert await tally(store) == {"s-1": 1}

    @pytest.mark.parametrize(
        "statement",
        [
            "insert into {table} (_key, nonsense) select stream, 1 from {events}",
            "insert into {table} (_key) select colour from {events}",
            "insrt into {table} select * from {events}",
            "insert into {table} (_key) select stream from {events} where stream = ?1 or stream = $1",
            "insert into nowhere select * from {events}",
        ],
    )
    async def test_sql_that_can_never_run_is_refused_at_the_rehearsal(
        self, store: Storage, sets: SqlViews, statement: str
    ) -> None:
        await store.open_table(TALLY)
        with pytest.raises(WiringError, match="refuses the SQL of the projection 'tally'") as caught:
            await sets.rehearse(TALLY, (COUNT, statement))
        assert caught.value.why
        await append(store, request("s-1", "a"))  # the store goes on

    async def test_a_stretch_ends_at_the_limit_or_where_it_may_be_looked(self, store: Storage, sets: SqlViews) -> None:
        at = await positions(store, *[("s-1", "a"), ("s-1", "c"), ("s-2", "b"), ("s-3", "a"), ("s-2", "a")])

        async def found(after: int, up_to: int, limit: int, *streams: str) -> tuple[int, bool, int, int]:
            seen = await sets.stretch(("a", "b"), streams, after=after, up_to=up_to, limit=limit)
            assert seen.hidden == 0
            return seen.last, seen.full, seen.events, seen.followers

        assert await found(0, at[4], 10) == (at[4], False, 4, 0)
        assert await found(0, at[4], 2) == (at[1], True, 1, 0)
        assert await found(at[1], at[3], 10, "s-2", "s-9") == (at[3], False, 1, 1)
        assert await found(at[4], at[4] + 7, 10) == (at[4] + 7, False, 0, 0)
        assert await found(at[0], at[1], 10) == (at[1], False, 0, 0)

    async def test_events_that_sql_cannot_read_are_counted_and_refused(self, store: Storage, sets: SqlViews) -> None:
        await store.open_table(TALLY)
        await append(store, request("s-1", "a", event("a", data=b"\x81\xa1n\x01")))
        head = await store.head()
        assert (await sets.stretch(("a",), (), after=0, up_to=head, limit=9)).hidden == 1
        mine = await claimed(store)
        with pytest.raises(StepRefused, match="SQL cannot read"):
            await sets.apply_set(step(mine, head, careful=True))
        assert await tally(store) == {}
