"""Parked events: the rest flows on, a deploy retries them, a trial tells what that will do, and health never lies."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from daicho import (
    Aggregate,
    App,
    CannotTry,
    Command,
    Event,
    InvalidMessage,
    NotParked,
    ProjectionFailed,
    Rejected,
    Row,
    apply,
    event_handler,
    handle,
    projection,
    sql_projection,
    unique,
    upcast,
)
from daicho.adapters.stores.memory import MemoryStorage
from daicho.ports.dead_letter_store import DeadLetter
from daicho.read.trial import Trial
from daicho.testing import VirtualClock
from daicho.testing.contracts.base import append, event, eventually, request
from tests.lasting import LastingMemory, everything_in

# -- a counter, and folds of it -----------------------------------------------------------------------------------


class Put(Event, name="counter.put"):
    counter: str
    n: int


class Add(Command):
    counter: str
    n: int


class Counter(Aggregate, category="counter", key="counter"):
    total: int = 0

    @handle
    def add(self, command: Add) -> Iterator[Put]:
        yield Put(counter=command.counter, n=command.n)

    @apply
    def put(self, event: Put) -> None:
        self.total += event.n


class Sum(Row):
    counter: str
    total: int = 0
    order: str = ""


def added(row: Sum | None, event: Put) -> Sum:
    row = row or Sum(counter=event.counter)
    return Sum(counter=event.counter, total=row.total + event.n, order=f"{row.order}{event.n},")


def poisoned(name: str) -> bool:
    return name.endswith("00")


@projection("sums", key=lambda event: event.counter)
def broken(row: Sum | None, event: Put) -> Sum:
    if poisoned(event.counter) and event.n == 2:
        raise ValueError("cannot take 2")
    return added(row, event)


@projection("sums", key=lambda event: event.counter)
def still_broken(row: Sum | None, event: Put) -> Sum:
    if event.n == 2 and poisoned(event.counter):
        raise KeyError("cannot take 2 either")
    return added(row, event)


@projection("sums", key=lambda event: event.counter)
def mended(row: Sum | None, event: Put) -> Sum:
    return added(row, event)


class Total(Row):
    counter: str
    total: int


SQL_SUMS = """
insert into {table} (_key, counter, total)
select KEY, data->>'counter', sum(cast(data->>'n' as integer)) from {events} group by 1, 2
on conflict (_key) do update set total = {table}.total + excluded.total
"""


class Store:
    """Where an App keeps everything, and what is in it."""

    def __init__(self, url: str, memory: MemoryStorage | None) -> None:
        self.url, self._memory = url, memory

    def contents(self) -> dict[str, Any]:
        return everything_in(self.url, self._memory)


def kept(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    if kind != "memory":
        return Store(request.getfixturevalue("sqlite" if kind == "sqlite" else "postgres_url"), None)
    memory = LastingMemory()
    monkeypatch.setattr("daicho.wiring.places.open_storage", lambda *_: memory)
    return Store("memory:", memory)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that outlives its App."""
    return kept(request.param, request, monkeypatch)


@pytest.fixture(params=["sqlite", "postgres"])
def sql_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    return kept(request.param, request, monkeypatch)


async def parked(app: App) -> Sequence[DeadLetter]:
    return await app.dead_letters.list()


@asynccontextmanager
async def resting(app: App) -> AsyncGenerator[App]:
    """The App without its readers, who else write down later how far they are."""
    await app.start(processors=False)
    try:
        yield app
    finally:
        await app.stop()


async def nothing_parked(app: App) -> None:
    await eventually(lambda: parked(app), lambda letters: not letters)


async def put(app: App, *events: tuple[str, int]) -> None:
    for counter, n in events:
        await app.send(Add(counter=counter, n=n))
    await app.settle()


# -- rows that no store holds -------------------------------------------------------------------------------------


@projection("sums", key=lambda event: event.counter)
def too_large(row: Sum | None, event: Put) -> Sum:
    total = (row.total if row else 0) + event.n
    return Sum(counter=event.counter, total=2**64 if total == 13 else total)


@projection("sums", key=lambda event: event.counter)
def large_enough(row: Sum | None, event: Put) -> Sum:
    total = (row.total if row else 0) + event.n
    return Sum(counter=event.counter, total=total)


