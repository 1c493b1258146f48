"""The contract of `daicho.ports.dead_letter_store.DeadLetterStore`."""

import pytest

from daicho.core.errors import LostLease, NotParked
from daicho.ports.checkpoint_store import Checkpoint
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, fresh_id
from daicho.testing.contracts.checkpoint_store import claimed, present

__all__ = ["DeadLetterStoreContract", "parked"]

ORDERS, STOCK = "projection:orders", "projection:stock"
STATES = ("parked", "retry", "retried", "skipped")


def parked(key: str, position: int = 1, error: str | None = "ValueError: no", code: str | None = None) -> ParkedEvent:
    return ParkedEvent(
        key=key,
        position=position,
        event_id=fresh_id(),
        type="order.placed",
        stream=f"order-{key}",
        correlation_id=fresh_id(),
        error=error,
        code=code,
    )


async def park(store: Storage, checkpoint: Checkpoint, *events: ParkedEvent) -> list[DeadLetter]:
    """Parks the events, moving the checkpoint by one, and returns the new letters."""
    old = (await present(store, checkpoint.processor)).position
    before = {letter.number for letter in await store.letters(states=STATES)}
    await store.park(checkpoint.processor, checkpoint.token, old, old + 1, events)
    return [letter for letter in await store.letters(states=STATES) if letter.number not in before]


async def states(store: Storage) -> list[tuple[str, str]]:
    return [(letter.key, letter.state) for letter in await store.letters(states=STATES)]


