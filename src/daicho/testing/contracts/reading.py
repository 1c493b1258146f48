"""Reading: every condition alone and together, paging, and what comes out is what went in."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from daicho.core.conditions import Criteria
from daicho.ports.event_store import NewEvent, Selection
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, append, event, fresh_id, request, soon

__all__ = ["ReadingContract"]

ALL = Selection()
_FLOW, _COMMAND, _EVENT = fresh_id(), fresh_id(), fresh_id()
_STREAMS = ("order-1", "order-2", "order2-1", "order.x-1", "orde-1", "stock-1-a")


class Told(msgspec.Struct, frozen=True):
    """An event as the test knows it: nothing here comes from the store."""

    stream: str
    version: int
    event: NewEvent


def _ledger() -> list[Told]:
    versions = dict.fromkeys(_STREAMS, 0)
    told: list[Told] = []
    for n in range(48):
        stream = _STREAMS[n * 5 % 6] if n % 4 else _STREAMS[n % 3]
        versions[stream] += 1
        envelope = event(
            ("placed", "paid", "sent")[n % 3],
            schema_version=n % 4 + 1,
            data=b'{"n":%d}' % n,
            event_id=_EVENT if n == 20 else fresh_id(),
            correlation_id=_FLOW if n % 7 == 0 else fresh_id(),
            causation_id=_COMMAND if n % 9 == 0 else fresh_id(),
            actor=("ann", "bob", None)[n % 3 if n % 2 else 0],
            tenant=("north", "south", None)[n // 2 % 3],
            tags=tuple(tag for tag, every in (("even:1", 2), ("third:1", 3), ("fifth:1", 5)) if n % every == 0),
            occurred_at=f"2026-01-{1 + n * 7 % 28:02}T00:00:00.000001+00:00",
        )
        told.append(Told(stream, versions[stream], envelope))
    return told


_LEDGER = _ledger()


def _selection(wanted: Selection, keep: Callable[[Told], bool]) -> tuple[Selection, Callable[[Told], bool]]:
    return wanted, keep


_CASES = {
    "everything": _selection(ALL, lambda _: True),
    "a stream": _selection(Selection(stream="order-1"), lambda t: t.stream == "order-1"),
    "a stream that is not there": _selection(Selection(stream="order"), lambda _: False),
    "a category, not a longer one with the same beginning": _selection(
        Selection(category="order"), lambda t: t.stream in {"order-1", "order-2"}
    ),
    "a category with a dot": _selection(Selection(category="order.x"), lambda t: t.stream == "order.x-1"),
    "a category whose ids have dashes": _selection(Selection(category="stock"), lambda t: t.stream == "stock-1-a"),
    "a category that is only the beginning of others": _selection(Selection(category="ord"), lambda _: False),
    "one type": _selection(Selection(types=("paid",)), lambda t: t.event.type == "paid"),
    "two types": _selection(Selection(types=("paid", "sent")), lambda t: t.event.type != "placed"),
    "an unknown type": _selection(Selection(types=("pai",)), lambda _: False),
    "a tag": _selection(Selection(criteria=Criteria(tags=["even:1"])), lambda t: "even:1" in t.event.tags),
    "two tags": _selection(
        Selection(criteria=Criteria(tags=["even:1", "third:1"])), lambda t: {"even:1", "third:1"} <= {*t.event.tags}
    ),
    "a type with a tag": _selection(
        Selection(criteria=Criteria(types=["sent"], tags=["even:1"])),
        lambda t: t.event.type == "sent" and "even:1" in t.event.tags,
    ),
    "alternatives, each event once": _selection(
        Selection(criteria=Criteria(tags=["even:1"]) | Criteria(tags=["third:1"]) | Criteria(types=["paid"])),
        lambda t: "even:1" in t.event.tags or "third:1" in t.event.tags or t.event.type == "paid",
    ),
    "criteria that name nothing": _selection(Selection(criteria=Criteria()), lambda _: True),
    "a correlation": _selection(Selection(correlation_id=_FLOW), lambda t: t.event.correlation_id == _FLOW),
    "a causation": _selection(Selection(causation_id=_COMMAND), lambda t: t.event.causation_id == _COMMAND),
    "an event id": _selection(Selection(event_id=_EVENT), lambda t: t.event.event_id == _EVENT),
    "an actor": _selection(Selection(actor="ann"), lambda t: t.event.actor == "ann"),
    "a tenant": _selection(Selection(tenant="south"), lambda t: t.event.tenant == "south"),
    "since, inclusive": _selection(
        Selection(since="2026-01-08T00:00:00.000001+00:00"),
        lambda t: t.event.occurred_at >= "2026-01-08T00:00:00.000001+00:00",
    ),
    "until, inclusive": _selection(
        Selection(until="2026-01-08T00:00:00.000001+00:00"),
        lambda t: t.event.occurred_at <= "2026-01-08T00:00:00.000001+00:00",
    ),
    "versions after": _selection(
        Selection(stream="order-1", after_version=3), lambda t: t.stream == "order-1" and t.version > 3
    ),
    "versions up to": _selection(
        Selection(stream="order-1", up_to_version=3), lambda t: t.stream == "order-1" and t.version <= 3
    ),
    "versions between": _selection(
        Selection(stream="order-1", after_version=1, up_to_version=3),
        lambda t: t.stream == "order-1" and 1 < t.version <= 3,
    ),
    "a category and a type": _selection(
        Selection(category="order", types=("paid",)),
        lambda t: t.stream in {"order-1", "order-2"} and t.event.type == "paid",
    ),
    "a stream and a tag": _selection(
        Selection(stream="order-2", criteria=Criteria(tags=["even:1"])),
        lambda t: t.stream == "order-2" and "even:1" in t.event.tags,
    ),
    "types and criteria together": _selection(
        Selection(types=("paid", "placed"), criteria=Criteria(types=["paid", "sent"], tags=["even:1"])),
        lambda t: t.event.type == "paid" and "even:1" in t.event.tags,
    ),
    "an actor, a tenant and a time": _selection(
        Selection(actor="ann", tenant="north", since="2026-01-05", until="2026-01-25"),
        lambda t: (
            (t.event.actor, t.event.tenant) == ("ann", "north") and "2026-01-05" <= t.event.occurred_at <= "2026-01-25"
        ),
    ),
    "a correlation and a category": _selection(
        Selection(correlation_id=_FLOW, category="order"),
        lambda t: t.event.correlation_id == _FLOW and t.stream in {"order-1", "order-2"},
    ),
    "a stream of another category": _selection(Selection(stream="order-1", category="stock"), lambda _: False),
}


class ReadingContract(Contract):
    @pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
    @pytest.mark.parametrize(("wanted", "keep"), list(_CASES.values()), ids=list(_CASES))
    async def test_a_selection_gives_exactly(
        self, store: Storage, wanted: Selection, keep: Callable[[Told], bool], newest_first: bool
    ) -> None:
        await append(store, *(request(told.stream, told.event) for told in _LEDGER))
        asked = msgspec.structs.replace(wanted, newest_first=newest_first)
        right = [told.event.event_id for told in _LEDGER if keep(told)]
        if newest_first:
            right.reverse()
        assert [e.event_id for e in await store.read(asked, limit=1000)] == right
        assert [e.event_id for e in await store.read(asked, limit=3)] == right[:3]

    @pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
    @pytest.mark.parametrize(("wanted", "keep"), list(_CASES.values()), ids=list(_CASES))
    async def test_a_narrow_selection_gives_exactly(
        self, store: Storage, wanted: Selection, keep: Callable[[Told], bool], newest_first: bool
    ) -> None:
        answers = await append(store, *(request(told.stream, told.event) for told in _LEDGER))
        asked = msgspec.structs.replace(wanted, newest_first=newest_first)
        right = [
            (answer.positions[0], told.version, told.event.type, told.event.schema_version, told.event.data)
            for told, answer in zip(_LEDGER, answers, strict=True)
            if keep(told)
        ]
        if newest_first:
            right.reverse()
        assert list(await store.read_narrow(asked, limit=1000)) == right
        assert list(await store.read_narrow(asked, limit=3)) == right[:3]

    @pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
    async def test_positions_bound_a_selection_from_both_sides(self, store: Storage, newest_first: bool) -> None:
        answers = await append(store, *(request("order-1", f"t{n}") for n in range(10)))
        at = [answer.positions[0] for answer in answers]

        async def types(after: int = 0, up_to: int | None = None) -> list[str]:
            wanted = Selection(after=after, up_to=up_to, newest_first=newest_first)
            stored = await store.read(wanted, limit=100)
            return [e.type for e in (stored[::-1] if newest_first else stored)]

        assert await types(after=at[7]) == ["t8", "t9"]
        assert await types(up_to=at[1]) == ["t0", "t1"]
        assert await types(after=at[3], up_to=at[5]) == ["t4", "t5"]
        assert await types(after=at[9]) == []
        assert await types(up_to=0) == []

    async def test_events_come_by_position_and_those_of_a_stream_by_version(self, store: Storage) -> None:
        await append(store, *(request(f"order-{n % 3}", "a", "b") for n in range(9)))
        positions = [e.position for e in await store.read(ALL, limit=100)]
        versions = [e.version for e in await store.read(Selection(stream="order-1"), limit=100)]
        assert positions == sorted(set(positions))
        assert versions == [1, 2, 3, 4, 5, 6]

    async def test_the_limit_cuts_off_behind_and_with_newest_first_keeps_the_newest(self, store: Storage) -> None:
        await append(store, request("order-1", *(f"t{n}" for n in range(10))))
        assert [e.type for e in await store.read(ALL, limit=2)] == ["t0", "t1"]
        assert [e.type for e in await store.read(Selection(newest_first=True), limit=2)] == ["t9", "t8"]
        newest = Selection(stream="order-1", newest_first=True)
        assert [e.version for e in await store.read(newest, limit=1)] == [10]

    async def test_a_page_is_full_while_there_is_more_wherever_it_begins(self, store: Storage) -> None:
        """Readers take a shorter page for the last one."""
        names = [f"e{n}" for n in range(12)]
        await append(store, request("a-1", *names[:4]), request("a-2", names[4]))
        await append(store, request("a-1", *names[5:9]))
        await append(store, request("a-3", *names[9:]))
        positions = [e.position for e in await store.read(ALL, limit=100)]
        for skipped, after in enumerate([0, *positions]):
            for limit in range(1, 13):
                for wanted in (Selection(after=after), Selection(after=after, up_to=positions[-1])):
                    page = await store.read(wanted, limit=limit)
                    assert [e.type for e in page] == names[skipped : skipped + limit]

    async def test_every_field_of_the_envelope_comes_back_as_it_went_in(self, store: Storage) -> None:
        new = event(
            "order.placed",
            schema_version=3,
            data=b'{"sku":"pen"}',
            occurred_at="2025-12-31T23:59:59.123456+00:00",
            actor="ann",
            tenant="north",
            tags=("sku:pen", "customer:7"),
            metadata=b'{"command":"PlaceOrder","hops":"2"}',
        )
        [answer] = await append(store, request("order-1", "before", new))
        stored = (await store.read(ALL, limit=2))[1]
        assert (stored.position, stored.stream, stored.version) == (answer.positions[1], "order-1", 2)
        assert {field: getattr(stored, field) for field in NewEvent.__struct_fields__} == msgspec.structs.asdict(new)

    async def test_none_stays_none_and_empty_stays_empty(self, store: Storage) -> None:
        await append(store, request("order-1", event(actor=None, tenant=None), event(actor="", tenant="")))
        nothing, empty = await store.read(ALL, limit=2)
        assert (nothing.actor, nothing.tenant, nothing.tags, nothing.metadata) == (None, None, (), b"{}")
        assert (empty.actor, empty.tenant) == ("", "")

    @pytest.mark.parametrize(
        "data",
        [
            b'{"n": 1,  "spaces": "kept"}',
            '{"text":"注文 \\u0000 é"}'.encode(),
            msgspec.msgpack.encode({"n": 1, "raw": bytes(range(256)), "text": "注文"}),
            bytes(range(256)),
            b"\x80",
            b'{"big":"' + b"x" * 300_000 + b'"}',
        ],
        ids=["json", "unicode json", "msgpack", "every byte", "empty map", "300 kB"],
    )
    async def test_data_comes_back_byte_for_byte(self, store: Storage, data: bytes) -> None:
        await append(store, request("order-1", event(data=data)))
        [stored] = await store.read(ALL, limit=1)
        assert stored.data == data
        assert type(stored.data) is bytes
        [(_, _, _, _, narrow)] = await store.read_narrow(ALL, limit=1)
        assert narrow == data
        assert type(narrow) is bytes

    async def test_hostile_texts_come_back_and_find_exactly_their_own_events(self, store: Storage) -> None:
        for text in HOSTILE:
            new = event(text, actor=text, tenant=text, tags=(text,), metadata=msgspec.json.encode({"note": text}))
            await append(store, request(f"order-{text}", new))
        for text in HOSTILE:
            for wanted in (
                Selection(stream=f"order-{text}"),
                Selection(types=(text,)),
                Selection(actor=text),
                Selection(tenant=text),
                Selection(criteria=Criteria(tags=[text])),
            ):
                [stored] = await store.read(wanted, limit=100)
                assert (stored.stream, stored.type, stored.actor, stored.tenant, stored.tags) == (
                    (f"order-{text}", text, text, text, (text,))
                )
                assert msgspec.json.decode(stored.metadata) == {"note": text}
        assert len(await store.read(Selection(category="order"), limit=100)) == len(HOSTILE)

    async def test_hostile_categories_are_compared_as_they_are(self, store: Storage) -> None:
        await append(
            store, request("order-1", "a"), request("o%-1", "b"), request("o_der-1", "c"), request("ORDER-1", "d")
        )
        for category, type in (("order", "a"), ("o%", "b"), ("o_der", "c"), ("ORDER", "d")):
            assert [e.type for e in await store.read(Selection(category=category), limit=10)] == [type]

    async def test_a_reader_who_pages_by_position_sees_everything_exactly_once_while_others_append(
        self, store: Storage
    ) -> None:
        everything = {fresh_id() for _ in range(20 * 15)}
        unsent = sorted(everything)

        async def append_some(mine: list[str]) -> None:
            for event_id in mine:
                await append(store, request(f"order-{mine[0]}", event("kept", event_id=event_id), "noise"))

        async def read_all(wanted: Selection, expected: int) -> list[str]:
            seen: list[str] = []
            after = 0
            while len(seen) < expected:
                page = await store.read(msgspec.structs.replace(wanted, after=after), limit=7)
                assert [e.position for e in page] == sorted({e.position for e in page})
                seen += [e.event_id for e in page if e.type == "kept"]
                after = page[-1].position if page else after
                if not page:
                    await store.wait(after)
            return seen

        writers = [append_some(unsent[n::20]) for n in range(20)]
        readers = [read_all(ALL, 300), read_all(ALL, 300), read_all(Selection(types=("kept",)), 300)]
        results = await soon(asyncio.gather(*readers, *writers))
        for seen in results[:3]:
            assert seen is not None
            assert sorted(seen) == sorted(everything)

    async def test_what_lies_at_or_before_the_head_never_changes(self, store: Storage) -> None:
        done = asyncio.Event()

        async def watch() -> None:
            while not done.is_set():
                head = await store.head()
                first = await store.read(Selection(up_to=head), limit=10_000)
                assert await store.read(Selection(up_to=head), limit=10_000) == first
                assert not first or first[-1].position <= head

        async def work(n: int) -> None:
            for _ in range(10):
                await append(store, request(f"order-{n}", "a", "b"))

        watching = asyncio.ensure_future(watch())
        await soon(asyncio.gather(*(work(n) for n in range(10))))
        done.set()
        await soon(watching)
