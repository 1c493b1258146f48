"""What every contract starts from: an opened store, a clock set by hand, and short words to append with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

import msgspec
import pytest

from daicho.core.conditions import ANY, AppendCondition, Expected
from daicho.ports.event_store import Appended, AppendRequest, EventStore, NewEvent, StreamWrite
from daicho.ports.storage import Storage

__all__ = [
    "HOSTILE",
    "Capabilities",
    "Contract",
    "HandClock",
    "append",
    "event",
    "eventually",
    "fresh_id",
    "refusal",
    "request",
    "soon",
    "write",
]

T = TypeVar("T")

HOSTILE = (
    "注文-№1-Ω",
    "it's",
    'say "hi"',
    "100%",
    "_",
    "a_b%c",
    "'; DROP TABLE event; --",
    "back\\slash",
    "[brackets]*?",
    "{}:/,;|~`^",
    "emoji 🖋",
    "trailing space ",
    "UPPER",
    "upper",
    "e\u0301",
    "\u00e9",
    "null",
    "0",
    "x" * 200,
)
"""Texts that an adapter must take as they are."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """In what adapters may honestly differ."""

    durable: bool = True
    """What was written is there after closing and opening again."""
    cross_process: bool = True
    """Two storages that are opened on the same place at the same time see the same contents."""
    sql: bool = False
    """Projections may be SQL: it fulfils `daicho.ports.sql_views.SqlViews`, too."""
    search: bool = True
    """Rows are found by words. Otherwise `search` always raises NotSearchable."""


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.mark.daicho
class Contract:
    """Derive a test class, say how to make your storage, and everything here runs on it."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Storage:
        """A storage, not yet opened. Every call with the same `tmp_path` leads to the same place."""
        raise NotImplementedError(f"{type(self).__name__} has to say how to make its storage: override `make`")

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock()

    @pytest.fixture
    def store(self, daicho_loop: asyncio.Runner, tmp_path: Path, clock: HandClock) -> Iterator[Storage]:
        """An empty storage, opened in the loop that the test runs in."""
        storage = self.make(tmp_path, clock)
        daicho_loop.run(storage.open())
        yield storage
        daicho_loop.run(storage.close())


def fresh_id() -> str:
    return str(uuid4())


def event(type: str = "tested", **envelope: Any) -> NewEvent:
    """A new event with an id of its own; `envelope` overrides what does not matter to the case."""
    given: dict[str, Any] = {
        "event_id": fresh_id(),
        "schema_version": 1,
        "data": b'{"n":1}',
        "occurred_at": "2026-01-02T03:04:05.000001+00:00",
        "correlation_id": fresh_id(),
        "causation_id": fresh_id(),
    }
    return NewEvent(type=type, **{**given, **envelope})


def write(stream: str, *events: NewEvent | str, expected: Expected = ANY) -> StreamWrite:
    """Events are given whole, or by their type alone."""
    whole = tuple(event(each) if isinstance(each, str) else each for each in events)
    return StreamWrite(stream=stream, events=whole, expected=expected)


def request(
    stream: str,
    *events: NewEvent | str,
    expected: Expected = ANY,
    condition: AppendCondition | None = None,
    **more: Any,
) -> AppendRequest:
    return AppendRequest(writes=(write(stream, *events, expected=expected),), condition=condition, **more)


async def append(store: EventStore, *requests: AppendRequest) -> list[Appended]:
    """Appends a group in which every request must go through."""
    answers = await store.append(requests)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [answer for answer in answers if isinstance(answer, Appended)]


async def refusal(store: EventStore, asked: AppendRequest) -> Exception:
    """The error that answers one append, which must not go through."""
    [answer] = await store.append([asked])
    assert isinstance(answer, Exception), f"this append must be refused, and was answered with {answer}"
    return answer


async def soon(awaitable: Awaitable[T]) -> T:
    """What should happen at once; a store that never answers fails instead of hanging."""
    return await asyncio.wait_for(awaitable, 10)


async def eventually(ask: Callable[[], Awaitable[T]], is_right: Callable[[T], bool]) -> T:
    """Asks until the answer is right: for what a port promises soon, but not at once."""
    async with asyncio.timeout(10):
        while not is_right(answer := await ask()):  # noqa: ASYNC110  (ports have no event for it)
            await asyncio.sleep(0.001)
    return answer