class DeadLetterStoreContract(Contract):
    async def test_parking_keeps_the_event_and_moves_the_checkpoint(self, store: Storage) -> None:
        mine = await claimed(store, position=3)
        event = ParkedEvent(
            key="7",
            position=8,
            event_id=fresh_id(),
            type="order.placed",
            stream="order-7",
            correlation_id=fresh_id(),
            error="ValueError: 注文",
            trace="Traceback\n  line 1",
            attempts=6,
            code="0123456789abcdef",
        )
        await store.park(ORDERS, mine.token, 3, 8, [event])
        [letter] = await store.letters()
        assert {field: getattr(letter, field) for field in ParkedEvent.__struct_fields__} == {
            field: getattr(event, field) for field in ParkedEvent.__struct_fields__
        }
        assert (letter.processor, letter.state, letter.reason) == (ORDERS, "parked", None)
        assert letter.parked_at.startswith("2026-01-02T03:04:05")
        assert (await present(store)).position == 8

    async def test_followers_are_parked_without_an_error_of_their_own(self, store: Storage) -> None:
        mine = await claimed(store)
        letters = await park(store, mine, parked("7"), parked("7", 2, error=None))
        assert [(letter.error, letter.trace) for letter in letters] == [("ValueError: no", None), (None, None)]

    async def test_who_lost_the_lease_parks_nothing(self, store: Storage) -> None:
        mine = await claimed(store, position=3)
        await store.release("one")
        theirs = await claimed(store, owner="two")
        for token, old in ((mine.token, 3), (theirs.token, 2)):
            with pytest.raises(LostLease):
                await store.park(ORDERS, token, old, 8, [parked("7")])
        assert list(await store.letters(states=STATES)) == []
        assert await store.parked_keys(ORDERS) == set()
        assert await present(store) == theirs

    async def test_letters_come_oldest_first_and_can_be_limited(self, store: Storage) -> None:
        orders, stock = await claimed(store), await claimed(store, STOCK)
        await park(store, orders, parked("b", 9), parked("a", 2))
        await park(store, stock, parked("d", 1))
        await park(store, orders, parked("c", 1))
        assert [letter.key for letter in await store.letters()] == ["b", "a", "d", "c"]
        assert [letter.key for letter in await store.letters(limit=2)] == ["b", "a"]
        numbers = [letter.number for letter in await store.letters()]
        assert numbers == sorted(set(numbers))

    async def test_letters_and_keys_of_one_processor_are_its_own(self, store: Storage) -> None:
        orders, stock = await claimed(store), await claimed(store, STOCK)
        await park(store, orders, parked("a"), parked("b"), parked("b", 2))
        await park(store, stock, parked("c"))
        assert [letter.key for letter in await store.letters(ORDERS)] == ["a", "b", "b"]
        assert [letter.key for letter in await store.letters(STOCK)] == ["c"]
        assert await store.parked_keys(ORDERS) == {"a", "b"}
        assert await store.parked_keys(STOCK) == {"c"}
        assert await store.parked_keys("projection:unknown") == set()

    async def test_what_is_given_up_while_it_is_tried_again_stays_given_up(self, store: Storage) -> None:
        mine = await claimed(store)
        first, second = await park(store, mine, parked("a"), parked("a", 2, error=None))
        await store.ask_retry()
        await store.skip(first.number, "paid by hand")
        await store.retried(ORDERS, [first.number, second.number], error="ValueError: still no")
        given_up, left = await store.letters(states=STATES)
        assert (given_up.state, given_up.reason, given_up.attempts) == ("skipped", "paid by hand", first.attempts)
        assert (left.state, left.error) == ("parked", "ValueError: still no")

    async def test_asking_for_one_letter_asks_for_its_whole_key(self, store: Storage) -> None:
        orders, stock = await claimed(store), await claimed(store, STOCK)
        await park(store, stock, parked("a"))
        letters = await park(store, orders, parked("a"), parked("b"), parked("a", 2, error=None))
        assert await store.ask_retry(number=letters[2].number) == 2
        assert [(letter.processor, letter.key, letter.state) for letter in await store.letters()] == [
            (STOCK, "a", "parked"),
            (ORDERS, "a", "retry"),
            (ORDERS, "b", "parked"),
            (ORDERS, "a", "retry"),
        ]

    async def test_asking_for_a_processor_asks_for_all_of_its_letters(self, store: Storage) -> None:
        orders, stock = await claimed(store), await claimed(store, STOCK)
        await park(store, orders, parked("a"), parked("b"), parked("b", 2))
        await park(store, stock, parked("c"))
        assert await store.ask_retry(ORDERS) == 3
        assert [letter.key for letter in await store.letters(states=["retry"])] == ["a", "b", "b"]
        assert [letter.key for letter in await store.letters(states=["parked"])] == ["c"]

    async def test_asking_for_everything_asks_for_every_letter(self, store: Storage) -> None:
        assert await store.ask_retry() == 0
        await park(store, await claimed(store), parked("a"))
        await park(store, await claimed(store, STOCK), parked("c"))
        assert await store.ask_retry() == 2
        assert await states(store) == [("a", "retry"), ("c", "retry")]

    async def test_a_key_stays_parked_while_a_retry_is_asked_for(self, store: Storage) -> None:
        await park(store, await claimed(store), parked("a"))
        await store.ask_retry(ORDERS)
        assert await store.parked_keys(ORDERS) == {"a"}

    async def test_letters_that_went_through_free_their_key(self, store: Storage) -> None:
        letters = await park(store, await claimed(store), parked("a"), parked("a", 2), parked("b", 3))
        await store.ask_retry(ORDERS)
        await store.retried(ORDERS, [letter.number for letter in letters[:2]])
        assert await states(store) == [("a", "retried"), ("a", "retried"), ("b", "retry")]
        assert await store.parked_keys(ORDERS) == {"b"}
        assert [letter.key for letter in await store.letters()] == ["b"]

    async def test_a_key_is_free_only_when_its_last_letter_went_through(self, store: Storage) -> None:
        one, two = await park(store, await claimed(store), parked("a"), parked("a", 2))
        await store.ask_retry(ORDERS)
        await store.retried(ORDERS, [one.number])
        assert await store.parked_keys(ORDERS) == {"a"}
        await store.retried(ORDERS, [two.number])
        assert await store.parked_keys(ORDERS) == set()

    async def test_a_letter_that_failed_again_is_parked_with_the_new_error(self, store: Storage) -> None:
        [before] = await park(store, await claimed(store), parked("a"))
        await store.ask_retry(ORDERS)
        await store.retried(ORDERS, [before.number], error="KeyError: again")
        [after] = await store.letters()
        assert (after.number, after.state, after.error) == (before.number, "parked", "KeyError: again")
        assert after.attempts > before.attempts
        assert await store.parked_keys(ORDERS) == {"a"}
        assert await store.ask_retry(ORDERS) == 1

    async def test_a_letter_tells_which_code_failed_on_it_last(self, store: Storage) -> None:
        letters = await park(store, await claimed(store), parked("a", code="old"), parked("a", 2, error=None))
        assert [letter.code for letter in letters] == ["old", None]
        await store.ask_retry(ORDERS)
        await store.retried(ORDERS, [letters[0].number], error="KeyError: again", code="new")
        assert [letter.code for letter in await store.letters()] == ["new", None]

    async def test_other_code_asks_for_the_keys_that_it_has_not_failed_on(self, store: Storage) -> None:
        orders, stock = await claimed(store), await claimed(store, STOCK)
        await park(store, stock, parked("a", code="old"))
        await park(
            store,
            orders,
            parked("a", code="old"),
            parked("b", 2, code="new"),
            parked("a", 3, error=None),
            parked("b", 4, error=None),
            parked("c", 5),
        )
        assert await store.ask_retry_by(ORDERS, "new", "other code") == 3
        assert [(x.processor, x.key, x.state, x.reason) for x in await store.letters()] == [
            (STOCK, "a", "parked", None),
            (ORDERS, "a", "retry", "other code"),
            (ORDERS, "b", "parked", None),
            (ORDERS, "a", "retry", "other code"),
            (ORDERS, "b", "parked", None),
            (ORDERS, "c", "retry", "other code"),
        ]

    async def test_code_that_failed_again_does_not_ask_again_until_it_is_changed(self, store: Storage) -> None:
        [letter] = await park(store, await claimed(store), parked("a", code="one"))
        assert await store.ask_retry_by(ORDERS, "one", "other code") == 0
        assert await store.ask_retry_by(ORDERS, "two", "other code") == 1
        assert await store.ask_retry_by(ORDERS, "two", "other code") == 0
        await store.retried(ORDERS, [letter.number], error="KeyError: again", code="two")
        assert [(x.state, x.reason) for x in await store.letters()] == [("parked", None)]
        assert await store.ask_retry_by(ORDERS, "two", "other code") == 0
        assert await store.ask_retry_by(ORDERS, "three", "other code") == 1

    async def test_what_waits_behind_a_skipped_letter_is_asked_for_by_any_code(self, store: Storage) -> None:
        first, _ = await park(store, await claimed(store), parked("a", code="one"), parked("a", 2, error=None))
        await store.skip(first.number, "no")
        assert await store.ask_retry_by(ORDERS, "one", "other code") == 1

    async def test_why_it_was_retried_stays_on_record_unless_somebody_asks(self, store: Storage) -> None:
        one, two = await park(store, await claimed(store), parked("a", code="one"), parked("b", 2, code="one"))
        await store.ask_retry_by(ORDERS, "two", "other code")
        await store.retried(ORDERS, [one.number])
        await store.retried(ORDERS, [two.number], error="KeyError: again", code="two")
        await store.ask_retry(ORDERS)
        assert [x.reason for x in await store.letters(states=STATES)] == ["other code", None]

    async def test_parked_letters_are_counted_for_each_processor(self, store: Storage) -> None:
        assert await store.parked_counts() == {}
        one, two, _ = await park(store, await claimed(store), parked("a"), parked("b", 2), parked("c", 3))
        await park(store, await claimed(store, STOCK), parked("d"))
        await store.ask_retry(number=one.number)
        await store.skip(two.number, "no")
        assert await store.parked_counts() == {ORDERS: 2, STOCK: 1}

    async def test_only_closed_letters_of_the_named_states_are_purged(self, store: Storage) -> None:
        mine = await claimed(store)
        one, two, three, _ = await park(store, mine, parked("a"), parked("b", 2), parked("c", 3), parked("d", 4))
        await store.skip(one.number, "no")
        await store.retried(ORDERS, [two.number])
        await store.ask_retry(number=three.number)
        assert await store.purge("2999", ("retried",)) == 1
        assert await states(store) == [("a", "skipped"), ("c", "retry"), ("d", "parked")]
        assert await store.purge("2999", STATES) == 1
        assert await states(store) == [("c", "retry"), ("d", "parked")]

    async def test_letters_that_were_parked_later_are_not_purged(self, store: Storage) -> None:
        [letter] = await park(store, await claimed(store), parked("a"))
        await store.skip(letter.number, "no")
        assert await store.purge(letter.parked_at, STATES) == 0
        assert await store.purge(letter.parked_at + "1", STATES) == 1
        assert await states(store) == []

    async def test_a_skipped_letter_stays_on_record_with_the_reason(self, store: Storage) -> None:
        one, _ = await park(store, await claimed(store), parked("a"), parked("b", 2))
        await store.skip(one.number, "paid by hand, see 注文's file")
        [skipped] = await store.letters(states=["skipped"])
        assert (skipped.number, skipped.reason) == (one.number, "paid by hand, see 注文's file")
        assert [letter.key for letter in await store.letters()] == ["b"]
        assert await store.parked_keys(ORDERS) == {"b"}

    async def test_skipping_one_letter_leaves_its_followers_parked(self, store: Storage) -> None:
        one, two = await park(store, await claimed(store), parked("a"), parked("a", 2, error=None))
        await store.skip(one.number, "no")
        assert [letter.number for letter in await store.letters()] == [two.number]
        assert await store.parked_keys(ORDERS) == {"a"}

    async def test_a_letter_whose_retry_was_asked_for_can_still_be_skipped(self, store: Storage) -> None:
        [letter] = await park(store, await claimed(store), parked("a"))
        await store.ask_retry()
        await store.skip(letter.number, "no")
        assert await states(store) == [("a", "skipped")]

    async def test_what_is_not_parked_cannot_be_skipped(self, store: Storage) -> None:
        one, two = await park(store, await claimed(store), parked("a"), parked("b", 2))
        await store.skip(one.number, "first reason")
        await store.ask_retry()
        await store.retried(ORDERS, [two.number])
        for number in (one.number, two.number, two.number + 1000):
            with pytest.raises(NotParked):
                await store.skip(number, "second reason")
        assert await states(store) == [("a", "skipped"), ("b", "retried")]
        [skipped] = await store.letters(states=["skipped"])
        assert skipped.reason == "first reason"

    async def test_what_was_dealt_with_is_not_asked_for_again(self, store: Storage) -> None:
        one, two, _ = await park(store, await claimed(store), parked("a"), parked("b", 2), parked("c", 3))
        await store.skip(one.number, "no")
        await store.retried(ORDERS, [two.number])
        assert await store.ask_retry() == 1
        assert await states(store) == [("a", "skipped"), ("b", "retried"), ("c", "retry")]

    async def test_forgetting_a_checkpoint_forgets_its_letters_and_no_others(self, store: Storage) -> None:
        await park(store, await claimed(store), parked("a"))
        await park(store, await claimed(store, STOCK), parked("b"))
        await store.forget(ORDERS)
        assert await states(store) == [("b", "parked")]
        assert await store.parked_keys(ORDERS) == set()

    async def test_hostile_keys_are_kept_and_grouped_as_they_are(self, store: Storage) -> None:
        letters = await park(store, await claimed(store), *(parked(text) for text in HOSTILE))
        assert [letter.key for letter in letters] == list(HOSTILE)
        assert await store.parked_keys(ORDERS) == set(HOSTILE)
        for letter in letters:
            assert await store.ask_retry(number=letter.number) == 1
