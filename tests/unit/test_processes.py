"""Process managers at work: once each, in order, in time, and back again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    Compensate,
    Deadline,
    Done,
    Event,
    InvalidMessage,
    NotFound,
    PastPivot,
    Pivot,
    Process,
    Rejected,
    apply,
    compensate,
    deadline,
    handle,
    migrate,
    on,
    start,
)
from daicho.testing import VirtualClock, scenario
from examples.fulfilment import (
    ItemsDeducted,
    ItemsReleased,
    ItemsReserved,
    PaymentReceived,
    PaymentRefunded,
    PaymentRequested,
    PlacePurchase,
    PurchaseCancelled,
    PurchaseConfirmed,
    PurchasePlaced,
    ReceivePayment,
    StockShelf,
    parts,
)

PLACE = PlacePurchase(order_id="o-1", sku="pen", quantity=2, cents=500)
PAY = ReceivePayment(order_id="o-1", cents=500)
DONE = (PurchasePlaced, ItemsReserved, PaymentRequested, PaymentReceived, ItemsDeducted, PurchaseConfirmed)


# -- in time, late, early ---------------------------------------------------------------------------------------------


def test_no_payment_within_30_seconds_undoes_what_was_done() -> None:
    with scenario(*parts) as shop:
        shop.given(StockShelf(sku="pen", quantity=5))
        shop.when(PLACE)
        shop.advance(seconds=29)
        shop.then_events(PurchasePlaced, ItemsReserved, PaymentRequested)
        shop.advance(seconds=1)
        shop.then_events(PurchasePlaced, ItemsReserved, PaymentRequested, PurchaseCancelled, ItemsReleased)


def test_a_payment_in_time_is_the_good_end_and_the_deadline_does_not_pass() -> None:
    with scenario(*parts) as shop:
        shop.given(StockShelf(sku="pen", quantity=5), PLACE)
        shop.advance(seconds=29)
        shop.when(PAY)
        shop.advance(days=1)
        shop.then_events(PaymentReceived, ItemsDeducted, PurchaseConfirmed)


def test_a_payment_after_its_time_is_recorded_and_paid_back() -> None:
    with scenario(*parts) as shop:
        shop.given(StockShelf(sku="pen", quantity=5), PLACE)
        shop.advance(seconds=31)
        shop.when(PAY)
        shop.then_events(PaymentReceived(order_id="o-1", cents=500), PaymentRefunded(order_id="o-1", cents=500))


def test_a_payment_before_the_order_waits_for_it() -> None:
    with scenario(*parts) as shop:
        shop.given(StockShelf(sku="pen", quantity=5))
        shop.when(PAY)
        shop.then_events(PaymentReceived)
        [counts] = shop.run(_list(shop.app))
        assert (counts.waiting, counts.running) == (1, 0)
        shop.when(PLACE)
        shop.then_events(PurchasePlaced, ItemsReserved, ItemsDeducted, PurchaseConfirmed)


def test_what_is_sold_out_is_cancelled_and_money_that_came_before_is_paid_back() -> None:
    with scenario(*parts) as shop:
        shop.given(PAY)
        shop.when(PLACE)
        shop.then_events(PurchasePlaced, PurchaseCancelled(order_id="o-1", reason="only 0 left"), PaymentRefunded)


async def _list(app: App) -> Any:
    return await app.processes.list()


# -- a process that goes wrong in every way ---------------------------------------------------------------------------


class Start(Command):
    key: str
    way: str = ""


class Poke(Command):
    key: str
    what: str


class Do(Command):
    key: str
    n: int


class Undo(Command):
    key: str
    n: int


class Started(Event, name="trip.started"):
    key: str
    way: str


class Poked(Event, name="trip.poked"):
    key: str
    what: str


class Did(Event, name="trip.did"):
    key: str
    n: int


class Undid(Event, name="trip.undid"):
    key: str
    n: int


class Trip(Aggregate, category="trip", key="key"):
    @handle
    def start(self, command: Start) -> Iterator[Started]:
        yield Started(key=command.key, way=command.way)

    @handle
    def poke(self, command: Poke) -> Iterator[Poked]:
        yield Poked(key=command.key, what=command.what)

    @apply
    def went(self, _: Started | Poked) -> None: ...


MENDED: list[bool] = []
"""Whether the code of the process was mended."""


class World:
    """What stands in the way, outside of history."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.refuses: set[str] = set()
        self.tried: list[str] = []


