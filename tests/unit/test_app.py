"""The life of an App: entered, used, left; in one loop, in threads, twice, and when something fails."""

import asyncio
import gc
import inspect
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from daicho import (
    App,
    ConfigurationError,
    Crud,
    DaichoError,
    ForeignStore,
    InvalidMessage,
    NotRunning,
    Rejected,
    Row,
    StoreCorrupt,
    StoreError,
    StoreReadOnly,
    SyncApp,
)
from daicho.adapters.clock import SystemClock
from tests.bank import BANK, Account, Balance, BalanceOf, Deposit, Open, Transfer, Withdraw, balances


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.is_alive()}


def open_files(folder: Path) -> list[str]:
    found = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
    return [name for name in found if name.startswith(str(folder))]


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


# -- entering and leaving -----------------------------------------------------------------------------------------


async def test_an_app_is_used_between_entering_and_leaving_only(url: str) -> None:
    app = App(*BANK, store=url)
    uses: list[Any] = [
        lambda: app.send(Open(account="a")),
        lambda: app.post(Open(account="a")),
        lambda: app.ask(BalanceOf(account="a")),
        lambda: app.load(Account, "a"),
        lambda: app.status("x"),
        lambda: app.trace("x"),
        lambda: app.settle(),
        lambda: app.lag(),
        lambda: app.views,
        lambda: app.events(),
        lambda: app.subscribe(),
        lambda: app.dead_letters,
        lambda: app.storage,
    ]

    async def refused() -> None:
        for use in uses:
            with pytest.raises(NotRunning, match="not running") as caught:  # noqa: PT012
                found = use()
                if inspect.isawaitable(found):
                    await found
            assert "async with app" in caught.value.do

    await refused()
    async with app:
        await app.send(Open(account="a"))
    await refused()


async def test_what_a_call_cannot_mean_is_refused_by_its_name_and_nothing_is_done(url: str) -> None:
    """The same on every store, whatever each of them would make of it."""
    deposit = Deposit(account="a", amount=1)
    wrong: list[tuple[str, Callable[[Any], Any]]] = [
        ("actor is 5, and no text", lambda app: app.send(deposit, actor=5)),
        ("tenant is 5, and no text", lambda app: app.send(deposit, tenant=5)),
        ("key is 5, and no text", lambda app: app.send(deposit, key=5)),
        ("metadata.n is 5, and no text", lambda app: app.send(deposit, metadata={"n": 5})),
        ("'2026' is no moment", lambda app: app.send(deposit, occurred_at="2026")),
        ("'2026' is no moment", lambda app: anext(app.events(since="2026"))),
        ("at=-1 is no place in history", lambda app: app.load(Account, "a", at=-1)),
        ("at='2026' is no place in history", lambda app: app.load(Account, "a", at="2026")),
        ("after=-1 is no place in history", lambda app: anext(app.events(after=-1))),
        ("limit=-1 cuts out nothing", lambda app: anext(app.events(limit=-1))),
        ("after='1' is no place in history", lambda app: anext(app.subscribe(after="1"))),
        ("after='1' is no place in history", lambda app: app.ask(BalanceOf(account="a"), after="1")),
        ("after=-1 is no place in history", lambda app: app.barrier(balances, after=-1)),
        ("as_of='2026' is no place in history", lambda app: app.ask(BalanceOf(account="a"), as_of="2026")),
        ("limit=-1, offset=0 cut out nothing", lambda app: app.views[balances].find(limit=-1)),
        ("limit=None, offset=-1 cut out nothing", lambda app: app.views[balances].find(offset=-1)),
        ("'an-id' is no receipt", lambda app: app.settled("an-id")),
    ]
    async with App(*BANK, store=url) as app:
        await app.settled(await app.send(Open(account="a")))
        for says, call in wrong:
            with pytest.raises(InvalidMessage) as caught:
                await call(app)
            assert caught.value.what == says
            assert caught.value.do
        assert [event.type async for event in app.events()] == ["account.opened"]


async def test_an_app_is_entered_once_at_a_time_and_again_after_leaving(sqlite: str) -> None:
    app = App(*BANK, store=sqlite)
    async with app:
        with pytest.raises(NotRunning, match="running already"):
            await app.start()
        await app.send(Deposit(account="a", amount=1))  # the first is none the worse for it
    async with app:
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        assert (await app.load(Account, "a")).balance == 2
    await app.stop()
    await app.stop()


