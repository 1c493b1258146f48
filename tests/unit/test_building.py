"""Two that build the same view at once, and readers who slept through it: nothing is dropped, mixed or made up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from daicho import App, BeingBuilt, LostLease, NotBuilt, Rebuilding
from daicho.ports.checkpoint_store import Checkpoint
from daicho.ports.view_store import TableSpec
from daicho.read.elsewhere import Elsewhere
from daicho.read.rebuild import Builder, RebuildStep
from tests.bank import balances
from tests.lasting import LastingMemory
from tests.unit.test_projections import RIGHT, WRONG, Bank, deposit, history, rows, tool, used_up, wide, wrong

KINDS = ["memory", "sqlite", "postgres", "redis", "mongodb", "opensearch"]


@pytest.fixture(params=KINDS)
def bank(
    request: pytest.FixtureRequest,
    sqlite: str,
    monkeypatch: pytest.MonkeyPatch,
    read_store_url: Callable[[str], str],
) -> Bank:
    """A register, and a place for the rows of `balances`, that outlive their Apps."""
    monkeypatch.setattr("daicho.read.rebuild._PAGE", 2)
    monkeypatch.setattr("daicho.read.stride._PAGE", 2)
    if request.param == "memory":
        memory = LastingMemory()
        monkeypatch.setattr("daicho.wiring.places.open_storage", lambda *_: memory)
        return Bank("memory:")
    if request.param == "postgres":
        return Bank(request.getfixturevalue("postgres_url"))
    return Bank(sqlite, None if request.param == "sqlite" else read_store_url(request.param))


@asynccontextmanager
async def begun(app: App, **how: Any) -> AsyncIterator[AsyncIterator[RebuildStep]]:
    """A build that has made its first step."""
    steps = app.projections.rebuild("balances", **how)
    async with aclosing(steps):  # type: ignore[type-var]
        assert not (await anext(steps)).switched
        yield steps


async def generations(app: App) -> list[tuple[int, bool, bool]]:
    [state] = await app.projections.list()
    return [(each.number, each.live, each.built) for each in state.generations]


# -- two that build ---------------------------------------------------------------------------------------------------


async def test_whoever_builds_second_is_told_who_builds_and_nothing_is_dropped(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(balances)) as first, tool(bank.app(wrong)) as other, tool(bank.app(balances)) as same:
        async with begun(first) as steps:
            for app in (other, same):
                for refused in (app.projections.rebuild("balances"), app.projections.deploy("balances")):
                    with pytest.raises(BeingBuilt, match="the view 'balances' is being built") as told:
                        await used_up(refused)
                    assert told.value.data["view"] == "balances"
                    assert told.value.data["since"] in told.value.why
                with pytest.raises(BeingBuilt):
                    await app.projections.switch("balances")
                assert await generations(app) == [(1, True, True), (2, False, False)]
            assert [step.generation for step in await used_up(steps)][-1] == 2
        assert await generations(first) == [(1, False, True), (2, True, True)]
        assert await rows(first, balances) == RIGHT
        await used_up(other.projections.rebuild("balances"))
        assert await rows(other, wrong) == WRONG


async def test_an_interrupted_build_of_other_code_is_dropped_and_its_number_is_not_used_again(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(balances)) as app, begun(app):
        pass
    async with tool(bank.app(wrong)) as app:
        assert (await used_up(app.projections.rebuild("balances")))[-1].generation == 3
        assert await rows(app, wrong) == WRONG
        assert await generations(app) == [(1, False, True), (3, True, True)]


async def test_a_builder_that_was_taken_for_dead_writes_and_drops_nothing_more(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was silent for longer than its leases last, then wakes up in the middle of a later build."""
    await history(bank)
    async with tool(bank.app(balances)) as first, tool(bank.app(wrong)) as other:
        async with begun(first) as steps:
            for each in await first.storage.checkpoints():
                if each.owner is not None:
                    await first.storage.release(each.owner, each.processor)  # as time does
            async with begun(other) as later:
                with pytest.raises(LostLease):
                    await used_up(steps)
                assert (await used_up(later))[-1].switched
        assert await rows(other, wrong) == WRONG
        assert await generations(other) == [(1, False, True), (3, True, True)]


