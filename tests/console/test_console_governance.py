"""The screens of those who answer for the data: each in both languages, and each action once, with its effect looked
for in the store."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

import pytest
from playwright.sync_api import Page, expect

from daicho import App
from daicho.console.door import COOKIE
from daicho.console.screens import SCREENS
from daicho.http.security.keys import KeyFile
from daicho.schemas import locked, write_lock
from tests.console.browser import PATIENCE, Browsing
from tests.console.sites import Office, cookie_of, opened_office
from tests.people_app import Customer
from tests.people_app import office as bureau

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("console-operations")]
expect.set_options(timeout=PATIENCE)
T = TypeVar("T")
PATHS = ("/schemas", "/audit", "/people", "/tenants", "/keys", "/configuration", "/operators")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with opened_office(tmp_path_factory.mktemp("office")) as found:
        yield found


@pytest.fixture
def page(office: Office, page: Page, browsing: Browsing) -> Page:
    """A page of somebody who has logged in with the admin's key."""
    browsing.call(lambda: page.context.add_cookies([{"name": COOKIE, "value": office.cookie, "url": office.url}]))
    return page


def looked(office: Office, look: Callable[[App], Awaitable[T]]) -> T:
    """What stands in the store, seen from here. In a thread: the browser's has a loop of its own."""

    async def run() -> T:
        app = office.app()
        await app.start(processors=False)
        try:
            return await look(app)
        finally:
            await app.stop()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


async def _actions(app: App) -> list[tuple[str, str, str, str]]:
    found = app.events(category="daicho.operator")
    return [(e.event.action, e.event.target, e.event.outcome, e.event.reason) async for e in found]


def press(page: Page, name: str, reason: str = "") -> None:
    """The button of an action, and the one of its question."""
    page.locator(f'[data-action="{name}"]').first.click()
    dialog = page.locator(".d-dialog")
    dialog.wait_for()
    if reason:
        dialog.locator("[data-reason] input, input[data-reason]").first.fill(reason)
    dialog.locator("[data-confirm]").click()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_screen_of_governance_speaks_both_languages(office: Office, page: Page, language: str) -> None:
    titles = {screen.path: screen.words[screen.title][language == "ja"] for screen in SCREENS}
    for path in (*PATHS, "/schemas/customer.registered", "/people?subject=c-2", "/people?subject=c-2&sure=1"):
        page.goto(f"{office.url}{path}{'&' if '?' in path else '?'}lang={language}")
        main = page.locator("#main")
        expected = titles.get(path.partition("?")[0], "customer.registered")
        expect(main.locator("h1")).to_have_text(expected)
        expect(main.locator(".d-table, .d-empty, .d-panel").first).to_be_visible()


def test_schemas_count_every_version_and_name_what_cannot_be_read(office: Office, page: Page) -> None:
    page.goto(f"{office.url}/schemas")
    rows = page.locator("tbody tr")
    old = rows.filter(has_text="customer.registered").filter(has_text="upcast")
    expect(old.locator("td").nth(2)).to_have_text("1")
    expect(rows.filter(has_text="weather.changed")).to_contain_text("unreadable")
    expect(rows.filter(has_text="order.bought").locator("td").nth(2)).to_have_text("6")
    expect(page.get_by_role("alert").or_(page.get_by_role("status")).first).to_contain_text("cannot read: 1.")
    page.goto(f"{office.url}/schemas/customer.registered")
    expect(page.locator("#main")).to_contain_text("with_email")
    expect(page.locator("#main")).to_contain_text("unknown@example.org")  # the old one, as it is read