async def test_two_apps_in_one_process_know_nothing_of_each_other() -> None:
    async with App(*BANK, store="memory:") as one, App(*BANK, store="memory:") as two:
        await one.send(Open(account="a"))
        assert [r async for r in two.events()] == []


async def test_leaving_with_work_in_flight_loses_nothing_that_was_accepted(sqlite: str) -> None:
    accepted = 0
    app = App(*BANK, store=sqlite)
    await app.start()

    async def client(n: int) -> None:
        nonlocal accepted
        for _ in range(1000):
            try:
                await app.send(Deposit(account=f"a{n}", amount=1))
            except (NotRunning, StoreError):
                return
            accepted += 1

    clients = [asyncio.create_task(client(n)) for n in range(10)]
    while accepted < 200:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await app.stop()
    async with asyncio.timeout(10):
        await asyncio.gather(*clients)
    async with App(*BANK, store=sqlite) as again:
        total = sum([(await again.load(Account, f"a{n}")).balance for n in range(10)])
        assert accepted <= total <= accepted + 10  # what was under way may have been written without being told
        await again.settle()
        assert sum(row.amount for row in await again.views[balances].find()) == total


async def test_leaving_again_and_again_while_processors_are_at_work_never_hangs(sqlite: str) -> None:
    for n in range(25):
        async with asyncio.timeout(10), App(*BANK, store=sqlite) as app:
            await app.send(Deposit(account="a", amount=10))
            await asyncio.gather(
                *[app.send(Transfer(transfer=f"{n}-{i}", source="a", target="b", amount=1)) for i in range(n % 5)]
            )
    async with App(*BANK, store=sqlite) as app:
        await app.settle()
        assert ((await app.load(Account, "a")).balance, (await app.load(Account, "b")).balance) == (200, 50)


async def test_leaving_leaves_no_thread_no_task_and_no_file_open(sqlite: str, tmp_path: Path) -> None:
    before, tasks = threads(), asyncio.all_tasks()
    async with App(*BANK, store=sqlite) as app:
        await app.send(Open(account="a"))
        await app.settle()
        assert open_files(tmp_path)
    assert open_files(tmp_path) == []
    assert threads() <= before | {n for n in threads() if n.startswith("asyncio_")}
    assert asyncio.all_tasks() == tasks


async def test_an_error_while_starting_leaves_nothing_open(tmp_path: Path) -> None:
    class Old(Row):
        id: str

    class New(Row):
        id: str
        more: int

    url = f"sqlite:///{tmp_path / 'app.db'}"
    async with App(Crud(Old, name="thing"), store=url):
        pass
    before = asyncio.all_tasks()
    app = App(*BANK, Crud(New, name="thing"), store=url)
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            await app.start()
        assert (open_files(tmp_path), asyncio.all_tasks()) == ([], before)
        with pytest.raises(NotRunning):
            await app.send(Open(account="a"))


async def test_an_error_in_the_block_is_the_error_that_is_seen(url: str) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with App(*BANK, store=url):
            raise LookupError("mine")


# -- stores that cannot be used -----------------------------------------------------------------------------------


def _foreign(path: Path) -> None:

    connection = sqlite3.connect(path)
    connection.execute("create table customers (id integer)")
    connection.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8192))


def _text(path: Path) -> None:
    path.write_text("dear diary\n" * 1000)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "errors"),
    [
        (_foreign, (ForeignStore,)),
        (_garbage, (StoreCorrupt, ForeignStore)),
        (_text, (StoreCorrupt, ForeignStore)),
        (_folder, (DaichoError,)),
    ],
)
async def test_a_file_that_is_not_ours_is_refused_untouched(tmp_path: Path, make: Any, errors: Any) -> None:
    path = tmp_path / "app.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    app = App(*BANK, store=f"sqlite:///{path}")
    with pytest.raises(errors) as caught:
        await app.start()
    assert isinstance(caught.value, DaichoError)
    assert caught.value.do
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert open_files(tmp_path) == []