@projection("sums", key=lambda event: event.counter)
def stranger(row: Sum | None, event: Put) -> Sum:
    return Total(counter=event.counter, total=event.n) if event.n == 13 else Sum(counter=event.counter)  # type: ignore[return-value]


async def test_an_event_that_makes_a_row_which_the_store_cannot_hold_parks_its_key_alone(store: Store) -> None:
    async with resting(App(Counter, too_large, store=store.url)) as app:
        for n in range(30):  # all of them are one page
            await app.send(Add(counter=f"c{n}", n=13 if n % 10 == 4 else 1))
        await app.send(Add(counter="c4", n=1))
    async with App(Counter, too_large, store=store.url) as app:
        await app.settle()
        letters = await parked(app)
        assert [letter.key for letter in letters] == ["c4", "c14", "c24", "c4"]
        assert [(letter.error or "").partition(":")[0] for letter in letters] == ["InvalidMessage"] * 3 + [""]
        assert await app.views[too_large].count() == 27
        await app.dead_letters.retry(letters[0].number)  # it is tried, and stays
        await app.dead_letters.retried(30)
        assert len(await parked(app)) == 4
        await put(app, ("c1", 1), ("c14", 1))
        row = await app.views[too_large].get("c1")
        assert row is not None
        assert (row.total, len(await parked(app))) == (2, 5)
        assert {lag.state for lag in await app.lag()} == {"live"}
    async with App(Counter, large_enough, store=store.url) as app:
        await nothing_parked(app)
        assert {row.total for row in await app.views[large_enough].find()} == {1, 2, 13, 14}


@projection("sums", key=lambda event: event.counter)
def raising_or_too_large(row: Sum | None, event: Put) -> Sum:
    if event.n == 99:
        raise ValueError("cannot take 99")
    return too_large(row, event)


@pytest.mark.parametrize("kind", ["redis", "mongodb", "opensearch"])
async def test_rows_elsewhere_wait_for_no_letter_that_is_written_without_them(
    sqlite: str, read_store_url: Callable[[str], str], kind: str
) -> None:
    """One event of the page raises, so that its letter goes first; of another the row cannot be held."""
    app = App(Counter, raising_or_too_large, store=sqlite, views={raising_or_too_large: read_store_url(kind)})
    async with resting(app):
        for counter, n in (("a", 99), ("b", 1), ("c", 13), ("d", 1), ("a", 1)):
            await app.send(Add(counter=counter, n=n))
    async with app:
        await app.settle()
        assert [letter.key for letter in await parked(app)] == ["a", "c", "a"]
        assert [row.counter for row in await app.views[raising_or_too_large].find()] == ["b", "d"]
        assert {lag.state for lag in await app.lag()} == {"live"}


async def test_a_rebuild_parks_what_makes_a_row_that_the_store_cannot_hold(store: Store) -> None:
    async with App(Counter, too_large, store=store.url) as app:
        await put(app, *[(f"c{n}", 13 if n == 5 else 1) for n in range(10)])
        steps = [step async for step in app.rebuild("sums")]
        assert steps[-1].switched
        assert await app.views[too_large].count() == 9
        assert [letter.key for letter in await parked(app) if letter.processor.endswith("@2")] == ["c5"]


class Say(Command):
    place: str
    text: str


class Said(Event, name="said"):
    place: str
    text: str


class Speaker(Aggregate, category="speaker", key="place"):
    @handle
    def say(self, command: Say) -> Iterator[Said]:
        yield Said(place=command.place, text=command.text)

    @apply
    def said(self, event: Said) -> None:
        pass


class Saying(Row):
    text: str


@projection("sayings", key=lambda event: event.place)
def sayings(_: Saying | None, event: Said) -> Saying:
    return Saying(text=event.text)


@projection("by_text", key=lambda event: event.text)
def by_text(_: Saying | None, event: Said) -> Saying:
    return Saying(text="")


@projection("spoiled", key=lambda event: event.place)
def spoiled(_: Saying | None, event: Said) -> Saying:
    if "\0" in event.text:
        raise ValueError(f"cannot take {event.text} \ud800")
    return Saying(text=event.text)


