"""OpenSearch keeps the contract of a read store, and its promises through kill -9 and lost answers."""

import asyncio
import enum
import hashlib
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daicho.adapters.views.opensearch import SearchReadStore
from daicho.adapters.views.opensearch.location import parse_url
from daicho.adapters.views.opensearch.rows import codec_for
from daicho.core.errors import BadUrl, InvalidMessage, LostLease, StoreFailed, StoreUnavailable, WiringError
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.read_store import Placed, ReadStore
from daicho.ports.view_store import Mark, TableSpec, ViewChange
from daicho.testing.contracts import ReadStoreContract
from tests.services.find import wanted
from tests.services.opensearch import OpenSearch
from tests.services.opensearch import opensearch as start
from tests.services.proxy import Conversation, Passed, Proxy
from tests.services.running import Host

pytestmark = pytest.mark.xdist_group("opensearch")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[OpenSearch]:
    """Shared: who breaks it mends it."""
    with wanted():
        server = start(host)
    yield server
    server.stop()


@pytest.mark.slow
class TestOpenSearch(ReadStoreContract):
    server: OpenSearch

    @pytest.fixture(autouse=True)
    def place(self, server: OpenSearch, tmp_path: Path) -> Iterator[None]:
        type(self).server = server
        yield
        httpx.delete(f"{server.http}/{prefix(tmp_path)}-*", timeout=30, trust_env=False).raise_for_status()

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> ReadStore:  # type: ignore[override]
        return SearchReadStore(f"{self.server.url}?prefix={prefix(tmp_path)}", now=now)

    def make_away(self, now: Callable[[], datetime], password: str) -> ReadStore:
        return SearchReadStore(f"opensearch://ann:{password}@127.0.0.1:1?reconnect_within=1", now=now)


def prefix(tmp_path: Path) -> str:
    return f"t{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"


# through kill -9 and lost answers


class Note(Row, search=("text",)):
    text: str
    number: int = 0
    weight: float = 0.0
    total: Decimal | None = None
    nested: list[float] | None = None


NOTES = TableSpec("notes", 1, Note)
PROCESSOR = "projection:notes"

_numbers = itertools.count(1)


def opened(loop: asyncio.Runner, url: str, **options: object) -> SearchReadStore:
    """With a place of its own."""
    given = {"prefix": f"own{next(_numbers)}", **options}
    store = SearchReadStore(f"{url}?{'&'.join(f'{name}={value}' for name, value in given.items())}", now=lambda: NOW)
    loop.run(store.open())
    loop.run(store.open_table(NOTES))
    return store


@pytest.fixture
def store(daicho_loop: asyncio.Runner, server: OpenSearch) -> Iterator[SearchReadStore]:
    store = opened(daicho_loop, server.url)
    yield store
    daicho_loop.run(store.drop_table(NOTES))
    daicho_loop.run(store.close())


def change(seen: int, rows: dict[str, Row], *deletes: str, move: tuple[int, int] | None = None) -> ViewChange:
    advance = None if move is None else Advance(processor=PROCESSOR, token=1, old=move[0], new=move[1])
    places = dict.fromkeys([*rows, *deletes], seen)
    return ViewChange(table=NOTES, upserts=rows, deletes=deletes, seen=places, advance=advance)


