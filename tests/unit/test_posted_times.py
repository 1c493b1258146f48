"""A posted command keeps the time at which it was posted, however late it is handled."""

from collections.abc import Iterator
from datetime import timedelta

from daicho import Aggregate, App, Command, Event, apply, handle
from daicho.testing import VirtualClock


class Ring(Command):
    bell: str


class Rung(Event, name="bell.rung"):
    bell: str


class Bell(Aggregate, category="bell", key="bell"):
    @handle
    def ring(self, command: Ring) -> Iterator[Rung]:
        yield Rung(bell=command.bell)

    @apply
    def rung(self, _: Rung) -> None: ...


async def test_the_outcome_of_a_posted_command_tells_when_it_was_posted_and_when_it_was_done() -> None:
    clock = VirtualClock()
    posted_at = clock.now().isoformat(timespec="microseconds")

    async def late(envelope, proceed):  # type: ignore[no-untyped-def]
        await clock.advance(timedelta(minutes=5))
        return await proceed(envelope)

    async with App(Bell, store="memory:", clock=clock, middleware=[late]) as app:
        command_id = await app.post(Ring(bell="b"))
        await app.settle()
        outcome = await app.status(command_id)
    assert outcome is not None
    assert outcome.received_at == posted_at
    assert outcome.finished_at == (clock.now()).isoformat(timespec="microseconds")
    assert outcome.finished_at > outcome.received_at
