"""The screens that show what was and is: each in both languages, each action once, with its effect in the store."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from daicho import App
from examples.shop.app import shop
from examples.shop.customer import Address, RegisterCustomer
from examples.shop.order import CreateOrder
from examples.shop.values import Line
from tests.console.browser import PATIENCE, cut
from tests.console.conftest import ShopConsole

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("console")]
expect.set_options(timeout=PATIENCE)
T = TypeVar("T")
NASTY = "<img src=x onerror=hacked=1><script>hacked=1</script>"
PREFIXES = ("overview.", "look.", "streams.", "events.", "tail.", "flow.", "travel.", "commands.", "queries.", "shell.")
WALK = {
    "/": ("Overview", "概要"),
    "/look-to-book": ("Look-to-Book", "ルック・トゥ・ブック"),
    "/streams": ("Streams and events", "ストリームとイベント"),
    "/streams/order-o-1": ("order-o-1", "order-o-1"),
    "/events": ("Streams and events", "ストリームとイベント"),
    "/events/14": ("payment.authorised", "payment.authorised"),
    "/tail": ("Live tail", "ライブ"),
    "/flow": ("Flows", "流れ"),
    "/flow/order-o-5": ("Flow", "流れ"),
    "/flow/order-o-5?as=tree": ("Flow", "流れ"),
    "/flow/order-o-5?as=bars": ("Flow", "流れ"),
    "/travel": ("Time travel", "タイムトラベル"),
    "/travel/order-o-3": ("Time travel: order-o-3", "タイムトラベル: order-o-3"),
    "/commands": ("Commands", "コマンド"),
    "/commands/kept": ("Commands", "コマンド"),
    "/commands/send": ("Send a command", "コマンドを送る"),
    "/commands/send/CreateOrder": ("Send a command: CreateOrder", "コマンドを送る: CreateOrder"),
    "/queries": ("Queries", "クエリ"),
    "/queries/StockOf": ("Ask a query: StockOf", "クエリを試す: StockOf"),
    "/search?q=order-o": ("Search", "検索"),
}


def in_store(console: ShopConsole, look: Callable[[App], Awaitable[T]]) -> T:
    """Seen from here, by an App that runs nothing. In a thread: the browser's has a loop of its own."""

    async def run() -> T:
        app = await shop(console.store).start(processors=False)
        try:
            return await look(app)
        finally:
            await app.stop()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()