@pytest.mark.slow
def test_what_a_position_vouches_for_is_there_after_kill_9(daicho_loop: asyncio.Runner, server: OpenSearch) -> None:
    store = opened(daicho_loop, server.url, reconnect_within=60)
    keys = [f"n{n}" for n in range(40)]
    acknowledged = 0

    async def commits(some: asyncio.Event) -> None:
        """Each writes every row as of its position."""
        nonlocal acknowledged
        target = acknowledged + 5
        at = await store.fence(PROCESSOR, 1) or 0
        while True:
            rows: dict[str, Row] = {key: Note(text=f"as of {at + 1}", number=at + 1) for key in keys}
            await store.commit(change(at + 1, rows, move=(at, at + 1)))
            at += 1
            acknowledged = at
            if at >= target:
                some.set()

    async def interrupted() -> None:
        for n in range(3):
            some = asyncio.Event()
            task = asyncio.create_task(commits(some))
            waiting = asyncio.create_task(some.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            assert waiting.done(), task
            await asyncio.sleep(n * 0.004)  # another moment of a commit each time
            server.kill()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            server.start(within=120)
            position = await store.fence(PROCESSOR, 1)
            placed = await store.get_placed(NOTES, keys)
            assert position is not None
            assert position >= acknowledged
            assert set(placed) == set(keys)
            for each in placed.values():
                assert each.position >= position
                assert each.row == Note(text=f"as of {each.position}", number=each.position)

    daicho_loop.run(asyncio.wait_for(interrupted(), 200))
    daicho_loop.run(store.close())


@pytest.mark.slow
def test_a_commit_waits_for_a_server_that_comes_back_and_tells_of_one_that_does_not(
    daicho_loop: asyncio.Runner, server: OpenSearch
) -> None:
    patient = opened(daicho_loop, server.url, reconnect_within=60)
    hasty = opened(daicho_loop, server.url, reconnect_within=0)

    async def both() -> None:
        await patient.fence(PROCESSOR, 1)
        server.kill()
        with pytest.raises(StoreUnavailable):
            await hasty.commit(change(1, {"n": Note(text="never")}))
        waiting = asyncio.create_task(patient.commit(change(1, {"n": Note(text="there")}, move=(0, 1))))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        server.start(within=120)  # in this thread: it would die with another
        await waiting
        assert await patient.get(NOTES, "n") == Note(text="there")
        assert await patient.fence(PROCESSOR, 1) == 1
        assert await hasty.get(NOTES, "n") is None

    daicho_loop.run(asyncio.wait_for(both(), 100))
    for store in (patient, hasty):
        daicho_loop.run(store.close())


class LosesAnswer(Proxy):
    """To the next request with the text in it; the request itself arrives."""

    pattern: bytes | None = None
    lost = 0

    def conversation(self) -> Conversation:
        return _LosingConversation(self)


class _LosingConversation:
    def __init__(self, wire: LosesAnswer) -> None:
        self._wire, self._caught = wire, False

    def from_client(self, data: bytes, /) -> Passed:
        if self._wire.pattern is not None and self._wire.pattern in data:
            self._wire.pattern, self._caught = None, True
        return Passed(to_server=data)

    def from_server(self, data: bytes, /) -> Passed:
        return Passed(cut=self._lose) if self._caught else Passed(to_client=data)

    def _lose(self) -> None:
        self._wire.lost += 1


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["GET /", "/_bulk", "PUT /"], ids=["position read", "rows", "position written"])
def test_an_answer_that_is_lost_does_not_stop_a_commit(
    daicho_loop: asyncio.Runner, server: OpenSearch, pattern: str
) -> None:
    with LosesAnswer(server.port) as wire:
        store = opened(daicho_loop, wire.through(server.url))

        async def commit() -> None:
            await store.fence(PROCESSOR, 1)
            wire.pattern = pattern.encode()
            await store.commit(change(3, {"a": Note(text="a"), "b": Note(text="b")}, "c", move=(0, 3)))
            assert wire.lost == 1
            assert await store.fence(PROCESSOR, 1) == 3
            assert await store.get_placed(NOTES, ["a", "b", "c"]) == {
                "a": Placed(Note(text="a"), 3),
                "b": Placed(Note(text="b"), 3),
                "c": Placed(None, 3),
            }
            wire.pattern = b"PUT /"
            assert await store.fence(PROCESSOR, 2) == 3
            assert wire.lost == 2
            with pytest.raises(LostLease):
                await store.commit(change(4, {}, move=(3, 4)))

        daicho_loop.run(commit())
        daicho_loop.run(store.close())


@pytest.mark.slow
async def test_closing_waits_for_a_commit_that_was_begun(store: SearchReadStore) -> None:
    await store.fence(PROCESSOR, 1)
    rows: dict[str, Row] = {f"n{n}": Note(text=f"{n}") for n in range(500)}
    commit = asyncio.create_task(store.commit(change(1, rows, move=(0, 1))))
    await asyncio.sleep(0)
    await store.close()
    assert commit.done()
    await commit
    await store.open()
    assert await store.fence(PROCESSOR, 1) == 1
    assert await store.count(NOTES, {}) == 500


# what only a search engine does


