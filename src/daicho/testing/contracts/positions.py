"""The position of a processor, and who may move it: beside the rows, away from the events."""

import asyncio

import pytest

from daicho.core.errors import LostLease
from daicho.ports.read_store import Placed, ReadStore
from daicho.testing.contracts.base import HOSTILE, soon
from daicho.testing.contracts.parcels import (
    FILLED,
    FOUND,
    LOST,
    PARCELS,
    PROCESSOR,
    SENT,
    Parcel,
    ParcelsContract,
    filled,
    move,
    places,
    position,
    rows,
)

__all__ = ["PositionsContract"]


class PositionsContract(ParcelsContract):
    async def test_a_processor_that_never_committed_has_no_position(self, store: ReadStore) -> None:
        assert await store.fence(PROCESSOR, 1) is None
        assert await store.fence(PROCESSOR, 2) is None

    async def test_the_position_is_where_the_last_commit_moved_it(self, store: ReadStore) -> None:
        await filled(store)
        assert await position(store) == 6
        await store.commit(rows(8, {"p-1": LOST}, advance=move(6, 9)))
        assert await position(store) == 9

    async def test_a_commit_without_rows_moves_the_position_alone(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(0, {}, advance=move(6, 1000)))
        assert await position(store) == 1000
        assert await places(store, "p-1", "p-2") == FILLED

    async def test_a_commit_without_an_advance_writes_rows_alone(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {"p-3": FOUND}))
        assert await store.get(PARCELS, "p-3") == FOUND
        assert await position(store) == 6

    async def test_positions_beyond_what_a_double_holds_are_exact(self, store: ReadStore) -> None:
        far = 2**53
        await filled(store)
        await store.commit(rows(far, {"p-1": LOST}, advance=move(6, far)))
        await store.commit(rows(far + 1, {"p-1": FOUND}, advance=move(far, far + 1)))
        assert await places(store, "p-1") == {"p-1": Placed(FOUND, far + 1)}
        await store.commit(rows(far, {"p-1": SENT}))
        await store.commit(rows(far + 1, {"p-1": SENT}))
        assert await places(store, "p-1") == {"p-1": Placed(FOUND, far + 1)}
        assert await position(store) == far + 1

    async def test_processors_have_positions_and_tokens_of_their_own(self, store: ReadStore) -> None:
        await store.open_table(PARCELS)
        names = [f"projection:{text}" for text in HOSTILE]
        for n, name in enumerate(names, 1):
            assert await store.fence(name, n) is None
            await store.commit(rows(n, {}, advance=move(0, n, n, name)))
        for n, name in enumerate(names, 1):
            assert await store.fence(name, n) == n

    async def test_a_forgotten_processor_begins_again_with_any_token(self, store: ReadStore) -> None:
        await filled(store)
        await position(store, token=7)
        await store.forget(PROCESSOR)
        await store.forget(PROCESSOR)
        assert await position(store, token=2) is None
        assert await places(store, "p-1", "p-2") == FILLED
        await store.commit(rows(9, {"p-3": FOUND}, advance=move(0, 9, token=2)))
        assert await position(store, token=2) == 9

    # owners

    async def test_a_newer_owner_is_told_the_position_and_the_older_one_is_refused(self, store: ReadStore) -> None:
        await filled(store)
        assert await position(store, token=3) == 6
        assert await position(store, token=3) == 6
        with pytest.raises(LostLease):
            await position(store, token=2)
        assert await position(store, token=3) == 6

    @pytest.mark.parametrize(
        ("token", "old"),
        [(1, 6), (2, 5), (2, 0), (2, 7), (1, 7)],
        ids=["stale token", "old too small", "old from the beginning", "old too large", "both wrong"],
    )
    async def test_a_commit_that_is_not_the_owners_next_one_moves_nothing(
        self, store: ReadStore, token: int, old: int
    ) -> None:
        await filled(store)
        await position(store, token=2)
        not_newer = {"p-1": 5, "p-2": 4}
        with pytest.raises(LostLease):
            await store.commit(rows(not_newer, {"p-1": FOUND}, "p-2", advance=move(old, 99, token)))
        assert await position(store, token=2) == 6
        assert await places(store, "p-1", "p-2") == FILLED

    @pytest.mark.parametrize(("token", "old"), [(1, 6), (2, 5)], ids=["stale token", "wrong old"])
    async def test_a_refused_commit_writes_nothing_if_the_store_works_in_one_step(
        self, store: ReadStore, token: int, old: int
    ) -> None:
        await filled(store)
        await position(store, token=2)
        with pytest.raises(LostLease):
            await store.commit(rows(50, {"p-1": FOUND, "p-3": FOUND}, "p-2", advance=move(old, 99, token)))
        assert await position(store, token=2) == 6
        if self.one_step:
            assert await places(store, "p-1", "p-2", "p-3") == FILLED

    async def test_the_first_commit_starts_from_nothing(self, store: ReadStore) -> None:
        await store.open_table(PARCELS)
        await position(store)
        with pytest.raises(LostLease):
            await store.commit(rows(6, {}, advance=move(5, 6)))
        assert await position(store) is None

    async def test_a_commit_that_is_done_twice_is_harmless(self, store: ReadStore) -> None:
        await filled(store)
        again = rows({"p-1": 8, "p-2": 9}, {"p-1": FOUND}, "p-2", advance=move(6, 9))
        await store.commit(again)
        try:
            await store.commit(again)
        except LostLease:
            refused = True
        else:
            refused = False
        assert await position(store) == 9, f"refused: {refused}"
        assert await places(store, "p-1", "p-2") == {"p-1": Placed(FOUND, 8), "p-2": Placed(None, 9)}

    async def test_of_commits_that_race_from_the_same_position_one_moves_it(
        self, store: ReadStore, other: ReadStore
    ) -> None:
        await filled(store)
        racing = [
            each.commit(rows(100 + n, {"p-1": Parcel(status="raced", weight=n)}, advance=move(6, 100 + n)))
            for n, each in enumerate([store, other] * 8)
        ]
        ends = await soon(asyncio.gather(*racing, return_exceptions=True))
        assert [end for end in ends if end is not None and not isinstance(end, LostLease)] == []
        [winner] = [n for n, end in enumerate(ends) if end is None]
        assert await position(store) == 100 + winner
        [raced] = (await places(store, "p-1")).values()
        assert raced.row == Parcel(status="raced", weight=raced.position - 100)
        assert raced.position >= 100 + winner
        if self.one_step:
            assert raced.position == 100 + winner

    async def test_while_two_owners_fight_rows_never_go_back(self, store: ReadStore, other: ReadStore) -> None:
        """Each takes the processor over when it is refused; what they write of a position is the same."""
        await store.open_table(PARCELS)
        end, keys = 60, ["p-0", "p-1", "p-2"]
        tokens = iter(range(1, 10_000))
        takeovers = 0

        async def own(mine: ReadStore) -> None:
            nonlocal takeovers
            while True:
                token = next(tokens)
                takeovers += 1
                try:
                    at = await mine.fence(PROCESSOR, token) or 0
                    while at < end:
                        key = keys[(at + 1) % 3]
                        await mine.commit(
                            rows(at + 1, {key: Parcel(status="moved", weight=at + 1)}, advance=move(at, at + 1, token))
                        )
                        at += 1
                        if at % 9 == 0:
                            await asyncio.sleep(0)
                    return
                except LostLease:
                    continue

        async def watch() -> None:
            reached = dict.fromkeys(keys, 0)
            while max(reached.values()) < end:
                for key, placed in (await places(other, *keys)).items():
                    assert placed.position >= reached[key]
                    assert placed.row == Parcel(status="moved", weight=placed.position)
                    reached[key] = placed.position

        await asyncio.wait_for(asyncio.gather(own(store), own(other), watch()), 60)
        assert takeovers > 1
        assert await position(store, next(tokens)) == end
        assert {key: placed.position for key, placed in (await places(store, *keys)).items()} == {
            "p-0": 60, "p-1": 58, "p-2": 59
        }  # fmt: skip