async def test_a_text_that_the_database_cannot_hold_stops_nothing_else(store: Store) -> None:
    """PostgreSQL keeps no NUL in a text: neither in a field, nor in a key, nor in what an error says of it."""
    parts = (Speaker, sayings, by_text, spoiled)
    async with App(*parts, store=store.url) as app:
        for place, text in (("a", "one"), ("b", "t\0wo"), ("c", "three")):
            await app.send(Say(place=place, text=text))
        await app.settle()
        assert await app.views[sayings].get("c") == Saying(text="three")
        assert await app.views[by_text].get("three") is not None
        assert await app.views[spoiled].get("c") == Saying(text="three")
        letters = {letter.processor.partition(":")[2]: letter for letter in await parked(app)}
        assert letters["spoiled@1"].key == "b"
        assert r"cannot take t\0wo \ud800" in (letters["spoiled@1"].error or "")
        if store.url.startswith("postgresql"):
            assert (letters["sayings@1"].key, letters["by_text@1"].key) == ("b", "speaker-b")
        else:
            assert await app.views[sayings].get("b") == Saying(text="t\0wo")


@projection("sums", key=lambda event: event.counter, inline=True)
def at_once(row: Sum | None, event: Put) -> Sum:
    return too_large(row, event)


async def test_a_row_that_an_inline_projection_cannot_store_refuses_its_command_and_no_other(store: Store) -> None:
    async with App(Counter, at_once, store=store.url) as app:
        await app.settle()
        commands = [Add(counter=f"c{n}", n=13 if n % 10 == 4 else 1) for n in range(30)]  # they share commits
        answers = await asyncio.gather(*map(app.send, commands), return_exceptions=True)
        refused = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
        assert refused == [4, 14, 24]
        assert {type(answers[n]) for n in refused} == {ProjectionFailed}
        assert "an integer has 64 bits" in str(answers[4])
        assert await app.views[at_once].count() == 27
        assert (await app.send(Add(counter="c4", n=1))).version == 1  # nothing of it was written
        assert await parked(app) == []


@projection("sayings", key=lambda event: event.place, inline=True)
def said_at_once(_: Saying | None, event: Said) -> Saying:
    return Saying(text=event.text)


async def test_a_text_that_the_database_cannot_hold_inline_refuses_its_command_alone(store: Store) -> None:
    async with App(Speaker, said_at_once, store=store.url) as app:
        await app.settle()
        texts = ["t\0wo" if n == 4 else "one" for n in range(10)]
        commands = [Say(place=f"p{n}", text=text) for n, text in enumerate(texts)]
        answers = await asyncio.gather(*map(app.send, commands), return_exceptions=True)
        refused = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
        is_postgres = store.url.startswith("postgresql")
        assert refused == ([4] if is_postgres else [])
        assert [type(answers[n]) for n in refused] == [ProjectionFailed] * is_postgres
        assert await app.views[said_at_once].count() == 10 - is_postgres


async def test_what_is_no_row_of_its_view_parks_its_key_alone(store: Store) -> None:
    async with App(Counter, stranger, store=store.url) as app:
        await put(app, ("a", 13), ("b", 1))
        [letter] = await parked(app)
        assert letter.key == "a"
        assert "stranger" in (letter.error or "")
        assert "returned Total, and not Sum or None" in (letter.error or "")
        assert [row.counter for row in await app.views[stranger].find()] == ["b"]


# -- the rest flows on, and a deploy mends it ---------------------------------------------------------------------


async def watch_health(app: App, seen: list[str]) -> None:
    """Asks without pause. While something is parked before and after an answer, the answer may not be `ok`."""
    for asked in itertools.count():
        before = await app.storage.parked_counts()
        health = await app.health()
        if before and await app.storage.parked_counts():
            assert health.status != "ok", f"answer {asked}: ok, while {before} was parked"
        seen.append(health.status)
        await asyncio.sleep(0)


