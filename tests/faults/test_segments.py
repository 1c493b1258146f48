"""Processors cut into segments, and processes that share them: nothing is lost or doubled, and the work is even."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from daicho import Aggregate, App, Command, Context, Event, Row, apply, event_handler, handle, projection
from daicho.core.errors import ConfigurationError, StoreBusy, UnknownView
from daicho.core.segments import Segment, root_of, segment_of
from daicho.flow.reactions import Reaction
from daicho.ports.checkpoint_store import CUT, Checkpoint
from daicho.read.crew import NODE, Crew
from daicho.read.processor import Processor
from tests.services.find import needed
from tests.services.redis import redis
from tests.services.running import Host


class Play(Command):
    game: str
    winner: str
    loser: str
    points: int


class Played(Event, name="played"):
    winner: str
    loser: str
    points: int


class Note(Command):
    note: str


class Noted(Event, name="noted"):
    note: str


class Game(Aggregate, category="game", key="game"):
    played: int = 0

    @handle
    def play(self, command: Play) -> Iterator[Played]:
        yield Played(winner=command.winner, loser=command.loser, points=command.points)

    @apply
    def happened(self, _: Played) -> None:
        self.played += 1


class Diary(Aggregate, category="diary", key="note"):
    notes: int = 0

    @handle
    def write(self, command: Note) -> Iterator[Noted]:
        yield Noted(note=command.note)

    @apply
    def written(self, _: Noted) -> None:
        self.notes += 1


class Score(Row):
    player: str
    points: int = 0
    games: int = 0
    last: int = 0


poison: set[int] = set()


@pytest.fixture(autouse=True)
def nothing_is_poisoned() -> Iterator[None]:
    poison.clear()
    yield
    poison.clear()


@projection("scores", key=lambda e: (e.winner, e.loser))
def scores(row: Score | None, event: Played, player: str) -> Score | None:
    if event.points in poison:
        raise ValueError(f"{event.points} points")
    row = row or Score(player=player)
    won = event.points if event.winner == player else 0
    return Score(player=player, points=row.points + won, games=row.games + 1, last=event.points)


@event_handler(from_start=True)
def remember(event: Played) -> Iterator[Note]:
    if event.points % 10 == 0:
        yield Note(note=f"{event.winner} {event.points}")


class Post:
    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.order: list[str] = []


@event_handler(from_start=True)
async def tell(event: Played, post: Post, context: Context) -> None:
    post.sent[str(context.command_id)] += 1
    post.order.append(f"{event.winner} {event.points}")


def league(store: str, segments: int, *, name: str = "league", views: Any = None, post: Post | None = None) -> App:
    cut: Any = {scores: segments, remember: segments, tell: segments}
    parts: Any = (Game, Diary, scores, remember, tell)
    return App(*parts, store=store, segments=cut, name=name, views=views, provide=[post or Post()])


def games(first: int, last: int) -> list[Play]:
    dice = random.Random(first)
    players = [f"p{n}" for n in range(30)]
    found: list[Play] = []
    for n in range(first, last):
        winner, loser = dice.sample(players, 2)
        found.append(Play(game=f"g{n % 17}", winner=winner, loser=loser, points=n))
    return found


def expected(played: list[Play]) -> dict[str, tuple[int, int]]:
    """Points and games by player, by plain bookkeeping."""
    points, seen = Counter[str](), Counter[str]()
    for game in played:
        points[game.winner] += game.points
        seen.update((game.winner, game.loser))
    return {player: (points[player], seen[player]) for player in seen}


async def shown(app: App) -> dict[str, tuple[int, int]]:
    return {row.player: (row.points, row.games) for row in await app.views[scores].find()}


async def played(app: App, some: list[Play]) -> None:
    for game in some:
        await app.send(game)


async def pieces(app: App, kind: str = "projection:scores") -> list[Checkpoint]:
    stored = await app.storage.checkpoints()
    return [c for c in stored if root_of(c.processor).startswith(kind) and c.owner != CUT]


async def until(condition: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - other Apps change it
            await asyncio.sleep(0.02)


async def cut_into(app: App, count: int, kind: str = "projection:scores") -> None:
    async def done() -> bool:
        return {segment_of(c.processor) for c in await pieces(app, kind)} == set(Segment.all_of(count))

    await until(done)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """URL of a store that several Apps can share."""
    url: str = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def redis_url(host: Host) -> Iterator[str]:
    with needed():
        server = redis(host)
    yield server.url
    server.kill()


async def test_every_segment_sees_its_keys_and_no_others(url: str) -> None:
    async with league(url, 8) as app:
        await played(app, games(1, 200))
        await app.settle()
        assert await shown(app) == expected(games(1, 200))
        assert len(await pieces(app)) == len(await pieces(app, "reaction:remember")) == 8
        lags = {lag.processor: lag for lag in await app.lag()}
        assert (lags["projection:scores@1"].segments, lags["projection:scores@1"].events_behind) == (8, 0)


async def test_each_row_sees_its_events_in_order(store: str) -> None:
    async with league(store, 8) as one, league(store, 8) as two:
        for game in games(1, 150):
            await (one if game.points % 2 else two).send(game)
        await one.settle()
        last: dict[str, int] = {}
        for game in games(1, 150):
            last[game.winner] = last[game.loser] = game.points
        assert {row.player: row.last for row in await two.views[scores].find()} == last


async def test_a_reaction_in_segments_acts_once_on_every_event(store: str) -> None:
    post = Post()
    async with league(store, 4, post=post) as one, league(store, 4, post=post):
        await played(one, games(1, 120))
        await one.settle()
        noted = [r.event.note async for r in one.events(category="diary")]
        assert sorted(noted) == sorted(f"{g.winner} {g.points}" for g in games(1, 120) if g.points % 10 == 0)
    assert len(post.sent) == 119
    assert set(post.sent.values()) == {1}


async def test_a_question_with_a_token_waits_for_the_segments_that_it_needs(store: str) -> None:
    async with league(store, 4) as app:
        await played(app, games(1, 50))
        await app.settle()
        [held] = [c for c in await pieces(app) if segment_of(c.processor).holds("p1")]
        await app.storage.pause(held.processor)
        receipt = await app.send(Play(game="new", winner="p1", loser="p2", points=1000))
        other = next(f"p{n}" for n in range(2, 30) if not segment_of(held.processor).holds(f"p{n}"))

        async def behind(keys: list[str] | None) -> dict[str, int]:
            reached = app._now.read.progress.reach  # pyright: ignore[reportPrivateUsage]
            return await reached(lambda: ["projection:scores@1"], int(receipt.position), 0.5, keys)

        assert await behind([other]) == {}
        assert list(await behind(["p1"])) == list(await behind(None)) == ["projection:scores@1"]
        await app.storage.release("paused", held.processor)
        assert (
            await app._now.read.progress.reach(  # pyright: ignore[reportPrivateUsage]
                lambda: ["projection:scores@1"], int(receipt.position), 20, ["p1"]
            )
            == {}
        )


@pytest.mark.parametrize("counts", [(1, 4, 2, 8, 1), (8, 1, 4)])
async def test_the_number_of_segments_can_change_between_runs(store: str, counts: tuple[int, ...]) -> None:
    done: list[Play] = []
    for run, count in enumerate(counts):
        async with league(store, count) as app:
            await cut_into(app, count)
            more = games(run * 50 + 1, run * 50 + 51)
            await played(app, more)
            done += more
            await app.settle()
            assert await shown(app) == expected(done)


async def test_segments_at_different_places_are_put_together_where_the_last_one_is(store: str) -> None:
    async with league(store, 4) as app:
        await played(app, games(1, 60))
        await app.settle()
        [first, *_] = await pieces(app)
        await app.storage.pause(first.processor)
        await played(app, games(60, 120))
        paused = root_of(first.processor)
        await until(lambda: _all_but(app, first.processor, len(games(1, 120))))
        assert next(c for c in await pieces(app) if c.processor == first.processor).position < 119
        assert paused
    async with league(store, 1) as app:
        await app.storage.release("paused", first.processor)
        await played(app, games(120, 140))
        await cut_into(app, 1)
        await app.settle()
        assert await shown(app) == expected(games(1, 60) + games(60, 120) + games(120, 140))


async def _all_but(app: App, name: str, position: int) -> bool:
    return all(c.position >= position for c in await pieces(app) if c.processor != name)


@asynccontextmanager
async def several(store: str, count: int, segments: int) -> AsyncIterator[list[App]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(league(store, segments)) for _ in range(count)]


async def shares(app: App) -> list[int]:
    """How many pieces each living process has."""
    stored = await app.storage.checkpoints()
    nodes = [c.owner for c in stored if c.processor.startswith(NODE) and c.runs]
    owned = Counter(c.owner for c in stored if c.runs and not c.processor.startswith(NODE))
    return sorted(owned[node] for node in nodes)


async def test_processes_that_come_and_go_share_the_work_evenly(store: str) -> None:
    """Three jobs of eight pieces: 24 for one, 12 each for two, 8 for three, and so on back."""
    done: list[Play] = []

    async def even(app: App, *share: int) -> None:
        async def is_even() -> bool:
            return await shares(app) == list(share)

        await until(is_even)
        more = games(len(done) + 1, len(done) + 31)
        await played(app, more)
        done.extend(more)

    async with league(store, 8) as one:
        await even(one, 24)
        two = await league(store, 8).start()
        await even(two, 12, 12)
        async with league(store, 8) as three:
            await even(three, 8, 8, 8)
            await two.stop()
            await even(three, 12, 12)
        await even(one, 24)
        await one.settle()
        assert await shown(one) == expected(done)
        noted = [r.event.note async for r in one.events(category="diary")]
        assert sorted(noted) == sorted(f"{g.winner} {g.points}" for g in done if g.points % 10 == 0)


async def test_when_processes_do_not_have_the_same_parts_nothing_is_left_undone(store: str) -> None:
    """As while a new version is brought in: who has more parts counts other shares."""

    async def all_run() -> bool:
        return all(c.runs for c in [*await pieces(app), *await pieces(app, "reaction:")])

    async def some_wait() -> bool:
        return not await all_run()

    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(App(Game, scores, store=store, segments={scores: 4}, name="league"))
        app = await stack.enter_async_context(league(store, 4))
        await cut_into(app, 4, "reaction:remember")
        await until(all_run)  # here, as the others do not count yet
        await until(some_wait)  # for the others, who cannot do it
        await asyncio.sleep(2)  # so that nothing is run only because not everybody is counted yet
        await until(all_run)
        await played(app, games(1, 40))
        await app.settle()
        assert await shown(app) == expected(games(1, 40))


async def test_apps_of_other_names_have_work_of_their_own(store: str) -> None:
    async with league(store, 4) as one, App(Game, store=store, name="other"):
        await asyncio.sleep(0)
        await cut_into(one, 4)
        assert [c.owner for c in await pieces(one)] == [(await pieces(one))[0].owner] * 4


async def test_pieces_with_something_parked_are_not_put_together(store: str) -> None:
    poison.add(5)
    async with league(store, 4) as app:
        await played(app, games(1, 30))
        await app.settle()
        assert await app.dead_letters.list()
    async with league(store, 1) as app:
        await played(app, games(30, 40))
        await app.settle()
        assert len(await pieces(app)) == 4
        poison.clear()
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        await cut_into(app, 1)
        assert await shown(app) == expected(games(1, 30) + games(30, 40))


async def test_a_rebuilt_view_is_cut_again(store: str) -> None:
    async with league(store, 4) as app:
        await played(app, games(1, 60))
        assert [step async for step in app.rebuild("scores")][-1].switched
        await cut_into(app, 4, "projection:scores@2")
        await played(app, games(60, 90))
        await app.settle()
        assert await shown(app) == expected(games(1, 60) + games(60, 90))


async def test_rows_in_redis_can_be_filled_by_segments(store: str, redis_url: str) -> None:
    done: list[Play] = []
    for run, count in enumerate((1, 4, 2)):
        views = {scores: redis_url}
        async with league(store, count, views=views) as one, league(store, count, views=views) as two:
            await cut_into(two, count)
            more = games(run * 40 + 1, run * 40 + 41)
            await played(two, more)
            done += more
            await two.settle()
            assert await shown(one) == expected(done)


def test_what_cannot_be_cut_is_refused(sqlite: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be cut into 3 segments"):
        App(Game, scores, store=sqlite, segments={scores: 3})
    with pytest.raises(UnknownView, match="scores"):
        App(Game, store=sqlite, segments={scores: 2})
    with pytest.raises(ConfigurationError, match="remember"):
        App(Game, store=sqlite, segments={remember: 2})
    inline = projection("inline", key=lambda e: e.winner, inline=True)(scores.fold)
    with pytest.raises(ConfigurationError, match="inline, and cannot be cut"):
        App(Game, inline, store=sqlite, segments={inline: 2})


@pytest.mark.parametrize("of", [1, 2, 8, 1024])
def test_every_key_is_in_exactly_one_segment(of: int) -> None:
    for key in [f"k{n}" for n in range(300)] + ["", "鍵", "a/b.c", "\udcff"]:
        assert sum(segment.holds(key) for segment in Segment.all_of(of)) == 1
    held = Counter(next(s.index for s in Segment.all_of(8) if s.holds(f"order-{n}")) for n in range(8000))
    assert max(held.values()) < 1.2 * min(held.values())


def test_the_halves_of_a_segment_hold_what_it_holds() -> None:
    for key in (f"k{n}" for n in range(300)):
        for parent in Segment.all_of(4):
            halves = [each for each in Segment.all_of(8) if each.within(parent)]
            assert len(halves) == 2
            assert any(half.holds(key) for half in halves) == parent.holds(key)


async def test_a_segment_that_leaves_has_noted_how_far_it_came(store: str) -> None:
    async with league(store, 4) as app:
        await played(app, games(1, 30))
        await app.settle()
        head = await app.storage.head()
    app = await league(store, 4).start(processors=False)
    assert {c.position for c in await pieces(app)} == {head}
    await app.stop()


async def test_after_a_look_that_failed_whatever_way_there_are_more(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0

    def fails_three_times(self: Crew, *given: Any) -> set[str]:
        nonlocal failed
        failed += 1
        if failed <= 3:
            raise RuntimeError("as an error of ours would")
        return chosen(self, *given)

    chosen = Crew._chosen  # pyright: ignore[reportPrivateUsage]
    async with league(store, 2) as one:
        async with league(store, 2):
            await until(lambda: _is_even(one, [3, 3]))
            monkeypatch.setattr(Crew, "_chosen", fails_three_times)
        await until(lambda: _is_even(one, [6]))
    assert failed > 3


async def test_work_that_fails_just_as_another_process_is_to_have_it_is_given_up_all_the_same(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, given_up, failed = asyncio.Event(), asyncio.Event(), False
    had_it: list[Processor[Any]] = []
    consume, allow = Reaction.consume, Processor[Any].allow

    async def fails_once(self: Reaction, *given: Any) -> int:
        nonlocal failed
        if self.name == "reaction:tell" and not failed:
            failed = True
            at_work.set()
            await given_up.wait()
            raise StoreBusy("for a moment")
        return await consume(self, *given)

    def told(self: Processor[Any], may_run: bool) -> None:
        allow(self, may_run)
        if self.name == "reaction:tell" and may_run and not had_it:
            had_it.append(self)
        if self in had_it and not may_run:
            given_up.set()

    monkeypatch.setattr(Reaction, "consume", fails_once)
    monkeypatch.setattr(Processor, "allow", told)
    post = Post()
    async with league(store, 1, post=post) as one:
        await played(one, games(1, 10))
        await at_work.wait()
        async with league(store, 1, post=post) as two:
            await two.settle(within=20)
            assert set(post.sent.values()) == {1}
            assert len(post.sent) == len(games(1, 10))
            await until(lambda: _is_even(two, [1, 2]))


async def _is_even(app: App, share: list[int]) -> bool:
    return await shares(app) == share
