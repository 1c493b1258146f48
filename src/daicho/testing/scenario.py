"""given / when / then for whole flows: commands in, and everything they cause, on a store in memory.

with scenario(Order, Inventory, reserve_inventory, orders) as shop:
    shop.given(ReceiveStock(sku="pen", quantity=5))
    shop.when(CreateOrder(order_id="o-1", sku="pen", quantity=3))
    shop.then_events(OrderCreated, InventoryReserved(sku="pen", order_id="o-1", quantity=3), OrderConfirmed)
    shop.advance(seconds=30)
    shop.then_rows(orders, {"o-1": OrderRow(order_id="o-1", status="confirmed")})
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

from daicho.app import App
from daicho.core.errors import Rejected
from daicho.core.messages import Command, Event, Receipt, Row
from daicho.core.model import Part
from daicho.core.process_events import ProcessMoved
from daicho.core.projection import Table
from daicho.testing.clock import VirtualClock

__all__ = ["Scenario", "scenario"]

T = TypeVar("T")


class Scenario:
    """An App in memory, with a clock of its own, driven by a plain test function."""

    def __init__(self, parts: Sequence[Part], provide: Sequence[Any]) -> None:
        self.clock = VirtualClock(autojump=True)
        self.app = App(*parts, store="memory:", provide=provide, clock=self.clock)
        self._runner = asyncio.Runner()
        self._receipt: Receipt | None = None
        self._refusal: Rejected | None = None

    def __enter__(self) -> "Scenario":
        self.run(self.app.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self.app.stop())
        finally:
            self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits anything else of the App: `shop.run(shop.app.load(Order, "o-1"))`."""
        return self._runner.run(work)

    def given(self, *commands: Command) -> None:
        """Sends what happened before, and lets everything it causes come to rest."""
        for command in commands:
            self.run(self._send(command, None, None))

    def when(self, command: Command, *, actor: str | None = None, tenant: str | None = None) -> None:
        """Sends the command and lets everything it causes come to rest. A refusal is kept for `then_rejected`."""
        self._receipt = self._refusal = None
        try:
            self._receipt = self.run(self._send(command, actor, tenant))
        except Rejected as error:
            self._refusal = error

    def advance(self, **time: float) -> None:
        """Lets time pass (`seconds=30`, `days=3`): each deadline, retry and schedule within it comes up at its own
        time, and everything it causes comes to rest."""
        self.run(self._advance(timedelta(**time)))

    async def _advance(self, by: timedelta) -> None:
        goal = self.clock.now() + by
        while (due := await self.app.next_due()) is not None and due <= goal:
            await self.clock.advance(max(due - self.clock.now(), timedelta()))
            await self._rest()
        await self.clock.advance(max(goal - self.clock.now(), timedelta()))
        await self._rest()

    async def _send(self, command: Command, actor: str | None, tenant: str | None) -> Receipt:
        receipt = await self.app.send(command, actor=actor, tenant=tenant)
        await self._rest()
        return receipt

    async def _rest(self) -> None:
        await self.app.settle()
        if letters := await self.app.dead_letters.list():
            raise AssertionError(
                "parked:" + _lines([f"{x.processor} {x.type} of {x.stream}: {x.error}" for x in letters])
            )

    @property
    def events(self) -> list[Event]:
        """Everything that the last command and its consequences recorded, in order, without the steps of process
        managers."""
        if self._refusal is not None:
            raise AssertionError(f"rejected: {self._refusal}") from self._refusal
        if self._receipt is None:
            raise AssertionError("nothing was sent: call `when` first")
        return self.run(self._flow(self._receipt.correlation_id))

    async def _flow(self, correlation: str) -> list[Event]:
        records = self.app.events(correlation=correlation)
        return [record.event async for record in records if not isinstance(record.event, ProcessMoved)]

    def then_events(self, *expected: Event | type[Event]) -> None:
        """Exactly these were recorded by the whole flow, in this order; a class stands for any event of it."""
        found = self.events
        fits = len(found) == len(expected) and all(
            isinstance(event, wanted) if isinstance(wanted, type) else event == wanted
            for event, wanted in zip(found, expected, strict=True)
        )
        if not fits:
            raise AssertionError(f"expected {_lines(expected)}\ngot {_lines(found)}")

    def then_rejected(self, because: str | None = None) -> None:
        """The command itself was refused, with exactly this reason if one is given."""
        if self._refusal is None:
            raise AssertionError(f"not rejected; got {_lines(self.events)}")
        if because is not None and str(self._refusal) != because:
            raise AssertionError(f"rejected because {str(self._refusal)!r}, expected {because!r}")

    def then_rows(self, table: Table[Any], expected: Mapping[str, Row]) -> None:
        """The view, or Crud part, holds exactly these rows, by key."""
        view = self.app.views[table]
        found, count = self.run(view.get_many(list(expected))), self.run(view.count())
        if found != dict(expected) or count != len(expected):
            raise AssertionError(f"expected {_lines(list(expected.values()))}\ngot {_lines(self.run(view.find()))}")


def _lines(things: Sequence[object]) -> str:
    return "".join(f"\n  {thing if isinstance(thing, str) else repr(thing)}" for thing in things) or "nothing"


def scenario(*parts: Part, provide: Sequence[Any] = ()) -> Scenario:
    """The parts of an App, to be tried as a whole. Use it in a `with` statement; see the module's example."""
    return Scenario(parts, provide)
