"""The contract of `daicho.ports.checkpoint_store.CheckpointStore`."""

import asyncio

import pytest

from daicho.core.errors import LostLease
from daicho.ports.checkpoint_store import CUT, PAUSED, Advance, Checkpoint
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract

__all__ = ["CheckpointStoreContract", "claimed", "present"]

ORDERS = "projection:orders"


async def claimed(store: Storage, processor: str = ORDERS, owner: str = "one", *, position: int = 0) -> Checkpoint:
    """A registered checkpoint in the hands of `owner`."""
    await store.register(processor, position=position)
    checkpoint = await store.claim(processor, owner)
    assert checkpoint is not None
    return checkpoint


async def present(store: Storage, processor: str = ORDERS) -> Checkpoint:
    [checkpoint] = [each for each in await store.checkpoints() if each.processor == processor]
    return checkpoint


def advance(checkpoint: Checkpoint, new: int, *, token: int | None = None, old: int | None = None) -> Advance:
    return Advance(
        processor=checkpoint.processor,
        token=checkpoint.token if token is None else token,
        old=checkpoint.position if old is None else old,
        new=new,
    )


class CheckpointStoreContract(Contract):
    async def test_registering_creates_a_checkpoint_that_nobody_owns(self, store: Storage) -> None:
        checkpoint = await store.register(ORDERS, position=7, fold="f1")
        assert (checkpoint.processor, checkpoint.position, checkpoint.owner, checkpoint.fold) == (ORDERS, 7, None, "f1")
        assert await present(store) == checkpoint

    async def test_registering_again_keeps_position_and_owner_and_notes_the_fold(self, store: Storage) -> None:
        mine = await claimed(store, position=7)
        again = await store.register(ORDERS, position=0, fold="f2")
        assert (again.position, again.token, again.owner, again.fold) == (7, mine.token, "one", "f2")
        assert (await present(store)).fold == "f2"

    async def test_claiming_makes_an_owner_with_a_fresh_token(self, store: Storage) -> None:
        registered = await store.register(ORDERS, position=7, fold="f1")
        mine = await store.claim(ORDERS, "one")
        assert mine is not None
        assert (mine.processor, mine.position, mine.owner, mine.fold) == (ORDERS, 7, "one", "f1")
        assert mine.token > registered.token

    async def test_what_another_living_owner_has_cannot_be_claimed(self, store: Storage) -> None:
        mine = await claimed(store)
        assert await store.claim(ORDERS, "two") is None
        assert (await present(store)).owner == "one"
        await store.advance(advance(mine, 5))

    async def test_claiming_again_keeps_the_token(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.advance(advance(mine, 5))
        again = await store.claim(ORDERS, "one")
        assert again is not None
        assert (again.token, again.position, again.owner) == (mine.token, 5, "one")

    async def test_of_ten_concurrent_claimers_one_wins(self, store: Storage) -> None:
        await store.register(ORDERS, position=0)
        answers = await asyncio.gather(*(store.claim(ORDERS, f"owner {n}") for n in range(10)))
        [winner] = [answer for answer in answers if answer is not None]
        assert await present(store) == winner

    async def test_an_owner_who_renews_keeps_what_it_has(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.renew("one")
        assert await store.claim(ORDERS, "two") is None
        assert (await present(store)).token == mine.token

    async def test_what_was_released_can_be_claimed_at_once_and_the_token_grows(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.advance(advance(mine, 5))
        await store.release("one")
        assert (await present(store)).owner is None
        theirs = await store.claim(ORDERS, "two")
        assert theirs is not None
        assert (theirs.position, theirs.owner) == (5, "two")
        assert theirs.token > mine.token

    async def test_releasing_gives_up_everything_the_owner_has_and_nothing_else(self, store: Storage) -> None:
        await claimed(store, "projection:a", "one")
        await claimed(store, "projection:b", "one")
        await claimed(store, "projection:c", "two")
        await store.release("one")
        assert [each.owner for each in await store.checkpoints()] == [None, None, "two"]

    async def test_releasing_what_one_does_not_own_does_nothing(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.release("two")
        assert await present(store) == mine

    async def test_an_advance_moves_the_checkpoint(self, store: Storage) -> None:
        mine = await claimed(store, position=3)
        await store.advance(advance(mine, 5))
        await store.advance(advance(mine, 9, old=5))
        now = await present(store)
        assert (now.position, now.token, now.owner) == (9, mine.token, "one")

    async def test_an_advance_with_a_stale_token_moves_nothing(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.release("one")
        theirs = await claimed(store, owner="two")
        with pytest.raises(LostLease):
            await store.advance(advance(mine, 5))
        assert await present(store) == theirs

    async def test_an_advance_from_another_position_moves_nothing(self, store: Storage) -> None:
        mine = await claimed(store, position=3)
        for old in (0, 2, 4):
            with pytest.raises(LostLease):
                await store.advance(advance(mine, 9, old=old))
        assert await present(store) == mine

    async def test_an_advance_of_an_unknown_processor_is_refused(self, store: Storage) -> None:
        with pytest.raises(LostLease):
            await store.advance(Advance(processor="projection:unknown", token=1, old=0, new=1))
        assert list(await store.checkpoints()) == []

    async def test_of_racing_advances_from_the_same_position_one_wins(self, store: Storage) -> None:
        mine = await claimed(store)
        moves = (store.advance(advance(mine, n)) for n in range(1, 11))
        ends = await asyncio.gather(*moves, return_exceptions=True)
        assert sum(end is None for end in ends) == 1
        assert sum(isinstance(end, LostLease) for end in ends) == 9
        assert (await present(store)).position == ends.index(None) + 1

    async def test_a_rewind_moves_the_checkpoint_and_shuts_its_owner_out(self, store: Storage) -> None:
        mine = await claimed(store, position=9)
        await store.rewind(ORDERS, 2)
        now = await present(store)
        assert (now.position, now.owner) == (2, None)
        for old in (2, 9):
            with pytest.raises(LostLease):
                await store.advance(advance(mine, 10, old=old))
        assert (await present(store)).position == 2

    async def test_after_a_rewind_anyone_may_claim_with_a_fresh_token(self, store: Storage) -> None:
        mine = await claimed(store, position=9)
        await store.rewind(ORDERS, 2)
        theirs = await store.claim(ORDERS, "two")
        assert theirs is not None
        assert (theirs.position, theirs.owner) == (2, "two")
        assert theirs.token > mine.token
        await store.advance(advance(theirs, 3))

    async def test_who_is_unseated_writes_nothing_more_and_the_checkpoint_stays_where_it_was(
        self, store: Storage
    ) -> None:
        mine = await claimed(store, position=3)
        await store.advance(advance(mine, 9))
        await store.unseat(ORDERS)
        now = await present(store)
        assert (now.position, now.owner) == (9, None)
        with pytest.raises(LostLease):
            await store.advance(advance(mine, 10, old=9))
        theirs = await store.claim(ORDERS, "two")
        assert theirs is not None
        assert theirs.token > mine.token
        await store.advance(advance(theirs, 10, old=9))

    async def test_who_is_unseated_may_claim_again_with_a_fresh_token(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.unseat(ORDERS)
        again = await store.claim(ORDERS, "one")
        assert again is not None
        assert again.token > mine.token

    async def test_unseating_from_an_unknown_checkpoint_does_nothing(self, store: Storage) -> None:
        await store.unseat("projection:unknown")
        assert list(await store.checkpoints()) == []

    async def test_a_forgotten_checkpoint_is_gone(self, store: Storage) -> None:
        mine = await claimed(store)
        await claimed(store, "projection:stock")
        await store.forget(ORDERS)
        assert [each.processor for each in await store.checkpoints()] == ["projection:stock"]
        with pytest.raises(LostLease):
            await store.advance(advance(mine, 5))

    async def test_a_forgotten_checkpoint_can_be_registered_anew(self, store: Storage) -> None:
        await claimed(store, position=9)
        await store.forget(ORDERS)
        again = await store.register(ORDERS, position=0)
        assert (again.position, again.owner) == (0, None)
        await store.forget("projection:unknown")

    async def test_checkpoints_are_listed_by_name(self, store: Storage) -> None:
        names = [f"reaction:{text}" for text in HOSTILE] + ["projection:orders", "projection:orders@2"]
        for position, name in enumerate(names):
            await store.register(name, position=position)
        listed = await store.checkpoints()
        assert [each.processor for each in listed] == sorted(names)
        assert {each.processor: each.position for each in listed} == {name: n for n, name in enumerate(names)}

    async def test_a_checkpoint_says_whether_its_owner_lives(self, store: Storage) -> None:
        assert not (await store.register(ORDERS, position=0)).runs
        assert (await claimed(store)).runs
        assert (await present(store)).runs
        await store.release("one")
        assert not (await present(store)).runs

    async def test_one_of_several_can_be_released(self, store: Storage) -> None:
        await claimed(store, "projection:a", "one")
        await claimed(store, "projection:b", "one")
        await claimed(store, "projection:c", "two")
        for name in ("projection:a", "projection:c"):
            await store.release("one", name)
        assert [each.owner for each in await store.checkpoints()] == [None, "one", "two"]

    async def test_what_is_paused_is_taken_from_its_owner_and_nobody_can_claim_it(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.pause(ORDERS)
        with pytest.raises(LostLease):
            await store.advance(advance(mine, 5))
        assert [await store.claim(ORDERS, owner) for owner in ("one", "two")] == [None, None]
        await store.release("one")
        paused = await present(store)
        assert (paused.owner, paused.runs, paused.position) == (PAUSED, False, 0)

    async def test_what_was_paused_goes_on_where_it_was(self, store: Storage) -> None:
        mine = await claimed(store)
        await store.advance(advance(mine, 5))
        await store.pause(ORDERS)
        await store.release(PAUSED, ORDERS)
        again = await store.claim(ORDERS, "two")
        assert again is not None
        assert (again.position, again.owner) == (5, "two")
        assert again.token > mine.token

    async def test_a_processor_is_cut_into_segments_and_put_together_again(self, store: Storage) -> None:
        whole = await store.register(ORDERS, position=7, fold="f1")
        halves = {f"{ORDERS}/0.2": 7, f"{ORDERS}/1.2": 7}
        assert await store.recut("one", [whole], halves)
        stored = {each.processor: each for each in await store.checkpoints()}
        assert {name: stored[name].position for name in halves} == halves
        assert {stored[name].fold for name in halves} == {"f1"}
        assert (stored[ORDERS].owner, len(stored)) == (CUT, 3)
        assert await store.claim(ORDERS, "one") is None
        first = await store.claim(f"{ORDERS}/0.2", "one")
        assert first is not None
        await store.advance(advance(first, 9))
        await store.release("one")
        parts = [each for each in await store.checkpoints() if each.processor != ORDERS]
        assert await store.recut("one", parts, {ORDERS: 9})
        [again] = await store.checkpoints()
        assert (again.processor, again.position, again.owner, again.fold) == (ORDERS, 9, None, "f1")
        assert again.token > max(first.token, whole.token)

    async def test_a_segment_is_cut_again_without_its_siblings(self, store: Storage) -> None:
        whole = await store.register(ORDERS, position=7)
        await store.recut("one", [whole], {f"{ORDERS}/0.2": 7, f"{ORDERS}/1.2": 7})
        half = await present(store, f"{ORDERS}/1.2")
        assert await store.recut("one", [half], {f"{ORDERS}/1.4": 7, f"{ORDERS}/3.4": 7})
        assert [each.processor for each in await store.checkpoints() if each.owner != CUT] == [
            f"{ORDERS}/0.2",
            f"{ORDERS}/1.4",
            f"{ORDERS}/3.4",
        ]

    async def test_what_has_moved_or_is_run_by_somebody_else_is_not_cut(self, store: Storage) -> None:
        whole = await store.register(ORDERS, position=7)
        mine = await claimed(store, position=7)
        halves = {f"{ORDERS}/0.2": 7, f"{ORDERS}/1.2": 7}
        assert not await store.recut("two", [whole], halves)
        await store.advance(advance(mine, 8))
        assert not await store.recut("one", [whole], halves)
        await store.pause(ORDERS)
        assert not await store.recut("one", [await present(store)], halves)
        assert [each.processor for each in await store.checkpoints()] == [ORDERS]

    async def test_who_ran_the_whole_is_shut_out_when_it_is_cut(self, store: Storage) -> None:
        mine = await claimed(store, position=7)
        assert await store.recut("one", [mine], {f"{ORDERS}/0.2": 7, f"{ORDERS}/1.2": 7})
        with pytest.raises(LostLease):
            await store.advance(advance(mine, 8))
        await store.rewind(ORDERS, 3)
        assert await store.claim(ORDERS, "one") is None

    async def test_of_ten_who_cut_at_once_one_does(self, store: Storage) -> None:
        whole = await store.register(ORDERS, position=7)
        halves = {f"{ORDERS}/0.2": 7, f"{ORDERS}/1.2": 7}
        done = await asyncio.gather(*(store.recut(f"owner {n}", [whole], halves) for n in range(10)))
        assert sum(done) == 1