class Work(Aggregate, category="work", key="key"):
    @handle
    def do(self, command: Do, world: World) -> Iterator[Did]:
        self._try(f"do {command.n}", world)
        yield Did(key=command.key, n=command.n)

    @handle
    def undo(self, command: Undo, world: World) -> Iterator[Undid]:
        self._try(f"undo {command.n}", world)
        yield Undid(key=command.key, n=command.n)

    def _try(self, what: str, world: World) -> None:
        world.tried.append(what)
        if what in world.broken:
            raise ConnectionError("the machine is broken")
        if what in world.refuses:
            raise Rejected(f"{what}? no")

    @apply
    def was(self, _: Did | Undid) -> None: ...


class Guide(Process, category="guide", key="key", attempts=4):
    seen: tuple[str, ...] = ()

    @start
    def begin(self, event: Started) -> Iterator[Do | Deadline | Pivot]:
        if event.way == "pivot":
            yield Pivot()
        for n in range(3):
            yield Do(key=event.key, n=n)
        yield Deadline.set("end", after=timedelta(hours=1))

    @on
    def poked(self, event: Poked) -> Iterator[Compensate | Deadline | Done | Do]:
        self.seen = (*self.seen, event.what)
        match event.what:
            case "back":
                yield Compensate("poked")
            case "move":
                yield Deadline.set("end", after=timedelta(hours=2))
            case "bad deadline":
                yield Deadline.set("bad", after=timedelta(minutes=1))
            case "raise":
                raise RuntimeError("poked too hard")
            case "done":
                yield Done()
            case _:
                pass

    @deadline("end")
    def end(self) -> Iterator[Done]:
        yield Done()

    @deadline("bad")
    def bad(self) -> None:
        if not MENDED:
            raise RuntimeError("not yet")

    @compensate
    def undo(self, command: Do) -> Undo:
        return Undo(key=command.key, n=command.n)


@dataclass
class Travel:
    """An App with a clock that stands still."""

    app: App
    clock: VirtualClock
    world: World

    async def pass_time(self, **time: float) -> None:
        """Everything that is due within it comes up, each at its own time."""
        goal = self.clock.now() + timedelta(**time)
        await self.app.settle()
        while (due := await self.app.next_due()) is not None and due <= goal:
            await self.clock.advance(max(due - self.clock.now(), timedelta()))
            await self.app.settle()
        await self.clock.advance(max(goal - self.clock.now(), timedelta()))
        await self.app.settle()

    async def send(self, command: Command) -> None:
        await self.app.send(command)
        await self.app.settle()

    async def status(self, key: str = "k") -> str:
        return (await self.app.processes.show("guide", key)).status

    async def stuck(self, key: str = "k") -> str | None:
        return (await self.app.processes.show("guide", key)).stuck

    async def done(self) -> list[str]:
        """What was done and undone, in order."""
        names = {Did: "did", Undid: "undid"}
        return [f"{names[type(r.event)]} {r.event.n}" async for r in self.app.events(category="work")]


@asynccontextmanager
async def travelling(clock: VirtualClock | None = None, world: World | None = None) -> AsyncIterator[Travel]:
    MENDED.clear()
    clock, world = clock or VirtualClock(), world or World()
    async with App(Trip, Work, Guide, store="memory:", provide=[world], clock=clock) as app:
        yield Travel(app, clock, world)


async def test_steps_are_undone_from_the_last_to_the_first() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k"))
        await travel.send(Poke(key="k", what="back"))
        assert await travel.done() == ["did 0", "did 1", "did 2", "undid 2", "undid 1", "undid 0"]
        assert await travel.status() == "compensated"


async def test_a_refusal_undoes_what_succeeded_also_what_succeeds_later() -> None:
    async with travelling() as travel:
        travel.world.refuses.add("do 1")
        await travel.send(Start(key="k"))
        # the last one was on its way already: it is undone when its answer comes
        assert await travel.done() == ["did 0", "did 2", "undid 0", "undid 2"]
        story = await travel.app.processes.show("guide", "k")
        assert [(task.command, task.state) for task in story.commands] == [
            ("Do", "undone"), ("Do", "rejected"), ("Do", "undone"), ("Undo", "done"), ("Undo", "done"),
        ]  # fmt: skip
        assert "Do was refused: do 1? no" in [move.reason for move in story.timeline]


