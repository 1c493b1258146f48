"""The contract of `daicho.ports.checkpoint_store.CheckpointStore`."""

import asyncio

import pytest

from daicho.core.errors import LostLease
from daicho.ports.checkpoint_store import Advance, Checkpoint
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
