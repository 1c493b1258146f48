"""Commands inside a transaction that the caller began: their rows and our events are committed together, or neither."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from daicho import (
    Aggregate,
    App,
    Command,
    ConcurrencyError,
    ConfigurationError,
    Criteria,
    Decider,
    Event,
    ForeignStore,
    Full,
    InvalidMessage,
    KeyReused,
    ProjectionFailed,
    Rejected,
    Row,
    State,
    StoreBusy,
    StoreClosed,
    StoreFailed,
    StoreReadOnly,
    Taken,
    apply,
    capacity,
    handle,
    projection,
    replace,
    sequence,
    unique,
)
from daicho.ports.event_store import Selection
from tests.bank import BANK, Account, Deposit, Deposited, Open, Opened, Withdraw
from tests.services.postgres import Postgres, drop_database, fresh_database

TABLE = "create table if not exists orders (id text primary key)"
INSERT = "insert into orders values ('o-1')"


class Balance(Row):
    account: str
    amount: int = 0


@projection("balances", key=lambda event: event.account, inline=True)
def balances(row: Balance | None, event: Opened | Deposited) -> Balance:
    row = row or Balance(account=event.account)
    if isinstance(event, Opened):
        return row
    if event.amount == 13:
        raise ValueError("13")
    return replace(row, amount=row.amount + event.amount)


class Join(Command):
    member: str
    email: str
    course: str


class Joined(Event, name="member.joined"):
    member: str
    email: str
    course: str
    number: int


class Member(
    Aggregate, category="member", key="member", rules=[unique("email"), sequence("number"), capacity("course", limit=2)]
):
    @handle
    def join(self, command: Join) -> Iterator[Joined]:
        yield Joined(member=command.member, email=command.email, course=command.course, number=0)

    @apply
    def joined(self, _: Joined) -> None: ...


class Enrol(Command):
    student: str
    course: str


class Enrolled(Event, name="student.enrolled", tags=("course",)):
    student: str
    course: str


class Course(State):
    students: int = 0


def enrol(command: Enrol, state: Course) -> list[Enrolled]:
    if state.students == 2:
        raise Rejected("full")
    return [Enrolled(student=command.student, course=command.course)]


def enrolled(state: Course, event: Enrolled) -> Course:
    return replace(state, students=state.students + 1)


courses = Decider(
    "student",
    initial=Course(),
    decide=enrol,
    evolve=enrolled,
    identify=lambda command: command.student,
    boundary=lambda command: Criteria(types=["student.enrolled"], tags=[f"course:{command.course}"]),
)


@pytest.fixture
def database(postgres_url: str) -> str:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TABLE)
    return postgres_url


def orders(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("select count(*) from orders").fetchall()
        return int(count)


async def balance(app: App, account: str = "a") -> int:
    """As it is stored, whatever this process remembers."""
    return (await app.load(Account, account)).balance


class Changed(Exception):
    """The caller's mind."""


# -- every kind of connection -----------------------------------------------------------------------------------------

Begin = Callable[[str], AbstractAsyncContextManager[tuple[Any, Callable[[str], Any]]]]