async def test_after_the_pivot_a_refused_step_is_tried_again_until_it_goes_through() -> None:
    async with travelling() as travel:
        travel.world.refuses.add("do 1")
        await travel.send(Start(key="k", way="pivot"))
        await travel.pass_time(seconds=1)
        assert travel.world.tried.count("do 1") == 2
        travel.world.refuses.clear()
        await travel.pass_time(minutes=1)
        assert await travel.done() == ["did 0", "did 2", "did 1"]
        assert await travel.status() == "running"


async def test_after_the_pivot_nobody_can_turn_it_back() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k", way="pivot"))
        with pytest.raises(PastPivot):
            await travel.app.processes.compensate("guide", "k", "by hand")
        await travel.send(Poke(key="k", what="back"))
        [letter] = await travel.app.dead_letters.list()
        assert (letter.processor, letter.key) == ("process:guide", "guide-k")
        assert await travel.status() == "running"


async def test_a_step_that_breaks_is_tried_again_then_it_is_stuck_and_health_says_so() -> None:
    async with travelling() as travel:
        travel.world.broken.add("do 1")
        await travel.send(Start(key="k"))
        await travel.pass_time(seconds=0.9)
        assert travel.world.tried.count("do 1") == 1
        await travel.pass_time(seconds=0.1)  # after 1 s, 2 s, 4 s: the pauses double
        assert travel.world.tried.count("do 1") == 2
        await travel.pass_time(seconds=2)
        assert travel.world.tried.count("do 1") == 3
        assert (await travel.app.health()).status == "ok"
        await travel.pass_time(seconds=4)
        assert travel.world.tried.count("do 1") == 4
        await travel.pass_time(minutes=30)
        assert travel.world.tried.count("do 1") == 4
        assert await travel.stuck() == "Do was tried 4 times: ConnectionError: the machine is broken"
        [problem] = (await travel.app.health()).problems
        assert (problem.what, problem.detail) == ("process:guide", "1 instance is stuck: k")
        assert [line.key for line in await travel.app.processes.stuck()] == ["k"]


async def test_a_nudge_tries_again_what_was_given_up_and_nothing_else() -> None:
    async with travelling() as travel:
        travel.world.broken.add("do 1")
        await travel.send(Start(key="k"))
        await travel.pass_time(minutes=10)
        travel.world.broken.clear()
        assert await travel.app.processes.nudge("guide", "k") is True
        await travel.app.settle()
        assert await travel.done() == ["did 0", "did 2", "did 1"]
        assert await travel.stuck() is None
        assert (await travel.app.health()).status == "ok"
        assert await travel.app.processes.nudge("guide", "k") is False


async def test_an_undoing_that_is_refused_is_tried_again_and_the_others_wait_for_it() -> None:
    async with travelling() as travel:
        travel.world.refuses.add("undo 2")
        await travel.send(Start(key="k"))
        await travel.send(Poke(key="k", what="back"))
        assert await travel.done() == ["did 0", "did 1", "did 2"]
        assert await travel.status() == "compensating"
        travel.world.refuses.clear()
        await travel.pass_time(seconds=1)
        assert await travel.done() == ["did 0", "did 1", "did 2", "undid 2", "undid 1", "undid 0"]
        assert await travel.status() == "compensated"


async def test_an_undoing_that_never_works_is_an_alarm_and_goes_on_after_a_nudge() -> None:
    async with travelling() as travel:
        travel.world.refuses.add("undo 1")
        await travel.send(Start(key="k"))
        await travel.send(Poke(key="k", what="back"))
        await travel.pass_time(minutes=10)
        assert travel.world.tried.count("undo 1") == 4
        assert (await travel.app.health()).status == "degraded"
        assert (await travel.status(), await travel.stuck()) == (
            "compensating",
            "Undo was tried 4 times: undo 1? no",
        )
        travel.world.refuses.clear()
        await travel.app.processes.nudge("guide", "k")
        await travel.app.settle()
        assert (await travel.done())[-3:] == ["undid 2", "undid 1", "undid 0"]
        assert (await travel.status(), (await travel.app.health()).status) == ("compensated", "ok")


async def test_a_step_that_breaks_is_not_tried_again_once_it_goes_back() -> None:
    async with travelling() as travel:
        travel.world.broken.add("do 1")
        await travel.send(Start(key="k"))
        await travel.send(Poke(key="k", what="back"))
        assert await travel.status() == "compensated"
        await travel.pass_time(minutes=10)
        assert travel.world.tried.count("do 1") == 1


async def test_somebody_may_turn_it_back_by_hand_once() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k"))
        assert await travel.app.processes.compensate("guide", "k", "the customer called") is True
        await travel.app.settle()
        assert await travel.status() == "compensated"
        assert await travel.app.processes.compensate("guide", "k", "again") is False
        assert len(await travel.done()) == 6


