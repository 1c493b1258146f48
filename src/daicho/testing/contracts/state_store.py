"""The contract of `daicho.ports.state_store.StateStore`, and of the states that appends keep."""

import asyncio

from daicho.core.conditions import ANY, AppendCondition, Criteria, Expected
from daicho.core.errors import ConcurrencyError
from daicho.ports.event_store import Appended, AppendRequest, CommandOutcome, NewEvent, Selection, StreamWrite
from daicho.ports.state_store import Pruned, Standing, StateRow, StateWrite
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, append, event, fresh_id, refusal, request

__all__ = ["StateStoreContract"]


def keeping(
    stream: str,
    *types: str,
    state: bytes | None,
    expected: Expected = ANY,
    fenced: bool = True,
    events: tuple[NewEvent, ...] | None = None,
    **further: object,
) -> AppendRequest:
    new = tuple(event(type_) for type_ in types) if events is None else events
    kept = StateWrite(data=state, schema_version=3, position=77, fenced=fenced)
    write = StreamWrite(stream=stream, events=new, expected=expected, state=kept)
    return AppendRequest(writes=(write,), **further)  # type: ignore[arg-type]


async def row_of(store: Storage, stream: str) -> StateRow:
    row, behind = await store.load_state(stream, limit=10)
    assert row is not None
    assert behind == []
    return row


async def versions(store: Storage, stream: str) -> list[int]:
    return [found.version for found in await store.read(Selection(stream=stream), limit=100)]


