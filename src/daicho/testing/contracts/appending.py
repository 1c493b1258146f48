"""Appending: expected versions, atomicity, groups, outcomes."""

import asyncio
from datetime import timedelta

from msgspec.structs import asdict

from daicho.core.conditions import ABSENT, ANY, EXISTS, Criteria
from daicho.core.errors import ConcurrencyError
from daicho.core.stored import NewEvent
from daicho.ports.event_store import Appended, AppendRequest, CommandOutcome, Selection
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import Contract, HandClock, append, event, fresh_id, refusal, request, soon, write

__all__ = ["AppendingContract"]

ALL = Selection()


def done(command_id: str, **fields: object) -> CommandOutcome:
    return CommandOutcome(command_id=command_id, name="Test", state="done", received_at="2026-01-01", **fields)  # type: ignore[arg-type]


class AppendingContract(Contract):
    async def test_any_is_met_by_an_empty_and_by_an_existing_stream(self, store: Storage) -> None:
        await append(store, request("order-1", "a", expected=ANY))
        await append(store, request("order-1", "b", expected=ANY))
        assert await store.stream_version("order-1") == 2

    async def test_absent_is_met_by_an_empty_stream(self, store: Storage) -> None:
        [answer] = await append(store, request("order-1", "a", "b", expected=ABSENT))
        assert answer.versions == (2,)

    async def test_absent_is_refused_by_a_stream_that_exists(self, store: Storage) -> None:
        await append(store, request("order-1", "a", "b"))
        error = await refusal(store, request("order-1", "c", expected=ABSENT))
        assert isinstance(error, ConcurrencyError)
        assert (error.expected, error.actual) == (ABSENT, 2)

    async def test_exists_is_met_by_a_stream_that_exists(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        [answer] = await append(store, request("order-1", "b", expected=EXISTS))
        assert answer.versions == (2,)

    async def test_exists_is_refused_by_an_empty_stream(self, store: Storage) -> None:
        error = await refusal(store, request("order-1", "a", expected=EXISTS))
        assert isinstance(error, ConcurrencyError)
        assert (error.expected, error.actual, error.events) == (EXISTS, 0, ())

    async def test_a_number_is_met_by_exactly_that_many_events(self, store: Storage) -> None:
        await append(store, request("order-1", "a", "b"))
        [answer] = await append(store, request("order-1", "c", expected=2))
        assert answer.versions == (3,)

    async def test_zero_is_met_by_an_empty_stream_only(self, store: Storage) -> None:
        await append(store, request("order-1", "a", expected=0))
        error = await refusal(store, request("order-1", "b", expected=0))
        assert isinstance(error, ConcurrencyError)
        assert (error.expected, error.actual) == (0, 1)

    async def test_a_number_that_is_too_low_is_refused_and_the_events_in_the_way_are_named(
        self, store: Storage
    ) -> None:
        await append(store, request("order-1", "a", "b", "c"))
        error = await refusal(store, request("order-1", "d", expected=1))
        assert isinstance(error, ConcurrencyError)
        assert (error.expected, error.actual) == (1, 3)
        assert [(e.stream, e.version, e.type) for e in error.events] == [("order-1", 2, "b"), ("order-1", 3, "c")]

    async def test_a_number_that_is_too_high_is_refused(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        error = await refusal(store, request("order-1", "b", expected=2))
        assert isinstance(error, ConcurrencyError)
        assert (error.expected, error.actual, error.events) == (2, 1, ())

    async def test_a_refused_append_writes_nothing(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        before = await store.head()
        await refusal(store, request("order-1", "b", "c", expected=7))
        assert await store.head() == before
        assert [e.type for e in await store.read(ALL, limit=10)] == ["a"]

    async def test_versions_are_contiguous_from_one_in_each_stream(self, store: Storage) -> None:
        for _ in range(3):
            await append(store, request("order-1", "a", "b"), request("order-2", "c"))
        one = await store.read(Selection(stream="order-1"), limit=100)
        two = await store.read(Selection(stream="order-2"), limit=100)
        assert [e.version for e in one] == [1, 2, 3, 4, 5, 6]
        assert [e.version for e in two] == [1, 2, 3]

    async def test_the_answer_gives_a_position_for_each_event_and_a_version_for_each_write(
        self, store: Storage
    ) -> None:
        await append(store, request("order-2", "z"))
        [answer] = await append(
            store, AppendRequest(writes=(write("order-1", "a", "b"), write("order-2", "c"), write("order-3", "d")))
        )
        assert answer.versions == (2, 2, 1)
        assert answer.duplicate is False
        stored = await store.read(Selection(after=answer.positions[0] - 1), limit=10)
        assert [(e.position, e.type) for e in stored] == list(zip(answer.positions, "abcd", strict=True))

    async def test_positions_grow_strictly_in_the_order_of_the_request(self, store: Storage) -> None:
        answers = await append(store, request("order-1", "a", "b"), request("order-0", "c"), request("order-1", "d"))
        positions = [position for answer in answers for position in answer.positions]
        assert positions == sorted(set(positions))
        assert positions[0] > 0

    async def test_an_append_over_several_streams_stands_whole(self, store: Storage) -> None:
        await append(store, AppendRequest(writes=tuple(write(f"order-{n}", "a", expected=ABSENT) for n in range(5))))
        assert [await store.stream_version(f"order-{n}") for n in range(5)] == [1] * 5

    async def test_one_conflict_among_several_streams_writes_nothing_anywhere(self, store: Storage) -> None:
        await append(store, request("order-2", "a"))
        error = await refusal(
            store,
            AppendRequest(
                writes=(write("order-1", "b"), write("order-2", "c", expected=ABSENT), write("order-3", "d"))
            ),
        )
        assert isinstance(error, ConcurrencyError)
        assert error.actual == 1
        assert await store.streams(None) == [("order-2", 1)]

    async def test_a_write_without_events_guards_its_stream(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        guard = write("order-1", expected=1)
        await append(store, AppendRequest(writes=(guard, write("order-2", "b"))))
        await append(store, request("order-1", "c"))
        error = await refusal(store, AppendRequest(writes=(guard, write("order-3", "d"))))
        assert isinstance(error, ConcurrencyError)
        assert await store.streams(None) == [("order-1", 2), ("order-2", 1)]

    async def test_a_group_is_answered_one_by_one_in_order(self, store: Storage) -> None:
        answers = await append(store, *(request(f"order-{n}", *("a" * n)) for n in range(1, 6)))
        assert [answer.versions for answer in answers] == [(1,), (2,), (3,), (4,), (5,)]

    async def test_later_requests_of_a_group_see_the_events_of_earlier_ones(self, store: Storage) -> None:
        answers = await append(
            store,
            request("order-1", "a", expected=ABSENT),
            request("order-1", "b", expected=1),
            request("order-1", "c", expected=EXISTS),
        )
        assert [answer.versions for answer in answers] == [(1,), (2,), (3,)]

    async def test_a_request_that_fails_in_the_middle_of_a_group_does_not_touch_the_others(
        self, store: Storage
    ) -> None:
        first, second, third = await store.append(
            [request("order-1", "a"), request("order-1", "b", expected=9), request("order-1", "c", expected=1)]
        )
        assert isinstance(first, Appended)
        assert isinstance(second, ConcurrencyError)
        assert isinstance(third, Appended)
        assert [e.type for e in await store.read(ALL, limit=10)] == ["a", "c"]

    async def test_of_two_requests_in_a_group_with_the_same_expectation_the_first_wins(self, store: Storage) -> None:
        first, second = await store.append(
            [request("order-1", "a", expected=ABSENT), request("order-1", "b", expected=ABSENT)]
        )
        assert isinstance(first, Appended)
        assert isinstance(second, ConcurrencyError)
        assert second.actual == 1
        assert [e.type for e in await store.read(ALL, limit=10)] == ["a"]

    async def test_of_many_concurrent_writers_with_the_same_expectation_exactly_one_wins(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        answers = await asyncio.gather(*(store.append([request("order-1", "b", expected=1)]) for _ in range(20)))
        assert sum(isinstance(answer, Appended) for [answer] in answers) == 1
        assert sum(isinstance(answer, ConcurrencyError) for [answer] in answers) == 19
        assert await store.stream_version("order-1") == 2

    async def test_concurrent_writers_who_retry_all_get_through_without_holes(self, store: Storage) -> None:
        async def persist(name: str) -> None:
            while True:
                version = await store.stream_version("order-1")
                [answer] = await store.append([request("order-1", name, expected=version)])
                if isinstance(answer, Appended):
                    return

        await soon(asyncio.gather(*(persist(f"w{n}") for n in range(10))))
        stored = await store.read(Selection(stream="order-1"), limit=100)
        assert [e.version for e in stored] == list(range(1, 11))
        assert {e.type for e in stored} == {f"w{n}" for n in range(10)}

    async def test_an_append_begun_after_another_was_answered_gets_later_positions(self, store: Storage) -> None:
        async def sequence(stream: str) -> list[int]:
            return [(await append(store, request(stream, "a")))[0].positions[0] for _ in range(10)]

        for positions in await asyncio.gather(*(sequence(f"order-{n}") for n in range(10))):
            assert positions == sorted(set(positions))

    async def test_an_empty_group_is_answered_with_nothing(self, store: Storage) -> None:
        assert await store.append([]) == []
        assert await store.head() == 0

    async def test_a_thousand_events_go_into_one_append(self, store: Storage) -> None:
        many = [event(f"t{n}", data=b'{"n":%d}' % n) for n in range(1000)]
        [answer] = await append(store, request("order-1", *many, expected=ABSENT))
        assert (len(answer.positions), answer.versions) == (1000, (1000,))
        stored = await store.read(Selection(stream="order-1"), limit=2000)
        assert [(e.event_id, e.type, e.data) for e in stored] == [(e.event_id, e.type, e.data) for e in many]

    async def test_a_group_keeps_all_that_each_of_its_events_holds(self, store: Storage) -> None:
        own = fresh_id()
        plain = event("a", correlation_id=own, causation_id=own)
        given = [
            [plain],
            [
                event("b", actor="ann", tenant="t-1", tags=("r:1", "r:2"), metadata=b'{"command":"Book"}'),
                event("ü"),
            ],
            [
                event(
                    "c",
                    schema_version=7,
                    data=b"\x82\xa1a\x01\xa1b\xc0",
                    occurred_at="1999-12-31T23:59:59.000000+00:00",
                )
            ],
            [event("d", data=('{"text":"%s"}' % ("é" * 3000)).encode(), tags=("ключ:значение",), actor="")],
        ]
        await append(store, request("order-2", "before"), request("замовлення-1", "before"))
        streams = ["order-1", "order-2", "замовлення-1", f"order-{'long' * 60}"]
        answers = await append(store, *(request(s, *new) for s, new in zip(streams, given, strict=True)))
        assert [answer.versions for answer in answers] == [(1,), (3,), (2,), (1,)]
        for stream, new, answer in zip(streams, given, answers, strict=True):
            stored = (await store.read(Selection(stream=stream), limit=10))[-len(new) :]
            assert [e.position for e in stored] == list(answer.positions)
            kept = [{f: getattr(e, f) for f in NewEvent.__struct_fields__} for e in stored]
            assert kept == [asdict(e) for e in new]
        tagged = await store.read(Selection(criteria=Criteria(tags=("r:2",))), limit=10)
        assert [e.type for e in tagged] == ["b"]

    async def test_a_refused_request_does_not_touch_the_positions_of_the_others(self, store: Storage) -> None:
        await append(store, request("order-2", "a"))
        asked = [request(f"order-{n}", "b", "c", expected=ABSENT) for n in range(1, 4)]
        first, second, third = await store.append(asked)
        assert isinstance(first, Appended)
        assert isinstance(second, ConcurrencyError)
        assert isinstance(third, Appended)
        stored = await store.read(ALL, limit=10)
        assert [(e.stream, e.version) for e in stored[1:]] == [(f"order-{n}", v) for n in (1, 3) for v in (1, 2)]
        assert [e.position for e in stored[1:]] == [*first.positions, *third.positions]

    async def test_a_request_without_writes_still_records_its_outcome(self, store: Storage) -> None:
        outcome = done(fresh_id(), stream="order-1", version=3, position=9)
        [answer] = await append(store, AppendRequest(outcome=outcome))
        assert (answer.positions, answer.versions, answer.duplicate) == ((), (), False)
        assert await store.outcome(outcome.command_id) == outcome
        assert await store.head() == 0

    async def test_an_outcome_is_recorded_with_the_place_of_its_events(self, store: Storage) -> None:
        await append(store, request("order-1", "a", "b"))
        command = fresh_id()
        [answer] = await append(store, request("order-1", "c", "d", outcome=done(command)))
        outcome = await store.outcome(command)
        assert outcome == done(command, stream="order-1", version=4, position=answer.positions[-1])

    async def test_the_outcome_of_a_refused_request_is_not_recorded(self, store: Storage) -> None:
        command = fresh_id()
        await refusal(store, request("order-1", "a", expected=EXISTS, outcome=done(command)))
        assert await store.outcome(command) is None

    async def test_an_outcome_replaces_an_earlier_one_of_the_same_command(self, store: Storage) -> None:
        command = fresh_id()
        await store.record(CommandOutcome(command_id=command, name="Test", state="pending", received_at="2026-01-01"))
        await append(store, request("order-1", "a", outcome=done(command)))
        outcome = await store.outcome(command)
        assert outcome is not None
        assert (outcome.state, outcome.version) == ("done", 1)
        assert list(await store.pending(limit=10)) == []

    async def test_a_cancelled_append_has_happened_whole_or_not_at_all(self, store: Storage) -> None:
        for turns in range(12):
            both = AppendRequest(writes=(write(f"left-{turns}", "a", "b"), write(f"right-{turns}", "c", "d")))
            task = asyncio.ensure_future(store.append([both]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await append(store, request("after-1", "z"))  # whatever was under way is over when this is answered
            left, right = await store.stream_version(f"left-{turns}"), await store.stream_version(f"right-{turns}")
            assert (left, right) in {(0, 0), (2, 2)}

    async def test_a_cancelled_append_does_not_stop_the_next_ones(self, store: Storage) -> None:
        tasks = [asyncio.ensure_future(store.append([request(f"order-{n}", "a")])) for n in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await soon(asyncio.gather(*tasks, return_exceptions=True))
        assert all(not isinstance(answer, BaseException) for answer in answers[1::2])
        assert [await store.stream_version(f"order-{n}") for n in range(1, 10, 2)] == [1] * 5

    async def test_events_carry_the_time_of_the_stores_clock(self, store: Storage, clock: HandClock) -> None:
        from_, to = clock.time.replace(microsecond=0), clock.time + timedelta(seconds=1)
        await append(store, request("order-1", "a"))
        [stored] = await store.read(ALL, limit=1)
        assert f"{from_:%Y-%m-%dT%H:%M:%S}" <= stored.recorded_at <= f"{to:%Y-%m-%dT%H:%M:%S}"

    async def test_recording_times_never_decrease_even_if_the_clock_does(
        self, store: Storage, clock: HandClock
    ) -> None:
        for seconds in (0, 5, -60, 1, 0.5, -0.25, 120):
            clock.move(seconds)
            await append(store, request("order-1", "a"))
        times = [e.recorded_at for e in await store.read(ALL, limit=100)]
        assert times == sorted(times)
        assert len(set(times)) > 1