async def test_a_builder_that_lost_its_turn_at_the_last_moment_switches_nothing(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history(bank)
    async with tool(bank.app(wrong)) as app:
        caught_up = Builder.catch_up

        async def then_lost(self: Builder, *given: Any) -> None:
            await caught_up(self, *given)
            await app.storage.unseat("builder:projection:balances")

        monkeypatch.setattr(Builder, "catch_up", then_lost)
        with pytest.raises(LostLease, match="no longer built from here"):
            await used_up(app.projections.rebuild("balances"))
        assert (await generations(app))[0] == (1, True, True)


async def test_a_verification_and_a_rebuild_leave_each_other_alone(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    await history(bank)
    rebuilt, looked = asyncio.Event(), asyncio.Event()
    async with tool(bank.app(balances)) as one, tool(bank.app(balances)) as other:

        async def rebuild() -> None:
            await looked.wait()
            await used_up(other.projections.rebuild("balances"))
            rebuilt.set()

        compare = one.projections._compare

        async def slowly(*given: Any) -> Any:
            looked.set()
            await rebuilt.wait()
            assert [number for number, *_ in await generations(one)] == [1, 2, 3]
            return await compare(*given)

        monkeypatch.setattr(one.projections, "_compare", slowly)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rebuild())
            found = tasks.create_task(one.projections.verify("balances"))
        assert (found.result().same, found.result().equal) == (True, 5)
        assert await generations(one) == [(1, False, True), (3, True, True)]


async def test_a_rollback_waits_for_nobody_and_what_was_built_is_kept(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(balances)) as app, tool(bank.app(wrong)) as operator:
        await used_up(operator.projections.rebuild("balances"))
        async with begun(app) as steps:
            assert (await operator.projections.rollback("balances")).number == 1
            with pytest.raises(LostLease):
                await used_up(steps)
        assert [number for number, *_ in await generations(app)] == [1, 2, 3]
        assert await rows(app, balances) == RIGHT
        again = await used_up(app.projections.rebuild("balances"))
        assert again[-1].generation == 3
        assert again[0].position > 2


# -- an App that builds by itself when it starts ----------------------------------------------------------------------


async def test_an_app_of_other_rows_waits_for_whoever_builds_and_says_so(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daicho.wiring.read_side._PATIENCE", 0.2)
    await history(bank)
    async with tool(bank.app(balances)) as operator:
        async with begun(operator) as steps:
            with pytest.raises(BeingBuilt):
                async with bank.app(wide):
                    pass
            assert await generations(operator) == [(1, True, True), (2, False, False)]
            await used_up(steps)
        assert await rows(operator, balances) == RIGHT
    async with bank.app(wide) as app:
        await app.settle()
        assert await rows(app, wide) == {**RIGHT, "c": 17}


async def test_an_app_of_the_same_code_joins_whoever_builds(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(wide)) as operator, begun(operator) as steps, bank.app(wide) as app:
        with pytest.raises(Rebuilding):  # what is there is only a part
            await app.barrier(wide, after=0, within=0.1)
        await used_up(steps)
        await app.settle()
        assert await rows(app, wide) == {**RIGHT, "c": 17}
        assert await generations(app) == [(1, False, True), (2, True, True)]


async def test_an_operator_beside_an_app_that_builds_by_itself_drops_nothing(bank: Bank) -> None:
    await history(bank)
    async with bank.app(wide) as app, tool(bank.app(wide)) as operator:
        await used_up(operator.projections.rebuild("balances"))
        await app.settle()
        assert await rows(app, wide) == {**RIGHT, "c": 17}
        assert [number for number, live, _ in await generations(app) if not live] == [2]


async def test_a_rollback_does_not_end_in_a_build_that_was_interrupted(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(wrong)) as app, begun(app, switch=False):
        pass
    async with bank.app(wide) as app:
        await app.settle()
        assert [each for each in await generations(app) if each[1]] == [(3, True, True)]
        await app.projections.rollback("balances")
    async with tool(bank.app(balances)) as app:
        assert await rows(app, balances) == RIGHT


# -- readers who sleep ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asleep(app: App, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing of the process is done, but what is asked in here: its processor looks only when it is told to."""
    [projector], [processor] = app._now.read.projectors, app._now.processors
    look = projector.locate

    async def if_told() -> str:
        return projector.name if processor._moving is None else await look()

    with monkeypatch.context() as patched:
        patched.setattr(projector, "locate", if_told)
        yield


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_process_that_only_reads_sees_what_others_built_anew(bank: Bank, times: int) -> None:
    await history(bank)
    async with tool(bank.app(balances)) as reader, tool(bank.app(balances)) as operator:
        assert await rows(reader, balances) == RIGHT
        for _ in range(times):
            await used_up(operator.projections.rebuild("balances"))
        async with bank.app(balances) as writer:
            await writer.settled(await deposit(writer, a=1, new=1))
        await asyncio.sleep(0.3)  # rows of the generation before are kept, and true for so long
        right = {**RIGHT, "a": 151, "new": 1}
        assert await rows(reader, balances) == right
        assert (await reader.views[balances].count(), len(await reader.views[balances].get_many(list(right)))) == (6, 6)


@pytest.mark.parametrize("ask", ["find", "get", "get_many", "page", "count"])
async def test_a_reader_who_slept_through_two_rebuilds_looks_again(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    await history(bank)
    asks: dict[str, Callable[[App], Any]] = {
        "find": lambda app: rows(app, balances),
        "get": lambda app: app.views[balances].get("a"),
        "get_many": lambda app: app.views[balances].get_many(["a", "b"]),
        "page": lambda app: app.views[balances].page(limit=3),
        "count": lambda app: app.views[balances].count(),
    }
    async with bank.app(balances) as reader, tool(bank.app(balances)) as operator:
        await reader.settle()
        before = await asks[ask](reader)
        with asleep(reader, monkeypatch):
            for _ in range(2):
                await used_up(operator.projections.rebuild("balances"))
            assert [number for number, *_ in await generations(operator)] == [2, 3]
            assert await asks[ask](reader) == before


@pytest.mark.parametrize("bank", ["redis", "mongodb", "opensearch"], indirect=True)
async def test_who_slept_between_claiming_a_generation_and_its_first_look_at_it_does_not_make_it_anew(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was dropped meanwhile. As an empty table it would be asked."""
    asleep, awake, back = asyncio.Event(), asyncio.Event(), asyncio.Event()
    resume = Elsewhere.resume

    async def late(self: Elsewhere, checkpoint: Checkpoint, table: TableSpec, sides: Any = ()) -> int:
        if table.generation != 2 or awake.is_set():
            return await resume(self, checkpoint, table, sides)
        asleep.set()
        await awake.wait()
        try:
            return await resume(self, checkpoint, table, sides)
        finally:
            back.set()

    await history(bank)
    async with tool(bank.app(balances)) as operator:
        await used_up(operator.projections.rebuild("balances"))
        monkeypatch.setattr(Elsewhere, "resume", late)
        async with bank.app(balances) as reader:
            await asyncio.wait_for(asleep.wait(), 20)
            for _ in range(2):
                await used_up(operator.projections.rebuild("balances"))
            awake.set()
            await asyncio.wait_for(back.wait(), 20)
            assert await rows(reader, balances) == RIGHT
        assert [number for number, *_ in await generations(operator)] == [3, 4]


async def test_a_process_that_only_reads_shows_no_part_of_a_build(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(wide)) as operator, begun(operator, switch=False) as steps:
        async with tool(bank.app(wide)) as reader:
            with pytest.raises(Rebuilding):
                await asyncio.wait_for(reader.barrier(wide, after=0, within=0.2), 20)
        await used_up(steps)
        async with tool(bank.app(wide)) as reader:
            assert await rows(reader, wide) == {**RIGHT, "c": 17}


async def test_there_is_nothing_to_go_back_to_while_only_others_build(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(balances)) as app, tool(bank.app(balances)) as operator, begun(app) as steps:
        with pytest.raises(NotBuilt):
            await operator.projections.rollback("balances")
        assert (await used_up(steps))[-1].switched  # and nobody was interrupted for it