@pytest.mark.slow
async def test_one_poisoned_key_in_a_hundred_holds_up_nobody_and_is_mended_by_a_deploy(store: Store) -> None:
    names, rounds = [f"c{n:04}" for n in range(2000)], range(1, 6)
    history = [(name, n) for n in rounds for name in names]
    bad = {name for name in names if poisoned(name)}
    assert len(bad) == 20
    expected: dict[str, list[int]] = {}
    for name, n in history:  # the fold, once more, by other means
        expected.setdefault(name, []).append(n)

    seen: list[str] = []
    async with App(Counter, broken, store=store.url) as app:
        watch = asyncio.create_task(watch_health(app, seen))
        for page in itertools.batched(history, 1000) if hasattr(itertools, "batched") else _batched(history, 1000):
            await append(app.storage, *[request(f"counter-{name}", _event(name, n)) for name, n in page])
        await app.settle()
        [lag] = await app.lag()
        assert (lag.events_behind, lag.parked, lag.state) == (0, 20 * 4, "live")
        rows = {row.counter: row for row in await app.views[broken].find()}
        assert {name: row.order for name, row in rows.items() if name not in bad} == {
            name: "1,2,3,4,5," for name in names if name not in bad
        }
        assert {rows[name].order for name in bad} == {"1,"}
        assert (await app.health()).status == "degraded"
        watch.cancel()
        assert isinstance((await asyncio.gather(watch, return_exceptions=True))[0], asyncio.CancelledError)
    assert "degraded" in seen

    async with App(Counter, mended, store=store.url) as app:
        await nothing_parked(app)
        rows = {row.counter: row for row in await app.views[mended].find()}
        assert {name: row.total for name, row in rows.items()} == {name: sum(ns) for name, ns in expected.items()}
        assert {name: row.order for name, row in rows.items()} == {
            name: "".join(f"{n}," for n in ns) for name, ns in expected.items()
        }
        assert (await app.health()).status == "ok"
        letters = await app.dead_letters.list(everything=True)
        assert {(x.state, x.reason) for x in letters} == {("retried", "retried by itself: the code was changed")}


def _batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[n : n + size] for n in range(0, len(items), size))


def _event(name: str, n: int) -> Any:
    return event("counter.put", data=f'{{"counter":"{name}","n":{n}}}'.encode())


async def test_the_same_code_does_not_try_again_by_itself_and_other_code_does_once(store: Store) -> None:
    async with App(Counter, broken, store=store.url) as app:
        await put(app, ("00", 1), ("00", 2), ("00", 3))
        first = [(x.state, x.attempts, x.error) for x in await parked(app)]
        assert first == [("parked", 1, "ValueError: cannot take 2"), ("parked", 1, None)]
    async with App(Counter, broken, store=store.url) as app:
        await put(app, ("00", 4))
        assert [(x.state, x.attempts) for x in await parked(app)] == [("parked", 1)] * 3
    for _ in range(3):
        async with App(Counter, still_broken, store=store.url) as app:
            await put(app, ("other", 1))
            await eventually(lambda app=app: parked(app), lambda letters: letters[0].attempts == 2)  # type: ignore[misc]
            letters = await parked(app)
            assert [x.state for x in letters] == ["parked"] * 3
            assert (letters[0].attempts, letters[0].error) == (2, "KeyError: 'cannot take 2 either'")
    async with App(Counter, mended, store=store.url) as app:
        await nothing_parked(app)
        assert (await app.views[mended].find(counter="00"))[0].order == "1,2,3,4,"


async def test_each_segment_retries_its_own_keys_and_can_be_tried_for_them(store: Store) -> None:
    names = [f"{n}00" for n in range(12)]
    async with App(Counter, broken, store=store.url, segments={broken: 4}) as app:
        await put(app, *[(name, n) for n in (1, 2, 3) for name in names])
        letters = await parked(app)
        assert len({letter.processor for letter in letters}) > 1
        assert {letter.key for letter in letters} == set(names)
        trial = await app.dead_letters.try_(letters[0].number, whole_key=False)
        assert trial.error == "ValueError: cannot take 2"
        health = await app.health()
        assert sum(int(problem.detail.split()[0]) for problem in health.problems) == 24
    _, trials = await _tried_in_order(App(Counter, mended, store=store.url, segments={mended: 4}), store)
    async with App(Counter, mended, store=store.url, segments={mended: 4}) as app:
        await nothing_parked(app)
        rows = {row.counter: row for row in await app.views[mended].find()}
        assert rows == _foretold(trials)
        assert {row.order for row in rows.values()} == {"1,2,3,"}
        assert (await app.health()).status == "ok"