@pytest.mark.slow
async def test_more_rows_than_the_engine_gives_at_once_are_found_in_order(store: SearchReadStore) -> None:
    rows: dict[str, Row] = {f"n{n:05}": Note(text="", number=n % 7) for n in range(12_500)}
    await store.commit(change(1, rows))
    assert await store.count(NOTES, {}) == 12_500
    assert await store.find(NOTES, {}) == list(rows.values())
    by_number = sorted(rows, key=lambda key: (rows[key].number, key))  # type: ignore[attr-defined]
    for offset, limit in ((0, 12_500), (9_000, 3_000), (12_490, None), (12_499, 5), (12_500, 5), (30_000, 1)):
        found = await store.find(NOTES, {}, order_by="number", offset=offset, limit=limit)
        expected = by_number[offset : None if limit is None else offset + limit]
        assert found == [rows[key] for key in expected]
    page = await store.page(NOTES, {}, limit=5_000, order_by="number", after=Mark("n00000", 3))
    assert [key for key, _ in page] == [key for key in by_number if rows[key].number >= 3][:5_000]  # type: ignore[attr-defined]


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Every(Row):
    number: int | None = None
    weight: float | None = None
    paid: bool | None = None
    total: Decimal | None = None
    at: datetime | None = None
    size: Size | None = None
    text: str | None = None


_VALUES: dict[str, list[Any]] = {
    "number": [-(2**63) + 1, -1, 0, 2**53 + 1, 2**63 - 1],
    "weight": [-1e300, -0.5, 0.0, 5e-324, 1.7976931348623157e308],
    "paid": [False, True],
    "total": [Decimal("-Infinity"), Decimal("-1E+20"), Decimal("-0.01"), Decimal(0), Decimal("1E-30"), Decimal(3)],
    "at": [datetime.min.replace(tzinfo=UTC), NOW, NOW.replace(microsecond=678902), datetime.max.replace(tzinfo=UTC)],
    "size": [Size.SMALL, Size.LARGE],
    "text": ["", "A", "a", "\uffff", "\U0001f58b"],
}
"""In their order."""


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("field", _VALUES)
async def test_pages_of_one_row_each_go_through_values_of_every_kind_in_their_order_and_none_comes_first(
    store: SearchReadStore, field: str, descending: bool
) -> None:
    table = TableSpec("every", 1, Every)
    await store.open_table(table)
    values = [None, *_VALUES[field]]
    in_order = [(f"{key}{n}", Every(**{field: value})) for n, value in enumerate(values) for key in "ab"]
    rows = dict(reversed(in_order))
    await store.commit(ViewChange(table=table, upserts=rows, deletes=(), seen=dict.fromkeys(rows, 1)))
    paged, after = list[Any](), None
    while page := await store.page(table, {}, limit=1, order_by=field, descending=descending, after=after):
        paged += page
        assert len(paged) <= len(in_order)
        after = Mark(paged[-1][0], getattr(paged[-1][1], field))
    assert paged == (in_order[::-1] if descending else in_order)
    for n, value in enumerate(values):
        assert [row for _, row in in_order[2 * n : 2 * n + 2]] == await store.find(table, {field: value})
    await store.drop_table(table)


@pytest.mark.slow
async def test_texts_and_keys_of_any_length_are_told_apart_and_ordered(store: SearchReadStore) -> None:
    long = "長" * 20_000
    texts = ["", "#", "a", "a" * 7_999, "a" * 8_000, "a" * 8_001, "a" * 100_000 + "b", long, long + "い"]
    rows: dict[str, Row] = {text: Note(text=text, number=n) for n, text in enumerate(texts)}
    await store.commit(change(1, rows))
    assert await store.get_many(NOTES, texts) == rows
    for n, text in enumerate(texts):
        assert await store.find(NOTES, {"text": text}) == [Note(text=text, number=n)]
    in_order = [row.number for row in await store.find(NOTES, {})]
    # of texts that are the same for 8,000 characters, the engine knows only that they are not equal
    assert in_order[:5] == [0, 1, 2, 3, 4]
    assert (set(in_order[5:7]), set(in_order[7:])) == ({5, 6}, {7, 8})
    assert [row.number for row in await store.find(NOTES, {}, order_by="text")] == in_order
    paged, after = list[str](), None
    while page := await store.page(NOTES, {}, limit=2, after=after):
        paged += [key for key, _ in page]
        after = Mark(paged[-1])
    assert paged == [texts[n] for n in in_order]
    await store.commit(change(2, {}, *texts))
    assert await store.count(NOTES, {}) == 0
    assert set((await store.get_placed(NOTES, texts)).values()) == {Placed(None, 2)}