async def test_a_damaged_store_is_not_served_from(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    url = f"sqlite:///{path}"
    async with App(*BANK, store=url) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n}", amount=1)) for n in range(300)])
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at : at + 64] = os.urandom(64)  # every page but the first loses its head
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt):  # noqa: PT012
        async with App(*BANK, store=url) as app:
            for n in range(300):
                assert (await app.load(Account, f"a{n}")).balance == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
async def test_a_store_that_may_only_be_read_is_refused(sqlite: str, tmp_path: Path) -> None:
    async with App(*BANK, store=sqlite) as app:
        await app.send(Open(account="a"))
    (tmp_path / "app.db").chmod(0o444)
    with pytest.raises(StoreReadOnly):
        await App(*BANK, store=sqlite).start()


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        await App(*BANK, store=f"sqlite:///{tmp_path}/nowhere/app.db").start()


# -- for synchronous code -----------------------------------------------------------------------------------------


def test_the_same_app_for_synchronous_code(url: str) -> None:
    with App(*BANK, store=url).sync() as bank:
        bank.send(Deposit(account="a", amount=10), actor="ann", key="k")
        assert bank.send(Deposit(account="a", amount=10), key="k").duplicate
        receipt = bank.send(Transfer(transfer="t", source="a", target="b", amount=4))
        bank.settled(receipt)
        assert bank.ask(BalanceOf(account="b"), after=receipt) == Balance(account="b", amount=4, movements=1)
        assert bank.load(Account, "a").balance == 6
        assert bank.load(Account, "a", at=1).balance == 10
        assert [r.actor for r in bank.events(stream="account-a")] == ["ann", None]
        posted = bank.post(Withdraw(account="a", amount=100))
        bank.settle()
        status = bank.status(posted)
        assert status is not None
        assert status.state == "rejected"
        assert bank.views[balances].count() == 2
        assert set(bank.views[balances].get_many(["a", "z"])) == {"a"}
        assert bank.trace(receipt) is not None
        assert {x.state for x in bank.lag()} == {"live"}
        with pytest.raises(Rejected, match="not enough money"):
            bank.send(Withdraw(account="a", amount=7))


def test_synchronous_code_subscribes_until_it_has_seen_enough_or_the_app_is_left(sqlite: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        with App(*BANK, store=sqlite).sync() as bank:
            first = bank.send(Deposit(account="a", amount=1))
            bank.send(Deposit(account="b", amount=2))
            seen = list(itertools.islice(bank.subscribe(after=first.position, category="account"), 1))
            assert [event.stream for event in seen] == ["account-b"]
            coming = bank.subscribe(stream="account-a")
            assert next(coming).position == first.position
            waiting = pool.submit(next, coming)
            later = bank.send(Deposit(account="a", amount=3))
            assert waiting.result(timeout=30).position == later.position
            left = pool.submit(next, coming)
        with pytest.raises(NotRunning):
            left.result(timeout=30)


def test_what_is_imagined_in_synchronous_code_does_not_happen(url: str) -> None:
    with App(*BANK, store=url).sync() as bank:
        assert bank.imagine(Deposit(account="a", amount=1)).version == 1
        assert bank.load(Account, "a").balance == 0


def test_whatever_is_awaited_of_an_app_is_there_for_synchronous_code_with_the_same_parameters() -> None:
    """But `start` and `stop`, which are its `with`, and `answered`, which is for whoever keeps answers."""
    awaited = {
        name
        for name, method in inspect.getmembers(App, inspect.isfunction)
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(method) or "AsyncIterator" in str(method.__annotations__.get("return")))
    }
    assert {name for name in awaited if not hasattr(SyncApp, name)} == {"start", "stop", "answered"}
    for name in awaited - {"start", "stop", "answered"}:
        theirs, ours = (inspect.signature(getattr(kind, name)).parameters for kind in (App, SyncApp))
        assert {n: (p.kind, p.default) for n, p in theirs.items()} == {n: (p.kind, p.default) for n, p in ours.items()}


def test_many_threads_share_one_app(url: str) -> None:
    with App(*BANK, store=url).sync() as bank, ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda n: bank.send(Deposit(account=f"a{n % 4}", amount=1)), range(200)))
        assert sorted(r.position for r in receipts) == list(range(1, 201))
        bank.settle()
        assert [r.amount for r in bank.views[balances].find()] == [50] * 4