async def test_an_event_that_could_not_be_read_is_retried_when_an_upcaster_comes(store: Store) -> None:
    async with App(Counter, mended, store=store.url) as app:
        await append(app.storage, request("counter-a", event("counter.put", data=b'{"counter":"a"}'), _event("a", 7)))
        await app.settle()
        assert [x.error is not None for x in await parked(app)] == [True, False]

    class Put2(Event, name="counter.put", version=2):
        counter: str
        n: int

    @upcast("counter.put", 1)
    def with_number(data: dict[str, Any]) -> dict[str, Any]:
        return {"n": 0, **data}

    @projection("sums", key=lambda event: event.counter)
    def reading(row: Sum | None, event: Put2) -> Sum:
        return added(row, Put(counter=event.counter, n=event.n))

    async with App(reading, with_number, store=store.url) as app:
        await nothing_parked(app)
        assert (await app.views[reading].find())[0].order == "0,7,"


async def test_sql_that_the_database_refused_is_retried_when_it_is_mended(sql_store: Store) -> None:
    def sums(key: str) -> Any:
        return sql_projection("sql_sums", row=Total, events=[Put], sql=SQL_SUMS.replace("KEY", key))

    refused = sums("case when cast(data->>'n' as integer) <> 2 then data->>'counter' end")  # no key is none
    async with App(Counter, refused, store=sql_store.url) as app:
        await put(app, ("a", 1), ("a", 2), ("a", 3), ("b", 1))
        letters = await parked(app)
        assert [x.key for x in letters] == ["counter-a"] * 2
    async with resting(App(Counter, refused, store=sql_store.url)) as app:
        before = sql_store.contents()
        trial = await app.dead_letters.try_(letters[0].number)
        assert (trial.shows, len(trial.steps), trial.error == trial.steps[0].error) == ("acceptance", 1, True)
        assert "refused" in (trial.error or "")
        assert sql_store.contents() == before
    whole = sums("data->>'counter'")
    async with App(Counter, whole, store=sql_store.url) as app:
        await nothing_parked(app)
        assert {row.counter: row.total for row in await app.views[whole].find()} == {"a": 6, "b": 1}


# -- handlers -----------------------------------------------------------------------------------------------------


class Note(Command):
    book: str
    text: str


class Noted(Event):
    book: str
    text: str


class Flaky:
    """Raises a few times for each text, or always."""

    def __init__(self, **times: int) -> None:
        self.left, self.asked = dict(times), list[str]()

    def meet(self, text: str) -> None:
        self.asked.append(text)
        if self.left.get(text, 0):
            self.left[text] -= 1
            raise OSError(f"cannot note {text}")


class Book(Aggregate, category="book", key="book"):
    @handle
    def note(self, command: Note, flaky: Flaky) -> Iterator[Noted]:
        flaky.meet(command.text)
        yield Noted(book=command.book, text=command.text)

    @apply
    def noted(self, _: Noted) -> None: ...


@event_handler(name="noting")
def noting(event: Put) -> Iterator[Note]:
    yield Note(book="log", text=f"{event.counter}{event.n}")


async def noted(app: App) -> list[str]:
    return [record.event.text async for record in app.events(category="book")]


async def test_a_command_that_fails_by_something_that_passes_is_tried_again_before_its_event_is_parked(
    url: str,
) -> None:
    flaky, clock = Flaky(a2=4), VirtualClock(autojump=True)
    async with App(Counter, Book, noting, store=url, provide=[flaky], clock=clock) as app:
        await put(app, ("a", 1), ("a", 2), ("a", 3))
        assert await noted(app) == ["a1", "a2", "a3"]
        assert not await parked(app)
    assert flaky.asked == ["a1", *["a2"] * 5, "a3"]


async def test_after_five_attempts_it_is_parked_and_the_letter_says_so(url: str) -> None:
    flaky, clock = Flaky(a2=5), VirtualClock(autojump=True)
    async with App(Counter, Book, noting, store=url, provide=[flaky], clock=clock) as app:
        await put(app, ("a", 1), ("a", 2), ("a", 3))
        letters = await parked(app)
        assert [(x.error, x.attempts) for x in letters] == [("OSError: cannot note a2", 5), (None, 1)]
        assert flaky.asked == ["a1", *["a2"] * 5]


