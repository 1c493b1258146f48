"""The contract of `daicho.ports.snapshot_store.SnapshotStore`."""

import asyncio

from daicho.ports.snapshot_store import Snapshot
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, append, eventually, request

__all__ = ["SnapshotStoreContract"]


def snapshot(stream: str = "order-1", version: int = 1, fold: str = "f1", state: bytes = b"s") -> Snapshot:
    return Snapshot(stream=stream, version=version, fold=fold, state=state)


async def saved(store: Storage, *snapshots: Snapshot) -> None:
    for each in snapshots:
        await store.save_snapshot(each)


async def stands(store: Storage, right: Snapshot) -> None:
    """A snapshot need not be there at once, but it must come to stand."""
    assert await eventually(lambda: store.load_snapshot(right.stream), lambda found: found == right) == right


class SnapshotStoreContract(Contract):
    async def test_a_stream_without_a_snapshot_has_none(self, store: Storage) -> None:
        assert await store.load_snapshot("order-1") is None

    async def test_a_snapshot_comes_back_as_it_was_saved(self, store: Storage) -> None:
        right = snapshot(version=17, fold="0123456789abcdef", state=bytes(range(256)))
        await saved(store, right)
        await stands(store, right)

    async def test_a_newer_snapshot_replaces_an_older_one(self, store: Storage) -> None:
        await saved(store, snapshot(version=1), snapshot(version=2, state=b"new"))
        await stands(store, snapshot(version=2, state=b"new"))

    async def test_an_older_snapshot_does_not_replace_a_newer_one_of_the_same_fold(self, store: Storage) -> None:
        await saved(store, snapshot(version=5, state=b"new"))
        await stands(store, snapshot(version=5, state=b"new"))
        await saved(store, snapshot(version=3, state=b"old"), snapshot("order-2"))
        await stands(store, snapshot("order-2"))
        await stands(store, snapshot(version=5, state=b"new"))

    async def test_a_snapshot_of_another_fold_replaces_even_a_newer_one(self, store: Storage) -> None:
        await saved(store, snapshot(version=5, fold="f1"), snapshot(version=3, fold="f2"))
        await stands(store, snapshot(version=3, fold="f2"))

    async def test_snapshots_of_different_streams_do_not_mix(self, store: Storage) -> None:
        every = [snapshot(f"order-{text}", n, state=text.encode()) for n, text in enumerate(HOSTILE, 1)]
        await saved(store, *every)
        for each in every:
            await stands(store, each)

    async def test_dropping_a_snapshot_forgets_that_one_only(self, store: Storage) -> None:
        await saved(store, snapshot("order-1"), snapshot("order-2"))
        await stands(store, snapshot("order-2"))
        assert await store.drop_snapshots("order-1") == 1
        assert await store.load_snapshot("order-1") is None
        await stands(store, snapshot("order-2"))
        assert await store.drop_snapshots("order-1") == 0

    async def test_dropping_all_snapshots_says_how_many_there_were(self, store: Storage) -> None:
        assert await store.drop_snapshots() == 0
        await saved(store, *(snapshot(f"order-{n}") for n in range(5)))
        await stands(store, snapshot("order-4"))
        assert await store.drop_snapshots() == 5
        assert [await store.load_snapshot(f"order-{n}") for n in range(5)] == [None] * 5

    async def test_after_dropping_an_older_snapshot_is_kept_again(self, store: Storage) -> None:
        await saved(store, snapshot(version=9))
        await stands(store, snapshot(version=9))
        await store.drop_snapshots("order-1")
        await saved(store, snapshot(version=2))
        await stands(store, snapshot(version=2))

    async def test_a_state_is_loaded_from_its_events_if_there_is_no_snapshot(self, store: Storage) -> None:
        [answer] = await append(store, request("order-1", "a", "b", "c"))
        found, page = await store.load("order-1", "f1", limit=2)
        assert found is None
        assert page == [(answer.positions[n], n + 1, "ab"[n], 1, b'{"n":1}') for n in range(2)]
        assert await store.load("order-2", "f1", limit=2) == (None, [])

    async def test_a_state_is_loaded_from_its_snapshot_and_what_comes_after_it(self, store: Storage) -> None:
        [answer] = await append(store, request("order-1", *"abcdef"))
        right = snapshot(version=3, state=bytes(range(256)))
        await saved(store, right)
        await stands(store, right)
        found, page = await store.load("order-1", "f1", limit=3)
        assert found == right
        assert [(position, version, name) for position, version, name, _, _ in page] == [
            (answer.positions[n - 1], n, "abcdef"[n - 1]) for n in (3, 4, 5)
        ]
        found, page = await store.load("order-1", "f2", limit=10)
        assert (found, len(page)) == (None, 6)

    async def test_many_states_are_loaded_at_once_each_from_its_own_snapshot(self, store: Storage) -> None:
        for n in range(1, 9):
            await append(store, request(f"order-{n}", *("e" * n)))
        every = [snapshot(f"order-{n}", n - 1, state=b"%d" % n) for n in range(2, 9, 2)]
        await saved(store, *every)
        for each in every:
            await stands(store, each)
        loaded = await asyncio.gather(*(store.load(f"order-{n}", "f1", limit=10) for n in range(1, 9)))
        for n, (found, page) in enumerate(loaded, 1):
            assert found == (snapshot(f"order-{n}", n - 1, state=b"%d" % n) if n % 2 == 0 else None)
            assert [version for _, version, *_ in page] == ([n - 1, n] if n % 2 == 0 else list(range(1, n + 1)))

    async def test_a_snapshot_of_events_that_are_not_there_comes_without_its_last_event(self, store: Storage) -> None:
        await append(store, request("order-1", "a", "b"))
        await saved(store, snapshot(version=5))
        await stands(store, snapshot(version=5))
        assert await store.load("order-1", "f1", limit=10) == (snapshot(version=5), [])
