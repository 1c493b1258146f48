"""The contract of `daicho.ports.read_store.ReadStore`: rows that know their place in history, away from the events.

class TestMyReadStore(ReadStoreContract):
    one_step = True

    def make(self, tmp_path, now):
        return MyReadStore(f"my://127.0.0.1:1234/{tmp_path.name}", now=now)

    def make_away(self, now, password):
        return MyReadStore(f"my://user:{password}@127.0.0.1:1/db", now=now)
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daicho.core.errors import LostLease, NoSuchTable, StoreClosed, StoreUnavailable
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.read_store import Placed, ReadStore
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.testing.contracts.base import HOSTILE, HandClock, soon
from daicho.testing.contracts.rows import RowsContract

__all__ = ["ReadStoreContract"]


class Parcel(Row, index=("status", "weight")):
    status: str
    weight: int = 0
    note: str | None = None


PARCELS = TableSpec("parcels", 1, Parcel)
PROCESSOR = "projection:parcels"
LONG_AGO, FAR_AHEAD = datetime(2001, 1, 1, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)
"""Before and after now, on any clock that a store may go by."""

SENT, LOST, FOUND = Parcel(status="sent", weight=2), Parcel(status="lost", weight=1), Parcel(status="found", weight=3)
A_WORD = "opensesame"


def rows(
    seen: int | Mapping[str, int],
    upserts: Mapping[str, Row],
    *deletes: str,
    table: TableSpec = PARCELS,
    advance: Advance | None = None,
) -> ViewChange:
    """A change whose rows have all seen the same position, or each its own."""
    places = dict.fromkeys([*upserts, *deletes], seen) if isinstance(seen, int) else seen
    return ViewChange(table=table, upserts=upserts, deletes=deletes, advance=advance, seen=places)


def move(old: int, new: int, token: int = 1, processor: str = PROCESSOR) -> Advance:
    return Advance(processor=processor, token=token, old=old, new=new)


async def places(store: ReadStore, *keys: str) -> dict[str, Placed]:
    return await store.get_placed(PARCELS, keys)


async def position(store: ReadStore, token: int = 1) -> int | None:
    """As the owner of this token is told."""
    return await store.fence(PROCESSOR, token)


async def find(store: ReadStore, equals: Mapping[str, object], **how: Any) -> list[Any]:
    """Once everything that was committed can be found; `get` and `get_placed` need not wait for that."""
    await store.settle(PARCELS)
    return await store.find(PARCELS, equals, **how)


async def page(store: ReadStore, equals: Mapping[str, object], **how: Any) -> list[tuple[str, Any]]:
    await store.settle(PARCELS)
    return await store.page(PARCELS, equals, **how)


async def count(store: ReadStore, equals: Mapping[str, object]) -> int:
    await store.settle(PARCELS)
    return await store.count(PARCELS, equals)


async def filled(store: ReadStore) -> None:
    """`p-1` is sent, seen 5; `p-2` is lost, seen 6; the position is 6, under token 1."""
    await store.open_table(PARCELS)
    assert await position(store) is None
    await store.commit(rows({"p-1": 5, "p-2": 6}, {"p-1": SENT, "p-2": LOST}, advance=move(0, 6)))


FILLED = {"p-1": Placed(SENT, 5), "p-2": Placed(LOST, 6)}

_METHODS: dict[str, Callable[[ReadStore], Awaitable[object]]] = {
    "open_table": lambda store: store.open_table(PARCELS),
    "live_generation": lambda store: store.live_generation("parcels"),
    "generations": lambda store: store.generations("parcels"),
    "shape_fits": lambda store: store.shape_fits(PARCELS),
    "switch": lambda store: store.switch(PARCELS),
    "drop_table": lambda store: store.drop_table(PARCELS),
    "get": lambda store: store.get(PARCELS, "p-1"),
    "get_many": lambda store: store.get_many(PARCELS, ["p-1"]),
    "find": lambda store: store.find(PARCELS, {}),
    "page": lambda store: store.page(PARCELS, {}, limit=1),
    "count": lambda store: store.count(PARCELS, {}),
    "settle": lambda store: store.settle(PARCELS),
    "commit": lambda store: store.commit(rows(1, {"p-1": SENT})),
    "fence": lambda store: store.fence(PROCESSOR, 1),
    "forget": lambda store: store.forget(PROCESSOR),
    "get_placed": lambda store: store.get_placed(PARCELS, ["p-1"]),
    "sweep": lambda store: store.sweep(PARCELS, 1, FAR_AHEAD),
    "furthest": lambda store: store.furthest(PARCELS, 1, 3),
    "examine": lambda store: store.examine(),
}


_READS: dict[str, Callable[[ReadStore], Awaitable[object]]] = {
    **{name: _METHODS[name] for name in ("get", "get_many", "find", "page", "count")},
    "find some": lambda store: store.find(PARCELS, {"status": "sent"}, order_by="weight", limit=1),
    "count some": lambda store: store.count(PARCELS, {"status": "sent"}),
}


class ReadStoreContract(RowsContract):
    one_step: ClassVar[bool] = False
    """A commit of a few rows is done in one step: refused, it wrote nothing. Otherwise rows may be ahead."""
    patience: ClassVar[float] = 15.0
    """Seconds after which a server that does not answer must have been told of."""

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> ReadStore:  # type: ignore[override]
        """A store, not yet opened. Every call with the same `tmp_path` leads to the same place, empty at first."""
        raise NotImplementedError(f"{type(self).__name__} has to say how to make its store: override `make`")

    def make_away(self, now: Callable[[], datetime], password: str) -> ReadStore:
        """A store at an address where no server listens, with a URL that contains the password."""
        raise NotImplementedError(f"{type(self).__name__} has to say where no server is: override `make_away`")

    @pytest.fixture
    def other(self, daicho_loop: asyncio.Runner, tmp_path: Path, clock: HandClock) -> Iterator[ReadStore]:
        """A second store opened on the place of `store`, as another process has it."""
        another = self.make(tmp_path, clock)
        daicho_loop.run(another.open())
        yield another
        daicho_loop.run(another.close())

    # the position

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

    # rows and their places

    async def test_rows_are_got_with_the_position_that_they_have_seen(self, store: ReadStore) -> None:
        await filled(store)
        assert await places(store, "p-2", "p-1", "p-9", "p-1") == FILLED
        assert await places(store) == {}
        [row] = [placed.row for placed in (await places(store, "p-1")).values()]
        assert type(row) is Parcel

    @pytest.mark.parametrize("seen", [5, 4, 0])
    async def test_a_row_lets_pass_what_it_has_seen(self, store: ReadStore, seen: int) -> None:
        await filled(store)
        await store.commit(rows({"p-1": seen, "p-3": 9}, {"p-1": FOUND, "p-3": FOUND}, advance=move(6, 9)))
        assert await places(store, "p-1", "p-2", "p-3") == {**FILLED, "p-3": Placed(FOUND, 9)}
        assert await find(store, {"status": "sent"}) == [SENT]
        assert await find(store, {"status": "found"}) == [FOUND]
        assert await position(store) == 9

    @pytest.mark.parametrize("seen", [5, 4])
    async def test_a_row_lets_pass_a_delete_that_it_has_seen(self, store: ReadStore, seen: int) -> None:
        await filled(store)
        await store.commit(rows(seen, {}, "p-1"))
        assert await places(store, "p-1", "p-2") == FILLED

    async def test_a_row_takes_what_is_newer(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(6, {"p-1": FOUND}))
        assert await places(store, "p-1") == {"p-1": Placed(FOUND, 6)}
        assert await find(store, {"status": "sent"}) == []
        assert await find(store, {"status": "found"}) == [FOUND]

    async def test_the_same_row_at_a_later_position_has_moved_on(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {"p-1": SENT}))
        await store.commit(rows(8, {"p-1": FOUND}))
        assert await places(store, "p-1") == {"p-1": Placed(SENT, 9)}

    async def test_a_deleted_row_keeps_its_place_and_is_not_found(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-1"))
        assert await places(store, "p-1", "p-2") == {"p-1": Placed(None, 9), "p-2": FILLED["p-2"]}
        assert await store.get(PARCELS, "p-1") is None
        assert await store.get_many(PARCELS, ["p-1", "p-2"]) == {"p-2": LOST}
        assert await find(store, {}) == [LOST]
        assert await find(store, {}, offset=1) == []
        assert await find(store, {"status": "sent"}) == []
        assert await find(store, {}, order_by="weight", descending=True) == [LOST]
        assert await page(store, {}, limit=10) == [("p-2", LOST)]
        assert await page(store, {}, limit=10, order_by="weight") == [("p-2", LOST)]
        assert (await count(store, {}), await count(store, {"status": "sent"})) == (1, 0)

    async def test_a_row_that_was_deleted_before_it_came_is_marked_all_the_same(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-3"))
        await store.commit(rows(8, {"p-3": FOUND}))
        await store.commit(rows(9, {"p-3": FOUND}))
        assert await places(store, "p-3") == {"p-3": Placed(None, 9)}
        assert await count(store, {}) == 2

    async def test_a_deleted_row_comes_again_by_a_newer_event(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-1"))
        await store.commit(rows(10, {"p-1": FOUND}))
        assert await places(store, "p-1") == {"p-1": Placed(FOUND, 10)}
        assert await find(store, {"status": "found"}) == [FOUND]
        assert await find(store, {}) == [FOUND, LOST]

    async def test_a_sweep_removes_old_marks_only(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows({"p-1": 9, "p-2": 10, "p-3": 11}, {"p-3": FOUND}, "p-1", "p-2"))
        assert await store.sweep(PARCELS, 20, LONG_AGO) == 0
        assert await store.sweep(PARCELS, 8, FAR_AHEAD) == 0
        assert await store.sweep(PARCELS, 9, FAR_AHEAD) == 1
        assert await places(store, "p-1", "p-2", "p-3") == {"p-2": Placed(None, 10), "p-3": Placed(FOUND, 11)}
        assert await store.sweep(PARCELS, 20, FAR_AHEAD) == 1
        assert await store.sweep(PARCELS, 20, FAR_AHEAD) == 0
        assert await places(store, "p-1", "p-2", "p-3") == {"p-3": Placed(FOUND, 11)}

    async def test_a_sweep_finds_the_old_ones_among_thousands_of_marks(self, store: ReadStore) -> None:
        await store.open_table(PARCELS)
        marks = {f"p-{n}": 9 + n % 2 for n in range(4000)}
        await store.commit(rows(marks, {}, *marks))
        assert await store.sweep(PARCELS, 9, FAR_AHEAD) == 2000
        assert set(await places(store, *marks)) == {key for key, seen in marks.items() if seen == 10}
        assert await store.sweep(PARCELS, 10, FAR_AHEAD) == 2000

    async def test_a_row_that_came_again_is_not_swept(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-1"))
        await store.commit(rows(10, {"p-1": FOUND}))
        assert await store.sweep(PARCELS, 20, FAR_AHEAD) == 0
        assert await places(store, "p-1") == {"p-1": Placed(FOUND, 10)}

    async def test_a_mark_that_was_renewed_goes_by_its_new_position(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-1"))
        await store.commit(rows(15, {}, "p-1"))
        assert await store.sweep(PARCELS, 10, FAR_AHEAD) == 0
        assert await places(store, "p-1") == {"p-1": Placed(None, 15)}

    async def test_a_swept_row_takes_anything_again(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-1"))
        await store.sweep(PARCELS, 20, FAR_AHEAD)
        await store.commit(rows(3, {"p-1": FOUND}))
        assert await places(store, "p-1") == {"p-1": Placed(FOUND, 3)}

    async def test_it_is_told_how_far_rows_and_marks_are_between_two_positions(self, store: ReadStore) -> None:
        await filled(store)
        assert await store.furthest(PARCELS, 0, 100) == 6
        assert await store.furthest(PARCELS, 4, 6) == 5
        assert await store.furthest(PARCELS, 5, 6) is None
        assert await store.furthest(PARCELS, 6, 100) is None
        await store.commit(rows(9, {}, "p-1"))
        assert await store.furthest(PARCELS, 6, 100) == 9
        assert await store.furthest(PARCELS, 4, 6) is None
        far = 1 << 58
        await store.commit(rows({f"p-{n}": far + n for n in range(1, 3001)}, {}, *(f"p-{n}" for n in range(1, 3001))))
        assert await store.furthest(PARCELS, 9, far + 1) is None
        assert await store.furthest(PARCELS, 9, far + 2) == far + 1
        assert await store.furthest(PARCELS, 9, far + 2000) == far + 1999
        assert await store.furthest(PARCELS, far + 3000, far + 4000) is None

    async def test_marks_go_with_their_table(self, store: ReadStore) -> None:
        await filled(store)
        await store.commit(rows(9, {}, "p-1"))
        await store.drop_table(PARCELS)
        await store.open_table(PARCELS)
        assert await places(store, "p-1", "p-2") == {}
        await store.commit(rows(1, {"p-1": FOUND}))
        assert await find(store, {}) == [FOUND]

    @pytest.mark.parametrize("ask", sorted(_READS))
    async def test_a_table_that_another_process_dropped_gives_no_answer(
        self, store: ReadStore, other: ReadStore, ask: str
    ) -> None:
        await filled(store)
        await _READS[ask](store)
        await other.drop_table(PARCELS)
        with pytest.raises(NoSuchTable):
            await _READS[ask](store)

    async def test_generations_have_places_of_their_own(self, store: ReadStore) -> None:
        await filled(store)
        second = TableSpec("parcels", 2, Parcel)
        await store.open_table(second)
        await store.commit(rows(1, {"p-1": FOUND}, "p-2", table=second))
        assert await store.get_placed(second, ["p-1", "p-2"]) == {"p-1": Placed(FOUND, 1), "p-2": Placed(None, 1)}
        assert await places(store, "p-1", "p-2") == FILLED

    async def test_hostile_keys_have_places(self, store: ReadStore) -> None:
        await store.open_table(PARCELS)
        parcels = {text: Parcel(status=text, weight=n, note=text) for n, text in enumerate(HOSTILE)}
        seen = {text: n + 1 for n, text in enumerate(HOSTILE)}
        await store.commit(rows(seen, parcels))
        assert await places(store, *HOSTILE) == {text: Placed(parcels[text], seen[text]) for text in HOSTILE}
        for text in HOSTILE:
            assert await find(store, {"status": text}) == [parcels[text]]
        await store.commit(rows(100, {}, *HOSTILE))
        assert await places(store, *HOSTILE) == {text: Placed(None, 100) for text in HOSTILE}
        assert await store.sweep(PARCELS, 100, FAR_AHEAD) == len(HOSTILE)

    async def test_thousands_of_rows_go_in_one_commit(self, store: ReadStore) -> None:
        await filled(store)
        many = {f"m-{n}": Parcel(status=f"s{n % 7}", weight=n) for n in range(5000)}
        gone = [f"g-{n}" for n in range(1000)]
        await store.commit(rows(9, {**many, "p-1": FOUND}, *gone, advance=move(6, 9)))
        assert await position(store) == 9
        assert await places(store, *many) == {key: Placed(row, 9) for key, row in many.items()}
        assert set((await places(store, *gone)).values()) == {Placed(None, 9)}
        assert await count(store, {}) == 5002
        assert await count(store, {"status": "s3"}) == sum(n % 7 == 3 for n in range(5000))
        assert await store.sweep(PARCELS, 9, FAR_AHEAD) == 1000

    # life

    async def test_rows_places_and_position_are_there_after_opening_again(
        self, store: ReadStore, tmp_path: Path, clock: HandClock
    ) -> None:
        await filled(store)
        await store.switch(PARCELS)
        await store.commit(rows(9, {"p-3": FOUND}, "p-1", advance=move(6, 9, 1)))
        await store.close()
        again = self.make(tmp_path, clock)
        await again.open()
        try:
            assert await again.live_generation("parcels") == 1
            assert await places(again, "p-1", "p-2", "p-3") == {
                "p-1": Placed(None, 9),
                "p-2": Placed(LOST, 6),
                "p-3": Placed(FOUND, 9),
            }
            assert await find(again, {"status": "lost"}) == [LOST]
            assert await position(again) == 9
        finally:
            await again.close()

    async def test_what_one_process_committed_another_gets_by_key_at_once(
        self, store: ReadStore, other: ReadStore
    ) -> None:
        await filled(store)
        assert await other.get(PARCELS, "p-1") == SENT
        await store.commit(rows(7, {"p-1": LOST}))
        assert await other.get(PARCELS, "p-1") == LOST
        assert await other.get_many(PARCELS, ["p-1", "p-2"]) == {"p-1": LOST, "p-2": LOST}

    async def test_what_one_process_committed_another_finds_once_settled(
        self, store: ReadStore, other: ReadStore
    ) -> None:
        await filled(store)
        await other.settle(PARCELS)
        assert await other.find(PARCELS, {}) == [SENT, LOST]
        assert await other.get(PARCELS, "p-1") == SENT

    @pytest.mark.parametrize("method", _METHODS)
    async def test_a_closed_store_says_so(self, store: ReadStore, method: str) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreClosed):
            await _METHODS[method](store)

    async def test_a_closed_store_can_be_opened_again(self, store: ReadStore) -> None:
        await filled(store)
        await store.close()
        await store.open()
        assert await places(store, "p-1", "p-2") == FILLED

    async def test_a_server_that_is_away_is_told_of_in_time_and_without_the_password(self, clock: HandClock) -> None:
        store = self.make_away(clock, A_WORD)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as raised:
            await asyncio.wait_for(store.open(), self.patience)
        assert time.monotonic() - began < self.patience
        assert A_WORD not in str(raised.value)
        assert A_WORD not in repr(raised.value.data)
        assert A_WORD not in store.url
        await store.close()

    async def test_a_healthy_server_is_found_to_be_so(self, store: ReadStore) -> None:
        found = await store.examine()
        assert found
        assert [finding for finding in found if not finding.ok] == []
        assert all(finding.what and finding.detail for finding in found)

    async def test_a_store_describes_what_is_behind_its_url(self, store: ReadStore) -> None:
        described = store.describe()
        assert described["engine"]
        assert described["version"]