async def test_other_streams_flow_on_while_one_waits_for_its_next_attempt(url: str) -> None:
    flaky, clock = Flaky(bad1=9), VirtualClock()
    async with App(Counter, Book, noting, store=url, provide=[flaky], clock=clock) as app:
        await append(
            app.storage, *[request(f"counter-{name}", _event(name, 1)) for name in ("bad", "good", "fine", "well")]
        )
        others = ["fine1", "good1", "well1"]
        await eventually(lambda: noted(app), lambda texts: sorted(texts) == others)
        assert clock.sleepers == 1  # the bad one
        assert not await parked(app)
        async with asyncio.timeout(20):
            while not await parked(app):  # one step of the clock may be enough for two attempts
                await (clock.advance(1) if clock.sleepers else asyncio.sleep(0.001))
        await app.settle()
        assert [x.attempts for x in await parked(app)] == [5]


async def test_what_went_through_in_an_earlier_attempt_is_not_done_twice(url: str) -> None:
    flaky, clock = Flaky(second=2), VirtualClock(autojump=True)

    @event_handler
    def both(event: Put) -> Iterator[Note]:
        yield Note(book="log", text="first")
        yield Note(book="other", text="second")

    async with App(Counter, Book, both, store=url, provide=[flaky], clock=clock) as app:
        await put(app, ("a", 1))
        assert sorted(await noted(app)) == ["first", "second"]
        assert flaky.asked.count("first") == 1


async def test_a_handler_that_raises_by_itself_is_parked_at_once(url: str) -> None:
    calls: list[int] = []

    @event_handler
    def wrong(event: Put) -> Iterator[Note]:
        calls.append(event.n)
        raise ValueError("always")
        yield

    async with App(Counter, Book, wrong, store=url, provide=[Flaky()], clock=VirtualClock()) as app:
        await put(app, ("a", 1))
        assert [(x.error, x.attempts) for x in await parked(app)] == [("ValueError: always", 1)]
    assert calls == [1]


async def test_a_handler_is_retried_by_itself_when_it_is_mended_or_what_its_commands_run_is(store: Store) -> None:
    class Strict(Aggregate, category="book", key="book"):
        @handle
        def note(self, command: Note) -> Iterator[Noted]:
            if command.text == "a2":
                raise ZeroDivisionError("a bug")
            yield Noted(book=command.book, text=command.text)

        @apply
        def noted(self, _: Noted) -> None: ...

    class Mended(Aggregate, category="book", key="book"):
        @handle
        def note(self, command: Note) -> Iterator[Noted]:
            yield Noted(book=command.book, text=command.text)

        @apply
        def noted(self, _: Noted) -> None: ...

    @event_handler(name="noting")
    def bad_noting(event: Put) -> Iterator[Note]:
        if event.counter == "b":
            raise ValueError("no b")
        yield Note(book="log", text=f"{event.counter}{event.n}")

    def clock() -> VirtualClock:
        return VirtualClock(autojump=True, seed=next(seeds))

    seeds = itertools.count()
    async with App(Counter, Strict, bad_noting, store=store.url, clock=clock()) as app:
        await put(app, ("a", 1), ("a", 2), ("b", 1), ("a", 3))
        assert [(x.key, x.error) for x in await parked(app)] == [
            ("counter-a", "ZeroDivisionError: a bug"),
            ("counter-b", "ValueError: no b"),
            ("counter-a", None),
        ]
    async with App(Counter, Strict, noting, store=store.url, clock=clock()) as app:
        await eventually(lambda: parked(app), lambda letters: [x.key for x in letters] == ["counter-a"] * 2)
        assert await noted(app) == ["a1", "b1"]
        await eventually(lambda: parked(app), lambda letters: letters[0].attempts == 6)
    async with App(Counter, Mended, noting, store=store.url, clock=clock()) as app:
        await nothing_parked(app)
        assert await noted(app) == ["a1", "b1", "a2", "a3"]


# -- trying -------------------------------------------------------------------------------------------------------


async def test_a_trial_shows_the_rows_before_and_after_and_why_it_would_stay(store: Store) -> None:
    async with App(Counter, broken, store=store.url) as app:
        await put(app, ("00", 1), ("00", 2), ("00", 3), ("00", 4))
    async with resting(App(Counter, broken, store=store.url)) as app:
        numbers = [x.number for x in await parked(app)]
        before = store.contents()
        trial = await app.dead_letters.try_(numbers[1])
        assert store.contents() == before
        assert (trial.processor, trial.key, trial.shows) == ("projection:sums@1", "00", "rows")
        assert [(x.number, x.error) for x in trial.steps] == [(numbers[0], "ValueError: cannot take 2")]
        assert trial.error == "ValueError: cannot take 2"

        alone = await app.dead_letters.try_(numbers[1], whole_key=False)
        [change] = alone.steps[0].rows
        assert (change.key, change.fields) == ("00", {"total": (1, 4), "order": ("1,", "1,3,")})
        assert alone.error is None
        assert store.contents() == before


