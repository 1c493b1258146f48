"""Who comes in, and what a browser is told: with real keys, and requests that no browser of a friend would send."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from daicho.console.access import ROLES, Role
from daicho.console.screens import SCREENS
from daicho.http.security.keys import KeyFile
from tests.console.browser import PATIENCE
from tests.console.conftest import ShopConsole
from tests.serving import served
from tests.unit.test_console_access import ALL, MAY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("console")]
expect.set_options(timeout=PATIENCE)
get, post = (partial(each, timeout=PATIENCE / 1000) for each in (httpx.get, httpx.post))


@dataclass(frozen=True)
class Guarded:
    url: str
    keys: dict[str, str]
    file: KeyFile


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The shop's console with a key for each role."""
    folder = tmp_path_factory.mktemp("guarded")
    file, now = KeyFile(folder / "keys.json"), datetime.now(UTC)
    keys = {role: file.create(role, now=now, scopes=(f"console:{role}",))[0] for role in ROLES}
    keys["seller"] = file.create("seller", now=now, scopes=("orders:write",))[0]
    keys["spare"] = file.create("spare", now=now, scopes=("console:admin",))[0]
    store = f"sqlite:///{folder / 'shop.db'}?durability=relaxed"
    with served("--console", "on", "--keys", str(file.path), app="examples.shop.app:app", store=store) as server:
        yield Guarded(f"{server.url}/console", keys, file)


def entered(page: Page, guarded: Guarded, who: str) -> None:
    page.goto(f"{guarded.url}/")
    page.locator("#key").fill(guarded.keys[who])
    page.locator("form button").click()


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_exactly_its_screens(guarded: Guarded, page: Page, role: Role) -> None:
    entered(page, guarded, role)
    expect(page.locator("main h1")).to_be_visible()
    may = {right for right, mark in zip(ALL, MAY[role], strict=True) if mark == "y"}
    seen: set[str] = set()
    for screen in [each for each in SCREENS if "{" not in each.path]:
        if screen.needs == "look" and "look" in seen:
            continue  # one of each right: what is asked is the same everywhere
        seen.add(screen.needs)
        page.goto(f"{guarded.url}{screen.path}?lang=en")
        refused = page.get_by_text("Not for this role")
        expect(refused).to_have_count(0 if screen.needs in may else 1)
    page.goto(f"{guarded.url}/commands/send/ReceiveStock?lang=en")
    button = page.locator('[data-action="command.send"]')
    expect(button).to_be_enabled() if "send" in may else expect(button).to_be_disabled()


def test_a_key_for_something_else_is_told_why_not(guarded: Guarded, page: Page) -> None:
    entered(page, guarded, "seller")
    expect(page.get_by_role("alert")).to_contain_text("this key does not open the console")


def test_a_key_that_is_revoked_acts_no_more(guarded: Guarded, page: Page) -> None:
    entered(page, guarded, "spare")
    page.goto(f"{guarded.url}/commands/send/ReceiveStock?lang=en")
    page.locator("textarea").first.fill('{"sku": "pen", "quantity": 7}')
    guarded.file.revoke(guarded.keys["spare"].split("_")[1], datetime.now(UTC))
    page.locator('[data-action="command.send"]').click()
    page.locator('[data-confirm="1"]').click()
    expect(page.locator(".d-dialog")).to_contain_text("revoked")
    page.goto(f"{guarded.url}/commands")
    expect(page.locator("#key")).to_be_visible()


def test_whoever_logs_out_is_out(guarded: Guarded, page: Page) -> None:
    entered(page, guarded, "viewer")
    page.locator("header details.d-pop").last.locator("summary").click()
    page.get_by_text("Log out").click()
    expect(page.locator("#key")).to_be_visible()
    page.goto(f"{guarded.url}/streams")
    expect(page.locator("#key")).to_be_visible()


# -- without a browser ------------------------------------------------------------------------------------------------


