"""The register fails over and loses its tail; views in Redis, MongoDB or OpenSearch had seen it, or were about to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest

from daicho import App, Query, Receipt, Row, Views, join, projection, query_handler
from daicho.core.errors import OrphanedPosition, OrphanedView, StoreError, StoreUnavailable
from daicho.ports.view_store import ViewChange
from daicho.read import mending
from daicho.read.projections import Projections
from daicho.read.rebuild import RebuildStep
from daicho.testing import VirtualClock
from daicho.wiring.urls import open_read_store
from tests.faults.failing import Account, Paid, Pair, Pay
from tests.services.find import needed
from tests.services.pgbouncer import pgbouncer
from tests.services.proxy import Proxy
from tests.services.running import Host

pytestmark = pytest.mark.slow


class Purse(Row):
    account: str
    total: int = 0


def filled(row: Purse | None, event: Paid) -> Purse | None:
    """Whoever pays nothing leaves."""
    return Purse(account=event.account, total=(row.total if row else 0) + event.amount) if event.amount else None


@projection("near", key=lambda event: event.account)
def near(row: Purse | None, event: Paid) -> Purse | None:
    return filled(row, event)


@projection("far", key=lambda event: event.account)
def far(row: Purse | None, event: Paid) -> Purse | None:
    return filled(row, event)


@projection("torn", key=lambda event: event.account)
def torn(row: Purse | None, event: Paid) -> Purse | None:
    return filled(row, event)


@join("torn_join", near, far, on=lambda purse: purse.account)
def torn_join(purse: Purse, same: Purse | None) -> Purse | None:
    return same


VIEWS = {view.name: view for view in (near, far, torn, torn_join)}
Shown = dict[str, int]


class Ask(Query[Shown]):
    """Totals by account, as the view shows them."""

    view: str


@query_handler
async def ask(query: Ask, views: Views) -> Shown:
    return {row.account: row.total for row in await views[VIEWS[query.view]].find()}


async def survivors(app: App) -> Shown:
    """By plain bookkeeping: a fold of the log as it is."""
    rows = dict[str, Purse]()
    async for event in app.events(category="account"):
        paid: Paid = event.event
        if row := filled(rows.pop(paid.account, None), paid):
            rows[paid.account] = row
    return {account: row.total for account, row in rows.items()}


async def paid(app: App, **amounts: int) -> Receipt:
    for account, amount in amounts.items():
        receipt = await app.send(Pay(account=account, amount=amount))
    return receipt


class Tears:
    """While told to, commits of views called `torn` end when their rows are written and their position is not."""

    def __init__(self, commit: Callable[..., Any]) -> None:
        self._commit = commit
        self.tears = False

    def __get__(self, store: Any, _: Any = None) -> Callable[[ViewChange], Any]:
        async def commit(change: ViewChange) -> None:
            is_torn = self.tears and change.table.name in ("torn", "torn_join")
            await self._commit(store, msgspec.structs.replace(change, advance=None) if is_torn else change)
            if is_torn:
                raise StoreUnavailable("the line is cut", do="connect again")

        return commit


@pytest.fixture(params=["redis", "mongodb", "opensearch"])
def places(request: pytest.FixtureRequest, read_store_url: Callable[[str], str]) -> tuple[str, str]:
    """URLs of two empty read stores."""
    return read_store_url(request.param), read_store_url(request.param)


@pytest.fixture
def place(read_store_url: Callable[[str], str]) -> str:
    """Where it is the same on all of them."""
    return read_store_url("redis")


@pytest.fixture
def pair(host: Host) -> Iterator[Pair]:
    with needed():
        pair = Pair(host)
    yield pair
    pair.end()


async def test_a_view_elsewhere_shows_what_survived_wherever_its_server_was_at_the_failover(
    places: tuple[str, str], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them had seen what was lost; the server of the others was away when the standby was promoted: it had seen
    it, or was in the middle of a commit that is many steps."""
    rebuild, may_mend = Projections.rebuild, asyncio.Event()

    async def when_told(self: Projections, name: str) -> AsyncIterator[RebuildStep]:
        await may_mend.wait()
        async for step in rebuild(self, name):
            yield step

    monkeypatch.setattr(Projections, "rebuild", when_told)
    here, away = places
    store = type(open_read_store(here, VirtualClock()))
    tears = Tears(store.commit)
    monkeypatch.setattr(store, "commit", tears)
    with Proxy(port_of(away)) as way:
        there = f"{way.through(away)}{'&' if '?' in away else '?'}reconnect_within=0.5"
        app = App(
            *(Account, *VIEWS.values(), ask),
            store=pair.url,
            views={near: here, far: there, torn: there, torn_join: there},
        )
        async with app:
            kept = await paid(app, ann=10, bob=20, eve=30)
            for view in VIEWS:
                assert await app.ask(Ask(view=view), after=kept, within=60) == {"ann": 10, "bob": 20, "eve": 30}
            pair.cut()
            tears.tears = True
            lost = await paid(app, ann=1000, bob=0, ghost=1, never=1)
            for view in VIEWS:
                await until_shown(app, view, {"ann": 1010, "eve": 30, "ghost": 1, "never": 1})
            assert await app.ask(Ask(view="near"), after=lost, within=60)
            assert await app.ask(Ask(view="far"), after=lost, within=60)
            way.refuse()
            way.cut()
            pair.fail_over()
            tears.tears = False

            new = await paid(app, ann=5, ghost=2, fay=3)

            right = await survivors(app)
            assert right == {"ann": 15, "bob": 20, "eve": 30, "ghost": 2, "fay": 3}
            for view in VIEWS:
                with pytest.raises(OrphanedPosition):
                    await app.ask(Ask(view=view), after=lost)
            await until_found(app, "near")
            for view in ("far", "torn", "torn_join"):
                with pytest.raises(StoreError):
                    await app.ask(Ask(view=view), after=new, within=0.5)
            way.accept()
            await until_found(app, *VIEWS)
            for view in VIEWS:
                with pytest.raises(OrphanedView):
                    await app.ask(Ask(view=view), after=new, within=0.5)
            told = {problem.what: problem.detail for problem in (await app.health()).problems}
            for view in VIEWS:
                assert told[f"projection:{view}@1"].startswith(
                    "has seen up to 4 events, positions 4 to 7, that were lost"
                )
            may_mend.set()
            for view in VIEWS:
                assert await mended(app, view, new) == right
            await until_found(app)
            last = await paid(app, never=7)
            for view in VIEWS:
                assert await app.ask(Ask(view=view), after=last, within=60) == {**right, "never": 7}
            assert (await app.health()).status == "ok"


