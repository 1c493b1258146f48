"""What a process appended itself it knows without asking: the head that follows from it, and the events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg

from daicho.adapters.stores.postgres import PostgresStorage
from daicho.core.conditions import ABSENT
from daicho.ports.event_store import AppendRequest, NewEvent, Selection, StoredEvent
from daicho.testing.contracts.base import HOSTILE, append, event, request, soon, write

DRAW = "select daicho.begin_append(); select nextval('daicho.daicho_positions')"


class Counting(PostgresStorage):
    """Keeps the statements that it asked the database as a reader."""

    asked: list[str]

    async def _read(self, text: str, values: Any = ()) -> Any:
        self.asked.append(text)
        return await super()._read(text, values)


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Counting]:
    store = Counting(url, now=lambda: datetime(2026, 1, 2, 3, 4, 5, 6, UTC))
    store.asked = []
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def everything(store: PostgresStorage, after: int, up_to: int) -> list[StoredEvent]:
    return await store.read(Selection(after=after, up_to=up_to), limit=1000)


def of_one_command(count: int) -> list[NewEvent]:
    """They differ in their ids and data alone."""
    first = event("same", actor="ü", tenant="t")
    return [
        msgspec.structs.replace(
            event("same", actor="ü", tenant="t", data=b'{"n":%d}' % n),
            correlation_id=first.correlation_id,
            causation_id=first.causation_id,
        )
        for n in range(count)
    ]


def of_many_kinds() -> list[list[AppendRequest]]:
    packed = msgspec.msgpack.encode({"n": 1, "text": "ü"})
    return [
        [request("a-1", "one", expected=ABSENT)],
        [request("a-1", event("two", data=b'{ "n" :  1, "n": 2.50, "t": "\\u00fc\xc3\xbc" }'), expected=1)],
        [request("b-1", "one", "two", event("three", tags=("x", "y", "x"))), request("b-2", "one")],
        [AppendRequest(writes=(write("c-1", "one"), write("b-1", "four", "five")))],
        [request("d-1", event("packed", data=packed)), request("d-2", event("nul", data=b'{"n":"\\u0000"}'))],
        [request("e-1", event("list", data=b"[1,2]"), event("number", data=b"1"))],
        [request(f"f-{text}", event("hostile", actor=text, tenant=text, tags=(text,))) for text in HOSTILE],
        [request("g-1", event("said", metadata=b'{"b":"1","a":"\xc3\xbc"}'), expected=0)],
        [request("h-1", "same", "same", "same", expected=0)],
        [request("h-1", event("same", actor="ü", metadata=b'{"a":"b"}'), event("same"), expected=3)],
        [request("h-1", *of_one_command(3), expected=5)],
    ]


async def test_events_of_ones_own_are_as_they_would_be_read_and_are_not_asked_for(postgres_url: str) -> None:
    async with opened(postgres_url) as ours, opened(postgres_url) as another:
        last = 0
        for group in of_many_kinds():
            last = max(answer.positions[-1] for answer in await append(ours, *group))
        stored = await everything(another, 0, last)
        assert another.asked
        ours.asked.clear()
        for after in range(last):
            for up_to in range(after, last + 1):
                assert await everything(ours, after, up_to) == stored[after:up_to]
        for after in range(last):  # a page that is shorter than asked for says that there is no more
            for limit in range(1, last + 1):
                page = await ours.read(Selection(after=after, up_to=last), limit=limit)
                assert page == stored[after : after + limit]
        assert not ours.asked


async def test_what_may_come_back_in_another_form_is_read(postgres_url: str) -> None:
    async with opened(postgres_url) as ours, opened(postgres_url) as another:
        await append(ours, request("a-1", event(data=b'{"n":1}  ', metadata=b' {"a":"b"} '), expected=0))
        await append(ours, request("a-2", event(data=b'{"n":1}\n'), event(metadata=b'{"a":"b"}\n')))
        assert await everything(ours, 0, 3) == await everything(another, 0, 3)
        assert ours.asked


async def test_events_of_others_between_ones_own_are_not_missed(postgres_url: str) -> None:
    async with opened(postgres_url) as ours, opened(postgres_url) as another:
        for n in range(10):
            await append(ours if n % 3 else another, request(f"a-{n}", "one", "two"))
        head = await ours.head()
        seen = [event.position for event in await everything(ours, 0, head)]
        assert seen == list(range(1, 21))
        for after in range(head):
            assert await everything(ours, after, head) == await everything(another, after, head)


async def test_a_refused_append_is_not_among_ones_own(postgres_url: str) -> None:
    async with opened(postgres_url) as ours:
        first, second, third = await ours.append(
            [request("a-1", "one"), request("a-2", "one", expected=7), request("a-3", "one")]
        )
        assert isinstance(second, Exception)
        assert not isinstance(first, Exception)
        assert not isinstance(third, Exception)
        stored = await everything(ours, 0, third.positions[0])
        assert [(event.stream, event.position) for event in stored] == [
            ("a-1", first.positions[0]),
            ("a-3", third.positions[0]),
        ]


async def test_the_head_follows_from_ones_own_appends_without_a_look(postgres_url: str) -> None:
    async with opened(postgres_url) as ours:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("drop function daicho.safe_head")  # whoever asks gets an error
        for n in range(20):
            [answer] = await append(ours, request(f"a-{n}", "one", "two"))
            assert await soon(ours.wait(answer.positions[-1] - 1)) == answer.positions[-1]


async def test_the_head_stays_before_what_somebody_else_has_not_committed_yet(postgres_url: str) -> None:
    async with opened(postgres_url) as ours:
        [before] = await append(ours, request("a-1", "one"))
        async with await psycopg.AsyncConnection.connect(postgres_url) as other:
            for statement in DRAW.split(";"):
                await other.execute(statement.encode())
            [behind] = await append(ours, request("a-2", "one", "two"))
            waiting = asyncio.ensure_future(ours.wait(before.positions[-1]))
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            assert [e.stream for e in await ours.read(Selection(), limit=9)] == ["a-1"]
            await other.rollback()
            assert await soon(waiting) == behind.positions[-1]
        assert [e.stream for e in await ours.read(Selection(), limit=9)] == ["a-1", "a-2", "a-2"]


async def test_only_so_many_are_kept_and_older_ones_are_read(postgres_url: str) -> None:
    async with opened(postgres_url) as ours, opened(postgres_url) as another:
        for n in range(5):
            await append(ours, *(request(f"a-{n}.{k}", *["one"] * 10) for k in range(60)))
        for n in range(3):
            await append(ours, request(f"b-{n}", event(data=b'{"t":"%s"}' % (b"x" * 600_000))))
        head = await ours.head()
        assert head == 3003
        for after in (0, 900, 2900, 3000, 3001, 3002, 3003):
            assert await everything(ours, after, head) == await everything(another, after, head)
