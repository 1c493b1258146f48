"""Append conditions: dynamic consistency boundaries, with the semantics of the specification at dcb.events."""

import asyncio

import pytest

from daicho.core.conditions import ABSENT, ANY, EXISTS, AppendCondition, Criteria, Criterion, Expected
from daicho.core.errors import ConcurrencyError
from daicho.ports.event_store import Appended, AppendRequest, NewEvent, Selection
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, append, event, refusal, request, write

__all__ = ["ConditionsContract"]


def unless(criteria: Criteria, after: int = 0, *seen: int) -> AppendRequest:
    """An append that fails if anything meets `criteria` after `after`, other than what stands at `seen`."""
    return request("probe-1", event("probe"), condition=AppendCondition(criteria, after, seen))


def tagged(type: str, *tags: str) -> NewEvent:
    return event(type, tags=tags)


_THERE = tagged("seat.reserved", "customer:7", "seat:a1")
_CASES = [
    ("its type", True, Criteria(types=["seat.reserved"])),
    ("another type", False, Criteria(types=["seat.released"])),
    ("one of several types", True, Criteria(types=["seat.released", "seat.reserved"])),
    ("a part of its type", False, Criteria(types=["seat"])),
    ("one of its tags", True, Criteria(tags=["seat:a1"])),
    ("another tag", False, Criteria(tags=["seat:a2"])),
    ("a part of its tag", False, Criteria(tags=["seat:a"])),
    ("its tag in another case", False, Criteria(tags=["SEAT:A1"])),
    ("all of its tags", True, Criteria(tags=["seat:a1", "customer:7"])),
    ("one of its tags and another one", False, Criteria(tags=["seat:a1", "customer:8"])),
    ("more tags than it has", False, Criteria(tags=["seat:a1", "customer:7", "row:a"])),
    ("its type and its tag", True, Criteria(types=["seat.reserved"], tags=["seat:a1"])),
    ("its type and another tag", False, Criteria(types=["seat.reserved"], tags=["seat:a2"])),
    ("another type and its tag", False, Criteria(types=["seat.released"], tags=["seat:a1"])),
    ("tags in any order", True, Criteria(Criterion((), ("seat:a1", "customer:7")))),
    ("a second alternative", True, Criteria(types=["x"]) | Criteria(tags=["seat:a1"])),
    (
        "a last alternative",
        True,
        Criteria(types=["x"]) | Criteria(tags=["y"]) | Criteria(types=["seat.reserved"]),
    ),
    ("no alternative", False, Criteria(types=["x"]) | Criteria(tags=["y"])),
    (
        "halves of two alternatives",
        False,
        Criteria(types=["x"], tags=["seat:a1"]) | Criteria(tags=["customer:7", "y"]),
    ),
    ("criteria that name nothing", True, Criteria()),
    ("an alternative that names nothing", True, Criteria(Criterion())),
]


