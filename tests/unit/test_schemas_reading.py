"""What is stored is read with the code at hand: which events, how many of them, and what is told of it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from daicho import Aggregate, App, Command, Event, apply, handle, upcast
from daicho.core.stored import NewEvent, StoredEvent
from daicho.ports.event_store import AppendRequest, Selection, StreamWrite
from daicho.schemas import VersionRead, verified

ID = "018f4c9e-7a34-7cc1-8f2e-5d1b0a9c%04x"


class Join(Command):
    member: str


class Joined(Event, name="member.joined", version=2):
    member: str
    city: str


class Member(Aggregate, category="member", key="member"):
    @handle
    def join(self, command: Join) -> Iterator[Joined]:
        yield Joined(member=command.member, city="Kyoto")

    @apply
    def joined(self, _: Joined) -> None: ...


@upcast("member.joined", 1)
def with_city(data: dict[str, Any]) -> dict[str, Any]:
    if data["member"] == "odd":
        raise ValueError("nobody knows where")
    return {**data, "city": "Edo"}


@asynccontextmanager
async def holding(*events: tuple[str, int, bytes]) -> AsyncIterator[App]:
    """An app whose store has these: type, version and content."""
    async with App(Member, with_city, store="memory:") as app:
        if events:
            await app.storage.append([_appending(events)])
        yield app


def _appending(events: Sequence[tuple[str, int, bytes]]) -> AppendRequest:
    new = [
        NewEvent(
            event_id=ID % n,
            type=name,
            schema_version=version,
            data=data,
            occurred_at="2026-01-01T00:00:00.000000+00:00",
            correlation_id=ID % n,
            causation_id=ID % n,
        )
        for n, (name, version, data) in enumerate(events)
    ]
    return AppendRequest(writes=(StreamWrite(stream="member-1", events=tuple(new)),))


def old(member: str) -> tuple[str, int, bytes]:
    return "member.joined", 1, b'{"member":"%s"}' % member.encode()


NEW = ("member.joined", 2, b'{"member":"m","city":"Nara"}')
LOST = ("weather.changed", 3, b"{}")


class Watched:
    """A store that notes how many events it hands out."""

    def __init__(self, store: Any) -> None:
        self.store, self.handed = store, 0

    async def read(self, selection: Selection, *, limit: int) -> Sequence[StoredEvent]:
        page: Sequence[StoredEvent] = await self.store.read(selection, limit=limit)
        self.handed += len(page)
        return page

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_every_event_is_read_and_the_first_that_cannot_be_is_named() -> None:
    told: list[tuple[int, int, int]] = []
    async with holding(old("a"), old("odd"), NEW, old("odd"), LOST) as app:
        found = await verified(app.storage, app.registry, told=lambda *step: told.append(step))
    first, second, third = found
    assert (first.type, first.version, first.count, first.failed, first.position) == ("member.joined", 1, 3, 2, 2)
    assert first.error == "the stored member.joined version 1 at position 2 cannot be read: nobody knows where"
    assert second == VersionRead(type="member.joined", version=2, count=1)
    assert (third.type, third.failed, third.finding.ok) == ("weather.changed", 1, False)
    assert second.finding.detail == "1 read"
    assert told == [(5, 5, 5)]


async def test_a_sample_takes_the_newest_of_each_version() -> None:
    async with holding(old("odd"), old("a"), NEW, NEW, NEW, LOST) as app:
        found = await verified(app.storage, app.registry, sample=1)
        more = await verified(app.storage, app.registry, sample=9)
    assert [(each.type, each.version, each.count, each.failed) for each in found] == [
        ("member.joined", 1, 1, 0),
        ("member.joined", 2, 1, 0),
        ("weather.changed", 3, 1, 1),
    ]
    assert [each.count for each in more] == [2, 3, 1]


async def test_a_sample_is_looked_for_no_farther_than_it_takes() -> None:
    told: list[tuple[int, int, int]] = []
    async with holding(*[old("a")] * 1500, *[NEW] * 1500) as app:
        store: Any = Watched(app.storage)
        found = await verified(store, app.registry, sample=10, told=lambda *step: told.append(step))
    assert [each.count for each in found] == [10, 10]
    assert store.handed == 2000
    assert told == [(10, 20, 1000), (20, 20, 2000)]


async def test_an_empty_store_has_nothing_to_be_read() -> None:
    async with holding() as app:
        assert await verified(app.storage, app.registry) == []
        assert await verified(app.storage, app.registry, sample=10) == []
