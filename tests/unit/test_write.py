"""Commands through an App: what is recorded, what is refused, what happens when two are faster than one."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
import pytest

from daicho import (
    ABSENT,
    ANY,
    EXISTS,
    Aggregate,
    App,
    Command,
    ConcurrencyError,
    Context,
    Criteria,
    Decider,
    Event,
    InvalidMessage,
    KeyReused,
    Rejected,
    State,
    UnknownMessage,
    WiringError,
    apply,
    handle,
)
from daicho.ports.snapshot_store import Snapshot
from daicho.testing import VirtualClock, crash_at
from tests.bank import BANK, Account, Deposit, Deposited, Open, Opened, Transfer, Withdraw, transfers

# -- the receipt and what stands in the store ---------------------------------------------------------------------


async def test_a_receipt_tells_what_came_of_the_command(url: str) -> None:
    async with App(Account, store=url) as app:
        first = await app.send(Open(account="a"))
        second = await app.send(Deposit(account="a", amount=5))
    assert (first.stream, first.version, first.position, first.events) == ("account-a", 1, 1, (Opened(account="a"),))
    assert (second.version, second.position, second.events) == (2, 2, (Deposited(account="a", amount=5),))
    assert not first.duplicate
    assert UUID(first.command_id).version == 7
    assert first.correlation_id == first.command_id


async def test_an_event_stands_with_everything_that_was_known(url: str) -> None:
    clock = VirtualClock(datetime(2011, 12, 9, 12, 50, tzinfo=UTC))
    async with App(Account, store=url, clock=clock) as app:
        receipt = await app.send(Open(account="a"), actor="ann", tenant="acme", metadata={"ip": "::1"})
        [record] = [r async for r in app.events()]
    assert record.event == Opened(account="a")
    assert (record.type, record.schema_version) == ("account.opened", 1)
    assert (record.stream, record.version, record.position) == ("account-a", 1, 1)
    assert (record.actor, record.tenant) == ("ann", "acme")
    assert record.correlation_id == record.causation_id == receipt.command_id
    assert record.occurred_at == record.recorded_at == datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
    assert record.metadata == {"ip": "::1", "command": "Open"}
    assert UUID(record.event_id).version == 8


async def test_business_time_is_as_given_and_recorded_time_is_now(url: str) -> None:
    long_ago = datetime(1999, 12, 31, 23, 59, tzinfo=UTC)
    async with App(Account, store=url, clock=VirtualClock()) as app:
        await app.send(Open(account="a"), occurred_at=long_ago)
        [record] = [r async for r in app.events()]
        with pytest.raises(InvalidMessage, match="has no time zone"):
            await app.send(Open(account="b"), occurred_at=datetime(1999, 12, 31))
    assert (record.occurred_at, record.recorded_at) == (long_ago, VirtualClock().now())


async def test_a_command_that_changes_nothing_records_nothing(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Open(account="a"))
        again = await app.send(Open(account="a"))
        assert (again.events, again.version, again.position) == ((), 1, 1)
        assert len([r async for r in app.events()]) == 1


async def test_a_rejected_command_records_nothing_and_says_why_in_the_words_of_the_business(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=5))
        with pytest.raises(Rejected) as caught:
            await app.send(Withdraw(account="a", amount=6), actor="ann")
        assert str(caught.value) == "not enough money"
        assert caught.value.data == {"balance": 5}
        assert (await app.load(Account, "a")).balance == 5
        [kept] = await app.storage.outcomes(state="rejected")
        assert (kept.name, kept.actor, kept.reason) == ("Withdraw", "ann", "not enough money")


@pytest.mark.parametrize("command", ["Open", None, Open, Opened(account="a")])
async def test_what_is_no_command_is_refused(command: object) -> None:
    async with App(Account, store="memory:") as app:
        with pytest.raises(InvalidMessage, match="is not a command"):
            await app.send(command)  # type: ignore[arg-type]


async def test_a_command_that_nothing_handles_is_unknown() -> None:
    async with App(Account, store="memory:") as app:
        with pytest.raises(UnknownMessage, match="no part of this App handles Transfer"):
            await app.send(Transfer(transfer="t", source="a", target="b", amount=1))
        with pytest.raises(UnknownMessage):
            await app.post(Transfer(transfer="t", source="a", target="b", amount=1))
        with pytest.raises(UnknownMessage):
            await app.load(transfers, "t")


class Batch(Command):
    id: str
    numbers: list[int]


class Numbered(Event):
    id: str
    number: int
    before: int = 0


class Undeclared(Event):
    id: str


class Numbers(Aggregate, category="numbers", key="id"):
    total: int = 0

    @handle
    def batch(self, command: Batch) -> Iterator[Numbered]:
        for number in command.numbers:
            if number < 0:
                raise Rejected("negative")
            if number == 13:
                raise ZeroDivisionError("unlucky")
            if number == 99:
                yield Undeclared(id=command.id)  # type: ignore[misc]
            if number == 77:
                yield Numbered(id=command.id, number="77")  # type: ignore[arg-type]
            yield Numbered(id=command.id, number=number, before=self.total)

    @apply
    def numbered(self, event: Numbered) -> None:
        self.total += int(event.number)

    @apply
    def undeclared(self, _: Undeclared) -> None: ...


@pytest.mark.parametrize(
    ("numbers", "error"),
    [([1, 2, -1], Rejected), ([1, 13], ZeroDivisionError), ([1, 99], WiringError), ([1, 77], InvalidMessage)],
)
async def test_a_command_that_fails_half_way_leaves_no_trace_in_store_or_memory(
    url: str, numbers: list[int], error: type[Exception]
) -> None:
    async with App(Numbers, store=url) as app:
        await app.send(Batch(id="n", numbers=[5]))
        with pytest.raises(error):
            await app.send(Batch(id="n", numbers=numbers))
        assert (await app.load(Numbers, "n")).total == 5
        receipt = await app.send(Batch(id="n", numbers=[6]))
        assert receipt.version == 2
        assert [r.event async for r in app.events()] == [
            Numbered(id="n", number=5, before=0),
            Numbered(id="n", number=6, before=5),
        ]


async def test_many_events_of_one_command_are_one_append(url: str) -> None:
    async with App(Numbers, store=url) as app:
        receipt = await app.send(Batch(id="n", numbers=list(range(10))))
        assert (receipt.version, len(receipt.events)) == (10, 10)
        records = [r async for r in app.events(stream="numbers-n")]
    assert [r.version for r in records] == list(range(1, 11))
    assert len({r.event_id for r in records}) == 10
    assert {r.causation_id for r in records} == {receipt.command_id}


class Stamp(Command):
    id: str


class Stamped(Event):
    id: str
    fresh: str
    now: datetime
    by: str | None


class Stamps(Aggregate, category="stamp", key="id"):
    @handle
    def stamp(self, command: Stamp, context: Context) -> Iterator[Stamped]:
        yield Stamped(id=command.id, fresh=context.id(), now=context.now, by=context.actor)

    @apply
    def stamped(self, _: Stamped) -> None: ...


async def test_pure_code_gets_time_and_ids_from_the_context() -> None:
    async with App(Stamps, store="memory:", clock=VirtualClock()) as app:
        one = await app.send(Stamp(id="x"), actor="ann")
        at = datetime(2001, 1, 1, tzinfo=UTC)
        two = await app.send(Stamp(id="x"), occurred_at=at, command_id="919108f7-52d1-4320-9bac-f847db4148a8")
    [first], [second] = one.events, two.events
    assert isinstance(first, Stamped)
    assert isinstance(second, Stamped)
    assert (first.now, first.by) == (VirtualClock().now(), "ann")
    assert second.now == at
    assert second.fresh == str(uuid5(UUID("919108f7-52d1-4320-9bac-f847db4148a8"), "context:0"))
    assert first.fresh != second.fresh


# -- concurrency --------------------------------------------------------------------------------------------------


async def test_commands_on_one_stream_at_once_are_decided_one_on_top_of_the_other(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=50))
        answers = await asyncio.gather(
            *[app.send(Withdraw(account="a", amount=1)) for _ in range(80)], return_exceptions=True
        )
        accepted = [a for a in answers if not isinstance(a, BaseException)]
        assert [type(a) for a in answers if isinstance(a, BaseException)] == [Rejected] * 30
        assert sorted(a.version for a in accepted) == list(range(2, 52))
        assert (await app.load(Account, "a")).balance == 0


async def test_a_state_in_memory_is_no_danger_when_another_app_writes_the_same_store(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        await one.send(Deposit(account="a", amount=10))  # `one` holds balance 10 from here on
        await two.send(Withdraw(account="a", amount=10))
        with pytest.raises(Rejected, match="not enough money"):
            await one.send(Withdraw(account="a", amount=10))
        await two.send(Deposit(account="a", amount=3))
        assert (await one.send(Deposit(account="a", amount=4))).version == 4
        assert (await two.send(Withdraw(account="a", amount=7))).version == 5
        assert (await one.load(Account, "a")).balance == (await two.load(Account, "a")).balance == 0


async def test_a_refusal_decided_on_an_old_state_is_decided_again(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        await one.send(Deposit(account="a", amount=1))
        await two.send(Deposit(account="a", amount=9))
        assert (await one.send(Withdraw(account="a", amount=10))).version == 3


async def test_doing_nothing_decided_on_an_old_state_is_decided_again(sqlite: str) -> None:
    class Toggle(Command):
        id: str
        on: bool

    class Toggled(Event):
        id: str
        on: bool

    def decide(command: Toggle, state: bool) -> list[Toggled]:
        return [] if command.on == state else [Toggled(id=command.id, on=command.on)]

    def evolve(_: bool, event: Toggled) -> bool:
        return event.on

    lamp = Decider("lamp", initial=False, decide=decide, evolve=evolve, identify=lambda c: c.id)
    async with App(lamp, store=sqlite) as one, App(lamp, store=sqlite) as two:
        await one.send(Toggle(id="x", on=True))
        await two.send(Toggle(id="x", on=False))
        assert (await one.send(Toggle(id="x", on=True))).version == 3
        assert await two.load(lamp, "x") is True


async def test_two_apps_at_full_speed_lose_and_double_nothing(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        sent = [app.send(Deposit(account=f"a{n % 3}", amount=1)) for n in range(60) for app in (one, two)]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        accepted = [a for a in answers if not isinstance(a, BaseException)]
        assert all(isinstance(a, ConcurrencyError) for a in answers if isinstance(a, BaseException))
        assert len(accepted) >= 100
        total = sum([(await one.load(Account, f"a{n}")).balance for n in range(3)])
        assert total == len(accepted)
        for n in range(3):
            versions = [r.version async for r in two.events(stream=f"account-a{n}")]
            assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_command_decided_on_top_of_one_that_then_failed_fails_with_it(sqlite: str, key: str | None) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        await one.send(Deposit(account="a", amount=10))  # `one` holds balance 10 at version 1 from here on
        await two.send(Withdraw(account="a", amount=10))  # version 2
        # the first expects version 1 and is refused; the second was decided on its balance of 15, and expects version
        # 2, which is there: but it is another one
        answers = await asyncio.gather(
            one.send(Deposit(account="a", amount=5)),
            one.send(Withdraw(account="a", amount=15), key=key),
            return_exceptions=True,
        )
        assert [type(a).__name__ for a in answers] == ["Receipt", "Rejected"]
        assert (await two.load(Account, "a")).balance == 5


async def test_a_caller_that_gives_up_while_the_state_is_loaded_does_not_take_the_others_along(url: str) -> None:
    async with App(Account, store=url) as app:
        tasks = [asyncio.create_task(app.send(Deposit(account="a", amount=1))) for _ in range(5)]
        await asyncio.sleep(0)  # the first is loading, the others wait for it
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        # if the machine paused at the right moment, what the first one asked for was on its way already, and counts
        recorded = [r async for r in app.events(stream="account-a")]
        versions = sorted(a.version for a in answers[1:] if not isinstance(a, BaseException))
        assert versions == [1, 2, 3, 4] if len(recorded) == 4 else versions == [2, 3, 4, 5]


async def test_a_caller_that_gives_up_spoils_nothing_for_the_others(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=1))
        tasks = [asyncio.create_task(app.send(Deposit(account="a", amount=1))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            isinstance(a, (asyncio.CancelledError, ConcurrencyError)) for a in answers if isinstance(a, BaseException)
        )
        last = await app.send(Deposit(account="a", amount=1))
        records = [r async for r in app.events(stream="account-a")]
        assert last.version == len(records) == (await app.load(Account, "a")).balance
        assert len(records) >= 2 + sum(not isinstance(a, BaseException) for a in answers)


# -- expected versions --------------------------------------------------------------------------------------------


async def test_an_expected_version_that_holds_is_accepted_and_one_that_does_not_carries_what_is(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=1), expected=ABSENT)
        await app.send(Deposit(account="a", amount=1), expected=1)
        await app.send(Deposit(account="a", amount=1), expected=EXISTS)
        await app.send(Deposit(account="a", amount=1), expected=ANY)
        for wrong in (3, 5, 0, ABSENT):
            with pytest.raises(ConcurrencyError, match="account-a is at version 4") as caught:
                await app.send(Deposit(account="a", amount=1), expected=wrong)
            assert (caught.value.expected, caught.value.actual) == (wrong, 4)
            assert caught.value.data["actual"] == 4
        with pytest.raises(ConcurrencyError):
            await app.send(Deposit(account="new", amount=1), expected=EXISTS)
        assert (await app.load(Account, "a")).balance == 4


async def test_of_many_callers_that_saw_the_same_version_one_wins(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=1))
        answers = await asyncio.gather(
            *[app.send(Deposit(account="a", amount=1), expected=1) for _ in range(10)], return_exceptions=True
        )
        assert sum(not isinstance(a, BaseException) for a in answers) == 1
        assert all(isinstance(a, ConcurrencyError) for a in answers if isinstance(a, BaseException))


async def test_what_the_caller_saw_is_checked_against_the_store_and_not_against_memory(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        await one.send(Deposit(account="a", amount=1))
        await two.send(Deposit(account="a", amount=1))
        with pytest.raises(ConcurrencyError) as caught:
            await one.send(Deposit(account="a", amount=1), expected=1)
        assert caught.value.actual == 2
        assert (await one.send(Deposit(account="a", amount=1), expected=2)).version == 3


async def test_a_conflict_in_the_store_names_the_events_in_the_way(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        await one.send(Deposit(account="a", amount=1))
        theirs = await two.send(Deposit(account="a", amount=2), actor="bob")
        with pytest.raises(ConcurrencyError) as caught:
            await one.send(Deposit(account="a", amount=1), expected=1)
        assert [(e.version, e.actor, e.causation_id) for e in caught.value.events] == [(2, "bob", theirs.command_id)]


async def test_whoever_expected_an_older_version_is_told_the_events_that_came_since(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=1))
        second = await app.send(Deposit(account="a", amount=2), actor="bob")
        third = await app.send(Deposit(account="a", amount=3))
        with pytest.raises(ConcurrencyError, match="not 1") as caught:
            await app.send(Deposit(account="a", amount=1), expected=1)
        assert [(e.version, e.actor) for e in caught.value.events] == [(2, "bob"), (3, None)]
        assert [e.causation_id for e in caught.value.events] == [second.command_id, third.command_id]
        with pytest.raises(ConcurrencyError, match="not ABSENT") as caught:
            await app.send(Deposit(account="a", amount=1), expected=ABSENT)
        assert [e.version for e in caught.value.events] == [1, 2, 3]
        with pytest.raises(ConcurrencyError, match="not 9") as caught:
            await app.send(Deposit(account="a", amount=1), expected=9)
        assert caught.value.events == ()


# -- idempotency --------------------------------------------------------------------------------------------------


async def test_the_same_key_gives_the_same_outcome_and_does_nothing(url: str) -> None:
    async with App(Account, store=url) as app:
        first = await app.send(Deposit(account="a", amount=5), key="k")
        for _ in range(3):
            again = await app.send(Deposit(account="a", amount=5), key="k")
            assert again.duplicate
            assert msgspec.structs.replace(again, duplicate=False) == first
        assert (await app.load(Account, "a")).balance == 5


async def test_a_key_holds_across_apps_and_restarts_whatever_came_between(sqlite: str) -> None:
    async with App(Account, store=sqlite) as app:
        first = await app.send(Deposit(account="a", amount=5), key="k")
        await app.send(Withdraw(account="a", amount=5))
    async with App(Account, store=sqlite) as app:
        again = await app.send(Deposit(account="a", amount=5), key="k")
        assert (again.version, again.position, again.events) == (first.version, first.position, first.events)
        assert (await app.load(Account, "a")).balance == 0


async def test_a_key_with_another_body_is_refused(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=5), key="k")
        with pytest.raises(KeyReused, match="'k' was used before for another Deposit"):
            await app.send(Deposit(account="a", amount=6), key="k")
        with pytest.raises(KeyReused):
            await app.post(Deposit(account="a", amount=7), key="k")
        await app.send(Withdraw(account="a", amount=1), key="k")  # another kind of command
        await app.send(Deposit(account="a", amount=6), key="k", tenant="acme")  # another tenant
        assert (await app.load(Account, "a")).balance == 10


async def test_the_same_key_many_times_at_once_is_done_once(url: str) -> None:
    async with App(Account, store=url) as app:
        answers = await asyncio.gather(*[app.send(Deposit(account="a", amount=5), key="k") for _ in range(25)])
        assert [a.duplicate for a in answers].count(False) == 1
        assert {(a.version, a.position, a.command_id) for a in answers} == {(1, 1, answers[0].command_id)}
        assert (await app.load(Account, "a")).balance == 5


async def test_the_same_key_at_once_in_two_apps_is_done_once_and_both_get_the_one_outcome(sqlite: str) -> None:
    class Claim(Command):
        id: str

    class Claimed(Event):
        id: str

    def decide(command: Claim, state: bool) -> list[Claimed]:
        if state:
            raise Rejected("taken")
        return [Claimed(id=command.id)]

    def evolve(_: bool, __: Claimed) -> bool:
        return True

    claims = Decider("claim", initial=False, decide=decide, evolve=evolve, identify=lambda c: c.id)
    async with App(claims, store=sqlite) as one, App(claims, store=sqlite) as two:
        for n in range(20):
            answers = await asyncio.gather(*[app.send(Claim(id=str(n)), key=str(n)) for app in (one, two, one, two)])
            assert len({a.position for a in answers}) == 1
            status = await one.status(answers[0].command_id)
            assert status is not None
            assert status.state == "done"
        assert len([r async for r in one.events()]) == 20


async def test_a_key_that_was_rejected_stays_rejected_although_it_would_be_accepted_now(url: str) -> None:
    async with App(Account, store=url) as app:
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="a", amount=5), key="k")
        await app.send(Deposit(account="a", amount=5))
        with pytest.raises(Rejected, match="not enough money"):
            await app.send(Withdraw(account="a", amount=5), key="k")
        await app.send(Withdraw(account="a", amount=5), key="another")


async def test_a_keyed_command_that_changed_nothing_is_remembered_too(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Open(account="a"))
        first = await app.send(Open(account="a"), key="k")
        again = await app.send(Open(account="a"), key="k")
        assert (first.events, first.duplicate, again.events, again.duplicate) == ((), False, (), True)


@pytest.mark.parametrize("correlation", [True, False])
async def test_a_command_id_of_the_callers_own_works_like_a_key(url: str, correlation: bool) -> None:
    mine = str(uuid4())
    async with App(Account, store=url) as app:
        for n in range(3):
            flow = str(uuid4()) if correlation else None
            receipt = await app.send(Deposit(account="a", amount=5), command_id=mine, correlation_id=flow)
            assert (receipt.command_id, receipt.duplicate) == (mine, n > 0)
        with pytest.raises(KeyReused):
            await app.send(Deposit(account="a", amount=6), command_id=mine)
        assert (await app.load(Account, "a")).balance == 5


@pytest.mark.parametrize(
    "ids",
    [
        {"command_id": "x"},
        {"correlation_id": "x"},
        {"command_id": str(uuid4()).upper()},
        {"key": ""},
        {"key": "k" * 256},
    ],
)
async def test_ids_that_cannot_be_kept_are_refused(ids: dict[str, str]) -> None:
    async with App(Account, store="memory:") as app:
        with pytest.raises(InvalidMessage):
            await app.send(Open(account="a"), **ids)  # type: ignore[arg-type]
        with pytest.raises(InvalidMessage, match="either a key or a command id"):
            await app.send(Open(account="a"), key="k", command_id=str(uuid4()))


async def test_a_crash_between_commit_and_answer_does_not_double_a_keyed_command(sqlite: str) -> None:
    crash = crash_at("append.after")
    async with crash.of(App(Account, store=sqlite, probe=crash)) as app:
        await app.send(Deposit(account="a", amount=5), key="k")
    async with App(Account, store=sqlite) as app:
        again = await app.send(Deposit(account="a", amount=5), key="k")
        assert (again.duplicate, again.version) == (True, 1)
        assert (await app.load(Account, "a")).balance == 5


# -- posted commands ----------------------------------------------------------------------------------------------


async def test_a_posted_command_is_handled_soon_and_its_status_can_be_asked(url: str) -> None:
    async with App(*BANK, store=url) as app:
        done = await app.post(Deposit(account="a", amount=5), actor="ann")
        refused = await app.post(Withdraw(account="b", amount=5))
        nothing = await app.post(Open(account="c"))
        await app.settle()
        statuses = [await app.status(c) for c in (done, refused, nothing)]
        assert [s and (s.state, s.reason, s.payload) for s in statuses] == [
            ("done", None, None),
            ("rejected", "not enough money", None),
            ("done", None, None),
        ]
        assert statuses[0] is not None
        assert (statuses[0].stream, statuses[0].version, statuses[0].actor) == ("account-a", 1, "ann")
        assert (await app.load(Account, "a")).balance == 5
        assert await app.status(str(uuid4())) is None


async def test_what_is_posted_while_the_postman_looks_is_waited_for_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(Account, store=url) as app:
        pending, late = app.storage.pending, asyncio.get_running_loop().create_future()

        async def looks_and_then_something_is_posted(*, limit: int, names: Any = None) -> Any:
            found = await pending(limit=limit, names=names)
            if not found and not late.done():
                late.set_result(await app.post(Deposit(account="b", amount=1)))
            return found

        monkeypatch.setattr(app.storage, "pending", looks_and_then_something_is_posted)
        await app.post(Deposit(account="a", amount=1))
        posted = await late
        await app.settle()
        status = await app.status(posted)
        assert status is not None
        assert status.state == "done"


async def test_the_postman_goes_on_after_an_error_that_nobody_foresaw(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(Account, store=url) as app:
        pending, broken = app.storage.pending, asyncio.get_running_loop().create_future()

        async def breaks_once(*, limit: int, names: Any = None) -> Any:
            if not broken.done():
                broken.set_result(None)
                raise RuntimeError("a bug of the store's")
            return await pending(limit=limit, names=names)

        monkeypatch.setattr(app.storage, "pending", breaks_once)
        for _ in range(2):  # the first may be found by a look that had begun before
            posted = await app.post(Deposit(account="a", amount=1))
            assert (await app.outcome(posted, within=10)).state == "done"
        assert broken.done()


async def test_posting_under_the_same_key_twice_is_one_command(url: str) -> None:
    async with App(Account, store=url) as app:
        ids = {await app.post(Deposit(account="a", amount=5), key="k") for _ in range(3)}
        await app.settle()
        ids.add(await app.post(Deposit(account="a", amount=5), key="k"))
        await app.settle()
        assert len(ids) == 1
        assert (await app.send(Deposit(account="a", amount=5), key="k")).duplicate
        assert (await app.load(Account, "a")).balance == 5


async def test_a_posted_command_is_checked_at_the_door(url: str) -> None:
    async with App(Account, store=url, authorise=lambda e: e.actor == "ann") as app:
        with pytest.raises(InvalidMessage):
            await app.post(Deposit(account="a", amount=0), actor="ann")
        with pytest.raises(Exception, match="eve may not send Deposit"):
            await app.post(Deposit(account="a", amount=1), actor="eve")
        assert await app.storage.outcomes(state="pending") == []


async def test_a_posted_command_survives_a_crash_before_it_was_handled(sqlite: str) -> None:
    crash = crash_at("post.before")
    posted: list[str] = []
    at = datetime(1999, 12, 31, tzinfo=UTC)
    async with crash.of(App(Account, store=sqlite, probe=crash)) as app:
        posted.append(await app.post(Deposit(account="a", amount=5), actor="ann", tenant="acme", occurred_at=at))
        await app.settle()
    async with App(Account, store=sqlite) as app:
        await app.settle()
        status = await app.status(posted[0])
        assert status is not None
        assert status.state == "done"
        [record] = [r async for r in app.events()]
    assert (record.actor, record.tenant, record.occurred_at) == ("ann", "acme", at)
    assert record.causation_id == posted[0]


async def test_a_posted_command_with_an_expected_version_that_is_gone_fails(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=5))
        ids = [await app.post(Deposit(account="a", amount=1), expected=n) for n in (1, 0)]
        await app.settle()
        states = [s.state for c in ids if (s := await app.status(c))]
    assert states == ["done", "failed"]


async def test_a_posted_command_that_others_are_always_faster_than_stays_pending_until_it_is_done(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(Account, store=url, clock=VirtualClock(autojump=True)) as app:
        append, unlucky = app.storage.append, 20

        async def late(requests: Sequence[Any]) -> Any:
            nonlocal unlucky
            if unlucky:
                unlucky -= 1
                return [ConcurrencyError("too late", expected=0, actual=1) for _ in requests]
            return await append(requests)

        monkeypatch.setattr(app.storage, "append", late)
        posted = await app.post(Deposit(account="a", amount=1))
        await app.settle()
        status = await app.status(posted)
        assert status is not None
        assert (status.state, unlucky) == ("done", 0)


async def test_a_posted_command_whose_handler_raises_is_given_up_after_a_few_times(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with App(Numbers, store=url, clock=VirtualClock(autojump=True)) as app:
        command = await app.post(Batch(id="n", numbers=[13]))
        await app.settle()
        status = await app.status(command)
    assert status is not None
    assert (status.state, status.reason) == ("failed", "ZeroDivisionError: unlucky")
    assert "attempt 5" in caplog.text


# -- snapshots ----------------------------------------------------------------------------------------------------


async def test_a_snapshot_is_taken_after_more_than_a_hundred_events(url: str) -> None:
    async with App(Account, store=url) as app:
        for _ in range(100):
            await app.send(Deposit(account="a", amount=1))
        assert await app.storage.load_snapshot("account-a") is None
        await app.send(Deposit(account="a", amount=1))
        await app.send(Deposit(account="a", amount=1))
        snapshot = await app.storage.load_snapshot("account-a")
        assert snapshot is not None
        assert snapshot.version == 101
        assert (await app.load(Account, "a")).balance == 102


async def _history(url: str, events: int, **options: int) -> None:
    async with App(Account, store=url, **options) as app:  # type: ignore[arg-type]
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1)) for _ in range(events)])
        await app.send(Deposit(account="a", amount=1))


@pytest.mark.parametrize("events", [102, 127, 128, 129, 300])
async def test_a_state_restored_from_a_snapshot_is_the_state_of_the_whole_history(sqlite: str, events: int) -> None:
    await _history(sqlite, events - 1)
    async with App(Account, store=sqlite) as app:
        assert await app.storage.load_snapshot("account-a") is not None
        receipt = await app.send(Withdraw(account="a", amount=events))
        assert receipt.version == events + 1
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="a", amount=1))
        assert (await app.load(Account, "a", at=events)).balance == events
        assert (await app.load(Account, "a", at=50)).balance == 50


def _flip(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, state=snapshot.state[:-1] + bytes([snapshot.state[-1] ^ 1]))


def _cut(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, state=snapshot.state[: len(snapshot.state) // 2])


def _empty(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, state=b"")


def _from_the_future(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, version=snapshot.version + 1000)


def _older_than_it_says(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, version=snapshot.version + 1)


def _of_other_code(snapshot: Snapshot) -> Snapshot:
    return msgspec.structs.replace(snapshot, fold="0" * 16)


@pytest.mark.parametrize("spoil", [_flip, _cut, _empty, _from_the_future, _older_than_it_says, _of_other_code])
async def test_a_spoilt_snapshot_never_changes_an_answer(sqlite: str, spoil: object) -> None:
    await _history(sqlite, 300)
    async with App(Account, store=sqlite) as app:
        snapshot = await app.storage.load_snapshot("account-a")
        assert snapshot is not None
        await app.storage.drop_snapshots()
        await app.storage.save_snapshot(spoil(snapshot))  # type: ignore[operator]
    async with App(Account, store=sqlite) as app:
        assert (await app.load(Account, "a")).balance == 301
        assert (await app.send(Deposit(account="a", amount=1))).version == 302
        assert (await app.load(Account, "a")).balance == 302
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="a", amount=303))


async def test_a_snapshot_of_events_that_were_lost_is_not_taken_for_one_of_those_that_came_instead(
    tmp_path: Path, url: str
) -> None:
    """A process that still waited to write it does so on the server that took over."""
    async with App(Account, store=f"sqlite:///{tmp_path / 'gone.db'}", snapshot_after=2) as gone:
        for _ in range(4):
            await gone.send(Deposit(account="a", amount=1000))
        late = await gone.storage.load_snapshot("account-a")
    assert late is not None
    assert late.version == 3
    async with App(Account, store=url) as app:
        await app.send(Open(account="b"))  # the positions of what was lost are never given again
        for _ in range(5):
            await app.send(Deposit(account="a", amount=1))
        await app.storage.save_snapshot(late)
        assert (await app.load(Account, "a")).balance == 5
        assert (await app.load(Account, "a", at=4)).balance == 4


async def test_a_snapshot_made_by_other_code_is_ignored_and_replaced(sqlite: str) -> None:
    await _history(sqlite, 150)

    class Generous(Account, category="account", key="account"):
        @apply
        def deposited(self, event: Deposited) -> None:
            self.balance += event.amount * 10

    async with App(Generous, store=sqlite, snapshot_after=10) as app:
        assert (await app.load(Generous, "a")).balance == 1510
        await app.send(Withdraw(account="a", amount=1000))
        assert (await app.load(Generous, "a")).balance == 510
    async with App(Generous, store=sqlite) as app:
        assert (await app.load(Generous, "a")).balance == 510
    async with App(Account, store=sqlite) as app:  # and back: the old code is not fooled by the new one's snapshot
        assert (await app.load(Account, "a")).balance == 151 - 1000


async def test_a_state_that_cannot_be_frozen_is_replayed_in_full(sqlite: str) -> None:
    class Heap(Numbers, category="numbers", key="id"):
        def __init__(self) -> None:
            self.anything = object()
            self.huge = 2**80

    async with App(Heap, store=sqlite, snapshot_after=5) as app:
        for n in range(20):
            await app.send(Batch(id="n", numbers=[n + 20]))
        assert await app.storage.load_snapshot("numbers-n") is None
    async with App(Heap, store=sqlite) as app:
        assert (await app.send(Batch(id="n", numbers=[1]))).version == 21
        assert (await app.load(Heap, "n")).total == 591


async def test_few_hot_states_are_as_good_as_many(url: str) -> None:
    async with App(Account, store=url, hot_aggregates=2) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n % 7}", amount=1)) for n in range(70)])
        assert [(await app.load(Account, f"a{n}")).balance for n in range(7)] == [10] * 7


async def test_a_loaded_state_is_the_callers_own(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Deposit(account="a", amount=5))
        mine = await app.load(Account, "a")
        mine.balance = 1_000_000
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="a", amount=6))
        assert (await app.load(Account, "a")).balance == 5


async def test_an_aggregate_without_history_is_in_its_initial_state(url: str) -> None:
    async with App(*BANK, store=url) as app:
        assert (await app.load(Account, "nobody")).balance == 0
        assert (await app.load(transfers, "none")).is_started is False


# -- time travel --------------------------------------------------------------------------------------------------


async def test_the_state_after_any_version_and_at_any_time(url: str) -> None:
    clock = VirtualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    noon = clock.now()
    async with App(Account, store=url, clock=clock) as app:
        for amount in (1, 10, 100):
            await app.send(Deposit(account="a", amount=amount))
            await clock.advance(timedelta(hours=1))
        by_version = [(await app.load(Account, "a", at=n)).balance for n in range(5)]
        assert by_version == [0, 1, 11, 111, 111]
        by_time = [(await app.load(Account, "a", at=noon + timedelta(minutes=m))).balance for m in (-1, 0, 59, 60, 130)]
        assert by_time == [0, 1, 1, 11, 111]


# -- a dynamic consistency boundary -------------------------------------------------------------------------------


class Enrol(Command):
    course: str
    student: str


class Enrolled(Event, tags=("course", "student")):
    course: str
    student: str


class Seats(State):
    students: frozenset[str] = frozenset()


def enrol(command: Enrol, state: Seats) -> Sequence[Enrolled]:
    if command.student in state.students:
        return []
    if len(state.students) >= 10:
        raise Rejected("the course is full")
    return [Enrolled(course=command.course, student=command.student)]


def seat(state: Seats, event: Enrolled) -> Seats:
    return Seats(students=state.students | {event.student})


courses = Decider(
    "student",
    initial=Seats(),
    decide=enrol,
    evolve=seat,
    identify=lambda command: command.student,
    boundary=lambda command: Criteria(types=["Enrolled"], tags=[f"course:{command.course}"]),
)


async def test_a_boundary_of_criteria_keeps_the_capacity_of_a_course_across_streams(url: str) -> None:
    async with App(courses, store=url, clock=VirtualClock(autojump=True)) as app:
        answers = await asyncio.gather(
            *[app.send(Enrol(course=c, student=f"s{n}")) for n in range(40) for c in ("maths", "music")],
            return_exceptions=True,
        )
        assert [type(a) for a in answers if isinstance(a, BaseException)] == [Rejected] * 60
        events = [r.event async for r in app.events()]
    per_course = {c: [e.student for e in events if e.course == c] for c in ("maths", "music")}
    assert {c: (len(s), len(set(s))) for c, s in per_course.items()} == {"maths": (10, 10), "music": (10, 10)}


async def test_a_boundary_holds_between_two_apps(sqlite: str) -> None:
    async with App(courses, store=sqlite) as one, App(courses, store=sqlite) as two:
        answers = await asyncio.gather(
            *[app.send(Enrol(course="maths", student=f"s{n}")) for n, app in enumerate([one, two] * 15)],
            return_exceptions=True,
        )
        accepted = sum(not isinstance(a, BaseException) for a in answers)
        assert accepted <= 10
        assert all(isinstance(a, (Rejected, ConcurrencyError)) for a in answers if isinstance(a, BaseException))
        assert len([r async for r in one.events()]) == accepted


async def test_a_boundary_knows_doing_nothing_and_the_same_key(url: str) -> None:
    async with App(courses, store=url) as app:
        first = await app.send(Enrol(course="maths", student="s"), key="k")
        again = await app.send(Enrol(course="maths", student="s"))
        keyed = await app.send(Enrol(course="maths", student="s"), key="k")
        assert (len(first.events), again.events, again.version) == (1, (), 1)
        assert (keyed.duplicate, keyed.position) == (True, first.position)
        with pytest.raises(ConcurrencyError):
            await app.send(Enrol(course="music", student="s"), expected=0)
        assert (await app.send(Enrol(course="music", student="s"), expected=1)).version == 2