async def test_what_raises_parks_the_instance_and_no_other_and_is_handled_in_order_later() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k"))
        await travel.send(Start(key="l"))
        await travel.send(Poke(key="k", what="raise"))
        await travel.send(Poke(key="k", what="after"))
        await travel.send(Poke(key="l", what="other"))
        letters = await travel.app.dead_letters.list()
        assert [(letter.key, letter.type, letter.error is None) for letter in letters] == [
            ("guide-k", "trip.poked", False),
            ("guide-k", "trip.poked", True),
        ]
        assert (await travel.app.processes.show("guide", "l")).fields == {"seen": ["other"]}
        assert (await travel.app.processes.show("guide", "k")).fields == {"seen": []}
        await travel.app.dead_letters.skip(letters[0].number, "seen")
        await travel.app.dead_letters.retry()
        await travel.app.dead_letters.retried()
        assert (await travel.app.processes.show("guide", "k")).fields == {"seen": ["after"]}


async def test_a_deadline_that_raises_is_an_alarm_and_passes_after_a_nudge() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k"))
        await travel.send(Poke(key="k", what="bad deadline"))
        await travel.pass_time(minutes=1)
        assert await travel.stuck() == "the deadline 'bad' raised RuntimeError: not yet"
        assert (await travel.app.health()).status == "degraded"
        MENDED.append(True)
        assert await travel.app.processes.nudge("guide", "k") is True
        await travel.app.settle()
        await travel.pass_time()
        story = await travel.app.processes.show("guide", "k")
        assert (story.stuck, list(story.deadlines)) == (None, ["end"])
        assert (await travel.app.health()).status == "ok"


async def test_a_deadline_that_is_set_again_moves() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k"))
        await travel.pass_time(minutes=30)
        await travel.send(Poke(key="k", what="move"))
        await travel.pass_time(minutes=119)
        assert await travel.status() == "running"
        await travel.pass_time(minutes=1)
        assert await travel.status() == "done"


async def test_a_clock_that_is_set_forward_and_back_moves_when_and_never_how_often() -> None:
    async with travelling() as travel:
        await travel.send(Start(key="k"))
        await travel.clock.advance(timedelta(days=400))
        await travel.app.settle()
        travel.clock._now -= timedelta(days=800)
        await travel.app.settle()
        await travel.clock.advance(timedelta(days=2000))
        await travel.app.settle()
        story = await travel.app.processes.show("guide", "k")
        assert [move.trigger for move in story.timeline].count("deadline") == 1


async def test_many_events_of_one_instance_at_once_are_each_handled_once() -> None:
    async with travelling() as travel:
        await travel.app.send(Start(key="k"))
        await asyncio.gather(*[travel.app.send(Poke(key="k", what=str(n))) for n in range(60)])
        await asyncio.gather(
            travel.app.settle(), *[travel.app.processes.nudge("guide", "k") for _ in range(10)], return_exceptions=True
        )
        await travel.app.settle()
        seen = (await travel.app.processes.show("guide", "k")).fields["seen"]
        assert sorted(seen, key=int) == [str(n) for n in range(60)]
        assert await travel.done() == ["did 0", "did 1", "did 2"]


async def test_what_is_not_there_is_told() -> None:
    async with travelling() as travel:
        with pytest.raises(NotFound, match="no process manager 'order'"):
            await travel.app.processes.show("order", "k")
        with pytest.raises(NotFound, match="no instance 'nobody' of guide"):
            await travel.app.processes.nudge("guide", "nobody")


# -- versions ---------------------------------------------------------------------------------------------------------


class Later(Process, category="guide", key="key", version=2):
    """The guide of the next release."""

    count: int = 0

    @start
    def begin(self, event: Started) -> None: ...

    @on
    def poked(self, _: Poked) -> None:
        self.count += 1

    @migrate(1)
    def from_1(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"count": len(fields["seen"])}


class Unready(Process, category="guide", key="key", version=2):
    @start
    def begin(self, event: Started) -> None: ...

    @on
    def poked(self, _: Poked) -> None: ...