def test_outside_its_block_it_is_not_running() -> None:
    bank = App(*BANK, store="memory:").sync()
    with pytest.raises(NotRunning):
        bank.send(Open(account="a"))
    with bank:
        bank.send(Open(account="a"))
        with pytest.raises(NotRunning), bank:
            pass
        bank.send(Open(account="b"))  # the first is none the worse for it
    with pytest.raises(NotRunning):
        bank.send(Open(account="a"))
    with pytest.raises(NotRunning):
        list(bank.events())


async def test_called_from_inside_its_own_loop_it_says_so_instead_of_hanging() -> None:
    app = App(Account, store="memory:", middleware=[])
    sync: SyncApp = app.sync()
    errors: list[Exception] = []

    async def middleware(envelope: Any, proceed: Any) -> Any:
        try:
            sync.send(Open(account="inner"))
        except NotRunning as error:
            errors.append(error)
        return await proceed(envelope)

    app = App(Account, store="memory:", middleware=[middleware])
    sync = app.sync()

    def use() -> None:
        with sync:
            sync.send(Open(account="outer"))

    await asyncio.to_thread(use)
    assert "inside the App's own loop" in str(errors[0])


def test_an_error_at_the_start_ends_the_thread_too(tmp_path: Path) -> None:
    before = threads()
    with pytest.raises(ConfigurationError), App(*BANK, store=f"sqlite:///{tmp_path}/nowhere/app.db").sync():
        pass
    assert threads() <= before


def test_a_long_history_is_read_lazily_and_may_be_left_half_read(url: str) -> None:
    with App(Account, store=url).sync() as bank:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: bank.send(Deposit(account="a", amount=1)), range(1200)))
        events = bank.events()
        assert [r.position for r in itertools.islice(events, 3)] == [1, 2, 3]
        del events
        gc.collect()
        assert sum(1 for _ in bank.events()) == 1200
        half = bank.events()
        next(half)
    del half
    gc.collect()


def test_leaving_while_other_threads_send_lets_nobody_hang(sqlite: str) -> None:
    answers: list[Any] = []

    def client() -> None:
        for _ in range(10_000):
            try:
                answers.append(bank.send(Deposit(account="a", amount=1)))
            except (NotRunning, StoreError, asyncio.CancelledError):
                return
        raise AssertionError("never told that the App was left")

    with App(Account, store=sqlite).sync() as bank:
        clients = [threading.Thread(target=client) for _ in range(4)]
        for each in clients:
            each.start()
        while len(answers) < 20:
            threading.Event().wait(0.001)
    for each in clients:
        each.join(10)
        assert not each.is_alive()
    with App(Account, store=sqlite).sync() as bank:
        assert bank.load(Account, "a").balance >= len(answers)


# -- the clock of everyday life -----------------------------------------------------------------------------------


def test_ids_are_version_7_uuids_that_sort_by_the_time_they_were_made() -> None:
    clock = SystemClock()
    ids = [clock.new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(UUID(text).version == 7 and str(UUID(text)) == text for text in ids)
    millis = [int(text.replace("-", "")[:12], 16) for text in ids]
    assert millis == sorted(millis)
    assert clock.now().tzinfo is not None


def test_threads_get_no_id_twice() -> None:
    clock = SystemClock()
    found: list[list[str]] = []

    def draw() -> None:
        found.append([clock.new_id() for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({text[14:] for texts in found for text in texts}) == 8000


def test_a_forked_process_gets_no_id_that_its_parent_gets() -> None:
    program = (
        "import os; from daicho.adapters.clock import SystemClock\n"
        "clock = SystemClock(); clock.new_id()\n"
        "child = os.fork()\n"
        "os.write(1, f'{clock.new_id()} {clock.new_id()} '.encode())\n"  # in one piece
        "child and os.waitpid(child, 0)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert len({text[19:] for text in found}) == 4


def test_time_never_goes_back_within_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([2_000_000_000_000_000_000, 1_000_000_000_000_000_000, 2_000_000_001_000_000_000])
    monkeypatch.setattr("time.time_ns", lambda: next(times))
    clock = SystemClock()
    found = [clock.now() for _ in range(3)]
    assert found == sorted(found)
    assert found[0] == found[1]
