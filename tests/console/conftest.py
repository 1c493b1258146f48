"""A shop with data, its console in a process of its own, and a browser."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from rich.console import Console as Paper

from examples.shop.demo import demo
from tests.console.browser import Browsing
from tests.services.find import needed
from tests.serving import served


@dataclass(frozen=True)
class ShopConsole:
    """`url` of the console, without a slash at its end, and the `store` that it shows."""

    url: str
    store: str


@pytest.fixture(scope="session")
def browsing() -> Iterator[Browsing]:
    with needed():
        found = Browsing()
    yield found
    found.close()


@pytest.fixture(scope="module")
def shop_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopConsole]:
    """The shop after the day of `make demo`: one server for all tests of a module. Open it with
    `shop(store)` in the test's own process to see what an action did: SQLite is for several processes."""
    store = f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}?durability=relaxed"
    asyncio.run(demo(store, Paper(file=StringIO(), width=200)))
    with served("--console", "on", app="examples.shop.app:app", store=store) as server:
        yield ShopConsole(f"{server.url}/console", store)


@pytest.fixture
def page(browsing: Browsing) -> Iterator[Page]:
    """A page without cookies. A test that takes it runs in the browser's thread, so it must not be async."""
    page = browsing.page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    browsing.call(page.context.close)
    assert errors == []


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> object:
    """Tests with a `page` run where the browser is."""
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if "page" not in arguments:
        return None
    browsing: Browsing = pyfuncitem.funcargs["browsing"]
    browsing.call(lambda: pyfuncitem.obj(**arguments))
    return True


def shots() -> Path:
    """Where screenshots for the documentation go."""
    return Path(__file__).parents[2] / "docs" / "images"