def test_the_code_is_compared_with_what_was_released(office: Office, page: Page) -> None:
    main, alert = page.locator("#main"), page.get_by_role("alert")
    page.goto(f"{office.url}/schemas")
    expect(main).to_contain_text(f"There is no lock at {office.lock}")
    expect(page.locator("pre", has_text="schema lock")).to_have_text(f"daicho schema lock --file {office.lock}")
    lock = locked(bureau())
    for sample in lock.events["customer.registered"]["2"].samples:
        sample["email"] = "ann@example.org"
    write_lock(office.lock, lock)
    page.reload()
    expect(main).to_contain_text("The lock holds 3 versions, and this code reads all of them.")
    expect(page.locator("pre", has_text="schema check")).to_have_text(f"daicho schema check --file {office.lock}")
    lock.events["order.lost"] = lock.events.pop("order.bought")
    write_lock(office.lock, lock)
    page.goto(f"{office.url}/schemas?lang=ja")
    expect(main).to_contain_text("4 バージョンのうち 2 バージョンに問題があります。")
    expect(main).to_contain_text("was released, and this app cannot read it")
    expect(main).to_contain_text("is not locked yet")
    office.lock.write_text("[]")
    page.goto(f"{office.url}/schemas?lang=en")
    expect(alert).to_contain_text("is not a lock of event schemas")
    office.lock.unlink()


def test_the_newest_of_each_version_are_read_and_what_cannot_be_is_shown(office: Office, page: Page) -> None:
    page.goto(f"{office.url}/schemas")
    expect(page.locator("[data-action='schema.verify']")).to_be_enabled()
    press(page, "schema.verify", "before the release")
    main = page.locator("#main")
    expect(main).to_contain_text("parcel.sent version 1: 1 of 1 cannot be read")
    expect(main).to_contain_text("Expected `int`, got `str` - at `$.grams`")
    expect(main).to_contain_text("weather.changed version 3: 1 of 1 cannot be read")
    expect(main).to_contain_text(re.compile(r"All others can be read: \d+ events of [34] versions\."))
    expect(page.locator(".d-dialog")).to_have_count(0)
    noted = [each for each in looked(office, _actions) if each[0] == "schema.verify"]
    assert [each[1:] for each in noted] == [("events", outcome, "before the release") for outcome in ("begun", "done")]
    page.get_by_role("link", name=re.compile("at position 15")).click()
    expect(main).to_contain_text("parcel-p-1")


def test_whoever_sees_no_contents_is_not_told_them_by_what_cannot_be_read(
    office: Office, page: Page, browsing: Browsing
) -> None:
    key, _ = KeyFile(office.key_file).create("bea", now=datetime.now(UTC), scopes=("console:auditor",))
    cookie = cookie_of(office.url, key)
    browsing.call(lambda: page.context.add_cookies([{"name": COOKIE, "value": cookie, "url": office.url}]))
    page.goto(f"{office.url}/schemas")
    press(page, "schema.verify")
    main = page.locator("#main")
    expect(main).to_contain_text("the stored parcel.sent version 1 at position 15 cannot be read")
    expect(main).not_to_contain_text("got `str`")


def test_the_audit_is_searched_by_who_what_and_whose(office: Office, page: Page) -> None:
    page.goto(f"{office.url}/audit?actor=till&tenant=north")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(page.locator("pre")).to_have_text("daicho get events --newest --actor till --tenant north")
    page.locator("select[name=type]").select_option("customer.registered")
    page.locator("#main form button[type=submit]").click()
    expect(page.locator(".d-empty")).to_be_visible()
    page.goto(f"{office.url}/audit?since=never")
    expect(page.locator("#main")).to_contain_text("never is not a time")
    page.goto(f"{office.url}/audit?stream=order-o-1")
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    exported = json.loads(download.value.path().read_bytes())
    assert [(row["who"], row["what"]) for row in exported] == [("till", "order.bought")]
    expect(page.locator("tbody tr td a[href*='/events/']")).to_have_count(1)


