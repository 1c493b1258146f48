"""Rows and their places: which position each has seen, so that nothing is done to it twice."""

import pytest

from daicho.core.errors import InvalidMessage
from daicho.ports.read_store import Placed, ReadStore
from daicho.ports.view_store import TableSpec
from daicho.testing.contracts.base import HOSTILE
from daicho.testing.contracts.parcels import (
    FAR_AHEAD,
    FILLED,
    FOUND,
    LONG_AGO,
    LOST,
    PARCELS,
    SENT,
    Parcel,
    ParcelsContract,
    count,
    filled,
    find,
    move,
    page,
    places,
    position,
    rows,
)

__all__ = ["PlacesContract"]


class PlacesContract(ParcelsContract):
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

    async def test_what_a_commit_would_refuse_is_told_before_anything_is_written(self, store: ReadStore) -> None:
        await filled(store)
        store.check(rows(9, {"p-9": FOUND}))
        unfit = Parcel(status=5)  # type: ignore[arg-type]
        with pytest.raises(InvalidMessage):
            store.check(rows(9, {"p-8": FOUND, "p-9": unfit}))
        assert await store.get_many(PARCELS, ["p-8", "p-9"]) == {}

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
