"""The memory store keeps every contract that a store without a disk can keep."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from daicho.adapters.stores import memory
from daicho.adapters.stores.memory import MemoryStorage
from daicho.core.errors import StoreFailed
from daicho.ports.storage import Storage
from daicho.testing.contracts import Capabilities, StorageContract
from daicho.testing.contracts.base import HandClock, append, request
from daicho.testing.contracts.checkpoint_store import claimed


class TestMemoryStorage(StorageContract):
    capabilities = Capabilities(durable=False, cross_process=False)

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Storage:
        return MemoryStorage(now=now)

    async def test_two_memory_stores_share_nothing(self, store: Storage, clock: HandClock) -> None:
        other = MemoryStorage(now=clock)
        await other.open()
        await append(store, request("order-1", "a"))
        assert (await store.head(), await other.head()) == (1, 0)
        await other.close()

    async def test_a_memory_store_forgets_when_closed(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        await store.close()
        await store.open()
        assert await store.head() == 0

    async def test_a_backup_is_refused_with_advice(self, store: Storage, tmp_path: Path) -> None:
        with pytest.raises(StoreFailed, match="sqlite:///"):
            async for _ in store.backup(tmp_path / "copy.db"):
                pass

    async def test_a_lease_ends_ten_seconds_after_its_last_renewal(
        self, store: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        time = 100.0
        monkeypatch.setattr(memory.checkpoints, "monotonic", lambda: time)
        mine = await claimed(store)
        time = 109.0
        await store.renew("one")
        time = 118.9
        assert await store.claim(mine.processor, "two") is None
        time = 119.1
        theirs = await store.claim(mine.processor, "two")
        assert theirs is not None
        assert theirs.token > mine.token


def test_no_two_contracts_share_the_name_of_a_case() -> None:
    names = Counter(name for cls in StorageContract.__mro__ for name in vars(cls) if name.startswith("test_"))
    assert [name for name, times in names.items() if times > 1] == []
    assert len(names) > 150