async def test_behind_a_pooler_nothing_is_folded_on_rows_that_have_seen_what_was_lost(pair: Pair, place: str) -> None:
    """The first that this process hears of the failover is an event of the next epoch."""
    with needed(), Proxy(pair.primary.port) as way:
        pool = pgbouncer(pair.primary, behind=way.port)
        with Proxy(pool.port) as front:
            url = f"{front.through(pool.url)}?reconnect_within=60"
            app = App(Account, near, ask, store=url, views={near: place})
            others = App(Account, store=pair.standby.url)
            async with app:
                await paid(app, ann=10, bob=20)
                pair.cut()
                await paid(app, ann=1000, bob=0, ghost=1)
                await until_shown(app, "near", {"ann": 1010, "ghost": 1})
                front.pause()
                with psycopg.connect(pool.url) as behind:  # what was on its way is answered
                    behind.execute("select 1")
                pair.fail_over()
                way.target_port = pair.standby.port
                way.cut()
                await others.start(processors=False)
                new = await paid(others, ann=5)
                await others.stop()
                front.resume()

                assert await mended(app, "near", new) == {"ann": 15, "bob": 20}
                last = await paid(app, ghost=2)
                assert await mended(app, "near", last) == {"ann": 15, "bob": 20, "ghost": 2} == await survivors(app)
        pool.kill()


async def test_a_build_that_has_seen_what_was_lost_is_not_gone_on_with(
    pair: Pair, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "_LOOK_EVERY", 0.2)
    app = App(Account, near, ask, store=pair.url, views={near: place})
    async with app:
        await paid(app, ann=10)
        assert await begun(app) == 2
        pair.cut()
        await paid(app, ann=1000, ghost=1)
        assert await begun(app) == 2
        pair.fail_over()
        new = await paid(app, ann=5)
        assert await mended(app, "near", new) == {"ann": 15}
        await until_found(app)
        [state] = await app.projections.list()
        assert [each.number for each in state.generations] == [state.live]


async def begun(app: App) -> int:
    """The generation of which a piece was built."""
    async with aclosing(app.rebuild("near")) as steps:  # type: ignore[type-var]
        return (await anext(steps)).generation


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


async def until_shown(app: App, view: str, rows: Shown) -> None:
    async with asyncio.timeout(60):
        while await app.ask(Ask(view=view)) != rows:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until_found(app: App, *views: str) -> None:
    """These, and no others, to have seen what was lost."""
    wanted = sorted(f"projection:{view}@1" for view in views)
    async with asyncio.timeout(60):
        while [each.checkpoint for each in await app.orphaned()] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def mended(app: App, view: str, after: Receipt) -> Shown:
    """The first answer that is given, and called fresh."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await app.ask(Ask(view=view), after=after, within=60)
            except OrphanedView:
                await asyncio.sleep(0.02)