async def audit_of(app: App) -> list[tuple[str, str]]:
    found = [event async for event in app.events(category="daicho.operator")]
    return [(event.event.action, event.event.outcome) for event in found]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_each_screen_speaks_both_languages_and_fits(shop_console: ShopConsole, page: Page, language: str) -> None:
    for path, titles in WALK.items():
        page.goto(f"{shop_console.url}{path}{'&' if '?' in path else '?'}lang={language}")
        expect(page.locator("main h1").first).to_have_text(titles[language == "ja"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), path
        assert cut(page) == [], path
        text = page.locator("main").inner_text()
        keys = [
            word for word in text.split() if word.count(".") == 1 and word.split(".")[0] in ("shell", "flow", "look")
        ]
        assert keys == [], "a text without words"


def test_the_overview_fits_a_phone(shop_console: ShopConsole, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{shop_console.url}/?lang=en")
    expect(page.get_by_text("Nothing needs attention.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    expect(page.locator("nav")).to_be_hidden()
    page.locator('[data-do="menu"]').click()
    expect(page.locator("nav").get_by_text("Time travel")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_overview_shows_every_column_and_counts_its_rows(
    shop_console: ShopConsole, page: Page, language: str
) -> None:
    page.goto(f"{shop_console.url}/?lang={language}")
    readers = page.locator(".d-panel", has_text="projection:customer_history@1")
    count = readers.locator("tbody tr").count()
    expect(readers.get_by_text(f"{count} {'rows' if language == 'en' else '行'}")).to_be_visible()
    assert count > 10
    assert cut(page) == []


def test_an_order_is_explained_in_five_clicks(shop_console: ShopConsole, page: Page) -> None:
    """ "I ordered a desk, and it never came": from the first page to the reason."""
    page.goto(f"{shop_console.url}/?lang=en")
    page.keyboard.press("Control+k")  # 1
    page.locator("#d-palette input").fill("order-o-5")
    page.keyboard.press("Enter")  # 2
    page.get_by_text("Flow of its beginning").click()  # 3
    page.get_by_role("link", name="Tree").click()  # 4
    page.get_by_role("link", name="payment.declined", exact=True).click()  # 5
    expect(page.locator("main")).to_contain_text("1290.00 is over the limit of 1000")


@pytest.mark.parametrize("asked", ["/search?q=order-o-5", "/travel?stream=order-o-5"])
def test_a_question_with_one_answer_leads_to_it_and_back_leads_to_where_it_was_asked(
    shop_console: ShopConsole, page: Page, asked: str
) -> None:
    page.goto(f"{shop_console.url}/projections")
    page.goto(f"{shop_console.url}{asked}")
    expect(page).to_have_url(re.compile("/(streams|travel)/order-o-5$"))
    page.go_back()
    expect(page).to_have_url(f"{shop_console.url}/projections")


def test_the_diagram_has_the_components_and_what_went_between_them(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/flow/order-o-1?lang=en")
    picture = page.locator(".d-mermaid svg")
    for word in (
        "CommandGateway",
        "EventStore",
        "MaterializedView",
        "CreateOrder",
        "order.confirmed v5",
        "take_payment",
    ):
        expect(picture).to_contain_text(word)
    expect(page.locator("main")).to_contain_text("No step is missing")
    expect(page.locator("main")).to_contain_text("✓ orders shows it")


def test_time_travel_goes_back_compares_and_leaves_out(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/travel/order-o-3?lang=en")
    said = page.locator('[data-live="version"]')
    expect(said).to_have_text("After event 6 of 6")
    expect(page.locator(".d-diff").first).to_contain_text('+   "status": "cancelled"')
    page.locator('[data-icon="chevron_left"]').click()
    expect(said).to_have_text("After event 5 of 6")
    expect(page.locator(".d-diff").first).to_contain_text('+   "status": "confirmed"')
    page.goto(f"{shop_console.url}/travel/order-o-3?lang=en&a=1&b=6")
    expect(page.locator(".d-diff").nth(1)).to_contain_text('−   "status": "pending"')
    page.goto(f"{shop_console.url}/travel/order-o-3?lang=en&without=6")
    expect(page.locator(".d-diff").last).to_contain_text('+   "status": "confirmed"')
    before = in_store(shop_console, lambda app: app.storage.stream_version("order-o-3"))
    assert before == 6, "nothing was recorded by it"


def test_a_command_is_tried_sent_and_sent_again(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/commands/send/ReceiveStock?lang=en")
    content = page.locator('[data-field="content"] textarea, textarea[data-field="content"]').first
    content.fill(json.dumps({"sku": "globe", "quantity": 7}))
    page.locator('[data-action="command.try"]').click()
    expect(page.locator("main")).to_contain_text("It would record this in inventory-globe")
    version = in_store(shop_console, lambda app: app.storage.stream_version("inventory-globe"))
    assert version == 0, "tried only"

    page.locator('[data-action="command.send"]').click()
    expect(page.locator(".d-dialog")).to_contain_text("daicho send ReceiveStock")
    page.locator('[data-confirm="1"]').click()
    expect(page.locator("main")).to_contain_text("Accepted. Events in inventory-globe: 1.")
    assert in_store(shop_console, lambda app: app.storage.stream_version("inventory-globe")) == 1
    page.goto(f"{shop_console.url}/commands?lang=en&name=ReceiveStock&outcome=accepted")
    page.get_by_text("Send again").first.click()
    expect(page.locator('textarea[data-field="content"], [data-field="content"] textarea').first).to_have_value(
        json.dumps({"sku": "globe", "quantity": 7}, indent=2)
    )
    page.locator('[data-action="command.resend"]').click()
    page.locator('[data-confirm="1"]').click()
    expect(page.locator("main")).to_contain_text("Accepted. Events in inventory-globe: 1.")
    found: list[Any] = in_store(shop_console, _globes)
    assert [(event.event.quantity, event.actor) for event in found] == [(7, "local"), (7, "local")]
    assert in_store(shop_console, audit_of) == [
        ("command.send", "begun"),
        ("command.send", "done"),
        ("command.resend", "begun"),
        ("command.resend", "done"),
    ]


async def _globes(app: App) -> list[Any]:
    return [event async for event in app.events(stream="inventory-globe")]


def test_a_query_is_asked_and_stands_against_the_budget(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/queries/StockOf?lang=en")
    page.locator('textarea[data-field="content"], [data-field="content"] textarea').first.fill('{"sku": "pen"}')
    page.locator('[data-action="query.ask"]').click()
    expect(page.locator("main")).to_contain_text("Answered in")
    expect(page.locator(".d-tree")).to_contain_text('sku: "pen"')
    page.goto(f"{shop_console.url}/queries?lang=en")
    expect(page.locator(".d-budget").first).to_be_visible()
    page.goto(f"{shop_console.url}/look-to-book?lang=en")
    expect(page.locator(".d-gauge")).to_be_visible()
    expect(page.locator(".d-heat")).to_contain_text("StockOf")


def test_a_table_is_exported_as_it_is_shown(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/streams?lang=en&category=customer")
    begins = {"CSV": b"\xef\xbb\xbfstream,category,length", "JSON": b'[\n  {\n    "stream": "customer-c-1"'}
    for form, begin in begins.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=form).click()
        assert download.value.path().read_bytes().startswith(begin)


def test_the_tail_shows_what_happens_and_stays_small(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/tail?lang=en")
    expect(page.locator('[data-live="rate"]')).to_contain_text("since this page was opened")

    async def much(app: App) -> None:
        commands = [
            CreateOrder(order_id=f"t-{n}", customer_id="c-1", country="Japan", lines=[Line(sku="pen", quantity=1)])
            for n in range(300)
        ]
        await asyncio.gather(*(app.send(command) for command in commands))

    in_store(shop_console, much)
    expect(page.locator("main")).to_contain_text("order-t-")
    page.wait_for_function(
        "Number(document.querySelector('[data-live=rate]').textContent.match(/· ([\\d,]+)/)[1].replace(',', '')) >= 300"
    )
    assert page.locator("main tbody tr").count() <= 60


def test_nothing_in_an_event_becomes_markup(shop_console: ShopConsole, page: Page) -> None:
    async def nasty(app: App) -> str:
        line = [Line(sku="pen", quantity=1)]
        command = CreateOrder(order_id=f"n-{NASTY}", customer_id=NASTY, country=NASTY, lines=line)
        return (await app.send(command, actor=NASTY)).correlation_id

    flow = in_store(shop_console, nasty)
    [stream] = [name for name, _ in in_store(shop_console, lambda app: app.storage.streams("order", after="order-n"))][
        :1
    ]
    stream_path = quote(stream, safe="")
    for path in ("/", "/events?category=order", f"/streams/{stream_path}", f"/travel/{stream_path}", "/tail", "/flow"):
        page.goto(f"{shop_console.url}{path}")
        expect(page.locator("main")).to_contain_text("<img src=x")
    for kind in ("sequence", "tree", "bars"):
        page.goto(f"{shop_console.url}/flow/{flow}?as={kind}")
        expect(page.locator("main")).to_contain_text("CreateOrder")
    page.goto(f"{shop_console.url}/search?q={stream_path}")
    expect(page).to_have_url(f"{shop_console.url}/streams/{stream_path}")
    page.goto(f"{shop_console.url}/events?actor=%22%3E%3Cscript%3Ehacked%3D1%3C%2Fscript%3E")
    expect(page.locator("main")).to_contain_text("No event meets this.")
    assert page.evaluate("typeof hacked === 'undefined'")


def test_a_stream_is_found_among_many_whose_names_begin_alike(shop_console: ShopConsole, page: Page) -> None:
    home = Address(street="1 Long Lane", city="Leeds", postcode="LS1", country="United Kingdom")

    async def register(app: App) -> None:
        for number in (*range(70, 95), 9):
            who = RegisterCustomer(customer_id=f"z-{number}", name="Zoe", email="zoe@example.org", address=home)
            await app.send(who)

    in_store(shop_console, register)
    page.goto(f"{shop_console.url}/search?q=customer-z-9")
    found = page.locator("main .d-link")
    expect(found).to_have_count(6)
    expect(found.first).to_contain_text(re.compile(r"customer-z-9$"))
