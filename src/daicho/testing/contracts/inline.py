"""Inline work: rows and checkpoints that are written in the append's own transaction."""

from collections.abc import Callable, Sequence
from typing import Any

from daicho.core.errors import ConcurrencyError
from daicho.core.messages import Row
from daicho.ports.dead_letter_store import ParkedEvent
from daicho.ports.event_store import Appended, CommandOutcome, InlineTransaction, Selection, StoredEvent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.testing.contracts.base import Contract, append, event, fresh_id, refusal, request

__all__ = ["InlineContract"]


class Tally(Row):
    stream: str
    events: int


TALLIES = TableSpec("tallies", 1, Tally)
READER = "projection:tallies"


def tally(tx: InlineTransaction, events: Sequence[StoredEvent]) -> None:
    """One row for each stream, with the number of its events."""
    for each in events:
        row = tx.rows(TALLIES, [each.stream]).get(each.stream)
        tx.write(TALLIES, {each.stream: Tally(stream=each.stream, events=(row.events if row else 0) + 1)}, [])
    tx.advance(READER, events[-1].position)


async def ready(store: Storage) -> None:
    await store.open_table(TALLIES)
    await store.register(READER, position=0)


async def reached(store: Storage) -> int:
    [checkpoint] = [each for each in await store.checkpoints() if each.processor == READER]
    return checkpoint.position


class Refusal(Exception):
    pass


def tally_then_raise(error: Exception) -> Callable[[InlineTransaction, Sequence[StoredEvent]], None]:
    def work(tx: InlineTransaction, events: Sequence[StoredEvent]) -> None:
        tally(tx, events)
        raise error

    return work


class InlineContract(Contract):
    async def test_inline_work_sees_whether_anything_is_parked(self, store: Storage) -> None:
        await ready(store)
        seen: list[bool] = []

        def look(tx: InlineTransaction, _: Sequence[StoredEvent]) -> None:
            seen.append(tx.has_parked(READER))

        await append(store, request("order-1", "a", inline=look))
        claimed = await store.claim(READER, "owner")
        assert claimed is not None
        letter = ParkedEvent(
            key="k", position=1, event_id=fresh_id(), type="a", stream="order-1", correlation_id=fresh_id(), error="no"
        )
        await store.park(READER, claimed.token, 0, 1, [letter])
        await append(store, request("order-1", "b", inline=look))
        [number] = [each.number for each in await store.letters(READER)]
        await store.retried(READER, [number])
        await append(store, request("order-1", "c", inline=look))
        # a group whose request had to be run again alone looks twice
        assert (seen[0], True in seen, seen[-1]) == (False, True, False)

    async def test_inline_rows_and_checkpoint_stand_when_the_append_does(self, store: Storage) -> None:
        await ready(store)
        [answer] = await append(store, request("order-1", "a", "b", inline=tally))
        assert await store.get(TALLIES, "order-1") == Tally(stream="order-1", events=2)
        assert await reached(store) == answer.positions[-1]

    async def test_inline_work_is_given_the_events_as_they_stand_in_the_store(self, store: Storage) -> None:
        given: list[StoredEvent] = []

        def keep(_: InlineTransaction, events: Sequence[StoredEvent]) -> None:
            given.extend(events)

        await append(store, request("order-1", "a"))
        await append(store, request("order-1", event("b", actor="ann", tags=("t:1",)), "c", inline=keep))
        assert given == await store.read(Selection(after=given[0].position - 1), limit=10)
        assert [(e.type, e.version) for e in given] == [("b", 2), ("c", 3)]

    async def test_inline_work_that_raises_undoes_its_own_request_alone(self, store: Storage) -> None:
        await ready(store)
        error = Refusal("no")
        first, second, third = await store.append(
            [
                request("order-1", "a", inline=tally),
                request("order-1", "b", inline=tally_then_raise(error)),
                request("order-1", "c", inline=tally),
            ]
        )
        assert isinstance(first, Appended)
        assert second is error
        assert isinstance(third, Appended)
        assert third.versions == (2,)
        assert [e.type for e in await store.read(Selection(), limit=10)] == ["a", "c"]
        assert await store.get(TALLIES, "order-1") == Tally(stream="order-1", events=2)
        assert await reached(store) == third.positions[0]

    async def test_inline_work_that_raises_leaves_no_outcome(self, store: Storage) -> None:
        await ready(store)
        outcome = CommandOutcome(command_id=fresh_id(), name="Test", state="done", received_at="2026-01-01")
        await refusal(store, request("order-1", "a", inline=tally_then_raise(Refusal()), outcome=outcome))
        assert await store.outcome(outcome.command_id) is None
        assert await store.count(TALLIES, {}) == 0
        assert await reached(store) == 0
        assert await store.read(Selection(), limit=1) == []  # the head may have moved: positions may have holes

    async def test_an_append_undone_by_its_inline_work_can_be_sent_again(self, store: Storage) -> None:
        await ready(store)
        again = event("a")
        await refusal(store, request("order-1", again, inline=tally_then_raise(Refusal())))
        [answer] = await append(store, request("order-1", again, inline=tally))
        assert (answer.duplicate, answer.versions) == (False, (1,))

    async def test_inline_work_sees_the_rows_of_earlier_requests_of_its_group(self, store: Storage) -> None:
        await ready(store)
        await append(store, *(request("order-1", "a", inline=tally) for _ in range(5)))
        assert await store.get(TALLIES, "order-1") == Tally(stream="order-1", events=5)

    async def test_inline_work_sees_checkpoints_and_those_it_moved(self, store: Storage) -> None:
        await store.register(READER, position=0)
        seen: list[int | None] = []

        def look(tx: InlineTransaction, events: Sequence[StoredEvent]) -> None:
            seen.extend([tx.checkpoint(READER), tx.checkpoint("projection:unknown")])
            tx.advance(READER, events[-1].position)
            seen.append(tx.checkpoint(READER))

        one, two = await append(store, request("a-1", "x", inline=look), request("a-1", "y", inline=look))
        assert seen == [0, None, one.positions[0], one.positions[0], None, two.positions[0]]

    async def test_inline_work_gets_the_rows_that_exist_and_can_delete_them(self, store: Storage) -> None:
        await ready(store)
        await append(store, request("order-1", "a", inline=tally), request("order-2", "b", inline=tally))
        found: list[dict[str, Any]] = []

        def clear(tx: InlineTransaction, _: Sequence[StoredEvent]) -> None:
            keys = ["order-1", "order-2", "order-3"]
            found.append(tx.rows(TALLIES, keys))
            tx.write(TALLIES, {}, ["order-1", "order-3"])
            found.append(tx.rows(TALLIES, keys))

        await append(store, request("order-3", "c", inline=clear))
        two = Tally(stream="order-2", events=1)
        assert found == [{"order-1": Tally(stream="order-1", events=1), "order-2": two}, {"order-2": two}]
        assert await store.find(TALLIES, {}) == [two]

    async def test_inline_work_is_not_begun_for_a_refused_append(self, store: Storage) -> None:
        calls: list[int] = []

        def count(_: InlineTransaction, events: Sequence[StoredEvent]) -> None:
            calls.append(len(events))

        assert isinstance(await refusal(store, request("order-1", "a", expected=3, inline=count)), ConcurrencyError)
        assert calls == []