@asynccontextmanager
async def psycopg_block(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, connection.transaction():
        yield connection, connection.execute


@asynccontextmanager
async def psycopg_implicit(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:  # commits at its end
        yield connection, connection.execute


@asynccontextmanager
async def psycopg_sync(url: str) -> AsyncIterator[Any]:
    with psycopg.connect(url) as connection:

        async def execute(statement: str) -> None:
            connection.execute(statement)

        yield connection, execute


@asynccontextmanager
async def alchemy_connection(url: str) -> AsyncIterator[Any]:
    engine = create_async_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        async with engine.begin() as connection:
            yield connection, lambda statement: connection.execute(text(statement))
    finally:
        await engine.dispose()


@asynccontextmanager
async def alchemy_session(url: str) -> AsyncIterator[Any]:
    engine = create_async_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session, lambda statement: session.execute(text(statement))
    finally:
        await engine.dispose()


KINDS = [psycopg_block, psycopg_implicit, psycopg_sync, alchemy_connection, alchemy_session]


@pytest.mark.parametrize("begin", KINDS)
async def test_the_callers_rows_and_the_events_are_committed_together(database: str, begin: Begin) -> None:
    async with App(Account, balances, store=database) as app:
        async with begin(database) as (connection, execute):
            opened = await app.send(Open(account="a"), within=connection)
            await execute(INSERT)
            deposited = await app.send(Deposit(account="a", amount=5), actor="eve", within=connection)
            assert (opened.version, deposited.version) == (1, 2)
            assert deposited.position > opened.position
            assert await balance(app) == 0  # nobody sees it yet
        assert orders(database) == 1
        assert await balance(app) == 5
        assert (await app.send(Deposit(account="a", amount=1))).version == 3
        await app.settle()
        assert [event.actor async for event in app.events(stream="account-a")] == [None, "eve", None]


@pytest.mark.parametrize("begin", KINDS)
async def test_or_neither_of_them(database: str, begin: Begin) -> None:
    async with App(Account, balances, store=database) as app:
        await app.send(Deposit(account="a", amount=5))
        with contextlib.suppress(Changed):
            async with begin(database) as (connection, execute):
                await app.send(Withdraw(account="a", amount=5), within=connection)
                await execute(INSERT)
                raise Changed
        assert orders(database) == 0
        # neither what this process remembers of the stream, nor of the view
        assert (await app.send(Withdraw(account="a", amount=5))).version == 2
        await app.settle()
        assert await balance(app) == 0
        assert (await app.views[balances].get("a")) == Balance(account="a", amount=5)


@contextmanager
def sync_psycopg(url: str) -> Iterator[Any]:
    with psycopg.connect(url) as connection:
        yield connection, connection.execute


@contextmanager
def sync_connection(url: str) -> Iterator[Any]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.begin() as connection:
            yield connection, lambda statement: connection.execute(text(statement))
    finally:
        engine.dispose()


@contextmanager
def sync_session(url: str) -> Iterator[Any]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with Session(engine) as session, session.begin():
            yield session, lambda statement: session.execute(text(statement))
    finally:
        engine.dispose()


@contextmanager
def sync_scoped_session(url: str) -> Iterator[Any]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    sessions = scoped_session(sessionmaker(engine))  # another thread would get another session
    try:
        yield sessions, lambda statement: sessions.execute(text(statement))
        sessions.commit()
    finally:
        sessions.remove()
        engine.dispose()


SyncBegin = Callable[[str], AbstractContextManager[tuple[Any, Callable[[str], Any]]]]


@pytest.mark.parametrize("begin", [sync_psycopg, sync_connection, sync_session, sync_scoped_session])
def test_the_same_for_synchronous_code(database: str, begin: SyncBegin) -> None:
    with App(Account, balances, store=database).sync() as shop:
        with begin(database) as (connection, execute):
            execute(INSERT)
            shop.send(Deposit(account="a", amount=5), within=connection)
            posted = shop.post(Deposit(account="a", amount=2), within=connection)
            assert shop.load(Account, "a").balance == 0
            assert shop.status(posted) is None
        assert orders(database) == 1
        with contextlib.suppress(Changed), begin(database) as (connection, execute):
            shop.send(Deposit(account="a", amount=100), within=connection)
            raise Changed
        while shop.load(Account, "a").balance != 7:
            pass
        outcome = shop.status(posted)
        assert outcome is not None
        assert outcome.state in {"pending", "done"}


# -- what a command sees ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def transaction(url: str, **options: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    connection: psycopg.AsyncConnection[Any]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, **options) as connection:  # noqa: SIM117
        async with connection.transaction():
            yield connection


async def test_a_command_sees_what_was_sent_before_it_in_the_transaction_and_others_do_not(database: str) -> None:
    async with App(Account, store=database) as app:
        async with transaction(database) as connection:
            await app.send(Deposit(account="a", amount=5), within=connection)
            await app.send(Withdraw(account="a", amount=5), within=connection)
            with pytest.raises(Rejected, match="not enough"):
                await app.send(Withdraw(account="a", amount=1), within=connection)
            with pytest.raises(Rejected, match="not enough"):
                await app.send(Withdraw(account="a", amount=1))
            await connection.execute(INSERT)  # a refusal does no harm
        assert orders(database) == 1
        assert [type(e.event).__name__ async for e in app.events(stream="account-a")] == ["Deposited", "Withdrawn"]
        # what this process remembers of the stream is from before the commit, and does no harm
        assert (await app.send(Deposit(account="a", amount=1))).version == 3


@pytest.mark.slow
async def test_a_long_stream_is_restored_from_its_snapshot_and_none_is_taken_of_what_may_never_be(
    database: str,
) -> None:
    async with App(Account, store=database, snapshot_after=150) as app:
        for _ in range(151):
            await app.send(Deposit(account="a", amount=1))
        await app.storage.drop_snapshots("account-b")  # waits for what is being saved
        [kept] = [await app.storage.load_snapshot("account-a")]
        assert kept is not None
        assert kept.version == 151
        with contextlib.suppress(Changed):
            async with transaction(database) as connection:
                for _ in range(160):
                    await app.send(Deposit(account="a", amount=1), within=connection)
                receipt = await app.send(Withdraw(account="a", amount=311), within=connection)
                assert receipt.version == 312
                raise Changed
        assert await app.storage.load_snapshot("account-a") == kept
        assert await balance(app) == 151


async def test_commands_at_once_on_one_connection_take_turns(database: str) -> None:
    async with App(Account, balances, store=database) as app:
        async with transaction(database) as connection:
            receipts = await asyncio.gather(
                *[app.send(Deposit(account=a, amount=1), within=connection) for a in "aabbcc"]
            )
        assert sorted((r.stream, r.version) for r in receipts) == [(f"account-{a}", n) for a in "abc" for n in (1, 2)]
        await app.settle()
        assert sorted([(r.account, r.amount) for r in await app.views[balances].find()]) == [
            ("a", 2),
            ("b", 2),
            ("c", 2),
        ]


async def test_a_boundary_is_drawn_around_what_the_transaction_wrote_and_what_others_committed(database: str) -> None:
    async with App(courses, store=database) as app:
        async with transaction(database) as connection:
            await app.send(Enrol(student="s1", course="c"), within=connection)
            await app.send(Enrol(student="s2", course="c"), within=connection)
            await app.send(Enrol(student="s3", course="d"), within=connection)
            with pytest.raises(Rejected, match="full"):
                await app.send(Enrol(student="s4", course="c"), within=connection)
            other = asyncio.create_task(app.send(Enrol(student="s5", course="c")))
            await asyncio.sleep(0.05)
            assert not other.done()  # it has to know what becomes of us
        with pytest.raises(Rejected, match="full"):
            await other
        async with transaction(database) as connection:
            await app.send(Enrol(student="s6", course="d"), within=connection)


async def test_set_rules_hold(database: str) -> None:
    async with App(Member, store=database) as app:
        await app.send(Join(member="m1", email="one", course="c"))
        with contextlib.suppress(Changed):
            async with transaction(database) as connection:
                receipt = await app.send(Join(member="m2", email="two", course="c"), within=connection)
                assert receipt.events == (Joined(member="m2", email="two", course="c", number=2),)
                with pytest.raises(Taken):
                    await app.send(Join(member="m3", email="two", course="d"), within=connection)
                with pytest.raises(Taken):
                    await app.send(Join(member="m3", email="one", course="d"), within=connection)
                with pytest.raises(Full):
                    await app.send(Join(member="m3", email="three", course="c"), within=connection)
                raise Changed
        # nothing of that is remembered: the number, the address and the seat are free
        async with transaction(database) as connection:
            receipt = await app.send(Join(member="m4", email="two", course="c"), within=connection)
            assert receipt.events == (Joined(member="m4", email="two", course="c", number=2),)
            receipt = await app.send(Join(member="m5", email="five", course="d"), within=connection)
            assert receipt.events == (Joined(member="m5", email="five", course="d", number=3),)
        with pytest.raises(Full):
            await app.send(Join(member="m6", email="six", course="c"))
        receipt = await app.send(Join(member="m6", email="six", course="d"))
        assert receipt.events == (Joined(member="m6", email="six", course="d", number=4),)


# -- keys, posted commands, refusals ----------------------------------------------------------------------------------


async def test_a_key_counts_once_inside_and_afterwards(database: str) -> None:
    async with App(Account, store=database) as app:
        async with transaction(database) as connection:
            first = await app.send(Deposit(account="a", amount=5), key="k", within=connection)
            again = await app.send(Deposit(account="a", amount=5), key="k", within=connection)
            assert (first.duplicate, again.duplicate) == (False, True)
            assert (again.events, again.version, again.position) == (first.events, 1, first.position)
            with pytest.raises(KeyReused):
                await app.send(Deposit(account="a", amount=6), key="k", within=connection)
        assert (await app.send(Deposit(account="a", amount=5), key="k")).duplicate
        async with transaction(database) as connection:
            assert (await app.send(Deposit(account="a", amount=5), key="k", within=connection)).duplicate
        assert await balance(app) == 5


async def test_a_key_is_free_again_if_the_transaction_is_rolled_back(database: str) -> None:
    async with App(Account, store=database) as app:
        with contextlib.suppress(Changed):
            async with transaction(database) as connection:
                await app.send(Deposit(account="a", amount=5), key="k", within=connection)
                with pytest.raises(Rejected):
                    await app.send(Withdraw(account="a", amount=6), key="w", within=connection)
                with pytest.raises(Rejected) as again:
                    await app.send(Withdraw(account="a", amount=6), key="w", within=connection)
                assert again.value.data == {"duplicate": True}
                raise Changed
        await app.send(Deposit(account="a", amount=7), key="k")  # not even the content is remembered
        assert not (await app.send(Withdraw(account="a", amount=6), key="w")).duplicate


async def test_a_keyed_refusal_stays_if_the_transaction_is_committed(database: str) -> None:
    async with App(Account, store=database) as app:
        async with transaction(database) as connection:
            with pytest.raises(Rejected):
                await app.send(Withdraw(account="a", amount=6), key="w", within=connection)
        await app.send(Deposit(account="a", amount=7))
        with pytest.raises(Rejected) as again:
            await app.send(Withdraw(account="a", amount=6), key="w")
        assert again.value.data == {"duplicate": True}


async def test_any_other_refusal_is_on_record_whatever_becomes_of_the_transaction(database: str) -> None:
    async with App(Account, store=database) as app:
        with contextlib.suppress(Changed):
            async with transaction(database) as connection:
                with pytest.raises(Rejected):
                    await app.send(Withdraw(account="a", amount=6), actor="eve", within=connection)
                raise Changed
        [refused] = await app.storage.outcomes(state="rejected")
        assert refused.actor == "eve"


async def test_the_same_key_at_once_outside_waits_for_the_transaction_and_gets_its_answer(database: str) -> None:
    async with App(Account, store=database) as app, App(Account, store=database) as other:
        async with transaction(database) as connection:
            first = await app.send(Deposit(account="a", amount=5), key="k", within=connection)
            elsewhere = asyncio.create_task(other.send(Deposit(account="a", amount=5), key="k"))
            here = asyncio.create_task(app.send(Deposit(account="a", amount=5), key="k"))
            await asyncio.sleep(0.05)
            # the transaction itself does not wait for those who wait for it
            assert (await app.send(Deposit(account="a", amount=5), key="k", within=connection)).duplicate
        for receipt in await asyncio.gather(elsewhere, here):
            assert receipt.duplicate
            assert receipt.position == first.position


async def test_a_repeated_key_is_answered_while_somebody_else_keeps_the_head_back(database: str) -> None:
    async with App(Account, store=database) as app, App(Account, store=database) as other:  # noqa: SIM117
        async with transaction(database) as connection:
            await app.send(Deposit(account="b", amount=1), within=connection)
            first = await other.send(Deposit(account="a", amount=5), key="k")
            again = await app.send(Deposit(account="a", amount=5), key="k")
            assert (again.duplicate, again.position) == (True, first.position)


@pytest.mark.slow
async def test_a_command_is_posted_with_the_transaction_or_not_at_all(database: str) -> None:
    async with App(Account, store=database) as app:
        with contextlib.suppress(Changed):
            async with transaction(database) as connection:
                lost = await app.post(Deposit(account="a", amount=5), within=connection)
                raise Changed
        async with transaction(database) as connection:
            posted = await app.post(Deposit(account="a", amount=3), key="k", within=connection)
            assert await app.post(Deposit(account="a", amount=3), key="k", within=connection) == posted
            with pytest.raises(KeyReused):
                await app.post(Deposit(account="a", amount=4), key="k", within=connection)
            with pytest.raises(InvalidMessage):
                await app.post(Deposit(account="a", amount=-1), within=connection)
        async for event in app.subscribe():
            assert event.event == Deposited(account="a", amount=3)
            break
        assert await app.status(lost) is None
        outcome = await app.status(posted)
        assert outcome is not None
        assert outcome.state == "done"


# -- inline projections -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [psycopg_block, psycopg_sync, alchemy_session])
async def test_inline_rows_stand_when_the_transaction_does(database: str, begin: Begin) -> None:
    async with App(Account, balances, store=database) as app:
        await app.send(Deposit(account="a", amount=1))
        async with begin(database) as (connection, _):
            await app.send(Deposit(account="a", amount=2), within=connection)
            await app.send(Deposit(account="b", amount=3), within=connection)
            assert await app.views[balances].get("a") == Balance(account="a", amount=1)
        assert await app.views[balances].get("a") == Balance(account="a", amount=3)  # at once, nobody waited
        assert await app.views[balances].get("b") == Balance(account="b", amount=3)
        await app.send(Deposit(account="a", amount=4))
        await app.settle()
        assert await app.views[balances].get("a") == Balance(account="a", amount=7)


@pytest.mark.parametrize("begin", [psycopg_block, psycopg_sync])
async def test_an_inline_projection_that_raises_undoes_its_command_alone(database: str, begin: Begin) -> None:
    async with App(Account, balances, store=database) as app:
        async with begin(database) as (connection, execute):
            await app.send(Deposit(account="a", amount=1), within=connection)
            with pytest.raises(ProjectionFailed):
                await app.send(Deposit(account="a", amount=13), within=connection)
            await app.send(Deposit(account="a", amount=2), within=connection)
            await execute(INSERT)
        await app.settle()
        assert await app.views[balances].get("a") == Balance(account="a", amount=3)
        assert orders(database) == 1


async def test_whoever_else_has_inline_work_waits_for_the_transaction_so_that_no_view_is_behind(database: str) -> None:
    async with App(Account, balances, store=database) as app, App(Account, balances, store=database) as other:
        async with transaction(database) as connection:
            await app.send(Deposit(account="a", amount=1), within=connection)
            waiting = [asyncio.create_task(each.send(Deposit(account="b", amount=2))) for each in (app, other)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
            await app.send(Deposit(account="a", amount=3), within=connection)
        await asyncio.gather(*waiting)
        assert await app.views[balances].get("a") == Balance(account="a", amount=4)
        assert await app.views[balances].get("b") == Balance(account="b", amount=4)


# -- others at work ---------------------------------------------------------------------------------------------------


async def test_a_conflict_is_settled_inside_and_leaves_the_transaction_fit_for_use(database: str) -> None:
    async with App(Account, store=database) as app, App(Account, store=database) as other:
        async with transaction(database) as connection:
            await app.send(Deposit(account="z", amount=1), within=connection)
            async with transaction(database) as theirs:
                await other.send(Deposit(account="a", amount=5), within=theirs)
                ours = asyncio.create_task(app.send(Deposit(account="a", amount=1), within=connection))
                await asyncio.sleep(0.05)
                assert not ours.done()  # decided on an empty stream, and waiting for what becomes of theirs
            assert (await ours).version == 2
            await connection.execute(INSERT)
        assert (await balance(app, "a"), await balance(app, "z")) == (6, 1)
        assert orders(database) == 1


async def test_an_expected_version_that_does_not_hold_is_told_and_no_harm_is_done(database: str) -> None:
    async with App(Account, store=database) as app:
        await app.send(Deposit(account="a", amount=5))
        async with transaction(database) as connection:
            with pytest.raises(ConcurrencyError) as conflict:
                await app.send(Deposit(account="a", amount=1), expected=0, within=connection)
            assert conflict.value.actual == 1
            await connection.execute(INSERT)
        assert orders(database) == 1


@pytest.mark.slow
async def test_two_transactions_that_wait_for_each_other_are_told_apart(database: str) -> None:
    async with App(Account, store=database) as app:

        async def both(*accounts: str) -> str:
            async with transaction(database) as connection:
                await app.send(Deposit(account=accounts[0], amount=1), within=connection)
                await asyncio.sleep(0.1)
                try:
                    await app.send(Deposit(account=accounts[1], amount=1), within=connection)
                except StoreBusy:
                    await connection.execute("select 1")  # still fit for use
                    raise
            return "committed"

        answers = await asyncio.gather(both("a", "b"), both("b", "a"), return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["StoreBusy", "str"]
        assert (await balance(app, "a"), await balance(app, "b")) == (1, 1)


@pytest.mark.slow
async def test_readers_skip_nothing_while_the_caller_dawdles(database: str) -> None:
    async with App(Account, store=database) as app, App(Account, store=database) as reader:
        seen: list[str] = []

        async def read() -> None:
            async for event in reader.subscribe():
                seen.append(event.stream)
                if len(seen) == 3:
                    return

        reading = asyncio.create_task(read())
        async with transaction(database) as connection:
            await app.send(Deposit(account="slow", amount=1), within=connection)
            await app.send(Deposit(account="quick", amount=1))
            await asyncio.sleep(0.3)
            assert seen == []
            await app.send(Deposit(account="slow", amount=1), within=connection)
        async with asyncio.timeout(5):
            await reading
        assert seen == ["account-slow", "account-quick", "account-slow"]


async def test_a_savepoint_of_the_caller_takes_its_commands_back(database: str) -> None:
    async with App(Account, store=database) as app:
        async with transaction(database) as connection:
            await app.send(Deposit(account="a", amount=1), within=connection)
            with contextlib.suppress(Changed):
                async with connection.transaction():
                    await app.send(Deposit(account="a", amount=10), within=connection)
                    raise Changed
            receipt = await app.send(Deposit(account="a", amount=100), within=connection)
            assert receipt.version == 2
        assert await balance(app) == 101


async def test_a_send_that_is_cancelled_leaves_nothing_at_work_on_the_connection(database: str) -> None:
    async with App(Account, store=database) as app:
        async with transaction(database) as blocker, transaction(database) as connection:
            await app.send(Deposit(account="a", amount=1), within=blocker)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await app.send(Deposit(account="a", amount=2), within=connection)
            await connection.execute(INSERT)
        assert orders(database) == 1
        assert await balance(app) == 1


# -- behind a pooler, in another schema, on somebody's own settings ---------------------------------------------------


async def test_behind_a_pooler_in_transaction_mode(pgbouncer_url: str) -> None:
    async with App(Account, balances, store=pgbouncer_url) as app:
        async with transaction(pgbouncer_url, prepare_threshold=None) as connection:
            await connection.execute(TABLE)
            await connection.execute(INSERT)
            await app.send(Deposit(account="a", amount=5), key="k", within=connection)
        with contextlib.suppress(Changed):
            async with transaction(pgbouncer_url, prepare_threshold=None) as connection:
                await app.send(Deposit(account="a", amount=5), within=connection)
                raise Changed
        assert await balance(app) == 5
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        assert await app.views[balances].get("a") == Balance(account="a", amount=6)


async def test_what_the_caller_has_set_on_the_connection_does_not_matter(database: str) -> None:
    class Shouting(psycopg.adapt.Loader):
        def load(self, data: Any) -> Any:
            return "!"

    class ShoutingBinary(Shouting):
        format = psycopg.pq.Format.BINARY

    async with App(Account, balances, store=f"{database}?schema=accounting") as app:
        async with transaction(database, row_factory=dict_row, cursor_factory=psycopg.AsyncClientCursor) as connection:
            for name in ("text", "json", "int4", "int8", 1007, 1016):
                connection.adapters.register_loader(name, Shouting)
                connection.adapters.register_loader(name, ShoutingBinary)
            await connection.execute("set local timezone = 'Asia/Tokyo'")
            await connection.execute("set local search_path = pg_temp")
            await app.send(Deposit(account="a", amount=5), within=connection)
            await app.send(Withdraw(account="a", amount=1), within=connection)
        assert await balance(app) == 4
        assert await app.views[balances].get("a") == Balance(account="a", amount=5)


# -- connections that will not do -------------------------------------------------------------------------------------


async def test_without_a_transaction_nothing_is_sent(database: str) -> None:
    engine = create_async_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    async with App(Account, store=database) as app:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            with pytest.raises(StoreFailed, match="open transaction"):
                await app.send(Open(account="a"), within=connection)
        async with engine.connect() as alchemy:
            with pytest.raises(StoreFailed, match="open transaction"):  # its commit would do nothing
                await app.send(Open(account="a"), within=alchemy)
            await alchemy.execute(text("select 1"))
            await app.send(Open(account="b"), within=alchemy)
            await alchemy.commit()
        assert [event.stream async for event in app.events()] == ["account-b"]
    await engine.dispose()


async def test_a_transaction_that_ends_while_a_command_is_handled_gets_nothing(database: str) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def wait(envelope: Any, proceed: Any) -> Any:
        arrived.set()
        await gate.wait()
        return await proceed(envelope)

    async with App(Account, store=database, middleware=[wait]) as app:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            async with connection.transaction():
                forgotten = asyncio.create_task(app.send(Open(account="a"), within=connection))
                await arrived.wait()
            gate.set()
            with pytest.raises(StoreFailed, match="open transaction"):
                await forgotten
        assert await app.storage.head() == 0


async def test_one_that_ends_before_is_not_taken_for_another_database(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()
    async with App(Account, store=database) as app:
        storage: Any = app.storage
        read = storage._read

        async def late(*asked: Any) -> Any:  # where it looks whether the connection leads here
            arrived.set()
            await gate.wait()
            return await read(*asked)

        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            async with connection.transaction():
                monkeypatch.setattr(storage, "_read", late)
                forgotten = asyncio.create_task(app.send(Open(account="a"), within=connection))
                await arrived.wait()
            gate.set()
            with pytest.raises(StoreFailed, match="open transaction"):
                await forgotten
        assert await app.storage.head() == 0


@pytest.mark.parametrize(
    ("setting", "error", "told"),
    [
        ("transaction_isolation = 'repeatable read'", StoreFailed, "READ COMMITTED"),
        ("transaction_isolation = 'serializable'", StoreFailed, "SERIALIZABLE"),
        ("transaction_read_only = on", StoreReadOnly, "read-only"),
        ("client_encoding = 'LATIN1'", StoreFailed, "LATIN1"),
    ],
)
async def test_a_transaction_of_the_wrong_kind_is_refused(
    database: str, setting: str, error: type[Exception], told: str
) -> None:
    async with App(Account, store=database) as app:
        async with transaction(database) as connection:
            await connection.execute(f"set local {setting}".encode())
            with pytest.raises(error, match=told):
                await app.send(Open(account="a"), within=connection)
        assert await app.storage.head() == 0


async def test_a_failed_transaction_and_a_closed_connection_are_refused(database: str) -> None:
    async with App(Account, store=database) as app:
        connection = await psycopg.AsyncConnection.connect(database)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await connection.execute("select 1 / 0")
        with pytest.raises(StoreFailed, match="has failed"):
            await app.send(Open(account="a"), within=connection)
        await connection.close()
        with pytest.raises(StoreClosed):
            await app.send(Open(account="a"), within=connection)


async def test_a_connection_to_another_database_is_refused(database: str, postgres: Postgres) -> None:
    elsewhere = fresh_database(postgres)
    try:
        async with App(Account, store=elsewhere):
            pass  # there is a register, too: the events would go there
        async with App(Account, store=database) as app, transaction(elsewhere) as connection:
            for _ in range(2):
                with pytest.raises(ForeignStore, match="another database"):
                    await app.send(Open(account="a"), within=connection)
    finally:
        drop_database(postgres, elsewhere)


class Foreign:
    """What stands for the connection of another driver."""

    async def commit(self) -> None: ...


@pytest.mark.parametrize("given", [Foreign(), "postgresql://localhost/shop", 5])
async def test_anything_else_is_refused_with_advice(database: str, given: object) -> None:
    async with App(Account, store=database) as app:
        with pytest.raises(ConfigurationError, match=r"postgresql\+psycopg"):
            await app.send(Open(account="a"), within=given)
        with pytest.raises(ConfigurationError, match=r"postgresql\+psycopg"):
            await app.post(Open(account="a"), within=given)


async def test_another_driver_beneath_sqlalchemy_is_refused(database: str) -> None:
    engine = create_engine("sqlite://")
    async with App(Account, store=database) as app:
        with engine.begin() as connection, pytest.raises(ConfigurationError, match="sqlite3"):
            await app.send(Open(account="a"), within=connection)
    engine.dispose()


def test_a_synchronous_app_takes_no_asynchronous_connection(database: str) -> None:
    engine = create_async_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with App(Account, store=database).sync() as shop:  # noqa: SIM117
        with pytest.raises(ConfigurationError, match="asynchronous AsyncSession"):
            shop.send(Open(account="a"), within=AsyncSession(engine))


async def test_other_stores_take_no_part(url: str) -> None:
    async with App(Account, store=url) as app:
        with pytest.raises(ConfigurationError, match="PostgreSQL store"):
            await app.send(Open(account="a"), within=object())


async def test_selections_in_the_order_of_the_log_stop_before_what_is_undecided(database: str) -> None:
    async with App(Account, store=database) as app, transaction(database) as connection:
        await app.send(Deposit(account="a", amount=1))
        await app.send(Deposit(account="b", amount=1), within=connection)
        joined = await app.storage.join(connection)  # type: ignore[attr-defined]
        in_order = await joined.read(Selection(), limit=10)
        assert [event.stream for event in in_order] == ["account-a"]
        everything = await joined.read(Selection(beyond_head=True), limit=10)
        assert [event.stream for event in everything] == ["account-a", "account-b"]
        assert await joined.streams("account") == [("account-a", 1), ("account-b", 1)]
        assert await joined.stream_version("account-b") == 1


async def test_a_position_that_was_given_up_keeps_nobody_waiting(postgres_url: str) -> None:
    async with App(*BANK, store=postgres_url) as app:
        await app.send(Deposit(account="a", amount=1))
        connection = await psycopg.AsyncConnection.connect(postgres_url)
        await app.send(Deposit(account="b", amount=1), within=connection)
        await connection.rollback()
        await connection.close()
        await app.settle(within=5)
        assert {lag.events_behind for lag in await app.lag()} == {0}