def test_a_person_is_forgotten_after_two_questions_and_the_certificate_says_so(office: Office, page: Page) -> None:
    page.goto(f"{office.url}/people")
    page.locator("input[name=subject]").fill("c-1")
    page.locator("#main form button[type=submit]").click()
    expect(page.locator("#main")).to_contain_text("Ann Archer")
    page.locator("a.d-danger").click()
    page.wait_for_url("**sure=1**")
    press(page, "personal.forget", "she asked")
    expect(page.locator(".d-dialog")).to_contain_text("The id that was typed is another one")
    assert looked(office, lambda app: app.personal.find("c-1")).state == "known"
    page.goto(f"{office.url}/people?subject=c-1&sure=1")
    page.locator("[data-confirm-subject] input, input[data-confirm-subject]").first.fill("c-1")
    press(page, "personal.forget", "she asked")
    page.wait_for_url(lambda url: "sure" not in url)
    expect(page.locator("#main")).to_contain_text("[forgotten]")
    expect(page.locator("#main")).not_to_contain_text("Ann Archer")
    assert looked(office, lambda app: app.personal.find("c-1")).state == "forgotten"
    assert looked(office, lambda app: app.load(Customer, "c-1")).name == "[forgotten]"
    (certificate,) = looked(office, lambda app: app.personal.certificates("c-1"))
    assert (certificate.forgotten_by, certificate.reason, certificate.events) == ("ada", "she asked", 2)
    done = [each for each in looked(office, _actions) if each[0] == "personal.forget"]
    assert [each[2] for each in done] == ["begun", "failed", "begun", "done"]
    page.goto(f"{office.url}/people/certificates/{certificate.certificate_id}")
    expect(page.locator("#main")).to_contain_text("she asked")
    expect(page.locator("#main")).to_contain_text("contacts: rebuilt")
    page.goto(f"{office.url}/operators?action=personal.forget&outcome=done")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("daicho forget c-1 --reason TEXT")


def test_a_hold_stands_until_it_is_released(office: Office, page: Page) -> None:
    page.goto(f"{office.url}/people?subject=c-3")
    press(page, "personal.hold", "lawsuit 7")
    expect(page.locator("[data-action='personal.release']")).to_be_visible()
    assert [hold.reason for hold in looked(office, lambda app: app.personal.holds())] == ["lawsuit 7"]
    page.goto(f"{office.url}/people?subject=c-3&sure=1")
    page.locator("[data-confirm-subject] input, input[data-confirm-subject]").first.fill("c-3")
    press(page, "personal.forget", "she asked")
    expect(page.locator(".d-dialog")).to_contain_text("lawsuit 7")
    assert looked(office, lambda app: app.personal.find("c-3")).state == "known"
    page.goto(f"{office.url}/people?subject=c-3")
    press(page, "personal.release")
    expect(page.locator("[data-action='personal.hold']")).to_be_visible()
    assert list(looked(office, lambda app: app.personal.holds())) == []


def test_a_key_is_made_shown_once_and_revoked(office: Office, page: Page) -> None:
    file = KeyFile(office.key_file)
    page.goto(f"{office.url}/keys")
    for name, text in {"name": "robot", "scopes": "console:viewer orders:write", "expires": "90d"}.items():
        page.locator(f"[data-key={name}] input, input[data-key={name}]").first.fill(text)
    press(page, "key.create", "for the tests")
    shown = page.locator(".d-dialog pre", has_text="dk_")
    expect(shown).to_be_visible()
    text = shown.inner_text().strip()
    (kept,) = [key for key in file.read().values() if key.name == "robot"]
    assert text.startswith(f"dk_{kept.prefix}_")
    assert (kept.name, kept.scopes) == ("robot", ("console:viewer", "orders:write"))
    told = looked(office, _audit_text)
    assert kept.prefix in told
    assert text not in told
    page.locator("[data-kept]").click()
    page.locator(".d-row", has_text=kept.prefix).wait_for()
    assert text not in page.content()
    line = page.locator(".d-row", has_text=kept.prefix)
    line.locator("[data-action='key.revoke']").click()
    page.locator(".d-dialog [data-confirm]").click()
    expect(page.locator("tbody tr", has_text=kept.prefix)).to_contain_text("revoked")
    assert file.read()[kept.prefix].revoked_at is not None


async def _audit_text(app: App) -> str:
    return repr([record async for record in app.events(category="daicho.operator")])


def test_tenants_and_configuration_show_what_there_is(office: Office, page: Page) -> None:
    page.goto(f"{office.url}/tenants")
    north = page.locator("tbody tr", has_text="north")
    expect(north.locator("td").nth(1)).to_have_text("6")
    page.goto(f"{office.url}/configuration")
    store = page.locator("tbody tr", has=page.locator("td", has_text="store")).first
    expect(store).to_contain_text("command line")
    expect(page.locator("#main")).to_contain_text("keys.db")