class ConditionsContract(Contract):
    @pytest.mark.parametrize(("meets", "criteria"), [case[1:] for case in _CASES], ids=[case[0] for case in _CASES])
    async def test_a_conflict_is_an_event_that_meets(self, store: Storage, meets: bool, criteria: Criteria) -> None:
        await append(store, request("seat-a1", _THERE))
        [answer] = await store.append([unless(criteria)])
        assert isinstance(answer, ConcurrencyError if meets else Appended)
        assert await store.stream_version("probe-1") == (0 if meets else 1)

    @pytest.mark.parametrize("criteria", [Criteria(), Criteria(types=["x"]), Criteria(tags=["y"])], ids=repr)
    async def test_nothing_is_in_the_way_in_an_empty_store(self, store: Storage, criteria: Criteria) -> None:
        await append(store, unless(criteria))
        assert await store.stream_version("probe-1") == 1

    async def test_tags_of_different_events_do_not_add_up(self, store: Storage) -> None:
        await append(store, request("a-1", tagged("x", "t:1")), request("a-1", tagged("x", "t:2")))
        await append(store, unless(Criteria(tags=["t:1", "t:2"])))

    async def test_type_and_tag_must_be_of_the_same_event(self, store: Storage) -> None:
        await append(store, request("a-1", tagged("x", "t:1"), tagged("y", "t:2")))
        await append(store, unless(Criteria(types=["x"], tags=["t:2"])))

    async def test_events_up_to_after_do_not_count_and_later_ones_do(self, store: Storage) -> None:
        [answer] = await append(store, request("a-1", tagged("x", "t:1"), tagged("x", "t:1"), tagged("x", "t:1")))
        criteria = Criteria(tags=["t:1"])
        assert isinstance(await refusal(store, unless(criteria, answer.positions[1])), ConcurrencyError)
        await append(store, unless(criteria, answer.positions[2]))

    @pytest.mark.parametrize(
        "criteria",
        [Criteria(tags=["t:1"]), Criteria(types=["x"]), Criteria(tags=["t:1"]) | Criteria(types=["y"]), Criteria()],
        ids=["a tag", "a type", "alternatives", "everything"],
    )
    async def test_what_was_seen_after_the_head_is_not_in_the_way_and_the_rest_is(
        self, store: Storage, criteria: Criteria
    ) -> None:
        events = [tagged("x", "t:1") for _ in range(4)]
        first, second, third, fourth = (await append(store, request("a-1", *events)))[0].positions
        assert isinstance(await refusal(store, unless(criteria, first, second, third)), ConcurrencyError)
        assert isinstance(await refusal(store, unless(criteria, first, second, fourth)), ConcurrencyError)
        assert isinstance(await refusal(store, unless(criteria, 0, second, third, fourth)), ConcurrencyError)
        await append(store, unless(criteria, first, fourth, third, second))

    async def test_more_can_have_been_seen_than_an_error_names(self, store: Storage) -> None:
        places = (await append(store, request("a-1", *[tagged("x", "t:1") for _ in range(150)])))[0].positions
        criteria = Criteria(tags=["t:1"])
        assert isinstance(await refusal(store, unless(criteria, 0, *places[:-1])), ConcurrencyError)
        await append(store, unless(criteria, 0, *places))

    async def test_what_was_seen_and_does_not_meet_the_criteria_changes_nothing(self, store: Storage) -> None:
        [answer] = await append(store, request("a-1", tagged("x", "t:1"), tagged("x", "t:2")))
        met, other = answer.positions
        assert isinstance(await refusal(store, unless(Criteria(tags=["t:1"]), 0, other)), ConcurrencyError)
        await append(store, unless(Criteria(tags=["t:1"]), 0, met, other + 1000))

    async def test_a_decision_may_read_beyond_the_head_and_misses_nothing(self, store: Storage) -> None:
        await append(store, *(request(f"a-{n}", tagged("x", "t:1")) for n in range(5)))
        every = await store.read(Selection(), limit=10)
        assert await store.read(Selection(criteria=Criteria(tags=["t:1"]), beyond_head=True), limit=10) == every
        newest = Selection(criteria=Criteria(tags=["t:1"]), newest_first=True, beyond_head=True)
        assert await store.read(newest, limit=2) == every[:-3:-1]

    async def test_after_the_head_nothing_is_in_the_way(self, store: Storage) -> None:
        await append(store, request("a-1", "x"))
        await append(store, unless(Criteria(), await store.head() + 1000))

    async def test_a_conflict_says_what_was_expected_and_which_events_are_in_the_way(self, store: Storage) -> None:
        await append(store, request("a-1", tagged("x", "t:1"), tagged("y", "t:2"), tagged("z", "t:1")))
        condition = AppendCondition(Criteria(tags=["t:1"]), 0)
        error = await refusal(store, request("a-2", "w", condition=condition))
        assert isinstance(error, ConcurrencyError)
        assert error.expected == condition
        assert {e.type for e in error.events} <= {"x", "z"}

    async def test_the_events_of_an_append_are_not_in_its_own_way(self, store: Storage) -> None:
        condition = AppendCondition(Criteria(tags=["t:1"]))
        await append(store, request("a-1", tagged("x", "t:1"), tagged("x", "t:1"), condition=condition))
        assert await store.stream_version("a-1") == 2

    async def test_a_condition_sees_the_events_of_earlier_requests_of_its_group(self, store: Storage) -> None:
        first, second, third = await store.append(
            [
                request("a-1", tagged("x", "t:1"), condition=AppendCondition(Criteria(tags=["t:1"]))),
                request("a-2", tagged("x", "t:1"), condition=AppendCondition(Criteria(tags=["t:1"]))),
                request("a-3", tagged("x", "t:2"), condition=AppendCondition(Criteria(tags=["t:2"]))),
            ]
        )
        assert isinstance(first, Appended)
        assert isinstance(second, ConcurrencyError)
        assert isinstance(third, Appended)

    @pytest.mark.parametrize(
        ("tag", "expected", "goes_through"),
        [("t:2", 1, True), ("t:2", 5, False), ("t:1", 1, False), ("t:1", 5, False), ("t:2", EXISTS, True)],
    )
    async def test_condition_and_expected_version_must_both_hold(
        self, store: Storage, tag: str, expected: Expected, goes_through: bool
    ) -> None:
        await append(store, request("a-1", tagged("x", "t:1")))
        both = request("a-1", "y", expected=expected, condition=AppendCondition(Criteria(tags=[tag])))
        [answer] = await store.append([both])
        assert isinstance(answer, Appended if goes_through else ConcurrencyError)
        assert await store.stream_version("a-1") == (2 if goes_through else 1)

    async def test_a_failed_condition_writes_to_none_of_the_streams(self, store: Storage) -> None:
        await append(store, request("a-1", tagged("x", "t:1")))
        condition = AppendCondition(Criteria(tags=["t:1"]))
        writes = (write("b-1", "y", expected=ANY), write("b-2", "y", expected=ABSENT))
        await refusal(store, AppendRequest(writes=writes, condition=condition))
        assert await store.streams(None) == [("a-1", 1)]

    async def test_of_racing_appends_under_the_same_condition_exactly_one_wins(self, store: Storage) -> None:
        def take(n: int) -> AppendRequest:
            condition = AppendCondition(Criteria(types=["seat.reserved"], tags=["seat:a1"]))
            return request(f"customer-{n}", tagged("seat.reserved", "seat:a1"), condition=condition)

        answers = await asyncio.gather(*(store.append([take(n)]) for n in range(20)))
        assert sum(isinstance(answer, Appended) for [answer] in answers) == 1
        assert sum(isinstance(answer, ConcurrencyError) for [answer] in answers) == 19
        assert await store.head() == (await store.read(Selection(), limit=10))[-1].position

    async def test_racing_appends_under_conditions_of_their_own_all_win(self, store: Storage) -> None:
        def take(n: int) -> AppendRequest:
            condition = AppendCondition(Criteria(tags=[f"seat:a{n}"]))
            return request("plan-1", tagged("seat.reserved", f"seat:a{n}"), condition=condition)

        answers = await asyncio.gather(*(store.append([take(n)]) for n in range(20)))
        assert all(isinstance(answer, Appended) for [answer] in answers)

    async def test_plain_appends_do_not_slip_past_a_condition(self, store: Storage) -> None:
        plain = [request("a-1", tagged("plain", "t:1")) for _ in range(10)]
        guarded = [
            request("a-2", tagged("guarded", "t:1"), condition=AppendCondition(Criteria(tags=["t:1"]), n))
            for n in range(10)
        ]
        every = [each for pair in zip(plain, guarded, strict=True) for each in pair]
        answers = await asyncio.gather(*(store.append([each]) for each in every))
        positions = [e.position for e in await store.read(Selection(), limit=100)]
        for asked, [answer] in zip(every, answers, strict=True):
            if asked.condition is not None and isinstance(answer, Appended):
                assert not [p for p in positions if asked.condition.after < p < answer.positions[0]]

    async def test_hostile_tags_and_types_are_compared_as_they_are(self, store: Storage) -> None:
        for n, text in enumerate(HOSTILE):
            await append(store, unless(Criteria(tags=[text])), unless(Criteria(types=[text])))
            await append(store, request(f"a-{n}", event(text, tags=(text,))))
            assert isinstance(await refusal(store, unless(Criteria(tags=[text]))), ConcurrencyError)
            assert isinstance(await refusal(store, unless(Criteria(types=[text]))), ConcurrencyError)
