"""The story of a flow with a process manager in it: its steps, and what is expected and has not come."""

from collections.abc import Iterator
from datetime import timedelta

from daicho import App, Receipt
from daicho.cli.mermaid import sequence_diagram
from daicho.cli.trace import tree_lines
from daicho.read.history import Trace, TraceNode
from daicho.testing import VirtualClock
from examples.fulfilment import PlacePurchase, ReceivePayment, StockShelf, parts
from tests.unit.test_process_services import REMOTE, Purchase, Reserving

PLACE = PlacePurchase(order_id="o-1", sku="pen", quantity=2, cents=500)


def nodes(found: Trace | None) -> Iterator[TraceNode]:
    def walk(some: list[TraceNode]) -> Iterator[TraceNode]:
        for node in some:
            yield node
            yield from walk(node.children)

    assert found is not None
    return walk(found.roots)


async def placed(app: App) -> Receipt:
    await app.send(StockShelf(sku="pen", quantity=5))
    receipt = await app.send(PLACE)
    await app.settle()
    return receipt


async def test_a_deadline_that_has_not_come_is_expected_and_one_that_came_or_was_cancelled_is_not() -> None:
    clock = VirtualClock()
    async with App(*parts, store="memory:", clock=clock) as app:
        receipt = await placed(app)
        [waiting] = [node for node in nodes(await app.trace(receipt)) if node.kind == "timer"]
        assert (waiting.name, waiting.handler, waiting.outcome, waiting.reason) == (
            "deadline payment",
            "process:fulfilment",
            "pending",
            "expected at 2026-01-01T00:00:30.000000+00:00",
        )
        await app.send(ReceivePayment(order_id="o-1", cents=500))
        await app.settle()
        assert [node.kind for node in nodes(await app.trace(receipt)) if node.outcome == "pending"] == []


async def test_the_tree_and_the_diagram_show_steps_commands_and_what_is_expected() -> None:
    async with App(*parts, store="memory:", clock=VirtualClock()) as app:
        found = await app.trace(await placed(app))
        assert found is not None
        tree = [line[14:].strip(" │├└─") for line in tree_lines(found)]
        assert [line.split("  ")[0] for line in tree[1:7]] == [
            "PlacePurchase",
            "purchase.placed",
            "fulfilment start",
            "daicho.process.moved",
            "ReserveItems",
            "shelf.reserved",
        ]
        assert "… deadline payment  (process:fulfilment)  pending: expected at 2026-01-01T00:00:30.000000+00:00" in tree
        diagram = sequence_diagram(found)
        assert "deadline payment, expected at 2026-01-01T00:00:30.000000+00:00" in diagram
        assert "as fulfilment-o-1" in diagram
        assert diagram.count("RequestPayment") == 1


async def test_a_command_without_an_answer_is_expected() -> None:
    async with App(Purchase, Reserving, name="orders", store="memory:", clock=VirtualClock(), remote=REMOTE) as app:
        receipt = await app.send(PLACE)
        await app.settle()
        pending = [node for node in nodes(await app.trace(receipt)) if node.outcome == "pending"]
        assert {(node.kind, node.name) for node in pending} == {("command", "ReserveItems"), ("timer", "deadline end")}


async def test_what_a_refused_command_led_to_hangs_below_it() -> None:
    clock = VirtualClock()
    async with App(*parts, store="memory:", clock=clock) as app:
        receipt = await app.send(PLACE)
        await app.settle()
        found = list(nodes(await app.trace(receipt)))
        [refused] = [node for node in found if node.name == "ReserveItems"]
        assert (refused.outcome, refused.reason) == ("rejected", "only 0 left")
        assert "purchase.cancelled" in [node.name for node in found]
        await clock.advance(timedelta(days=1))
        await app.settle()
        assert not [node for node in nodes(await app.trace(receipt)) if node.outcome == "pending"]