def cookie_of(guarded: Guarded, who: str) -> dict[str, str]:
    answer = post(f"{guarded.url}/login", data={"key": guarded.keys[who], "next": "/console/streams"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/streams"
    said = answer.headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=Strict" in said
    return {"cookie": said.partition(";")[0]}


def test_pages_of_others_get_nothing_done(guarded: Guarded) -> None:
    cookie = cookie_of(guarded, "admin")
    evil = {**cookie, "origin": "https://evil.example"}
    socket = f"{guarded.url}/_nicegui_ws/socket.io/?EIO=4&transport=polling&client_id=x"
    assert get(socket, headers=evil).status_code == 403
    assert post(f"{guarded.url}/logout", headers=evil).status_code == 403
    assert post(f"{guarded.url}/login", data={"key": "x"}, headers=evil).status_code == 403
    assert post(f"{guarded.url}/logout", headers={**cookie, "sec-fetch-site": "cross-site"}).status_code == 403
    assert get(f"{guarded.url}/streams", headers=cookie).status_code == 200, "still in"


def test_a_socket_is_for_pages_of_the_same_session(guarded: Guarded) -> None:
    page = get(f"{guarded.url}/streams", headers=cookie_of(guarded, "admin")).text
    client = page.partition("'client_id': '")[2][:36]
    assert len(client) == 36
    socket = f"{guarded.url}/_nicegui_ws/socket.io/?EIO=4&transport=polling&client_id={client}"
    assert get(socket).status_code == 403
    assert get(socket, headers=cookie_of(guarded, "viewer")).status_code == 403


def test_without_a_session_there_is_the_login_and_nothing_else(guarded: Guarded) -> None:
    for path in ("/", "/streams", "/events/1", "/flow/x"):
        answer = get(f"{guarded.url}{path}")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/login?next=%2Fconsole")
    for target in (
        "https://evil.example/",
        "//evil.example",
        "/console/..//evil",
        "/consolefake",
        "javascript:alert(1)",
    ):
        answer = post(f"{guarded.url}/login", data={"key": guarded.keys["viewer"], "next": target})
        assert answer.headers["location"].startswith("/console/"), target
    assert post(f"{guarded.url}/login", data={"key": "dk_x" * 10_000}).status_code == 403
    assert get(f"{guarded.url}/streams", headers={"cookie": "daicho_console=nonsense"}).status_code == 303


def test_pages_carry_a_policy_that_runs_nothing_foreign(guarded: Guarded) -> None:
    answer = get(f"{guarded.url}/streams", headers=cookie_of(guarded, "viewer"))
    policy = answer.headers["content-security-policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    nonce = scripts.partition("'nonce-")[2].partition("'")[0]
    assert "'unsafe-inline'" not in scripts
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("<script") == answer.text.count(f'<script nonce="{nonce}"')
    other = get(f"{guarded.url}/streams", headers=cookie_of(guarded, "viewer"))
    assert nonce not in other.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/_daicho/../door.py",
        "/_daicho/..%2fdoor.py",
        "/_daicho/%2e%2e/static/console.css",
        "/_nicegui/../../../../etc/passwd",
        "/_nicegui/3.18.0/static/..%2f..%2f..%2f..%2fetc/passwd",
        "/_nicegui/3.18.0/resources/x/..%2f..%2fetc/passwd",
        "/_daicho//etc/passwd",
    ],
)
def test_a_path_leads_nowhere_else(guarded: Guarded, path: str) -> None:
    with httpx.Client() as client:
        url = httpx.URL(guarded.url)
        answer = client.send(client.build_request("GET", url.copy_with(raw_path=f"/console{path}".encode())))
    assert answer.status_code in (303, 400, 401, 403, 404)
    assert "root:" not in answer.text
    assert "class Console" not in answer.text


def test_without_keys_it_opens_on_this_machine_alone(shop_console: ShopConsole, tmp_path: Path) -> None:
    ask = f"{shop_console.url}/"
    assert get(ask).status_code == 200
    assert get(ask, headers={"host": "rebound.example:8000"}).status_code == 403
    assert get(ask, headers={"x-forwarded-for": "10.0.0.1"}).status_code == 403
    assert get(ask, headers={"forwarded": "for=10.0.0.1"}).status_code == 403
    assert post(ask).status_code == 405
    assert get(shop_console.url, follow_redirects=False).headers["location"] == "/console/"
