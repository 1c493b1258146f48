"""Backups of a SQLite store that is in use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.adapters.stores.sqlite import backup as backup_module
from daicho.core.errors import StoreClosed, StoreCorrupt, StoreFailed
from daicho.ports.event_store import Selection
from daicho.testing.contracts.base import HandClock, append, event, request

OPTIONS = ["driver=apsw", "driver=sqlite3&allow_affected_sqlite=true"]
BIG = b'{"text":"' + b"x" * 20_000 + b'"}'


@asynccontextmanager
async def opened(path: Path, options: str = "") -> AsyncIterator[SqliteStorage]:
    store = SqliteStorage(f"sqlite:///{path}?durability=relaxed&{options}", now=HandClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("copy*"))


async def fill(store: SqliteStorage) -> None:
    """More than two steps of a thousand pages."""
    await append(store, *(request(f"order-{n}", event(data=BIG)) for n in range(450)))


@pytest.mark.parametrize("options", OPTIONS)
def test_a_backup_made_while_writing_is_one_moment_of_the_store(tmp_path: Path, options: str) -> None:
    target = tmp_path / "copy.db"

    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            await fill(store)
            steps: list[tuple[int, int]] = []
            written = 450
            async for step in store.backup(target):
                steps.append(step)
                await append(store, request("order-later", "a"))
                written += 1
            assert len(steps) >= 2
            assert steps == sorted(steps)
            assert steps[-1][0] == steps[-1][1]
            assert await store.head() == written
        assert names(tmp_path) == ["copy.db"]
        async with opened(target, options) as copy:
            head = await copy.head()
            assert 450 <= head <= written
            events = await copy.read(Selection(), limit=10_000)
            assert [found.position for found in events] == list(range(1, head + 1))
            await append(copy, request("order-1", "a"))

    asyncio.run(scenario())


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")

    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            with pytest.raises(StoreFailed, match="never overwrites"):
                async for _ in store.backup(target):
                    pass

    asyncio.run(scenario())
    assert target.read_text() == "precious"


def test_an_abandoned_backup_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await fill(store)
            steps = store.backup(tmp_path / "copy.db")
            await anext(steps)
            await steps.aclose()  # type: ignore[attr-defined]
            await append(store, request("order-1", "a"))

    asyncio.run(scenario())
    assert list(tmp_path.glob("copy*")) == []


def test_a_copy_that_is_not_sound_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_module, "_HEAD", "select max(position) + random() % 1000 from events")

    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await append(store, request("order-1", "a"))
            with pytest.raises(StoreCorrupt, match="not sound"):
                async for _ in store.backup(tmp_path / "copy.db"):
                    pass

    asyncio.run(scenario())
    assert list(tmp_path.glob("copy*")) == []


def test_a_closed_store_cannot_be_copied(tmp_path: Path) -> None:
    store = SqliteStorage(f"sqlite:///{tmp_path / 'app.db'}", now=HandClock())
    with pytest.raises(StoreClosed):
        store.backup(tmp_path / "copy.db")