@pytest.mark.parametrize("seed", range(5))
async def test_a_trial_of_rows_tells_exactly_what_the_retry_then_does(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    events = [(rng.choice(["100", "200", "300"]), rng.randint(1, 5)) for _ in range(40)]
    async with App(Counter, broken, store=store.url) as app:
        await put(app, *events)
        letters = await parked(app)
        assert letters

    @projection("sums", key=lambda event: event.counter)
    def half_mended(row: Sum | None, event: Put) -> Sum | None:
        if event.n == 4 and event.counter == "200":
            raise KeyError("something else")
        return None if event.n == 5 else added(row, event)

    left, trials = await _tried_in_order(App(Counter, half_mended, store=store.url), store)
    async with App(Counter, half_mended, store=store.url) as app:
        rows = {row.counter: row for row in await app.views[half_mended].find()}
        await eventually(lambda: parked(app), lambda letters: all(letter.attempts > 1 for letter in letters))
        after = {row.counter: row for row in await app.views[half_mended].find()}
        foretold = _foretold(trials)
        assert after == {key: row for key, row in {**rows, **foretold}.items() if row is not None}
        assert {x.number for x in left} - {x.number for x in await parked(app)} == _through(trials)


async def _tried_in_order(app: App, store: Store) -> tuple[Sequence[DeadLetter], list[Trial]]:
    """What is parked, and a trial of each key; by an App that runs nothing."""
    async with resting(app):
        left, before = await parked(app), store.contents()
        heads = {letter.key: letter.number for letter in reversed(left)}
        trials = [await app.dead_letters.try_(number) for number in heads.values()]
        assert store.contents() == before
    return left, trials


def _foretold(trials: Sequence[Trial]) -> dict[str, Any]:
    return {row.key: row.after for trial in trials for step in trial.steps for row in step.rows}


def _through(trials: Sequence[Trial]) -> set[int]:
    return {step.number for trial in trials for step in trial.steps if step.error is None}


async def test_a_trial_before_the_deploy_tells_what_the_deploy_does(store: Store) -> None:
    events = [("100", n) for n in (1, 2, 3, 4)] + [("200", 2), ("200", 6)]
    async with App(Counter, broken, store=store.url) as app:
        await put(app, *events)
        assert len(await parked(app)) == 5
    _, trials = await _tried_in_order(App(Counter, mended, store=store.url), store)
    assert [trial.error for trial in trials] == [None, None]
    async with App(Counter, mended, store=store.url) as app:
        await nothing_parked(app)
        assert {row.counter: row for row in await app.views[mended].find()} == _foretold(trials)
        assert _foretold(trials) == {
            "100": Sum(counter="100", total=10, order="1,2,3,4,"),
            "200": Sum(counter="200", total=8, order="2,6,"),
        }


class Claim(Command):
    seat: str
    who: str


class Claimed(Event, tags=("who",)):
    seat: str
    who: str


class Seat(Aggregate, category="seat", key="seat", rules=[unique("who")]):
    taken: bool = False

    @handle
    def claim(self, command: Claim) -> Iterator[Claimed]:
        if self.taken:
            raise Rejected("taken already")
        yield Claimed(seat=command.seat, who=command.who)

    @apply
    def claimed(self, _: Claimed) -> None:
        self.taken = True


async def test_a_trial_of_a_handler_tells_the_commands_and_what_the_retry_then_records(store: Store) -> None:
    """Refusals, rules about all streams, and decisions that build on each other included."""

    @event_handler(name="claiming")
    def not_yet(event: Put) -> Iterator[Claim]:
        raise ValueError("not yet")
        yield

    @event_handler(name="claiming")
    def claiming(event: Put) -> Iterator[Claim]:
        yield Claim(seat=str(event.n), who=f"{event.counter}-{event.n}")
        yield Claim(seat="one", who=event.counter)
        yield Claim(seat=f"spare-{event.n}", who="spare")

    async with App(Counter, Seat, not_yet, store=store.url) as app:
        await put(app, ("a", 1), ("a", 2), ("a", 1))
        head = await app.storage.head()
    _, [trial] = await _tried_in_order(App(Counter, Seat, claiming, store=store.url), store)
    async with App(Counter, Seat, claiming, store=store.url) as app:
        assert (trial.shows, trial.error) == ("commands", None)
        told = [[(x.refused or x.stream, list(x.events)) for x in step.commands] for step in trial.steps]
        assert told == [
            [
                ("seat-1", [Claimed(seat="1", who="a-1")]),
                ("seat-one", [Claimed(seat="one", who="a")]),
                ("seat-spare-1", [Claimed(seat="spare-1", who="spare")]),
            ],
            [
                ("seat-2", [Claimed(seat="2", who="a-2")]),
                ("taken already", []),
                ("who 'spare' is taken by seat-spare-1", []),
            ],
            [("taken already", [])] * 3,
        ]
        await nothing_parked(app)
        recorded = [record.event async for record in app.events(after=head)]
        assert sorted(map(repr, recorded)) == sorted(
            repr(each) for step in trial.steps for command in step.commands for each in command.events
        )


async def test_a_trial_tells_a_command_that_raises_and_one_that_was_handled_before(store: Store) -> None:
    flaky = Flaky(a2=99)

    @event_handler(name="noting")
    def twice(event: Put) -> Iterator[Note]:
        yield Note(book="log", text="fine")
        yield Note(book="log", text="a2")

    clock = VirtualClock(autojump=True)
    parts = (Counter, Book, twice)
    async with App(*parts, store=store.url, provide=[flaky], clock=clock) as app:
        await put(app, ("a", 1))
    async with resting(App(*parts, store=store.url, provide=[flaky], clock=clock)) as app:
        [letter] = await parked(app)
        before = store.contents()
        trial = await app.dead_letters.try_(letter.number)
        assert store.contents() == before
        fine, failing = trial.steps[0].commands
        assert (fine.duplicate, fine.events, fine.error) == (True, (), None)
        assert failing.error == trial.error == "OSError: cannot note a2"


async def test_side_effects_closed_letters_and_strangers_are_not_tried(sqlite: str) -> None:
    @event_handler
    async def ring(event: Put) -> None:
        raise OSError("no bell")

    async with App(Counter, broken, ring, store=sqlite, clock=VirtualClock(autojump=True)) as app:
        await put(app, ("00", 2))
        letters = {x.processor: x.number for x in await parked(app)}
        with pytest.raises(CannotTry, match="side effects"):
            await app.dead_letters.try_(letters["reaction:ring"])
        with pytest.raises(NotParked):
            await app.dead_letters.try_(999)
    async with App(Counter, store=sqlite) as app:
        with pytest.raises(CannotTry, match="no part of this App is projection:sums@1"):
            await app.dead_letters.try_(letters["projection:sums@1"])
        await app.dead_letters.skip(letters["projection:sums@1"], "a test")
        with pytest.raises(NotParked, match="skipped"):
            await app.dead_letters.try_(letters["projection:sums@1"])


# -- purging ------------------------------------------------------------------------------------------------------


async def test_only_old_letters_that_were_dealt_with_are_purged(sqlite: str) -> None:
    clock = VirtualClock(autojump=True)
    async with App(Counter, broken, store=sqlite, clock=clock) as app:
        await put(app, ("100", 2), ("200", 2), ("300", 2))
        first, second, _ = [x.number for x in await parked(app)]
        await app.dead_letters.skip(first, "a test")
        await clock.advance(timedelta(days=30))
        await put(app, ("400", 2))
        last = (await parked(app))[-1].number
        await app.dead_letters.skip(last, "too young")
        assert await app.dead_letters.purge(timedelta(days=31)) == 0
        assert await app.dead_letters.purge(timedelta(days=29), states=["retried"]) == 0
        with pytest.raises(InvalidMessage, match="'parked' are not purged"):
            await app.dead_letters.purge(timedelta(0), states=["skipped", "parked"])
        assert await app.dead_letters.purge(timedelta(days=29)) == 1
        left = [(x.number, x.state) for x in await app.dead_letters.list(everything=True)]
        assert left == [(second, "parked"), (second + 1, "parked"), (last, "skipped")]
