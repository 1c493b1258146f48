"""A process manager whose steps are other services' work: it hears their events and the answers to its commands."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from daicho import App, Command, Compensate, Deadline, Done, Process, compensate, deadline, on, start
from daicho.testing import VirtualClock
from examples.fulfilment import (
    ItemsReserved,
    PlacePurchase,
    Purchase,
    PurchasePlaced,
    ReleaseItems,
    ReserveItems,
    Shelf,
    StockShelf,
)


class Reserving(Process, category="reserving", key="order_id"):
    @start
    def placed(self, event: PurchasePlaced) -> Iterator[ReserveItems | Deadline]:
        yield ReserveItems(sku=event.sku, order_id=event.order_id, quantity=event.quantity)
        yield Deadline.set("end", after=timedelta(hours=1))

    @on
    def reserved(self, event: ItemsReserved) -> Iterator[Done]:
        if event.quantity == 1:
            yield Done()

    @deadline("end")
    def end(self) -> Iterator[Compensate]:
        yield Compensate("it took too long")

    @compensate
    def release(self, command: ReserveItems) -> ReleaseItems:
        return ReleaseItems(sku=command.sku, order_id=command.order_id)


REMOTE: dict[str, list[type[Command]]] = {"inventory": [ReserveItems, ReleaseItems]}


async def until(app: App, status: str, key: str, within: float = 20.0) -> None:
    """Several services come to rest together: there is no one place to wait at."""
    async with asyncio.timeout(within):
        while True:
            found = {line.key: line.status for line in await app.processes.instances("reserving")}
            if found.get(key) == status:
                return
            await asyncio.sleep(0.01)


async def answered(app: App, key: str, state: str, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while True:
            lines = await app.processes.instances("reserving")
            if any(line.key == key for line in lines):
                story = await app.processes.show("reserving", key)
                if story.commands[0].state == state:
                    return
            await asyncio.sleep(0.01)


async def test_a_step_of_another_service_is_done_refused_and_undone_over_the_bus() -> None:
    clock, bus = VirtualClock(), "memory:test_process_services"
    orders = App(
        Purchase, Reserving, name="orders", store="memory:", clock=clock, bus=bus, listen=["inventory"], remote=REMOTE
    )
    inventory = App(Shelf, name="inventory", store="memory:", bus=bus)
    async with inventory, orders:
        await inventory.send(StockShelf(sku="pen", quantity=5))
        await orders.send(PlacePurchase(order_id="one", sku="pen", quantity=1, cents=5))
        await until(orders, "done", "one")
        await orders.send(PlacePurchase(order_id="many", sku="pen", quantity=99, cents=5))
        await until(orders, "compensated", "many")
        story = await orders.processes.show("reserving", "many")
        assert [(task.state, task.reason) for task in story.commands] == [("rejected", "only 4 left")]
        await orders.send(PlacePurchase(order_id="late", sku="pen", quantity=2, cents=5))
        await answered(orders, "late", "done")
        await clock.advance(timedelta(hours=2))
        await until(orders, "compensated", "late")
        shelf = await inventory.load(Shelf, "pen")
        assert (shelf.on_hand, shelf.reserved) == (5, {"one": 1})


async def test_an_answer_that_nobody_told_is_asked_for(tmp_path: object) -> None:
    clock, store = VirtualClock(), f"sqlite:///{tmp_path}/app.db"
    async with App(Purchase, Reserving, name="orders", store=store, clock=clock, remote=REMOTE) as orders:
        await orders.send(PlacePurchase(order_id="o", sku="pen", quantity=2, cents=5))
        await orders.settle()
        async with App(Shelf, name="inventory", store=store) as inventory:  # the same store: nobody tells `orders`
            await inventory.send(StockShelf(sku="pen", quantity=5))
            await inventory.settle()
        assert (await orders.processes.show("reserving", "o")).commands[0].state == "sent"
        await clock.advance(timedelta(seconds=6))
        await orders.settle()
        assert (await orders.processes.show("reserving", "o")).commands[0].state == "done"
