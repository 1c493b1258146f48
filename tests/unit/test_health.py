"""Health: `ok` only if nothing at all is wrong, and what to do otherwise."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    Event,
    Health,
    Row,
    StoreUnavailable,
    apply,
    event_handler,
    handle,
    projection,
)
from daicho.testing import VirtualClock
from daicho.testing.contracts.base import eventually
from tests.services.postgres import Postgres, fresh_database


class Rang(Event):
    bell: str


class Ring(Command):
    bell: str


class Bell(Aggregate, category="bell", key="bell"):
    @handle
    def ring(self, command: Ring) -> Iterator[Rang]:
        yield Rang(bell=command.bell)

    @apply
    def rang(self, _: Rang) -> None: ...


class BellRow(Row):
    bell: str


@projection("bells", key=lambda event: event.bell)
def bells(row: BellRow | None, event: Rang) -> BellRow:
    if event.bell == "cracked":
        raise ValueError("no sound")
    return BellRow(bell=event.bell)


@event_handler
async def hear(event: Rang) -> None: ...


def told(health: Health) -> list[tuple[str, str]]:
    return [(problem.what, problem.detail) for problem in health.problems]


async def test_nothing_is_wrong_with_an_app_that_has_done_everything(url: str) -> None:
    async with App(Bell, bells, hear, store=url) as app:
        await app.send(Ring(bell="big"))
        await app.settle()
        assert await app.health() == Health(status="ok")


async def test_what_is_parked_is_told_until_it_is_dealt_with(url: str) -> None:
    async with App(Bell, bells, store=url) as app:
        await app.send(Ring(bell="cracked"))
        await app.settle()
        health = await app.health()
        assert health.status == "degraded"
        assert told(health) == [
            ("parked events", "1 of projection:bells@1; the first: Rang, key 'cracked': ValueError: no sound")
        ]
        assert "dlq" in health.problems[0].do
        [letter] = await app.dead_letters.list()
        await app.storage.ask_retry()
        assert (await app.health()).status == "degraded"  # asked for is not done
        await app.dead_letters.retried()
        assert (await app.health()).status == "degraded"
        await app.dead_letters.skip(letter.number, "a test")
        assert (await app.health()).status == "ok"


async def test_readers_that_are_late_are_told_after_a_while(url: str) -> None:
    clock = VirtualClock(autojump=True)
    app = App(Bell, bells, hear, store=url, clock=clock)
    await app.start(processors=False)
    assert [problem.detail for problem in (await app.health()).problems] == ["never begun"] * 2
    for reader in ("projection:bells@1", "reaction:hear"):
        await app.storage.register(reader, position=0)
    assert (await app.health()).status == "ok"
    await app.send(Ring(bell="big"))
    await clock.advance(59)
    assert (await app.health()).status == "ok"
    await clock.advance(2)
    assert told(await app.health()) == [
        (reader, "stopped at position 0, 1 event, 61 s behind") for reader in ("projection:bells@1", "reaction:hear")
    ]
    assert (await app.health(late=120)).status == "ok"
    await app.stop()


async def test_a_reader_whose_lease_ran_out_is_told_at_once(postgres_url: str) -> None:
    async with App(Bell, bells, store=postgres_url) as app:
        await app.send(Ring(bell="big"))
        await app.settle()
    looking = App(Bell, bells, store=postgres_url)
    await looking.start(processors=False)
    assert (await looking.health()).status == "ok"  # it left in good order, with nothing left to do
    await looking.storage.claim("projection:bells@1", "another machine:1:1:x")
    assert (await looking.health()).status == "ok"
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update daicho.daicho_checkpoints set lease_until = clock_timestamp()")
    [(what, detail)] = told(await looking.health())
    assert (what, detail) == ("projection:bells@1", "stopped at position 1: whoever ran it is gone")
    await looking.stop()


async def test_a_processor_that_fails_is_told_with_its_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with App(Bell, bells, store=url) as app:

        async def fail(_: Any) -> None:
            raise RuntimeError("the rows cannot be written")

        with monkeypatch.context() as broken:
            broken.setattr(app.storage, "commit", fail)
            await app.send(Ring(bell="big"))
            health = await eventually(app.health, lambda health: health.status != "ok")
            [(what, detail)] = told(health)
            assert what == "projection:bells@1"
            assert detail.startswith("failing at position 0, 1 event")
            assert detail.endswith("RuntimeError: the rows cannot be written")
        await eventually(app.health, lambda health: health.status == "ok")


async def test_posted_commands_that_nobody_carries_out_are_told(url: str) -> None:
    clock = VirtualClock(autojump=True)
    app = App(Bell, store=url, clock=clock)
    await app.start(processors=False)
    await app.post(Ring(bell="big"))
    assert (await app.health()).status == "ok"
    await clock.advance(61)
    assert told(await app.health()) == [("posted commands", "Ring has been pending for 61 s")]
    await app.stop()


async def test_a_store_that_cannot_be_reached_or_does_not_answer_is_down(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(Bell, bells, store=url) as app:

        async def unreachable() -> dict[str, int]:
            raise StoreUnavailable("no route to host")

        async def silent() -> dict[str, int]:
            await asyncio.Event().wait()
            return {}

        with monkeypatch.context() as broken:
            broken.setattr(app.storage, "parked_counts", unreachable)
            health = await app.health()
            assert (health.status, told(health)) == ("down", [("store", "no route to host")])
            broken.setattr(app.storage, "parked_counts", silent)
            health = await app.health(within=0.01)
            assert (health.status, told(health)) == ("down", [("store", "it did not answer within 0.01 s")])
        assert (await app.health()).status == "ok"


@pytest.mark.slow
async def test_a_server_that_was_killed_is_down(own_postgres: Postgres) -> None:
    app = App(Bell, bells, store=fresh_database(own_postgres))
    await app.start(processors=False)
    await app.storage.register("projection:bells@1", position=0)
    assert (await app.health()).status == "ok"
    own_postgres.kill()
    assert (await app.health()).status == "down"
    await app.stop()


async def test_readers_that_the_app_has_dropped_are_no_concern_of_its_health(sqlite: str) -> None:
    clock = VirtualClock(autojump=True)
    async with App(Bell, bells, store=sqlite, clock=clock) as app:
        await app.settle()
    async with App(Bell, hear, store=sqlite, clock=clock) as app:
        await app.send(Ring(bell="big"))
        await clock.advance(3600)
        await app.settle()
        assert (await app.health()).status == "ok"


def test_synchronous_code_asks_the_same(sqlite: str) -> None:
    with App(Bell, bells, store=sqlite).sync() as app:
        app.send(Ring(bell="cracked"))
        app.settle()
        assert app.health().status == "degraded"
        [letter] = app.parked()
        assert app.try_(letter.number).error == "ValueError: no sound"