@pytest.mark.slow
async def test_what_was_swept_this_moment_takes_an_older_row(store: SearchReadStore) -> None:
    """The engine itself remembers a deleted document for a while."""
    for n in range(10):
        await store.commit(change(9, {}, f"n{n}"))
        assert await store.sweep(NOTES, 9, datetime.max.replace(tzinfo=UTC)) == 1
        await store.commit(change(3, {f"n{n}": Note(text="again")}))
        assert await store.get_placed(NOTES, [f"n{n}"]) == {f"n{n}": Placed(Note(text="again"), 3)}


@pytest.mark.slow
async def test_a_commit_never_makes_a_table_that_was_dropped(store: SearchReadStore, server: OpenSearch) -> None:
    await store.fence(PROCESSOR, 1)
    await store.drop_table(NOTES)
    with pytest.raises(StoreFailed, match="open_table"):
        await store.commit(change(1, {"n": Note(text="")}, move=(0, 1)))
    assert await store.fence(PROCESSOR, 1) is None
    assert await store.generations("notes") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "unfit",
    [
        Note(text="", number=2**63),
        Note(text="", weight=float("inf")),
        Note(text="", weight=float("nan")),
        Note(text="", total=Decimal("NaN")),
        Note(text="", nested=[float("inf")]),
        Note(text="\ud800"),
        Note(text=None),  # type: ignore[arg-type]
    ],
    ids=["large", "infinite", "nan", "decimal nan", "nested", "surrogate", "no text"],
)
async def test_what_would_not_come_back_as_it_is_is_refused_with_all_of_its_commit(
    store: SearchReadStore, unfit: Note
) -> None:
    await store.fence(PROCESSOR, 1)
    with pytest.raises(InvalidMessage):
        await store.commit(change(1, {"a": Note(text="fits"), "b": unfit}, move=(0, 1)))
    assert await store.get_placed(NOTES, ["a", "b"]) == {}
    assert await store.fence(PROCESSOR, 1) is None


@pytest.mark.slow
async def test_a_row_that_does_not_say_what_it_has_seen_is_refused(store: SearchReadStore) -> None:
    with pytest.raises(WiringError, match="seen"):
        await store.commit(ViewChange(table=NOTES, upserts={"a": Note(text="")}, deletes=()))


@pytest.mark.slow
async def test_a_commit_larger_than_one_request_is_written_whole(store: SearchReadStore) -> None:
    rows: dict[str, Row] = {f"n{n}": Note(text=f"{n} " * 200_000, number=n) for n in range(16)}
    await store.commit(change(1, rows))
    assert await store.get_many(NOTES, list(rows)) == rows


# without a server


@given(st.lists(st.decimals(allow_nan=False), min_size=2))
def test_decimals_are_compared_as_text_as_they_are_by_value(numbers: list[Decimal]) -> None:
    def compared(number: Decimal) -> Any:
        return codec_for(Note).compared("total", number)

    for one, other in itertools.pairwise(numbers):
        assert (compared(one) < compared(other)) is (one < other)
        assert (compared(one) == compared(other)) is (one == other)


def test_a_url_says_where_and_how() -> None:
    assert "ss" not in parse_url("opensearch://ann:p@ss@host").url
    place = parse_url("elasticsearch://ann:p%40ss@search.example?prefix=shop-1&tls=true&timeout=5&reconnect_within=0")
    assert (place.address, place.user, place.password) == ("https://search.example:9200", "ann", "p@ss")
    assert (place.prefix, place.timeout, place.reconnect_within) == ("shop-1", 5, 0)
    assert "p%40ss" not in place.url
    assert parse_url("opensearch://[::1]:9201").address == "http://[::1]:9201"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9200",
        "opensearch://",
        "opensearch://host:port",
        "opensearch://host/index",
        "opensearch://host?colour=red",
        "opensearch://host?tls=maybe",
        "opensearch://host?prefix=Capital",
        "opensearch://host?prefix=a&prefix=b",
        "opensearch://host?timeout=0",
        "opensearch://host?reconnect_within=soon",
        "opensearch://ann:opensesame@host?tls=maybe",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse_url(url)
    assert "opensesame" not in f"{raised.value}{raised.value.data}"