class StateStoreContract(Contract):
    async def test_a_stream_that_keeps_no_state_is_loaded_as_its_events(self, store: Storage) -> None:
        [answer] = await append(store, request("order-1", "a", "b", "c"))
        row, page = await store.load_state("order-1", limit=2)
        assert row is None
        assert page == [(answer.positions[n], n + 1, "ab"[n], 1, b'{"n":1}') for n in range(2)]
        assert await store.load_state("order-2", limit=2) == (None, [])

    async def test_the_state_of_an_append_stands_at_its_last_event(self, store: Storage) -> None:
        [first] = await append(store, keeping("order-1", "a", "b", state=b'{"n":2}'))
        found = await row_of(store, "order-1")
        assert (found.stream, found.version, found.position) == ("order-1", 2, first.positions[-1])
        assert (found.schema_version, found.data) == (3, b'{"n":2}')
        [second] = await append(store, keeping("order-1", "c", state=b'{"n":3}', expected=2))
        found = await row_of(store, "order-1")
        assert (found.version, found.position, found.data) == (3, second.positions[0], b'{"n":3}')

    async def test_states_come_back_as_they_were_whatever_they_hold(self, store: Storage) -> None:
        texts = [b"null", b"17", b"[1,2]", b'{"nul":"\\u0000","half":"\\ud800"}', '{"名":"帳"}'.encode()]
        for n, text in enumerate(texts):
            await append(store, keeping(f"order-{n}", "a", state=text))
        assert [(await row_of(store, f"order-{n}")).data for n in range(len(texts))] == texts

    async def test_states_of_different_streams_do_not_mix(self, store: Storage) -> None:
        streams = [f"order-{text}" for text in HOSTILE]
        for n, stream in enumerate(streams):
            await append(store, keeping(stream, "a", state=b"%d" % n))
        assert [(await row_of(store, stream)).data for stream in streams] == [b"%d" % n for n in range(len(streams))]
        found = await store.states("order", limit=100)
        assert [each.stream for each in found] == sorted(streams)

    async def test_a_refused_append_leaves_the_state_alone(self, store: Storage) -> None:
        await append(store, keeping("order-1", "a", state=b"1"))
        assert isinstance(await refusal(store, keeping("order-1", "b", state=b"2", expected=0)), ConcurrencyError)
        condition = AppendCondition(Criteria(types=["a"]), after=0)
        assert isinstance(
            await refusal(store, keeping("order-1", "b", state=b"3", condition=condition)), ConcurrencyError
        )
        assert (await row_of(store, "order-1")).data == b"1"

    async def test_one_refused_in_a_group_takes_no_state_of_the_others_along(self, store: Storage) -> None:
        await append(store, keeping("order-2", "a", state=b"0"))
        answers = await store.append(
            [
                keeping("order-1", "a", state=b"1", expected=0),
                keeping("order-2", "b", state=b"2", expected=0),
                request("order-3", "a"),
                keeping("order-4", "a", "b", state=b"4", expected=0),
            ]
        )
        assert [isinstance(answer, Appended) for answer in answers] == [True, False, True, True]
        rows = await store.states("order")
        assert [(row.stream, row.version, row.data) for row in rows] == [
            ("order-1", 1, b"1"),
            ("order-2", 1, b"0"),
            ("order-4", 2, b"4"),
        ]

    async def test_of_several_appends_to_one_stream_in_a_group_the_last_state_stands(self, store: Storage) -> None:
        await store.append([keeping("order-1", "a", state=b"%d" % n, expected=n) for n in range(5)])
        found = await row_of(store, "order-1")
        assert (found.version, found.data) == (5, b"4")

    async def test_the_same_append_again_changes_no_state(self, store: Storage) -> None:
        first = keeping("order-1", "a", state=b"1", expected=0)
        await store.append([first])
        await append(store, keeping("order-1", "b", state=b"2", expected=1))
        [again] = await store.append([first])
        assert isinstance(again, Appended)
        assert again.duplicate
        assert (await row_of(store, "order-1")).data == b"2"

    async def test_a_state_is_kept_with_an_outcome_and_inline_work_or_not_at_all(self, store: Storage) -> None:
        outcome = CommandOutcome(command_id=fresh_id(), name="Do", state="done")
        await append(store, keeping("order-1", "a", state=b"1", outcome=outcome))
        assert (await row_of(store, "order-1")).data == b"1"

        def fails(*_: object) -> None:
            raise ValueError("no")

        [answer] = await store.append([keeping("order-1", "b", state=b"2", inline=fails)])
        assert isinstance(answer, ValueError)
        assert (await row_of(store, "order-1")).data == b"1"

        def does_nothing(*_: object) -> None: ...

        await append(store, keeping("order-1", "b", state=b"3", inline=does_nothing))
        assert (await row_of(store, "order-1")).version == 2

    async def test_events_behind_the_state_are_told(self, store: Storage) -> None:
        await append(store, keeping("order-1", "a", "b", state=b"2"))
        await append(store, request("order-1", "c", "d", "e"))
        row, behind = await store.load_state("order-1", limit=2)
        assert row is not None
        assert row.version == 2
        assert [(version, name) for _, version, name, _, _ in behind] == [(3, "c"), (4, "d")]

    async def test_a_state_without_events_stands_where_the_stream_is(self, store: Storage) -> None:
        await append(store, request("order-1", "a", "b"))
        [answer] = await append(store, keeping("order-1", state=b"2", expected=2))
        assert (answer.positions, answer.versions) == ((), (2,))
        found = await row_of(store, "order-1")
        assert (found.version, found.position) == (2, 77)
        assert isinstance(await refusal(store, keeping("order-1", state=b"1", expected=1)), ConcurrencyError)
        assert (await row_of(store, "order-1")).data == b"2"

    async def test_a_state_is_removed_with_an_event_or_not_at_all(self, store: Storage) -> None:
        await append(store, keeping("order-1", "a", state=b"1"))
        assert isinstance(await refusal(store, keeping("order-1", "b", state=None, expected=0)), ConcurrencyError)
        assert (await row_of(store, "order-1")).version == 1
        await append(store, keeping("order-1", "b", state=None, expected=1))
        row, behind = await store.load_state("order-1", limit=10)
        assert row is None
        assert [version for _, version, *_ in behind] == [1, 2]

    async def test_many_states_are_loaded_at_once_each_its_own(self, store: Storage) -> None:
        for n in range(1, 9):
            await append(store, keeping(f"order-{n}", *("e" * n), state=b"%d" % n if n % 2 else None))
        loaded = await asyncio.gather(*(store.load_state(f"order-{n}", limit=20) for n in range(1, 9)))
        for n, (row, behind) in enumerate(loaded, 1):
            assert (None if row is None else (row.stream, row.version, row.data)) == (
                (f"order-{n}", n, b"%d" % n) if n % 2 else None
            )
            assert len(behind) == (0 if n % 2 else n)

    async def test_states_are_listed_by_category_and_from_a_name_on(self, store: Storage) -> None:
        for stream in ("order-b", "order-a", "orders-a", "order-c", "item-a"):
            await append(store, keeping(stream, "a", state=b"1"))
        assert [row.stream for row in await store.states("order")] == ["order-a", "order-b", "order-c"]
        assert [row.stream for row in await store.states("order", after="order-a", limit=1)] == ["order-b"]
        assert await store.states("nothing") == []

    async def test_a_standing_stays_as_it_was_noted_last(self, store: Storage) -> None:
        assert await store.standings() == {}
        first = Standing(category="order", kind="state", rules=("unique(email)",))
        await store.note_standing(first, only_new=True)
        await store.note_standing(Standing(category="order", kind="events"), only_new=True)
        assert await store.standings() == {"order": first}
        later = Standing(category="order", kind="state", moving_to="events", pruned_to=5)
        await store.note_standing(later)
        await store.note_standing(Standing(category="item", kind="events"))
        assert await store.standings() == {"order": later, "item": Standing(category="item", kind="events")}

    async def test_no_row_is_written_once_the_category_moves_to_events(self, store: Storage) -> None:
        await append(store, keeping("order-1", "a", state=b"1"))
        for standing in (
            Standing(category="order", kind="state", moving_to="events"),
            Standing(category="order", kind="events"),
        ):
            await store.note_standing(standing)
            await append(store, keeping("order-1", "b", state=b"2"), keeping("order-2", "a", state=b"2"))
            row, _ = await store.load_state("order-1", limit=10)
            assert row is not None
            assert row.data == b"1"
            assert (await store.load_state("order-2", limit=10))[0] is None
        await append(store, keeping("order-2", state=b"2", fenced=False), keeping("item-1", "a", state=b"1"))
        assert (await row_of(store, "order-2")).version == 2
        assert (await row_of(store, "item-1")).version == 1

    async def test_pruning_deletes_up_to_a_version_and_keeps_the_first_the_last_and_the_tagged(
        self, store: Storage
    ) -> None:
        events = (event("a"), event("b"), event("c", tags=("x:1",)), event("d"), event("e"), event("f"))
        await append(store, keeping("order-1", state=b"6", events=events))
        await append(store, keeping("order-2", "a", "b", "c", state=b"3"), keeping("item-1", "a", "b", state=b"2"))
        await store.note_standing(Standing(category="order", kind="state"))
        here = Pruned(stream="order-1", version=4, occurred_at="2026", schema_version=3, data=b"4")
        far = Pruned(stream="order-2", version=3, occurred_at="2025", schema_version=3, data=b"3")
        assert await store.prune("order", [here, far], 9) == 3
        assert await versions(store, "order-1") == [1, 3, 5, 6]
        assert await versions(store, "order-2") == [1, 3]
        assert await versions(store, "item-1") == [1, 2]
        assert await store.base("order-1") == here
        assert await store.base("item-1") is None
        assert (await store.standings())["order"].pruned_to == 9
        assert (await row_of(store, "order-1")).data == b"6"
        assert await store.stream_version("order-1") == 6
        assert await store.prune("order", [here, far], 8) == 0
        assert (await store.standings())["order"].pruned_to == 9

    async def test_a_pruned_stream_goes_on_where_it_was(self, store: Storage) -> None:
        await append(store, keeping("order-1", *"abcd", state=b"4"))
        await store.note_standing(Standing(category="order", kind="state"))
        await store.prune(
            "order", [Pruned(stream="order-1", version=3, occurred_at="", schema_version=3, data=b"3")], 3
        )
        assert isinstance(await refusal(store, keeping("order-1", "e", state=b"2", expected=2)), ConcurrencyError)
        [answer] = await append(store, keeping("order-1", "e", state=b"5", expected=4))
        assert answer.versions == (5,)
        assert await versions(store, "order-1") == [1, 4, 5]
        assert (await store.base("order-1")) is not None
        found = await store.read(Selection(category="order"), limit=10)
        assert [each.version for each in found] == [1, 4, 5]

    async def test_events_that_the_state_has_not_seen_are_never_pruned(self, store: Storage) -> None:
        await append(store, keeping("order-1", "a", "b", "c", state=b"3"), request("order-1", "d", "e"))
        await append(store, request("order-2", "a", "b", "c"))
        await store.note_standing(Standing(category="order", kind="state"))
        some = [Pruned(stream=f"order-{n}", version=5, occurred_at="", schema_version=3, data=b"5") for n in (1, 2)]
        assert await store.prune("order", some, 5) == 1
        assert await versions(store, "order-1") == [1, 3, 4, 5]
        assert await versions(store, "order-2") == [1, 2, 3]

    async def test_nothing_is_pruned_of_what_is_not_kept_as_state_or_is_on_the_move(self, store: Storage) -> None:
        await append(store, keeping("order-1", *"abcd", state=b"4"))
        some = [Pruned(stream="order-1", version=3, occurred_at="", schema_version=3, data=b"3")]
        for standing in (
            None,
            Standing(category="order", kind="events"),
            Standing(category="order", kind="state", moving_to="events"),
        ):
            if standing is not None:
                await store.note_standing(standing)
            assert await store.prune("order", some, 3) == 0
        assert await versions(store, "order-1") == [1, 2, 3, 4]
