"""A service that is added while the others run: one file, of which they know nothing."""

import ast
from pathlib import Path
from uuid import uuid4

import pytest

from daicho.testing import VirtualClock, at_rest
from examples.services import inventory, orders, payments, shipping
from tests.acceptance.services_ledger import Books, Customers, happened
from tests.architecture.test_layers import parsed

FOLDER = Path(shipping.__file__).parent
SERVICES = ("orders", "inventory", "payments", "shipping")


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_imports_anything_of_another(name: str) -> None:
    tree = parsed((FOLDER / f"{name}.py").read_text())
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    assert {each for each in found if each and each.startswith("examples")} == set()


def test_nobody_knows_of_the_service_that_came_later() -> None:
    for name in SERVICES[:3]:
        text = (FOLDER / f"{name}.py").read_text().lower()
        assert not any(word in text for word in ("shipping", "parcel"))


@pytest.mark.slow
async def test_a_service_that_is_added_while_the_others_run_ships_what_was_confirmed_from_the_beginning(
    tmp_path: Path,
) -> None:
    clock, bus, store = VirtualClock(), f"memory:{uuid4()}", f"sqlite:///{tmp_path}/shipping.db?durability=relaxed"
    order, depot, money = (
        make("memory:", bus, clock=clock, partitions=2)
        for make in (orders.service, inventory.service, payments.service)
    )
    async with order, depot, money:
        customers = Customers(Books(), order, depot, money)
        await customers.stock("tea", 50)

        async def trade(first: int, last: int) -> set[str]:
            """Every second one is paid."""
            for n in range(first, last):
                await customers.place(f"o-{n}")
                if n % 2:
                    await customers.pay(f"o-{n}")
            return {f"o-{n}" for n in range(first, last) if n % 2}

        wanted = await trade(0, 20)
        await at_rest(order, depot, money)
        async with shipping.service(store, bus, clock=clock, partitions=2) as late:
            await at_rest(order, depot, money, late)
            assert await happened(late) == {(each, "parcel.shipped"): 1 for each in wanted}
            wanted |= await trade(20, 30)
            await at_rest(order, depot, money, late)
            assert await happened(late) == {(each, "parcel.shipped"): 1 for each in wanted}
        wanted |= await trade(30, 40)
        async with shipping.service(store, bus, clock=clock, partitions=2) as late:
            await at_rest(order, depot, money, late)
            await clock.advance(orders.PATIENCE)
            await at_rest(order, depot, money, late)
            ends = await customers.books.balance(order, depot, money, late)
            assert {each for each, end in ends.items() if end == "confirmed"} == wanted
