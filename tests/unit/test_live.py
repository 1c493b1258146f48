"""Live queries: the answer, then each one that differs, and no question asked for nothing."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daicho import (
    Aggregate,
    App,
    Change,
    Command,
    Crud,
    Event,
    InvalidMessage,
    NotRunning,
    Query,
    Rebuilding,
    Row,
    StaleAnswer,
    UnknownMessage,
    Views,
    apply,
    handle,
    projection,
    query_handler,
    sql_projection,
)
from daicho.read import live
from daicho.read.changes import Altered, Changes, Interest

State = Literal["open", "done", "gone"]


class Put(Command):
    task: str
    state: State = "open"
    note: str = ""


class Written(Event, name="task.written"):
    task: str
    state: State
    note: str


class Task(Aggregate, category="task", key="task"):
    writes: int = 0

    @handle
    def put(self, command: Put) -> Iterator[Written]:
        yield Written(task=command.task, state=command.state, note=command.note)

    @apply
    def written(self, _: Written) -> None:
        self.writes += 1


class TaskRow(Row, index=("state",)):
    task: str
    state: str
    note: str


def fold(row: TaskRow | None, event: Written) -> TaskRow | None:
    return None if event.state == "gone" else TaskRow(task=event.task, state=event.state, note=event.note)


tasks = projection("tasks", key=lambda e: e.task)(fold)
inline_tasks = projection("tasks", key=lambda e: e.task, inline=True)(fold)


@projection("totals", key=lambda _: "all")
def totals(row: TaskRow | None, event: Written) -> TaskRow:
    return TaskRow(task="all", state="", note=str(int(row.note if row else 0) + 1))


class Person(Row):
    name: str
    team: str = ""


people = Crud(Person, key="name")


class InState(Query[list[str]]):
    state: str


class Count(Query[int]):
    state: str = "open"


class Note(Query[str | None]):
    task: str


class Team(Query[list[str]]):
    team: str


class Both(Query[tuple[str, int]]):
    """Of two views."""


class Asked:
    """How often a handler was called, and what it is to raise."""

    def __init__(self) -> None:
        self.times = self.answered = 0
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.times += 1
        if self.error is not None:
            raise self.error


def board(asked: Asked | None = None, view: Any = tasks) -> tuple[Any, ...]:
    called = asked or Asked()

    @query_handler
    async def in_state(query: InState, views: Views) -> list[str]:
        called()
        return [row.task for row in await views[view].find(state=query.state)]

    @query_handler
    async def count(query: Count, views: Views) -> int:
        called()
        found = await views[view].count(state=query.state)
        called.answered += 1
        return found

    @query_handler
    async def note(query: Note, views: Views) -> str | None:
        called()
        row = await views[view].get(query.task)
        return row.note if row else None

    @query_handler
    async def team(query: Team, views: Views) -> list[str]:
        called()
        return [row.name for row in await views[people].find(team=query.team)]

    @query_handler
    async def both(query: Both, views: Views) -> tuple[str, int]:
        called()
        total = await views[totals].get("all")
        return total.note if total else "0", await views[view].count(state="open")

    return Task, view, totals, people, in_state, count, note, team, both


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, sqlite: str) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return "memory:" if request.param == "memory" else sqlite


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, sqlite: str) -> str:
    """A store that several Apps can be on."""
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else sqlite


async def following(changes: AsyncIterator[Change[Any]]) -> Change[Any]:
    async with asyncio.timeout(20):
        return await anext(changes)


async def until(changes: AsyncIterator[Change[Any]], answer: Any) -> Change[Any]:
    """Answers in between may come or not: whoever is slow does not get all of them."""
    async with asyncio.timeout(20):
        async for change in changes:
            if change.answer == answer:
                return change
    raise AssertionError("the watch has ended")


async def ready(app: App) -> None:
    """All its views are at work: the beginning of that is a change as well, as far as anybody knows."""
    async with asyncio.timeout(20):
        while any(lag.state != "live" for lag in await app.lag()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def put(app: App, task: str, state: State = "open", note: str = "") -> int:
    return (await app.send(Put(task=task, state=state, note=note))).position


# -- what comes ---------------------------------------------------------------------------------------------------


async def test_the_first_answer_comes_at_once_and_then_each_change(store: str) -> None:
    async with App(*board(), store=store) as app:
        await ready(app)
        changes = app.watch(InState(state="open"))
        assert await following(changes) == Change(answer=[], position=0, keys={})
        for number, task in enumerate("abc", 1):
            position = await put(app, task)
            change = await following(changes)
            assert change == Change(answer=list("abc"[:number]), position=position, keys={"tasks": [task]})


async def test_a_row_that_leaves_the_filter_or_is_deleted_changes_the_answer(store: str) -> None:
    async with App(*board(), store=store) as app:
        for task in "abc":
            await put(app, task)
        await app.settle()
        changes = app.watch(InState(state="open"))
        assert (await following(changes)).answer == ["a", "b", "c"]
        await put(app, "b", "done")
        assert (await following(changes)).answer == ["a", "c"]
        await put(app, "a", "gone")
        assert (await following(changes)).answer == ["c"]
        await put(app, "b", "open")
        assert (await following(changes)).answer == ["b", "c"]


async def test_what_cannot_matter_is_not_asked_for(store: str) -> None:
    asked = Asked()
    async with App(*board(asked), store=store) as app:
        await ready(app)
        await put(app, "mine", note="first")
        await app.settle()
        changes = app.watch(Note(task="mine")), app.watch(Count(state="done"))
        assert [(await following(each)).answer for each in changes] == ["first", 0]
        waiting = [asyncio.create_task(following(each)) for each in changes]
        for number in range(30):  # other keys, and states that are not "done" neither before nor after
            await put(app, f"t{number % 7}", "gone" if number % 5 == 0 else "open", str(number))
            await app.settle()
        assert asked.times == 2
        await put(app, "mine", "done", note="second")
        assert [(await each).answer for each in waiting] == ["second", 1]
        assert asked.times == 4


async def test_an_answer_that_stays_the_same_is_not_told_again(store: str) -> None:
    asked = Asked()
    async with App(*board(asked), store=store) as app:
        await ready(app)
        changes = app.watch(Count())
        await following(changes)
        waiting = asyncio.create_task(following(changes))
        await put(app, "a")
        assert (await waiting).answer == 1
        waiting = asyncio.create_task(following(changes))
        await put(app, "a", note="another note, the same count")
        async with asyncio.timeout(20):
            while asked.answered < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await put(app, "b")
        assert (await waiting) == Change(answer=2, position=3, keys={"tasks": ["b"]})
        assert asked.times == 4


async def test_the_first_answer_has_seen_what_it_was_asked_to(store: str) -> None:
    async with App(*board(), store=store) as app:
        receipt = await app.send(Put(task="a"))
        first = await following(app.watch(InState(state="open"), after=receipt))
        assert (first.answer, first.position >= receipt.position) == (["a"], True)


async def test_a_query_of_several_views_changes_with_each_of_them(store: str) -> None:
    async with App(*board(), store=store) as app:
        await ready(app)
        changes = app.watch(Both())
        assert (await following(changes)).answer == ("0", 0)
        await put(app, "a")
        change = await until(changes, ("1", 1))
        assert change.position <= 1  # one of the two may have said later that it is there
        await put(app, "a", "done")
        assert change.position <= (await until(changes, ("2", 0))).position <= 2


async def test_rows_of_a_crud_table_count_as_well(store: str) -> None:
    asked = Asked()
    async with App(*board(asked), store=store) as app:
        changes = app.watch(Team(team="red"))
        assert (await following(changes)).answer == []
        await app.crud(people).put(Person(name="ann", team="red"), Person(name="bob", team="blue"))
        assert await following(changes) == Change(answer=["ann"], position=0, keys={"person": ["ann", "bob"]})
        await app.crud(people).put(Person(name="bob", team="red"))
        assert (await following(changes)).answer == ["ann", "bob"]
        await app.crud(people).delete("ann")
        assert (await following(changes)).answer == ["bob"]


async def test_rows_that_sql_makes_count_as_well(shared: str) -> None:
    value = "data->>'state'"
    tasks = sql_projection(
        "tasks",
        row=TaskRow,
        events=[Written],
        sql="insert into {table} (_key, task, state, note) "
        f"select stream, data->>'task', {value}, data->>'note' from {{events}} where true "
        "on conflict (_key) do update set state = excluded.state, note = excluded.note",
    )
    async with App(*board(view=tasks), store=shared) as app:
        await ready(app)
        changes = app.watch(InState(state="open"))
        await following(changes)
        position = await put(app, "a")
        assert await following(changes) == Change(answer=["a"], position=position, keys={"tasks": None})
        await put(app, "a", "done")
        assert (await following(changes)).answer == []


async def test_rows_that_are_written_with_the_events_count_as_well(store: str) -> None:
    async with App(*board(view=inline_tasks), store=store) as app:
        await ready(app)
        changes = app.watch(InState(state="open"))
        await until(changes, [])
        for number in range(1, 5):
            await put(app, f"t{number}")
            await until(changes, [f"t{n + 1}" for n in range(number)])
        await put(app, "t1", "done")
        await until(changes, ["t2", "t3", "t4"])


async def test_whatever_the_consumer_does_to_an_answer_the_next_one_is_told(store: str) -> None:
    async with App(*board(), store=store) as app:
        await put(app, "a")
        await put(app, "b")
        await app.settle()
        changes = app.watch(InState(state="open"))
        (await following(changes)).answer.remove("a")
        await put(app, "a", "done")
        assert (await following(changes)).answer == ["b"]


# -- how often ----------------------------------------------------------------------------------------------------


async def test_a_slow_consumer_gets_the_newest_answer_and_no_backlog(store: str) -> None:
    asked = Asked()
    async with App(*board(asked), store=store) as app:
        await ready(app)
        changes = app.watch(Count())
        assert (await following(changes)).answer == 0
        for hundred in range(10):
            await asyncio.gather(*[put(app, f"t{hundred}.{number}") for number in range(100)])
        await app.settle()
        change = await following(changes)
        assert (change.answer, change.position, asked.times) == (1000, 1000, 2)
        keys = change.keys["tasks"]
        assert keys is not None
        assert len(keys) == 1000


async def test_keys_are_named_up_to_a_thousand(url: str) -> None:
    async with App(*board(), store=url) as app:
        await ready(app)
        changes = app.watch(Count())
        await following(changes)
        for batch in range(11):
            await asyncio.gather(*[put(app, f"t{batch}.{number}") for number in range(100)])
        await app.settle()
        assert (await following(changes)).keys == {"tasks": None}
        await put(app, "last")
        assert (await following(changes)).keys == {"tasks": ["last"]}


async def test_a_consumer_as_fast_as_it_can_sees_the_last_of_a_thousand(store: str) -> None:
    async with App(*board(), store=store) as app:
        seen: list[int] = []

        async def consume() -> None:
            async for change in app.watch(Count()):
                seen.append(change.answer)
                if change.answer == 1000:
                    return

        consumer = asyncio.create_task(consume())
        await asyncio.gather(*[put(app, f"t{number}") for number in range(1000)])
        async with asyncio.timeout(20):
            await consumer
        assert len(seen) <= 500
        assert seen == sorted(set(seen))


# -- who fills the view -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [tasks, inline_tasks], ids=["beside", "inline"])
async def test_changes_by_another_process_are_seen_as_well(shared: str, view: Any) -> None:
    async with App(*board(view=view), store=shared) as owner:
        await ready(owner)
        async with App(*board(view=view), store=shared, name="other") as other:  # takes no work from the owner
            changes = other.watch(InState(state="open"))
            assert (await following(changes)).answer == []
            for number in range(1, 4):
                sender = owner if number % 2 else other
                position = await put(sender, f"t{number}")
                change = await until(changes, [f"t{n + 1}" for n in range(number)])
                assert change.keys == {"tasks": None}
                assert change.position >= position


async def test_an_app_without_processors_can_watch(shared: str) -> None:
    async with App(*board(), store=shared) as owner:
        await put(owner, "a")
        await owner.settle()
        tool = await App(*board(), store=shared).start(processors=False)
        changes = tool.watch(InState(state="open"))
        assert (await following(changes)).answer == ["a"]
        await put(owner, "b")
        assert (await until(changes, ["a", "b"])).position == 2
        for task in "cd":  # the second rebuild drops the table that the tool began with
            async for _ in owner.rebuild("tasks"):
                pass
            await put(owner, task)
        await until(changes, ["a", "b", "c", "d"])
        await tool.stop()


async def test_a_watch_goes_on_when_its_process_takes_the_view_over(shared: str) -> None:
    first, second = App(*board(), store=shared), App(*board(), store=shared)
    await first.start()
    await first.settle()
    async with second:
        changes = second.watch(InState(state="open"))
        await following(changes)
        await put(first, "a")
        await until(changes, ["a"])
        await first.stop()
        await put(second, "b")
        await until(changes, ["a", "b"])


@pytest.mark.slow
async def test_a_view_that_several_processes_share_is_watched_whole(shared: str) -> None:
    cut: Any = {"store": shared, "segments": {tasks: 4}}
    async with App(*board(), **cut) as one, App(*board(), **cut) as two:
        both = [app._now.read.progress for app in (one, two)]  # pyright: ignore[reportPrivateUsage]
        async with asyncio.timeout(20):
            while sorted(len(progress.own("projection:tasks@1")) for progress in both) not in ([1, 3], [2, 2]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        watches = [app.watch(Count()) for app in (one, two)]
        for number in range(20):
            for changes in watches:
                change = await until(changes, number)
                assert change.position <= number
            await put(one, f"t{number}")


async def test_rows_that_another_process_puts_into_a_crud_table_are_found_in_the_end(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_UNTOLD_EVERY", 0.05)
    async with App(*board(), store=shared) as one, App(*board(), store=shared) as two:
        changes = two.watch(Team(team="red"))
        await following(changes)
        await one.crud(people).put(Person(name="ann", team="red"))
        assert (await following(changes)).answer == ["ann"]


@pytest.mark.parametrize("watcher", ["owner", "other"])
async def test_a_view_that_is_built_anew_is_asked_again(shared: str, watcher: str) -> None:
    async with App(*board(), store=shared) as app:
        await put(app, "a", note="as it was")
        await app.settle()

    shouting = projection("tasks", key=lambda e: e.task)(shout)
    async with App(*board(view=shouting), store=shared) as owner:
        await ready(owner)
        async with App(*board(view=shouting), store=shared, name="other") as other:  # takes no work from the owner
            changes = (owner if watcher == "owner" else other).watch(Note(task="a"))
            assert (await until(changes, "as it was")).answer == "as it was"
            waiting = asyncio.create_task(following(changes))
            async for _ in owner.rebuild("tasks"):
                pass
            change = await waiting
            assert (change.answer, change.keys) == ("AS IT WAS", {"tasks": None})
            await put(owner, "a", note="and goes on")
            assert (await following(changes)).answer == "AND GOES ON"


def shout(row: TaskRow | None, event: Written) -> TaskRow:
    return TaskRow(task=event.task, state=event.state, note=event.note.upper())


async def test_an_event_that_was_parked_and_goes_through_is_told(store: str) -> None:
    poisoned = {"bad"}

    def moody(row: TaskRow | None, event: Written) -> TaskRow | None:
        if event.note in poisoned:
            raise ValueError("no")
        return fold(row, event)

    async with App(*board(view=projection("tasks", key=lambda e: e.task)(moody)), store=store) as app:
        await ready(app)
        changes = app.watch(InState(state="open"))
        await following(changes)
        waiting = asyncio.create_task(following(changes))
        await put(app, "a", note="bad")
        await app.settle()
        poisoned.clear()
        await app.dead_letters.retry()
        change = await waiting
        assert (change.answer, change.keys) == (["a"], {"tasks": ["a"]})


@pytest.mark.parametrize("place", ["with the events", "redis"])
async def test_an_event_that_goes_through_in_another_process_is_told_although_no_checkpoint_moves(
    shared: str, place: str, read_store_url: Callable[[str], str]
) -> None:
    poisoned = {"bad"}

    def moody(row: TaskRow | None, event: Written) -> TaskRow | None:
        if event.note in poisoned:
            raise ValueError("no")
        return fold(row, event)

    view = projection("tasks", key=lambda e: e.task)(moody)
    views: dict[Any, str] = {} if place == "with the events" else {view: read_store_url(place)}
    async with App(*board(view=view), store=shared, views=views) as owner:
        await ready(owner)
        await put(owner, "a", note="bad")
        await owner.settle()
        async with App(*board(view=view), store=shared, views=views, name="other") as other:  # takes no work from it
            changes = other.watch(InState(state="open"))
            assert (await following(changes)).answer == []
            poisoned.clear()
            await owner.dead_letters.retry()
            change = await following(changes)
            assert (change.answer, change.keys) == (["a"], {"tasks": None})


# -- how it ends, and what goes wrong -----------------------------------------------------------------------------


async def test_it_ends_when_the_app_stops(store: str) -> None:
    app = await App(*board(), store=store).start()
    ended, unread = app.watch(Count()), app.watch(Count())
    idle = app.watch(Note(task="a"))
    assert [(await following(each)).answer for each in (ended, idle)] == [0, None]

    async def drain() -> list[int]:
        return [change.answer async for change in ended]

    waiting = asyncio.create_task(drain())
    await put(app, "a")
    await app.stop()
    async with asyncio.timeout(20):
        assert (await waiting) in ([], [1])  # the last one may have been too late
        assert [change async for change in unread] == []
        assert [change async for change in idle] == []
    with pytest.raises(NotRunning):
        app.watch(Count())


@pytest.mark.parametrize("is_owner", [True, False])
async def test_whoever_stops_watching_leaves_nothing_behind(sqlite: str, is_owner: bool) -> None:
    async with App(*board(), store=sqlite) as owner:
        await ready(owner)
        other = await App(*board(), store=sqlite).start(processors=False)
        app = owner if is_owner else other
        tasks_before = asyncio.all_tasks()
        for number in range(3):
            async for change in app.watch(Count()):
                await put(owner, f"{number}")
                if change.answer > number:
                    break
        waiting = asyncio.create_task(following(app.watch(Note(task="nobody"))))
        for _ in range(100):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0)
        left = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() - tasks_before]
        assert [name for name in left if name.startswith(("Live.", "Watch.", "following"))] == []
        gc.collect()
        await put(owner, "more")
        await owner.settle()
        assert not owner._now.read.changes.is_heard  # pyright: ignore[reportPrivateUsage]
        await other.stop()


async def test_a_wait_that_is_given_up_can_be_begun_again(store: str) -> None:
    async with App(*board(), store=store) as app:
        await ready(app)
        changes = app.watch(Count())
        await following(changes)
        for number in range(1, 4):
            waiting = asyncio.create_task(following(changes))
            for _ in range(number):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            await put(app, f"t{number}")
            assert (await following(changes)).answer == number


async def test_a_question_that_is_cancelled_is_asked_again(url: str) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    @query_handler
    async def slowly(query: Count, views: Views) -> int:
        found = await views[tasks].count(state=query.state)
        entered.set()
        await leave.wait()
        return found

    async with App(Task, tasks, slowly, store=url) as app:
        await app.settle()
        changes = app.watch(Count())
        leave.set()
        assert (await following(changes)).answer == 0
        leave.clear()
        entered.clear()
        waiting = asyncio.create_task(following(changes))
        position = await put(app, "a")
        await entered.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        leave.set()
        assert await following(changes) == Change(answer=1, position=position, keys={"tasks": ["a"]})


async def test_a_change_that_comes_while_the_answer_is_made_is_not_missed(url: str) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    @query_handler
    async def slowly(query: Count, views: Views) -> int:
        found = await views[tasks].count(state=query.state)
        entered.set()
        await leave.wait()
        return found

    async with App(Task, tasks, slowly, store=url) as app:
        await app.settle()
        changes = app.watch(Count())
        first = asyncio.create_task(following(changes))
        await entered.wait()
        await put(app, "a")
        await app.settle()
        leave.set()
        assert (await first).answer == 0
        assert (await following(changes)).answer == 1


async def test_the_first_answer_fails_as_a_question_would(url: str) -> None:
    class Unanswered(Query[int]):
        pass

    async with App(*board(), store=url) as app:
        await ready(app)
        with pytest.raises(UnknownMessage):
            await following(app.watch(Unanswered()))
        with pytest.raises(InvalidMessage):
            await following(app.watch(Count(), within=-1))
        with pytest.raises(StaleAnswer) as stale:
            await following(app.watch(Count(), after=10**6, within=0.01))
        assert stale.value.answer == 0


async def test_what_the_handler_raises_is_raised_and_the_next_one_is_another_try(url: str) -> None:
    asked = Asked()
    async with App(*board(asked), store=url) as app:
        await ready(app)
        changes = app.watch(Count())
        await following(changes)
        asked.error = ZeroDivisionError("mine")
        await put(app, "a")
        with pytest.raises(ZeroDivisionError, match="mine"):
            await following(changes)
        asked.error = None
        assert (await following(changes)).answer == 1


async def test_a_view_that_is_away_for_a_while_does_not_end_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked()
    async with App(*board(asked), store=url) as app:
        await ready(app)
        changes = app.watch(Count())
        await following(changes)
        asked.error = Rebuilding("not now")
        waiting = asyncio.create_task(following(changes))
        await put(app, "a")
        async with asyncio.timeout(20):
            while asked.times < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await put(app, "b")
        await app.settle()
        asked.error = None
        change = await waiting
        assert (change.answer, change.keys) == (2, {"tasks": ["a", "b"]})
        assert "the answer to Count could not be renewed and will be: not now" in caplog.text
        asked.error = Rebuilding("not now")
        waiting = asyncio.create_task(following(changes))
        await put(app, "c")
    async with asyncio.timeout(20):
        with pytest.raises(StopAsyncIteration):
            await waiting


def test_synchronous_code_can_watch_as_well(url: str) -> None:
    with App(*board(), store=url).sync() as app:
        app.settle()
        seen: list[int] = []
        changes = app.watch(Count())
        for change in changes:
            seen.append(change.answer)
            if change.answer == 3:
                break
            app.send(Put(task=f"t{change.answer}"))
        assert seen == [0, 1, 2, 3]
        left = app.watch(Count())
        assert next(left).answer == 3
    assert list(left) == []


# -- any order ----------------------------------------------------------------------------------------------------


STEP = st.tuples(st.sampled_from("abcd"), st.sampled_from(["open", "done", "gone"]), st.sampled_from(["", "x", "y"]))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, min_size=1, max_size=25), st.integers(0, 2**16))
def test_the_last_answer_is_what_a_question_would_give(steps: list[Any], seed: int) -> None:
    asyncio.run(_compared("memory:", steps, seed))


async def test_the_last_answer_is_what_a_question_would_give_on_every_store(store: str) -> None:
    dice = random.Random(7)
    steps = [(dice.choice("abcdefgh"), dice.choice(["open", "done", "gone"]), dice.choice("xyz")) for _ in range(150)]
    await _compared(store, steps, 7)


async def _compared(store: str, steps: list[Any], seed: int) -> None:
    dice = random.Random(seed)
    queries: list[Query[Any]] = [InState(state="open"), InState(state="done"), Count(), Note(task="a"), Both()]
    async with App(*board(), store=store) as app:
        last: dict[int, Any] = {}
        told = asyncio.Event()

        async def consume(number: int) -> None:
            before: list[Any] = []
            async for change in app.watch(queries[number]):
                assert [change.answer] != before
                before = [change.answer]
                last[number] = change.answer
                told.set()
                for _ in range(dice.randrange(4)):
                    await asyncio.sleep(0)

        consumers = [asyncio.create_task(consume(number)) for number in range(len(queries))]
        for task, state, note in steps:
            await put(app, task, state, note)
            if dice.random() < 0.2:
                await app.settle()
        await app.settle()
        right = {number: await app.ask(query) for number, query in enumerate(queries)}
        async with asyncio.timeout(20):
            while last != right and not any(each.done() for each in consumers):
                told.clear()
                await told.wait()
        assert last == right
    await asyncio.gather(*consumers)


# -- which rows matter --------------------------------------------------------------------------------------------


class Kind(Enum):
    BIG = "big"
    SMALL = "small"


class Thing(Row):
    kind: Kind = Kind.BIG
    size: int = 1
    weight: float = 1.0
    owner: str | None = None


def matters(before: Thing | None, after: Thing | None, **equals: object) -> bool:
    interest = Interest()
    interest.add(None, equals)
    return bool(interest.touched(Altered({"k": after}, {"k": before})))


def test_rows_that_match_or_did_match_a_filter_matter() -> None:
    small, big = Thing(size=1), Thing(size=2)
    assert matters(small, big, size=1)
    assert matters(big, small, size=1)
    assert matters(None, small, size=1)
    assert matters(small, None, size=1)
    assert not matters(None, big, size=1)
    assert not matters(big, big, size=1)
    assert not matters(small, small, size=1, owner="ann")
    assert matters(small, small, size=1, owner=None)
    assert not matters(small, small, kind=Kind.SMALL)
    assert matters(small, small, kind=Kind.BIG)


def test_values_that_stores_compare_in_their_own_way_matter() -> None:
    assert matters(None, Thing(), kind="small")
    assert matters(None, Thing(), size=2.0)
    assert matters(None, Thing(), weight=2.0)
    assert matters(None, Thing(), size=True)


def test_what_a_row_was_is_not_guessed() -> None:
    interest = Interest()
    interest.add(None, {"size": 1})
    assert interest.touched(Altered({"k": Thing(size=2)}, {})) == {"k"}
    assert interest.touched(Altered({"k": Thing(size=2)}, {"k": None})) == set()


def test_keys_filters_and_whole_views_are_told_apart() -> None:
    interest = Interest()
    rows: dict[str, Row | None] = {"a": Thing(size=1), "b": Thing(size=2), "c": None}
    assert interest.touched(Altered(rows, {})) == set()
    interest.add(["c", "d"], None)
    assert interest.touched(Altered(rows, {})) == {"c"}
    interest.add(None, {"size": 2})
    assert interest.touched(Altered(rows, dict.fromkeys(rows))) == {"b", "c"}
    for number in range(200):
        interest.add(None, {"size": number})
    assert interest.touched(Altered(rows, dict.fromkeys(rows))) == {"a", "b", "c"}
    everything = Interest()
    everything.add(None, {})
    assert everything.touched(Altered(rows, {})) == {"a", "b", "c"}


def test_listeners_that_nobody_has_any_more_are_forgotten() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def told(self, view: str, rows: Any) -> None:
            self.heard.append(view)

    changes = Changes()
    assert not changes.is_heard
    for _ in range(1000):
        changes.listen(Ear())
    gc.collect()
    kept = Ear()
    changes.listen(kept)
    changes.tell("v")
    assert (kept.heard, changes.is_heard) == (["v"], True)
    del kept
    gc.collect()
    changes.tell("v")
    assert not changes.is_heard