async def test_an_instance_of_an_older_version_goes_on_where_it_was(tmp_path: Any) -> None:
    store, clock = f"sqlite:///{tmp_path}/app.db", VirtualClock()
    async with App(Trip, Work, Guide, store=store, provide=[World()], clock=clock) as app:
        await app.send(Start(key="k"))
        await app.send(Poke(key="k", what="a"))
        await app.settle()
    async with App(Trip, Unready, store=store, clock=clock) as app:
        await app.send(Poke(key="k", what="b"))
        await app.settle()
        [letter] = await app.dead_letters.list()
        assert "has fields of version 1" in str(letter.error)
    async with App(Trip, Later, store=store, clock=clock) as app:  # other code: what was parked is tried again
        await app.dead_letters.retried()
        await app.send(Poke(key="k", what="c"))
        await app.settle()
        story = await app.processes.show("guide", "k")
        assert (story.fields, story.status) == ({"count": 3}, "running")


async def test_an_instance_of_a_newer_version_is_left_alone(tmp_path: Any) -> None:
    store, clock = f"sqlite:///{tmp_path}/app.db", VirtualClock()
    async with App(Trip, Later, store=store, clock=clock) as app:
        await app.send(Start(key="k"))
        await app.settle()
    async with App(Trip, Work, Guide, store=store, provide=[World()], clock=clock) as app:
        await app.send(Poke(key="k", what="b"))
        await app.settle()
        [letter] = await app.dead_letters.list()
        assert "run the newer release" in str(letter.error)


# -- scheduled commands -----------------------------------------------------------------------------------------------


async def test_a_command_is_sent_at_its_time_and_once() -> None:
    async with travelling() as travel:
        app = travel.app
        schedule = await app.schedule(Start(key="k"), after=timedelta(hours=1), actor="ann")
        await travel.pass_time(minutes=59)
        assert await app.processes.instances("guide") == []
        await travel.pass_time(minutes=1)
        assert [line.key for line in await app.processes.instances("guide")] == ["k"]
        await travel.pass_time(days=9)
        records = [record async for record in app.events(stream="trip-k")]
        assert [(record.type, record.actor) for record in records] == [("trip.started", "ann")]
        assert await app.schedules() == []
        assert await app.unschedule(schedule) is False
        assert await app.reschedule(schedule, after=timedelta(1)) is False


async def test_a_command_is_sent_again_and_again_and_as_often_as_was_missed() -> None:
    async with travelling() as travel:
        app = travel.app
        each, once = timedelta(hours=1), {"catch_up": False}
        await app.schedule(Poke(key="all", what="x"), after=each, every=each)
        await app.schedule(Poke(key="one", what="x"), after=each, every=each, **once)
        await travel.clock.advance(timedelta(hours=5, minutes=30))  # nothing ran meanwhile
        await app.settle()
        counts = {key: [r async for r in app.events(stream=f"trip-{key}")] for key in ("all", "one")}
        assert {key: len(records) for key, records in counts.items()} == {"all": 5, "one": 1}
        await travel.clock.advance(timedelta(minutes=30))
        await app.settle()
        counts = {key: [r async for r in app.events(stream=f"trip-{key}")] for key in ("all", "one")}
        assert {key: len(records) for key, records in counts.items()} == {"all": 6, "one": 2}


async def test_a_schedule_is_moved_and_taken_away() -> None:
    async with travelling() as travel:
        app = travel.app
        schedule = await app.schedule(Start(key="k"), after=timedelta(hours=1))
        assert await app.reschedule(schedule, at=travel.clock.now() + timedelta(hours=3)) is True
        await travel.pass_time(hours=2)
        [waiting] = await app.schedules()
        assert (waiting.schedule_id, waiting.command, waiting.sent) == (schedule, "Start", 0)
        assert await app.unschedule(schedule) is True
        await travel.pass_time(hours=5)
        assert [r async for r in app.events()] == []


async def test_the_same_key_is_scheduled_once() -> None:
    async with travelling() as travel:
        first = await travel.app.schedule(Start(key="k"), after=timedelta(hours=1), key="daily")
        assert await travel.app.schedule(Start(key="k"), after=timedelta(hours=9), key="daily") == first
        [waiting] = await travel.app.schedules()
        assert waiting.due == travel.clock.now() + timedelta(hours=1)


async def test_a_schedule_that_cannot_be_is_refused() -> None:
    async with travelling() as travel:
        with pytest.raises(InvalidMessage, match="does not say when"):
            await travel.app.schedule(Start(key="k"))
        with pytest.raises(InvalidMessage, match="no interval"):
            await travel.app.schedule(Start(key="k"), after=timedelta(1), every=timedelta(0))
        with pytest.raises(InvalidMessage):
            await travel.app.schedule(Start(key=7), after=timedelta(1))  # type: ignore[arg-type]
        assert await travel.app.schedules() == []
