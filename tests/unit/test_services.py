"""Two services that share a bus, and nothing else: one hears what the other records, and does what the other asks."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from daicho import App, Command, ConfigurationError, Envelope, MissingHandler, OutcomeTimeout, WiringError
from daicho.adapters.buses.memory import MemoryBus
from daicho.cli import main
from daicho.flow import inbox, services
from daicho.ports.checkpoint_store import PAUSED
from daicho.ports.event_bus import BusMessage, Channel
from daicho.ports.event_store import Selection
from daicho.testing import at_rest
from daicho.testing.contracts.base import eventually
from tests.trade import (
    Order,
    OrderConfirmed,
    PlaceOrder,
    Receive,
    ReserveStock,
    Sold,
    Stock,
    StockReserved,
    inventory,
    orders,
    reserve,
    settle,
    sold,
)


@pytest.fixture
def bus() -> str:
    return f"memory:{uuid4()}"


@asynccontextmanager
async def both(bus: Any) -> AsyncIterator[tuple[App, App]]:
    async with orders("memory:", bus) as first, inventory("memory:", bus) as second:
        yield first, second


async def history(app: App, **conditions: Any) -> list[Any]:
    return [record async for record in app.events(**conditions)]


async def test_an_order_goes_to_the_other_service_and_comes_back(bus: str) -> None:
    async with both(bus) as (shop, depot):
        await depot.send(Receive(sku="tea", quantity=5))
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3))
        await shop.send(PlaceOrder(order="o-2", sku="tea", quantity=3))
        await at_rest(shop, depot)
        assert {(await shop.load(Order, o)).status for o in ("o-1", "o-2")} == {"confirmed", "refused"}
        assert (await depot.load(Stock, "tea")).left == 2
        assert await shop.views[sold].get("tea") == Sold(sku="tea", quantity=3)


async def test_an_event_is_recorded_with_all_that_is_known_about_it_and_where_it_came_from(bus: str) -> None:
    async with both(bus) as (shop, depot):
        await depot.send(Receive(sku="tea", quantity=5))
        receipt = await shop.send(
            PlaceOrder(order="o-1", sku="tea", quantity=3), actor="ann", tenant="north", metadata={"note": "注文"}
        )
        await at_rest(shop, depot)
        [there] = [r for r in await history(depot, stream="stock-tea") if r.type == "stock.reserved"]
        [here] = await history(shop, stream="inventory.stock-tea")
        for known in ("event_id", "type", "schema_version", "occurred_at", "actor", "tenant", "causation_id"):
            assert getattr(here, known) == getattr(there, known)
        assert here.correlation_id == there.correlation_id == receipt.correlation_id
        assert (here.actor, here.tenant, here.version) == ("ann", "north", 1)
        assert here.metadata == {
            **there.metadata,
            "source": "inventory",
            "origin_stream": "stock-tea",
            "origin_version": "2",
            "origin_position": str(int(there.position)),
        }
        [confirmed] = [r for r in await history(shop) if isinstance(r.event, OrderConfirmed)]
        assert (confirmed.metadata["cause"], confirmed.metadata["hops"]) == (here.event_id, "2")


async def test_what_nobody_here_reads_is_not_recorded_and_what_was_heard_is_not_sent_on(bus: str) -> None:
    async with both(bus) as (shop, depot):
        await depot.send(Receive(sku="tea", quantity=5))
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3))
        await at_rest(shop, depot)
        assert [r.type for r in await history(shop)] == ["order.placed", "stock.reserved", "order.confirmed"]
        assert [r.type for r in await history(depot)] == ["stock.received", "stock.reserved"]
        heard = App(Order, store="memory:", name="ear", bus=bus, listen=["orders"], partitions=2)
        async with heard:
            await at_rest(shop, heard)
            assert await history(heard) == []


async def test_a_posted_command_is_answered_by_the_service_that_owns_it(bus: str) -> None:
    async with both(bus) as (shop, depot):
        await depot.send(Receive(sku="tea", quantity=5))
        done = await shop.outcome(await shop.post(ReserveStock(sku="tea", order="o", quantity=1)))
        assert (done.state, done.stream, done.version, done.position) == ("done", "stock-tea", 2, 2)
        refused = await shop.outcome(await shop.post(ReserveStock(sku="ink", order="o", quantity=1)))
        assert (refused.state, refused.reason) == ("rejected", "there is no ink")
        assert (await shop.status(refused.command_id)) == refused


# -- what is wrong is told, before anything runs -----------------------------------------------------------------------


def test_a_command_that_nothing_handles_has_to_be_named_as_remote() -> None:
    with pytest.raises(MissingHandler, match="`remote=`"):
        App(Order, reserve)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"listen": ["orders"]}, "would listen to itself"),
        ({"listen": ["card-payments"]}, "cannot be the name of a service"),
        ({"name": "my-orders"}, "cannot be the name of a service"),
        ({"partitions": 3}, "power of two"),
        ({"bus": None, "listen": ["inventory"]}, "need a bus"),
        ({"bus": "carrier-pigeon://roof"}, "is not the URL of a bus"),
        ({"remote": {"inventory": {ReserveStock: "colour"}}}, "has no field 'colour'"),
        ({"remote": {"inventory": [PlaceOrder]}}, "and named in `remote=`"),
        ({"publish": [StockReserved]}, "no part of this App records it"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises((ConfigurationError, WiringError), match=re.escape(why)):
        App(Order, **{"name": "orders", "bus": "memory:", **settings})


async def test_all_services_on_a_bus_have_the_same_partitions(bus: str) -> None:
    async with inventory("memory:", bus, partitions=2) as depot:
        await at_rest(depot)
        async with orders("memory:", bus, partitions=4) as shop:
            health = await eventually(shop.health, lambda health: health.status != "ok")
            assert "not with 4" in " ".join(problem.detail for problem in health.problems)


async def test_partitions_that_were_others_before_are_refused(bus: str, sqlite: str) -> None:
    async with inventory(sqlite, bus, partitions=2):
        pass
    with pytest.raises(ConfigurationError, match="has had 2 partitions, not 4"):
        await inventory(sqlite, f"{bus}-other", partitions=4).start()


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_what_is_not_answered_in_time_is_told_with_what_is_known(bus: str) -> None:
    async with orders("memory:", bus) as shop:
        command_id = await shop.post(ReserveStock(sku="tea", order="o", quantity=1))
        with pytest.raises(OutcomeTimeout, match=r"stock\.reserve is pending") as raised:
            await shop.outcome(command_id, within=0.05)
        assert raised.value.outcome.state == "pending"
        with pytest.raises(OutcomeTimeout, match="nobody has heard of it"):
            await shop.outcome(str(uuid4()), within=0.0)
        async with inventory("memory:", bus) as depot:  # it comes later, and nothing was lost
            assert (await shop.outcome(command_id, within=10)).reason == "there is no tea"
            await at_rest(depot, shop)


async def test_a_local_post_has_an_outcome_too(bus: str) -> None:
    async with orders("memory:", bus) as shop:
        outcome = await shop.outcome(await shop.post(PlaceOrder(order="o-1", sku="tea", quantity=1)))
        assert (outcome.state, outcome.stream, outcome.version) == ("done", "order-o-1", 1)


async def test_a_command_that_is_not_what_its_owner_expects_fails_there_and_says_why(bus: str) -> None:
    class Odd(Command, name="stock.reserve"):
        sku: str
        colour: int

    class Unknown(Command, name="stock.paint"):
        sku: str

    app = App(store="memory:", name="odd", bus=bus, remote={"inventory": [Odd, Unknown]}, partitions=2)
    async with app, inventory("memory:", bus) as depot:
        odd = await app.outcome(await app.post(Odd(sku="tea", colour=7)))
        assert odd.state == "failed"
        assert "colour" in (odd.reason or "")
        unknown = await app.outcome(await app.post(Unknown(sku="tea")))
        assert (unknown.state, unknown.reason and unknown.reason.partition("\n")[0]) == (
            "failed",
            "inventory handles no stock.paint",
        )
        assert await history(depot) == []


async def test_the_owner_is_asked_whether_the_sender_may(bus: str) -> None:
    asked: list[tuple[str, str | None, str]] = []

    def permit(envelope: Envelope) -> bool:
        asked.append((envelope.name, envelope.actor, envelope.source))
        return not envelope.source

    async with orders("memory:", bus) as shop, inventory("memory:", bus, authorise=permit) as depot:
        await depot.send(Receive(sku="tea", quantity=5))
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3), actor="ann")
        await at_rest(shop, depot)
        assert asked == [("Receive", None, ""), ("stock.reserve", "ann", "orders")]
        [sent] = await shop.storage.outcomes(limit=1)
        assert (sent.state, sent.handler) == ("failed", "reserve")
        assert "may not send stock.reserve" in (sent.reason or "")


async def test_commands_about_one_thing_stay_in_order(bus: str) -> None:
    async with both(bus) as (shop, depot):
        await depot.send(Receive(sku="tea", quantity=500))
        for n in range(100):
            await shop.post(ReserveStock(sku="tea", order=f"o-{n}", quantity=1))
        await at_rest(shop, depot)
        names = [record.event.order async for record in depot.events(stream="stock-tea") if record.version > 1]
        assert names == [f"o-{n}" for n in range(100)]


async def test_two_apps_on_one_store_need_no_bus(sqlite: str) -> None:
    shop = App(Order, reserve, settle, name="orders", store=sqlite, remote={"inventory": [ReserveStock]})
    depot = App(Stock, name="inventory", store=sqlite)
    async with shop:
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3))
        await shop.settle()
        [waiting] = await shop.storage.pending(limit=9)
        async with depot:
            await depot.send(Receive(sku="tea", quantity=5))
            outcome = await shop.outcome(waiting.command_id)
            assert outcome.state in ("done", "rejected")  # it may have been there before the tea
            own = await depot.post(Receive(sku="ink", quantity=1))
            assert (await depot.outcome(own)).state == "done"


async def test_a_command_whose_part_was_taken_away_fails_and_one_for_another_service_does_not(sqlite: str) -> None:
    async with App(Order, Stock, name="orders", store=sqlite) as shop:
        await shop.storage.pause("posted:orders")
        gone = await shop.post(Receive(sku="tea", quantity=1))
        await shop.storage.release(PAUSED, "posted:orders")
    async with App(Order, name="orders", store=sqlite, remote={"inventory": [ReserveStock]}) as shop:
        other = await shop.post(ReserveStock(sku="tea", order="o", quantity=1))
        outcome = await shop.outcome(gone)
        assert outcome.state in ("done", "failed")
        await shop.settle()
        assert ((await shop.status(other)) or outcome).state == "pending"


# -- holes, and what is malformed --------------------------------------------------------------------------------------


def message(number: int, previous: int, **fields: Any) -> BusMessage:
    given = {
        "id": str(UUID(int=number, version=4)),
        "source": "inventory",
        "type": "stock.short",
        "subject": f"stock-s{number}",
        "time": "2026-01-02T03:04:05.000006+00:00",
        "data": b'{"sku":"s","order":"o-%d"}' % number,
        "number": number,
        "previous": previous,
        "extensions": {
            "schemaversion": "1",
            "streamversion": "1",
            "correlationid": str(UUID(int=7, version=4)),
            "causationid": str(UUID(int=8, version=4)),
        },
    }
    return BusMessage(**{**given, **fields})


@asynccontextmanager
async def ear(bus: str, **settings: Any) -> AsyncIterator[tuple[App, MemoryBus, Channel]]:
    """A service that hears, and the bus that it hears."""
    speaker, channel = MemoryBus(bus), Channel("events.inventory", 1)
    await speaker.open()
    await speaker.declare(channel)
    async with orders("memory:", bus, partitions=1, **settings) as shop:
        yield shop, speaker, channel
    await speaker.close()


async def heard(app: App, count: int) -> list[int]:
    async def numbers() -> list[int]:
        return [int(record.metadata["origin_position"]) for record in await history(app) if "source" in record.metadata]

    return await eventually(numbers, lambda found: len(found) >= count)


async def test_messages_are_recorded_in_the_order_of_their_chain(bus: str) -> None:
    async with ear(bus) as (shop, speaker, channel):
        for one in (message(4, 2), message(2, 0), message(4, 2), message(9, 4), message(2, 0)):
            await speaker.publish(channel, 0, [one])
        assert await heard(shop, 3) == [2, 4, 9]
        await shop.settle()
        assert await heard(shop, 3) == [2, 4, 9]


async def test_a_chain_whose_beginning_is_no_longer_kept_begins_where_it_can(bus: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(inbox, "_BEGIN_AFTER", 0.1)
    async with ear(bus) as (shop, speaker, channel):
        await speaker.publish(channel, 0, [message(12, 10), message(14, 12)])
        assert await heard(shop, 2) == [12, 14]


async def test_a_hole_is_told_and_not_passed_until_somebody_accepts_it(bus: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(inbox, "_GIVE_UP_AFTER", 0.1)
    monkeypatch.setattr(inbox, "_ASK_AGAIN", 0.05)
    async with ear(bus) as (shop, speaker, channel):
        await speaker.publish(channel, 0, [message(2, 0), message(9, 5)])
        health = await eventually(shop.health, lambda health: "BusGap" in str(health.problems))
        [problem] = health.problems
        assert problem.what == "inbox:inventory"
        assert "BusGap: messages of inventory behind 2, up to 5, are missing in partition 0" in problem.detail
        assert "daicho bus accept-gap inventory" in problem.do
        assert await heard(shop, 1) == [2]
        [state] = [each for each in await shop.bus_status() if each.direction == "in"]
        assert (state.here, state.gap_up_to, state.tail) == (2, 5, 9)
        assert await shop.accept_gap("inventory") == [(0, 5)]
        assert await heard(shop, 2) == [2, 9]
        await eventually(shop.health, lambda health: health.status == "ok")


async def test_a_hole_that_is_filled_heals_by_itself(bus: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(inbox, "_GIVE_UP_AFTER", 0.1)
    monkeypatch.setattr(inbox, "_ASK_AGAIN", 0.05)
    async with ear(bus) as (shop, speaker, channel):
        await speaker.publish(channel, 0, [message(2, 0), message(9, 5)])
        await eventually(shop.health, lambda health: health.status != "ok")
        await speaker.publish(channel, 0, [message(5, 2)])
        assert await heard(shop, 3) == [2, 5, 9]
        await eventually(shop.health, lambda health: health.status == "ok")
        assert [each.gap_up_to for each in await shop.bus_status()] == [None, None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "1; drop table events"},
        {"subject": "nodash"},
        {"subject": "stock-" + "x" * 300},
        {"subject": "stock-\n"},
        {"time": "yesterday"},
        {"extensions": {}},
        {"extensions": {**message(1, 0).extensions, "schemaversion": "-1"}},
        {"extensions": {**message(1, 0).extensions, "metadata": "[1]"}},
        {"source": "payments"},
        {"data": b"x" * 2_000_000},
    ],
)
async def test_what_cannot_be_an_event_is_put_aside_and_holds_up_nobody(bus: str, wrong: dict[str, Any]) -> None:
    async with ear(bus) as (shop, speaker, channel):
        bad = message(3, 1, **wrong)
        speaker._partition(channel, 0).messages += [message(1, 0), bad]  # pyright: ignore[reportPrivateUsage]
        await speaker.publish(channel, 0, [message(4, 1 if bad.source == "payments" else 3)])
        assert await heard(shop, 2) == [1, 4]
        [letter] = await shop.dead_letters.list()
        assert letter.processor == "inbox:inventory"
        assert "InvalidMessage" in (letter.error or "")
        assert (await shop.health()).status == "degraded"
        assert await shop.dead_letters.retry(letter.number) == 1
        await shop.dead_letters.retried()
        [again] = await shop.dead_letters.list()
        assert "skip it" in (again.error or "")
        await shop.dead_letters.skip(again.number, "the sender was mended")


async def test_an_event_of_a_newer_version_is_recorded_and_parked_by_who_reads_it(bus: str, sqlite: str) -> None:
    newer = {**message(1, 0).extensions, "schemaversion": "9"}
    async with ear(bus) as (shop, speaker, channel):
        await speaker.publish(channel, 0, [message(1, 0, extensions=newer), message(2, 1)])
        letters = await eventually(shop.dead_letters.list, lambda found: bool(found))
        assert [(x.processor, x.type, x.position) for x in letters] == [("reaction:settle", "stock.short", 1)]
        assert "the event is from a newer release" in (letters[0].trace or "")
        assert len([event async for event in shop.history.stored(Selection())]) == 2


# -- the command line --------------------------------------------------------------------------------------------------


async def test_the_command_line_shows_the_bus_and_accepts_what_is_missing(
    bus: str, sqlite: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(inbox, "_GIVE_UP_AFTER", 0.05)
    monkeypatch.setattr(inbox, "_ASK_AGAIN", 0.02)
    speaker, channel = MemoryBus(bus), Channel("events.inventory", 2)
    await speaker.open()
    await speaker.declare(channel)
    await speaker.publish(channel, 1, [message(2, 0), message(9, 5)])
    shop = orders(sqlite, bus)
    monkeypatch.setattr("tests.trade.app", shop, raising=False)
    async with shop:
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=1))
        await eventually(shop.health, lambda health: "missing" in str(health.problems))
    told = await asyncio.to_thread(_run, "bus", "status", "-o", "jsonl")
    states = [json.loads(line) for line in told.stdout.splitlines()]
    hears = [(s["partition"], s["here"], s["tail"], s["lag"], s["gap_up_to"]) for s in states if s["direction"] == "in"]
    assert hears == [(0, 0, 0, 0, None), (1, 2, 9, 7, 5)]
    assert {s["channel"] for s in states if s["direction"] == "out"} == {"events.orders"}
    assert "messages up to 5 are missing in partition 1" in (await asyncio.to_thread(_run, "health")).stdout
    doctor = (await asyncio.to_thread(_run, "doctor")).stdout
    assert "bus durability" in doctor
    assert "inbox:inventory" in doctor
    done = await asyncio.to_thread(_run, "bus", "accept-gap", "inventory", "-o", "json")
    assert json.loads(done.stdout)["data"] == [{"source": "inventory", "partition": 1, "goes_on_behind": 5}]
    again = await asyncio.to_thread(_run, "bus", "accept-gap", "inventory")
    assert (again.exit_code, "nothing is missing from inventory" in again.stderr) == (1, True)
    async with shop:
        await eventually(shop.health, lambda health: health.status == "ok")
        assert await heard(shop, 2) == [2, 9]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--app", "tests.trade:app"])


async def test_a_trace_goes_through_the_registers_of_both_services(bus: str, tmp_path: Path, monkeypatch: Any) -> None:
    stores = [f"sqlite:///{tmp_path / name}.db" for name in ("orders", "inventory")]
    shop, depot = orders(stores[0], bus), inventory(stores[1], bus)
    monkeypatch.setattr("tests.trade.app", shop, raising=False)
    async with shop, depot:
        await depot.send(Receive(sku="tea", quantity=5))
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3), actor="ann")
        await at_rest(shop, depot)
    alone = (await asyncio.to_thread(_run, "trace", "order-o-1")).stdout
    assert tree(alone) == [
        "PlaceOrder  by ann",
        "└─ order.placed  order-o-1 v1 @1",
        "   └─ stock.reserve  (reserve)  [inventory]",
        "      └─ stock.reserved  inventory.stock-tea v1 @2  [inventory]",
        "         └─ ConfirmOrder  (settle)",
        "            └─ order.confirmed  order-o-1 v2 @3",
    ]
    both = (await asyncio.to_thread(_run, "trace", "order-o-1", "--also", stores[1])).stdout
    assert tree(both) == [line.replace("inventory.stock-tea v1 @2", "stock-tea v2 @2") for line in tree(alone)]
    drawn = (await asyncio.to_thread(_run, "trace", "order-o-1", "--also", stores[1], "--mermaid")).stdout
    assert drawn.splitlines() == [
        "sequenceDiagram",
        "    actor a0 as ann",
        "    participant p1 as orders",
        "    participant p2 as inventory",
        "    a0->>p1: PlaceOrder",
        "    Note over p1: order.placed order-o-1 v1",
        "    p1->>p2: stock.reserve (reserve)",
        "    Note over p2: stock.reserved stock-tea v2",
        "    p2-->>p1: stock.reserved",
        "    p1->>p1: ConfirmOrder (settle)",
        "    Note over p1: order.confirmed order-o-1 v2",
    ]


async def test_a_trace_says_what_is_still_to_come(bus: str, sqlite: str, monkeypatch: Any) -> None:
    shop = orders(sqlite, bus)
    monkeypatch.setattr("tests.trade.app", shop, raising=False)
    async with shop:
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3))
        await shop.settle()
        await shop.processors.pause("reaction:reserve")
        await shop.send(PlaceOrder(order="o-2", sku="tea", quantity=3))
    sent = tree((await asyncio.to_thread(_run, "trace", "order-o-1")).stdout)
    assert sent[-1] == "   └─ … stock.reserve  (reserve)  pending  [inventory]"
    waits = tree((await asyncio.to_thread(_run, "trace", "order-o-2")).stdout)
    assert waits[-1] == "   └─ … stock.reserve  (reserve)  expected: not handled yet"


def tree(told: str) -> list[str]:
    """Without the times."""
    return [line[14:] for line in told.splitlines()[1:]]


# -- OpenTelemetry -----------------------------------------------------------------------------------------------------


async def test_spans_are_linked_from_service_to_service(bus: str, monkeypatch: Any) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    async with both(bus) as (shop, depot):
        await depot.send(Receive(sku="tea", quantity=5))
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3))
        await at_rest(shop, depot)
    spans = [span for span in exporter.get_finished_spans() if span.name != "process Receive"]
    where = [(span.name, (span.attributes or {})["messaging.destination.name"]) for span in spans]
    assert where == [
        ("process PlaceOrder", "orders"),
        ("process stock.reserve", "orders"),  # posted
        ("process stock.reserve", "inventory"),
        ("process ConfirmOrder", "orders"),
    ]
    assert not spans[0].links
    for before, after in pairwise(spans):
        [link] = after.links
        assert link.context.span_id == before.get_span_context().span_id


# -- what was confirmed ------------------------------------------------------------------------------------------------


class Watched(MemoryBus):
    """Counts how often it is asked for a tail and what it was given, and says over which line it is spoken to."""

    line: object | None = None
    asked = published = 0

    @property
    def unbroken(self) -> object | None:
        return self.line

    async def tail(self, channel: Channel, partition: int) -> int | None:
        self.asked += 1
        return await super().tail(channel, partition)

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        await super().publish(channel, partition, messages)
        self.published += len(messages) if channel.name.startswith("events.") else 0


@pytest.mark.parametrize(("line", "asks"), [(None, True), ("the same", False), ("another", True)])
async def test_a_broker_that_may_have_started_again_is_asked_what_it_has(
    line: str | None, asks: bool, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_TAILS_EVERY", 1000)
    watched = Watched(bus)
    watched.line = None if line is None else object()
    async with orders("memory:", watched) as shop:

        async def orders_placed(name: str) -> None:
            before = watched.published
            for n in range(20):
                await shop.send(PlaceOrder(order=f"{name}-{n}", sku="tea", quantity=1))
            async with asyncio.timeout(60):
                while watched.published < before + 20:  # noqa: ASYNC110 - the bus tells nobody
                    await asyncio.sleep(0.001)

        await orders_placed("a")
        await asyncio.sleep(0.05)
        asked = watched.asked
        if line == "another":
            watched.line = object()
        await orders_placed("b")
        assert (watched.asked > asked) is asks
