"""The screens of those who keep a system running: each in both languages, and each action once, with its effect looked
for in the store."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from daicho import App
from daicho.console.screens import SCREENS as ALL
from daicho.core.operator_events import OPERATOR
from daicho.flow.among import GAP
from tests.console.browser import PATIENCE, cut
from tests.console.conftest import ShopConsole
from tests.console.plant import make, trips
from tests.console.sites import opened_plant

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("console-operations")]
expect.set_options(timeout=PATIENCE)
T = TypeVar("T")
READER = "projection%3Atrips"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopConsole]:
    with opened_plant(tmp_path_factory.mktemp("plant")) as found:
        yield found


def looked(plant: ShopConsole, look: Callable[[App], Awaitable[T]]) -> T:
    """What stands in the store, seen from here by an App that runs nothing. In a thread: the browser's has a loop of
    its own."""

    async def run() -> T:
        app = await make(plant.store).start(processors=False)
        try:
            return await look(app)
        finally:
            await app.stop()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


def pressed(page: Page, name: str, *, reason: str = "because", reloads: bool = True) -> None:
    """Presses the button of an action, answers its question, and waits until it was done; then the page is loaded
    again, unless it shows what came of it."""
    page.evaluate("window.isOld = true")
    page.locator(f"[data-action='{name}']").first.click()
    dialog = page.locator(".d-dialog")
    expect(dialog.locator("pre")).to_contain_text("daicho ")
    dialog.locator("[data-reason] input, input[data-reason]").first.fill(reason)
    dialog.locator("[data-confirm]").click()
    if reloads:
        page.wait_for_function("window.isOld === undefined")
    expect(dialog).to_have_count(0)


def acted(plant: ShopConsole, action: str) -> dict[str, Any]:
    """The last entry of the operator audit about an action."""

    async def look(app: App) -> dict[str, Any]:
        found = [e.event async for e in app.events(category=OPERATOR, newest_first=True)]
        return next(
            {"outcome": e.outcome, "target": e.target, "reason": e.reason, "detail": e.detail}
            for e in found
            if e.action == action
        )

    return looked(plant, look)


SCREENS = {
    "/projections": ("Projections", "投影", "projection:trips@1"),
    f"/projections/{READER}": ("Projection trips", "投影 trips", "trips@1"),
    "/projections/reaction%3Athank": ("reaction:thank", "reaction:thank", "/"),
    "/parked": ("Parked events", "退避されたイベント", "LookupError"),
    "/parked/1": ("Parked event 1", "退避されたイベント 1", "Atlantis"),
    "/processes": ("Process managers", "プロセスマネージャー", "booking"),
    "/processes/booking": ("booking", "booking", "t-7"),
    "/processes/booking/t-7": ("booking t-7", "booking t-7", "HoldRoom"),
    "/buses": ("Buses and relays", "バスとリレー", "events.payments"),
    "/topology": ("Topology", "構成図", "sqlite"),
    "/topology?view=model": ("Topology", "構成図", "FindTrips"),
    "/replication": ("Replication", "レプリケーション", "read_from="),
    "/insight?by=trip_id": ("Insight", "分析", "trip.booked → room.held → trip.paid"),
    "/insight/funnel?by=trip_id&steps=trip.booked,trip.paid": ("Insight", "分析", "42.9%"),
    "/insight/cohorts?by=trip_id&first=trip.booked&again=trip.paid": ("Insight", "分析", "14"),
    "/insight/sql": ("Insight", "分析", "dead_letters"),
}
ACTED_ON = {*list(SCREENS)[1:3], "/parked/1", "/processes/booking/t-7", "/buses", "/insight/sql"}
"""In English, by the tests of actions."""


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_screen_says_what_there_is(plant: ShopConsole, page: Page, language: str) -> None:
    keys = {key for screen in ALL for key in screen.words}
    for path, (english, japanese, shown) in SCREENS.items():
        if language == "en" and path in ACTED_ON:
            continue
        page.goto(f"{plant.url}{path}{'&' if '?' in path else '?'}lang={language}")
        expect(page.locator("h1")).to_have_text(english if language == "en" else japanese)
        expect(page.locator("#main")).to_contain_text(shown)
        text = page.locator("#main").inner_text()
        assert keys.isdisjoint(re.findall(r"[a-z_.]+", text)), path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"
        assert cut(page) == [], path


def test_a_reader_is_paused_resumed_and_put_back(plant: ShopConsole, page: Page) -> None:
    async def owner(app: App) -> str | None:
        return next(e.owner for e in await app.storage.checkpoints() if e.processor == "reaction:thank")

    page.goto(f"{plant.url}/projections/reaction%3Athank?lang=en")
    pressed(page, "processor.pause", reason="a look at it")
    expect(page.locator("[data-action='processor.resume']")).to_be_visible()
    assert looked(plant, owner) == "paused"
    assert acted(plant, "processor.pause")["reason"] == "a look at it"
    pressed(page, "processor.resume")
    expect(page.locator("[data-action='processor.pause']")).to_be_visible()
    assert looked(plant, owner) != "paused"
    pressed(page, "processor.rewind")
    entry = acted(plant, "processor.rewind")
    assert (entry["outcome"], entry["detail"]) == ("done", "0")

    async def vouchers(app: App) -> int:
        return len([e async for e in app.events(category="voucher")])

    assert looked(plant, vouchers) == 6  # handled once more, and nothing was done twice


def test_a_view_is_built_compared_switched_to_rolled_back_and_verified(plant: ShopConsole, page: Page) -> None:
    async def live(app: App) -> tuple[int | None, int]:
        [state] = await app.projections.list()
        return state.live, len(state.generations)

    page.goto(f"{plant.url}/projections/{READER}?lang=en")
    pressed(page, "projection.deploy")
    expect(page.locator("[data-action='projection.switch']")).to_be_visible()
    assert looked(plant, live) == (1, 2)
    page.locator("[data-action='projection.diff']").click()
    expect(page.get_by_text("Every row is the same.")).to_be_visible()
    pressed(page, "projection.switch")
    expect(page.locator("[data-action='projection.rollback']")).to_be_visible()
    assert looked(plant, live) == (2, 2)
    pressed(page, "projection.rollback")
    expect(page.locator("[data-action='projection.rollback']")).to_have_count(0)
    assert looked(plant, live) == (1, 2)
    page.goto(f"{plant.url}/projections/{READER}?lang=en")
    pressed(page, "projection.verify", reloads=False)
    expect(page.get_by_text("12 rows are the same", exact=False)).to_be_visible()
    assert acted(plant, "projection.verify")["outcome"] == "done"


def test_a_process_is_nudged_and_turned_back(plant: ShopConsole, page: Page) -> None:
    page.goto(f"{plant.url}/processes/booking/t-7?lang=en")
    pressed(page, "process.nudge")
    assert acted(plant, "process.nudge")["target"] == "booking t-7"
    pressed(page, "process.compensate", reason="the guest is ill")
    assert acted(plant, "process.compensate")["outcome"] == "done"
    expect(page.get_by_text("the guest is ill").first).to_be_visible()

    async def given_back(app: App) -> list[str]:
        found = list[str]()
        async with asyncio.timeout(PATIENCE / 1000):
            async for event in app.subscribe(stream="room-r-7"):  # until the server's process manager has done it
                found.append(event.type)
                if event.type == "room.freed":
                    break
        return found

    assert looked(plant, given_back) == ["room.held", "room.freed"]


def test_what_is_missing_on_a_bus_is_told_and_given_up(plant: ShopConsole, page: Page) -> None:
    async def lose(app: App) -> None:
        await app.storage.register(f"{GAP}payments/1.2", position=41)

    async def heard(app: App) -> dict[str, int]:
        return {e.processor: e.position for e in await app.storage.checkpoints() if "payments" in e.processor}

    looked(plant, lose)
    page.goto(f"{plant.url}/buses?lang=en")
    expect(page.get_by_text("Messages of payments are missing", exact=False)).to_be_visible()
    pressed(page, "bus.accept-gap")
    expect(page.get_by_text("Messages of payments are missing", exact=False)).to_have_count(0)
    assert f"{GAP}payments/1.2" not in looked(plant, heard)
    assert acted(plant, "bus.accept-gap")["detail"] == "1: 41"


def test_sql_is_answered_drawn_and_kept_and_what_writes_is_refused(plant: ShopConsole, page: Page) -> None:
    asked = "select city, count(*) as n from trips group by 1 order by 1"
    page.goto(f"{plant.url}/insight/sql?lang=en&q={quote(asked)}")
    page.locator("[data-action='sql.ask']").click()
    expect(page.locator("table")).to_contain_text("Kyoto")
    expect(page.locator(".d-chart svg")).to_be_visible()
    assert acted(plant, "sql.ask")["detail"].endswith(asked)
    page.goto(f"{plant.url}/insight/sql?lang=en&q={quote('delete from trips')}")
    page.locator("[data-action='sql.ask']").click()
    expect(page.get_by_text("this takes one statement that reads", exact=False)).to_be_visible()
    assert acted(plant, "sql.ask")["outcome"] == "failed"


def test_what_is_parked_is_tried_left_out_and_retried_when_the_code_was_mended(plant: ShopConsole, page: Page) -> None:
    async def states(app: App) -> dict[int, str]:
        return {e.number: e.state for e in await app.dead_letters.list(everything=True)}

    async def cities(app: App) -> dict[str, str]:
        await app.dead_letters.retried(within=60)
        return {row.trip_id: row.city for row in await app.views[trips].find()}

    page.goto(f"{plant.url}/parked/1?lang=en")
    page.locator("[data-action='parked.try']").click()
    expect(page.get_by_text("It would stay parked.")).to_be_visible()
    assert looked(plant, states) == {1: "parked", 2: "parked", 3: "parked"}
    page.goto(f"{plant.url}/parked/2?lang=en")
    pressed(page, "parked.skip", reason="nobody went there")
    expect(page.get_by_text("nobody went there")).to_be_visible()
    assert looked(plant, states)[2] == "skipped"
    Path(os.environ["PLANT_MENDED"]).touch()
    page.goto(f"{plant.url}/parked/1?lang=en")
    page.locator("[data-action='parked.try']").click()
    expect(page.get_by_text("It would go through.")).to_be_visible()
    pressed(page, "parked.retry")
    assert looked(plant, cities)["t-3"] == "Atlantis"
    assert "t-5" not in looked(plant, cities)
    assert looked(plant, states) == {1: "retried", 2: "skipped", 3: "retried"}
