"""All views of the shop rebuilt while it goes on selling; a mistake is caught by its differences, and taken back."""

import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daicho import App, projection, replace
from examples.shop.app import shop
from examples.shop.retail.document import Document, documents
from examples.shop.retail.feeding import Fed, feed, send
from examples.shop.retail.figures import figures
from examples.shop.retail.printing import as_json
from examples.shop.views import sales
from examples.shop.views.sale import Sale
from examples.shop.views.sales import CountrySales, sales_by_country
from tests.acceptance.test_retail import oracle, written

RATE = 200
"""Commands per second: one for a document, one more for each of its lines."""
WRONG = "France"


def rows(count: int) -> list[tuple[str, ...]]:
    dice = random.Random(count)
    found: list[tuple[str, ...]] = []
    for n in range(count):
        country = dice.choice(["United Kingdom", "France", "Japan", "EIRE"])
        customer = "12345.0" if n % 7 == 0 else f"{12346 + n % 70}.0"  # one of them is the busiest
        at = f"2011-{1 + n * 11 // count:02d}-{1 + n % 28:02d} 09:{n % 60:02d}:00"
        for _ in range(dice.randint(1, 5)):
            price = Decimal(dice.randint(1, 2000)) / 100
            sku, quantity = f"2{dice.randint(1, 60):04d}", float(dice.randint(1, 30))
            found.append((f"{536365 + n}", sku, "THING", str(quantity), at, str(price), customer, country))
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'shop.db'}"


async def told(app: App) -> Any:
    return json.loads(as_json(await figures(app)))


class Reader:
    """Looks at every view again and again: a row that was there once is there for ever."""

    def __init__(self, app: App) -> None:
        self.app, self.looks, self.done = app, 0, False

    async def run(self) -> None:
        seen: dict[str, int] = {}
        while not self.done:
            for name in self.app.views.names():
                count = await self.app.views.named(name).count()
                assert count >= seen.get(name, 0), f"rows of {name} are missing"
                seen[name] = count
                self.looks += 1
            await asyncio.sleep(0.001)


async def sell(app: App, rest: Sequence[Document]) -> float:
    """At an even pace. Returns how many commands a second it came to."""
    begun, commands = time.monotonic(), 0
    async with asyncio.TaskGroup() as sending:
        for document in rest:
            sending.create_task(send(app, document))
            commands += 1 + len(document.command.lines)
            await asyncio.sleep(max(0.0, begun + commands / RATE - time.monotonic()))
    return commands / (time.monotonic() - begun)


async def rebuilt_while_selling(store: str, first: list[Document], rest: list[Document]) -> None:
    async with shop(store) as app:
        await feed(app, first, Fed(), at_once=64)
        reader = Reader(app)
        reading, selling = asyncio.create_task(reader.run()), asyncio.create_task(sell(app, rest))
        names = [fold.name for fold in app.model.folds]
        for name in names:
            steps = [step async for step in app.projections.rebuild(name)]
            assert steps[-1].switched
        rate = await selling
        await app.settle(within=60)
        reader.done = True
        await reading
        print(f"{len(names)} views rebuilt beside {rate:.0f} commands/s, {reader.looks} looks at them")
        assert {state.live for state in await app.projections.list()} == {2}


def shop_with_a_mistake(store: str, monkeypatch: pytest.MonkeyPatch) -> App:
    @projection("sales_by_country", key=sales_by_country.key)
    def wrong(row: CountrySales | None, sale: Sale) -> CountrySales | None:
        right = sales_by_country(row, sale)
        assert right is not None
        return replace(right, total=right.total + 1) if right.country == WRONG else right

    with monkeypatch.context() as patch:
        patch.setattr(sales, "PARTS", tuple(wrong if part is sales_by_country else part for part in sales.PARTS))
        return shop(store)


async def caught_and_taken_back(store: str, right: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop_with_a_mistake(store, monkeypatch) as app:
        assert [step async for step in app.projections.deploy("sales_by_country")]
        assert await told(app) == right  # nobody sees it yet
        diff = await app.projections.diff("sales_by_country")
        assert (diff.added, diff.removed, diff.changed) == (0, 0, 1)
        [cause] = diff.causes
        assert (cause.fields, [row.key for row in cause.examples]) == (("total",), [WRONG])
        await app.projections.switch("sales_by_country")
        wrong = await told(app)
        assert wrong != right
        assert {**wrong, "total_by_country": None} == {**right, "total_by_country": None}
        await app.projections.rollback("sales_by_country")
        assert await told(app) == right
    async with shop(store) as app:
        assert await told(app) == right


def in_two(all_documents: list[Document], part: float) -> tuple[list[Document], list[Document]]:
    at = int(len(all_documents) * part)
    return all_documents[:at], all_documents[at:]


async def test_views_are_rebuilt_while_two_hundred_commands_a_second_go_on_and_a_mistake_is_taken_back(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = rows(500)
    first, rest = in_two(list(documents(written(tmp_path / "retail.csv", lines), lambda _: None)), 0.6)
    await rebuilt_while_selling(store, first, rest)
    right = oracle(lines)
    async with shop(store) as app:
        assert await told(app) == right
    await caught_and_taken_back(store, right, monkeypatch)


@pytest.mark.campaign
@pytest.mark.retail
async def test_the_same_with_the_whole_file(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = os.environ.get("DAICHO_RETAIL")
    if not given:
        pytest.skip("DAICHO_RETAIL is not set to the Online Retail file")
    file = Path(given)
    first, rest = in_two(list(documents(file, lambda _: None)), 0.98)
    await rebuilt_while_selling(store, first, rest)
    right = json.loads((file.parent / "oracle.json").read_text())
    async with shop(store) as app:
        assert await told(app) == right
    await caught_and_taken_back(store, right, monkeypatch)
