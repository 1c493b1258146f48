"""Set rules: what must hold among all streams of a category, however many write at once."""

import asyncio
import enum
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    ConcurrencyError,
    Criteria,
    Decider,
    Event,
    Full,
    Receipt,
    Rejected,
    Row,
    State,
    Taken,
    WiringError,
    apply,
    capacity,
    event_handler,
    handle,
    projection,
    replace,
    sequence,
    unique,
    upcast,
)
from daicho.ports.event_store import Selection, StoredEvent
from daicho.testing import VirtualClock, given
from daicho.testing.contracts.base import HOSTILE
from tests.unit import rules_worker
from tests.unit.rules_worker import Claim, Invoice, IssueInvoice, Registration, Reserve

# -- unique -----------------------------------------------------------------------------------------------------------


class Register(Command):
    account_id: str
    email: str | None


class ChangeEmail(Command):
    account_id: str
    email: str | None


class ChangeTwice(Command):
    account_id: str
    first: str
    second: str


class Rename(Command):
    account_id: str
    name: str


class Close(Command):
    account_id: str


class Registered(Event, name="account.registered"):
    account_id: str
    email: str | None


class EmailChanged(Event, name="account.email_changed"):
    account_id: str
    email: str | None


class Renamed(Event, name="account.renamed"):
    account_id: str
    name: str


class Closed(Event, name="account.closed"):
    account_id: str


class Account(
    Aggregate,
    category="account",
    key="account_id",
    rules=[unique("email", fold=str.casefold, release_on=Closed)],
):
    email: str | None = None
    name: str = ""

    @handle
    def register(self, command: Register) -> Iterator[Registered]:
        yield Registered(account_id=command.account_id, email=command.email)

    @handle
    def change(self, command: ChangeEmail) -> Iterator[EmailChanged]:
        yield EmailChanged(account_id=command.account_id, email=command.email)

    @handle
    def change_twice(self, command: ChangeTwice) -> Iterator[EmailChanged]:
        yield EmailChanged(account_id=command.account_id, email=command.first)
        yield EmailChanged(account_id=command.account_id, email=command.second)

    @handle
    def rename(self, command: Rename) -> Iterator[Renamed]:
        yield Renamed(account_id=command.account_id, name=command.name)

    @handle
    def close(self, command: Close) -> Iterator[Closed]:
        if self.email is None:
            return
        yield Closed(account_id=command.account_id)

    @apply
    def on_email(self, event: Registered | EmailChanged) -> None:
        self.email = event.email or self.email

    @apply
    def renamed(self, event: Renamed) -> None:
        self.name = event.name

    @apply
    def closed(self, _: Closed) -> None:
        self.email = None


async def stored(app: App, **wanted: Any) -> list[StoredEvent]:
    return await app.storage.read(Selection(**wanted), limit=10_000)


async def test_a_value_that_another_stream_holds_is_taken_by_it_since_then(url: str) -> None:
    clock = VirtualClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    async with App(Account, store=url, clock=clock) as app:
        await app.send(Register(account_id="a", email="Anna@example.com"))
        await clock.advance(60)
        with pytest.raises(Taken) as caught:
            await app.send(Register(account_id="b", email="ANNA@Example.com"))
        assert await app.storage.stream_version("account-b") == 0
        [refusal] = await app.storage.outcomes(state="rejected")
    error = caught.value
    assert isinstance(error, Rejected)
    assert (error.field, error.value, error.by) == ("email", "ANNA@Example.com", "account-a")
    assert (error.since, error.until) == (datetime(2026, 3, 1, 12, 0, tzinfo=UTC), None)
    assert str(error) == refusal.reason == "email 'ANNA@Example.com' is taken by account-a"
    assert error.data["by"] == "account-a"


async def test_a_stream_may_keep_and_claim_again_what_it_holds_and_holds_it_since_the_first_time(url: str) -> None:
    clock = VirtualClock(datetime(2026, 3, 1, tzinfo=UTC))
    async with App(Account, store=url, clock=clock) as app:
        await app.send(Register(account_id="a", email="anna"))
        await clock.advance(10)
        await app.send(ChangeEmail(account_id="a", email="Anna"))
        await app.send(Rename(account_id="a", name="Anna"))
        with pytest.raises(Taken) as caught:
            await app.send(Register(account_id="b", email="anna"))
    assert caught.value.since == datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_new_value_gives_up_the_former_one(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Register(account_id="a", email="old"))
        await app.send(ChangeEmail(account_id="a", email="new"))
        await app.send(Register(account_id="b", email="old"))
        with pytest.raises(Taken):
            await app.send(Register(account_id="c", email="new"))
        with pytest.raises(Taken, match="account-b"):
            await app.send(ChangeEmail(account_id="a", email="old"))


async def test_a_closed_account_gives_its_value_up_and_may_take_it_back_if_it_is_free(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Register(account_id="a", email="x"))
        await app.send(Close(account_id="a"))
        await app.send(ChangeEmail(account_id="a", email="x"))
        await app.send(Close(account_id="a"))
        await app.send(Register(account_id="b", email="x"))
        with pytest.raises(Taken, match="account-b"):
            await app.send(ChangeEmail(account_id="a", email="x"))


async def test_none_claims_nothing_and_gives_nothing_up(url: str) -> None:
    async with App(Account, store=url) as app:
        for name in ("a", "b", "c"):
            await app.send(Register(account_id=name, email=None))
        await app.send(ChangeEmail(account_id="a", email="x"))
        await app.send(ChangeEmail(account_id="a", email=None))
        with pytest.raises(Taken):
            await app.send(ChangeEmail(account_id="b", email="x"))


async def test_what_a_command_claims_in_passing_must_be_free_and_is_free_again_afterwards(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Register(account_id="a", email="home"))
        await app.send(Register(account_id="b", email="busy"))
        with pytest.raises(Taken, match="account-b"):
            await app.send(ChangeTwice(account_id="a", first="busy", second="free"))
        await app.send(ChangeTwice(account_id="a", first="free", second="home"))
        await app.send(ChangeEmail(account_id="b", email="free"))
        with pytest.raises(Taken, match="account-a"):
            await app.send(Register(account_id="c", email="home"))


async def test_events_carry_what_they_claim_and_give_up_and_other_events_carry_nothing(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Register(account_id="a", email="One"))
        await app.send(ChangeEmail(account_id="a", email="oNE"))
        await app.send(ChangeEmail(account_id="a", email="two"))
        await app.send(Rename(account_id="a", name="x"))
        await app.send(Close(account_id="a"))
        assert [set(event.tags) for event in await stored(app)] == [
            {"account.email=one"},
            set(),
            {"account.email=one", "account.email=two"},
            set(),
            {"account.email=two"},
        ]


@pytest.mark.parametrize("value", [*HOSTILE, "", " ", "%", "_", "x" * 10_000, "x" * 10_001, "ｘ", "account.email=x"])
async def test_hostile_values_are_compared_as_they_are(url: str, value: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Register(account_id="a", email=value))
        with pytest.raises(Taken, match="account-a"):
            await app.send(Register(account_id="b", email=value))
        await app.send(Register(account_id="c", email=value + "!"))
        assert all(len(tag) < 200 for event in await stored(app) for tag in event.tags)


async def test_long_values_that_begin_alike_are_different_ones(url: str) -> None:
    values = [f"{'x' * 5000}{n}" for n in range(20)] + ["x" * 120, "x" * 121, "x" * 88]
    async with App(Account, store=url) as app:
        for n, value in enumerate(values):
            await app.send(Register(account_id=str(n), email=value))
        for value in values:
            with pytest.raises(Taken):
                await app.send(Register(account_id="z", email=value))


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Nothing(State):
    pass


class Plugged(Event, name="socket.plugged"):
    id: str
    plug: Any


class Plug(Command):
    id: str
    plug: Any


def plug(command: Plug, _: Nothing) -> Iterator[Plugged]:
    yield Plugged(id=command.id, plug=command.plug)


def plugged(state: Nothing, _: Plugged) -> Nothing:
    return state


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (0, 1),
        (-1, 1),
        (2**63, 2**63 + 1),
        (False, True),
        (0.1, 0.2),
        (UUID(int=1), UUID(int=2)),
        (date(2026, 1, 1), date(2026, 1, 2)),
        (Decimal("1.10"), Decimal("1.20")),
        (Color.RED, Color.BLUE),
        (b"\0", b"\1"),
    ],
    ids=repr,
)
async def test_values_of_any_one_type_can_be_unique(value: Any, other: Any) -> None:
    part = Decider("socket", initial=Nothing(), decide=plug, evolve=plugged, identify=lambda c: c.id,
                   rules=[unique("plug")])  # fmt: skip
    async with App(part, store="memory:") as app:
        await app.send(Plug(id="a", plug=value))
        await app.send(Plug(id="b", plug=other))
        with pytest.raises(Taken) as caught:
            await app.send(Plug(id="c", plug=value))
        assert (caught.value.value, caught.value.by) == (value, "socket-a")


@pytest.mark.parametrize("registrants", [50])
async def test_of_many_that_want_a_value_at_once_one_gets_it(url: str, registrants: int) -> None:
    async with App(Account, store=url) as app:
        answers = await asyncio.gather(
            *(app.send(Register(account_id=str(n), email=f"{n % 5}")) for n in range(registrants)),
            return_exceptions=True,
        )
        receipts = [a for a in answers if isinstance(a, Receipt)]
        assert Counter(type(a) for a in answers) == {Receipt: 5, Taken: registrants - 5}
        assert {str(r.events[0].email) for r in receipts if isinstance(r.events[0], Registered)} == set("01234")


async def test_streams_that_swap_values_back_and_forth_at_once_come_to_an_end(url: str) -> None:
    async with App(Account, store=url) as app:
        for n in range(4):
            await app.send(Register(account_id=str(n), email=f"v{n}"))
        await asyncio.wait_for(
            asyncio.gather(
                *(
                    app.send(ChangeTwice(account_id=str(n % 4), first=f"v{(n * 7) % 9}", second=f"v{(n * 5) % 9}"))
                    for n in range(60)
                ),
                return_exceptions=True,
            ),
            20,
        )
        emails = [(await app.load(Account, str(n))).email for n in range(4)]
        assert len(set(emails)) == 4


async def test_two_apps_on_one_file_keep_a_value_unique_between_them(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        answers = await asyncio.gather(
            *((one, two)[n % 2].send(Register(account_id=str(n), email="x")) for n in range(20)),
            return_exceptions=True,
        )
        assert Counter(type(a) for a in answers) == {Receipt: 1, Taken: 19}


class Handle(Event, name="handle.chosen"):
    id: str
    handle: str


class Dropped(Event, name="handle.dropped"):
    id: str


class Choose(Command):
    id: str
    handle: str


class Drop(Command):
    id: str


def choose(command: Choose | Drop, _: Nothing) -> Iterable[Handle | Dropped]:
    return [Handle(id=command.id, handle=command.handle) if isinstance(command, Choose) else Dropped(id=command.id)]


def same(state: Nothing, _: Handle | Dropped) -> Nothing:
    return state


def identity(command: Choose | Drop) -> str:
    return command.id


handles = Decider(
    "handle",
    initial=Nothing(),
    decide=choose,
    evolve=same,
    identify=identity,
    rules=[unique("handle", release_on=[Dropped], hold=timedelta(days=3))],
)


async def test_a_value_given_up_is_kept_for_its_former_holder_for_a_while(url: str) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    clock = VirtualClock(start)
    async with App(handles, store=url, clock=clock) as app:
        await app.send(Choose(id="a", handle="ace"))
        await clock.advance(timedelta(days=1).total_seconds())
        await app.send(Drop(id="a"))
        await clock.advance(timedelta(days=3).total_seconds() - 1)
        with pytest.raises(Taken) as caught:
            await app.send(Choose(id="b", handle="ace"))
        error = caught.value
        assert (error.by, error.since) == ("handle-a", start + timedelta(days=1))
        assert error.until == start + timedelta(days=4)
        assert str(error) == "handle 'ace' is kept for handle-a until 2026-05-05T00:00:00+00:00"
        await app.send(Choose(id="a", handle="ace"))  # its own
        await app.send(Choose(id="a", handle="other"))  # given up by another value: kept as well
        with pytest.raises(Taken):
            await app.send(Choose(id="b", handle="ace"))
        await clock.advance(timedelta(days=3).total_seconds())
        await app.send(Choose(id="b", handle="ace"))
        with pytest.raises(Taken, match="handle-b"):
            await app.send(Choose(id="a", handle="ace"))


async def test_business_time_decides_whether_a_value_is_still_kept() -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    async with App(handles, store="memory:") as app:
        await app.send(Choose(id="a", handle="ace"), occurred_at=then)
        await app.send(Drop(id="a"), occurred_at=then)
        with pytest.raises(Taken):
            await app.send(Choose(id="b", handle="ace"), occurred_at=then + timedelta(days=2))
        await app.send(Choose(id="b", handle="ace"))


# -- sequence ---------------------------------------------------------------------------------------------------------


def numbers(events: Iterable[StoredEvent], app: App) -> list[int]:
    found = [app.registry.decode(e.type, e.schema_version, e.data) for e in events]
    return [getattr(event, "invoice") for event in found if "invoice" in event.__struct_fields__]  # noqa: B009


async def test_numbers_follow_each_other_over_all_streams_and_everything_sees_them(url: str) -> None:
    seen: list[int] = []

    @event_handler
    async def told(event: rules_worker.InvoiceIssued) -> None:
        seen.append(event.invoice)

    async with App(Invoice, told, store=url) as app:
        receipts = [await app.send(IssueInvoice(id=f"i-{n}", count=1)) for n in range(5)]
        assert [r.events[0] for r in receipts] == [
            rules_worker.InvoiceIssued(id=f"i-{n}", invoice=n + 1) for n in range(5)
        ]
        assert [(await app.load(Invoice, f"i-{n}")).numbers for n in range(5)] == [[1], [2], [3], [4], [5]]
        await app.settled(receipts[-1])
        assert numbers(await stored(app), app) == [1, 2, 3, 4, 5]
    assert sorted(seen) == [1, 2, 3, 4, 5]


async def test_a_command_that_records_two_gets_two_and_knows_them_while_it_decides(url: str) -> None:
    async with App(Invoice, store=url) as app:
        await app.send(IssueInvoice(id="a", count=1))
        receipt = await app.send(IssueInvoice(id="a", count=3))
        assert [getattr(e, "invoice", None) for e in receipt.events] == [2, 3, 4]
        assert (await app.load(Invoice, "a")).numbers == [1, 2, 3, 4]
        assert (await app.load(Invoice, "a", at=2)).numbers == [1, 2]


async def test_a_refused_command_and_one_that_records_nothing_use_no_number(url: str) -> None:
    async with App(Invoice, store=url) as app:
        await app.send(IssueInvoice(id="a", count=1))
        with pytest.raises(Rejected, match="minus"):
            await app.send(IssueInvoice(id="b", count=-1))
        with pytest.raises(Rejected, match="too many"):
            await app.send(IssueInvoice(id="b", count=99))  # refused after it had been given numbers
        await app.send(IssueInvoice(id="b", count=0))
        await app.send(IssueInvoice(id="c", count=1))
        assert numbers(await stored(app), app) == [1, 2]


async def test_many_at_once_on_the_same_and_on_other_streams_leave_no_gap(url: str) -> None:
    async with App(Invoice, store=url) as app:
        receipts = await asyncio.gather(*(app.send(IssueInvoice(id=str(n % 7), count=1 + n % 3)) for n in range(50)))
        count = sum(1 + n % 3 for n in range(50))
        assert numbers(await stored(app), app) == list(range(1, count + 1))
        given_out = [getattr(e, "invoice") for r in receipts for e in r.events]  # noqa: B009
        assert sorted(given_out) == list(range(1, count + 1))


async def test_two_apps_on_one_file_count_together(sqlite: str) -> None:
    async with App(Invoice, store=sqlite) as one, App(Invoice, store=sqlite) as two:
        await asyncio.gather(*((one, two)[n % 2].send(IssueInvoice(id=str(n), count=1)) for n in range(40)))
        assert numbers(await stored(one), one) == list(range(1, 41))


async def test_the_same_key_gives_the_same_number_again(url: str) -> None:
    async with App(Invoice, store=url) as app:
        first = await app.send(IssueInvoice(id="a", count=2), key="k")
        await app.send(IssueInvoice(id="b", count=1))
        again = await app.send(IssueInvoice(id="a", count=2), key="k")
        assert again.duplicate
        assert again.events == first.events
        assert numbers(await stored(app), app) == [1, 2, 3]


async def test_the_same_key_at_once_in_two_processes_gives_both_the_number_that_is_recorded(sqlite: str) -> None:
    async with App(Invoice, store=sqlite) as one, App(Invoice, store=sqlite) as two:
        for n in range(10):
            await one.send(IssueInvoice(id=f"other-{n}", count=1))
            key = f"k-{n}"
            a, b = await asyncio.gather(*(app.send(IssueInvoice(id="a", count=1), key=key) for app in (one, two)))
            assert a.events == b.events
        assert numbers(await stored(one), one) == list(range(1, 21))


async def test_posted_commands_and_those_of_event_handlers_get_numbers(url: str) -> None:
    async with App(Invoice, Account, bill, store=url) as app:
        for n in range(5):
            await app.post(IssueInvoice(id=f"p{n}", count=1))
            await app.send(Register(account_id=str(n), email=f"{n}"))
        await app.settle()
        found = await stored(app, category="invoice")
        assert numbers(found, app) == list(range(1, 11))


@event_handler
def bill(event: Registered) -> Iterator[IssueInvoice]:
    yield IssueInvoice(id=event.account_id, count=1)


class InvoiceRow(Row):
    id: str
    invoice: int


async def test_an_inline_projection_sees_the_number_in_the_same_transaction(url: str) -> None:
    @projection("invoices", key=lambda event: event.id, inline=True)
    def invoices(row: InvoiceRow | None, event: rules_worker.InvoiceIssued) -> InvoiceRow:
        return InvoiceRow(id=event.id, invoice=event.invoice)

    async with App(Invoice, invoices, store=url) as app:
        for n in range(3):
            await app.send(IssueInvoice(id=f"i{n}", count=1))
        rows = await app.views[invoices].find()
        assert {row.id: row.invoice for row in rows} == {"i0": 1, "i1": 2, "i2": 3}


async def test_an_expected_version_is_the_callers_and_a_busy_sequence_is_not(url: str) -> None:
    async with App(Invoice, store=url) as app:
        await app.send(IssueInvoice(id="a", count=1))
        with pytest.raises(ConcurrencyError):
            await app.send(IssueInvoice(id="a", count=1), expected=5)
        await asyncio.gather(*(app.send(IssueInvoice(id=f"b{n}", count=1), expected=0) for n in range(20)))
        assert numbers(await stored(app), app) == list(range(1, 22))


async def test_long_histories_with_snapshots_go_on_counting(url: str) -> None:
    async with App(Invoice, store=url, snapshot_after=20) as app:
        for _ in range(15):
            await app.send(IssueInvoice(id="a", count=10))
        assert (await app.load(Invoice, "a")).numbers == list(range(1, 151))
        assert await app.storage.load_snapshot("invoice-a") is not None


class Voucher(Event, name="voucher.made"):
    id: str
    serial: int = 0


class MakeVoucher(Command):
    id: str


def make(command: MakeVoucher, made: int) -> Iterator[Voucher]:
    yield Voucher(id=command.id)


def count_voucher(made: int, event: Voucher) -> int:
    return event.serial


vouchers = Decider(
    "voucher",
    initial=0,
    decide=make,
    evolve=count_voucher,
    identify=lambda command: command.id,
    rules=[sequence("serial", start=5001)],
)


async def test_a_sequence_starts_where_it_is_told(url: str) -> None:
    async with App(vouchers, store=url) as app:
        receipts = [await app.send(MakeVoucher(id=f"v{n}")) for n in range(3)]
        assert [getattr(r.events[0], "serial") for r in receipts] == [5001, 5002, 5003]  # noqa: B009
        assert await app.load(vouchers, "v1") == 5002


def test_given_counts_from_the_start_and_on_from_the_past() -> None:
    given(vouchers).when(MakeVoucher(id="v")).then(Voucher(id="v", serial=5001))
    given(vouchers, Voucher(id="v", serial=1), Voucher(id="v", serial=2)).when(MakeVoucher(id="v")).then(
        Voucher(id="v", serial=5003)
    )
    given(Account, Registered(account_id="a", email="x")).when(ChangeEmail(account_id="a", email="y")).then(
        EmailChanged(account_id="a", email="y")
    )


# -- capacity ---------------------------------------------------------------------------------------------------------


async def test_no_more_streams_hold_a_value_than_its_limit(url: str) -> None:
    async with App(Registration, store=url) as app:
        for n in range(3):
            await app.send(Reserve(id=str(n), course="c1", limit=3))
        with pytest.raises(Full) as caught:
            await app.send(Reserve(id="x", course="c1", limit=3))
        error = caught.value
        assert (error.field, error.value, error.limit, error.taken) == ("course", "c1", 3, 3)
        assert str(error) == "course 'c1' is full: 3 of 3 are taken"
        await app.send(Reserve(id="x", course="c2", limit=3))
        await app.send(Reserve(id="0", course="c1", limit=3))  # has it already
        await app.send(rules_worker.Cancel(id="0"))
        await app.send(Reserve(id="y", course="c1", limit=3))
        with pytest.raises(Full):
            await app.send(Reserve(id="0", course="c1", limit=3))
        await app.send(Reserve(id="1", course="c2", limit=3))  # moves, and leaves a seat behind
        await app.send(Reserve(id="0", course="c1", limit=3))


async def test_a_stream_that_leaves_and_comes_back_within_a_command_needs_one_seat(url: str) -> None:
    async with App(Registration, store=url) as app:
        await app.send(Reserve(id="a", course="c", limit=1))
        await app.send(rules_worker.Tour(id="a", courses=["d", "c", "d", "c"], limit=1))
        await app.send(Reserve(id="b", course="d", limit=1))
        with pytest.raises(Full, match="'d' is full: 1 of 1"):
            await app.send(rules_worker.Tour(id="a", courses=["e", "d"], limit=1))
        with pytest.raises(Full, match="'c' is full: 1 of 1"):
            await app.send(Reserve(id="z", course="c", limit=1))


async def test_the_limit_may_grow_and_shrink(url: str) -> None:
    async with App(Registration, store=url) as app:
        await app.send(Reserve(id="1", course="c", limit=1))
        with pytest.raises(Full, match="1 of 1"):
            await app.send(Reserve(id="2", course="c", limit=1))
        await app.send(Reserve(id="2", course="c", limit=2))
        with pytest.raises(Full, match="2 of 1"):
            await app.send(Reserve(id="3", course="c", limit=1))
        with pytest.raises(Full, match="2 of 0"):
            await app.send(Reserve(id="3", course="c", limit=0))


async def test_two_hundred_at_once_fill_forty_seats_exactly(url: str) -> None:
    async with App(Registration, store=url) as app:
        answers = await asyncio.gather(
            *(app.send(Reserve(id=str(n), course=f"c{n % 2}", limit=20)) for n in range(200)), return_exceptions=True
        )
        assert Counter(type(a) for a in answers) == {Receipt: 40, Full: 160}


async def test_seats_are_given_back_and_taken_at_once_and_never_overbooked(url: str) -> None:
    async with App(Registration, store=url) as one:
        for n in range(10):
            await one.send(Reserve(id=str(n), course="c", limit=10))
        await asyncio.gather(
            *(one.send(rules_worker.Cancel(id=str(n % 10))) for n in range(10)),
            *(one.send(Reserve(id=f"x{n}", course="c", limit=10)) for n in range(30)),
            return_exceptions=True,
        )
        assert most_seated(await stored(one), one) == 10


def most_seated(events: Iterable[StoredEvent], app: App) -> int:
    """The greatest number of streams with a seat at any time: counted over the log, by stream names alone."""
    seated: set[str] = set()
    most = 0
    for event in events:
        message = app.registry.decode(event.type, event.schema_version, event.data)
        if isinstance(message, rules_worker.Reserved):
            seated.add(event.stream)
        else:
            seated.discard(event.stream)
        most = max(most, len(seated))
    return most


async def test_what_was_counted_is_not_read_again(sqlite: str) -> None:
    async with App(Registration, store=sqlite) as app:
        for n in range(30):
            await app.send(Reserve(id=str(n), course="c", limit=1000))
        read: list[int] = []
        plain = app.storage.read

        async def counted(selection: Selection, *, limit: int) -> list[StoredEvent]:
            found = await plain(selection, limit=limit)
            read.append(len(found))
            return found

        app.storage.read = counted  # type: ignore[method-assign]
        for n in range(30, 40):
            await app.send(Reserve(id=str(n), course="c", limit=1000))
    assert sum(read) <= 20


async def test_seats_and_numbers_are_counted_on_after_a_restart(sqlite: str) -> None:
    for n in range(4):
        async with App(Registration, Invoice, store=sqlite) as app:
            receipt = await app.send(IssueInvoice(id="i", count=1))
            assert receipt.events == (rules_worker.InvoiceIssued(id="i", invoice=n + 1),)
            if n < 3:
                await app.send(Reserve(id=str(n), course="c", limit=3))
            else:
                with pytest.raises(Full, match="3 of 3"):
                    await app.send(Reserve(id=str(n), course="c", limit=3))


# -- together ---------------------------------------------------------------------------------------------------------


async def test_rules_of_different_kinds_are_one_condition(url: str) -> None:
    async with App(Claim, store=url) as app:
        receipts = [await app.send(rules_worker.MakeClaim(id=str(n), email=f"{n}", room="r")) for n in range(3)]
        with pytest.raises(Taken):
            await app.send(rules_worker.MakeClaim(id="x", email="1", room="r2"))
        with pytest.raises(Full):
            await app.send(rules_worker.MakeClaim(id="x", email="x", room="r"))
        receipts.append(await app.send(rules_worker.MakeClaim(id="x", email="x", room="r2")))
        assert [getattr(r.events[0], "number") for r in receipts] == [1, 2, 3, 4]  # noqa: B009
        last = (await stored(app))[-1]
        assert set(last.tags) == {"claim.number", "claim.email=x", "claim.room=r2", "id:x"}
        [answer] = await app.storage.read(Selection(criteria=Criteria(tags=["claim.room=r2"])), limit=10)
        assert answer == last


async def test_commands_with_and_without_a_say_of_the_rules_follow_each_other_without_a_conflict(url: str) -> None:
    refused: list[object] = []
    async with App(Account, store=url) as app:
        plain: Any = app.storage.append

        async def append(requests: Any) -> Any:
            answers = await plain(requests)
            refused.extend(a for a in answers if isinstance(a, Exception))
            return answers

        app.storage.append = append  # type: ignore[method-assign]
        for n in range(5):
            await app.send(Rename(account_id="a", name=f"{n}"))
            await app.send(ChangeEmail(account_id="a", email=f"{n}"))
        account = await app.load(Account, "a")
    assert (account.name, account.email, refused) == ("4", "4", [])


async def test_rules_do_not_change_what_was(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Register(account_id="a", email="x"))
        await app.send(ChangeEmail(account_id="a", email="y"))
        assert (await app.load(Account, "a", at=1)).email == "x"
        assert (await app.load(Account, "a")).email == "y"


# -- a store with several writers at once: what is stored may lie beyond the head -------------------------------------


def lag(app: App, by: int) -> None:
    """From now on readers of the App's log are `by` events behind, and only decisions may look further."""
    store: Any = app.storage
    plain_head, plain_read = store.head, store.read

    async def head() -> int:
        return max(0, await plain_head() - by)

    async def read(selection: Selection, *, limit: int) -> list[StoredEvent]:
        if not selection.beyond_head and selection.stream is None:
            selection = replace(selection, up_to=min(await head(), selection.up_to or 10**9))
        found: list[StoredEvent] = await plain_read(selection, limit=limit)
        return found

    store.head, store.read = head, read


@pytest.mark.parametrize("behind", [1, 3, 250])
async def test_rules_hold_and_nobody_waits_while_the_head_lags_behind(url: str, behind: int) -> None:
    refused: list[object] = []

    async with App(Invoice, Registration, Account, store=url) as app:
        lag(app, behind)
        plain: Any = app.storage.append

        async def append(requests: Any) -> Any:
            answers = await plain(requests)
            refused.extend(a for a in answers if isinstance(a, Exception))
            return answers

        app.storage.append = append  # type: ignore[method-assign]
        answers = await asyncio.gather(
            *(app.send(Reserve(id=f"r{n}", course="c", limit=7)) for n in range(20)),
            *(app.send(Register(account_id=f"a{n}", email=f"{n % 3}")) for n in range(20)),
            *(app.send(IssueInvoice(id=f"i{n}", count=1)) for n in range(20)),
            return_exceptions=True,
        )
        assert [type(a) for a in answers[:20]].count(Receipt) == 7
        assert [type(a) for a in answers[20:40]].count(Receipt) == 3
        assert [type(a) for a in answers].count(Full) == 13
        await app.send(ChangeEmail(account_id="a0", email="new"))
        await app.send(Register(account_id="z", email="0"))
        assert refused == []
        found = await app.storage.read(Selection(beyond_head=True, category="invoice"), limit=1000)
        assert numbers(found, app) == list(range(1, 21))


async def test_what_one_look_saw_and_an_earlier_look_did_not_is_a_conflict(sqlite: str) -> None:
    async with App(Claim, store=sqlite) as one, App(Claim, store=sqlite) as two:
        plain: Any = one.storage.read
        others = [rules_worker.MakeClaim(id=f"o{n}", email=f"o{n}", room="r") for n in range(2)]

        async def read(selection: Selection, *, limit: int) -> Any:
            if selection.criteria == Criteria(tags=["claim.room=r"]) and others:
                await two.send(others.pop())  # the number has been looked up already
            return await plain(selection, limit=limit)

        one.storage.read = read  # type: ignore[method-assign]
        await one.send(rules_worker.MakeClaim(id="a", email="a", room="r"))
        found = [one.registry.decode(e.type, e.schema_version, e.data) for e in await stored(two)]
        assert [getattr(event, "number") for event in found] == [1, 2, 3]  # noqa: B009
        with pytest.raises(Full):
            await one.send(rules_worker.MakeClaim(id="b", email="b", room="r"))


async def test_a_boundary_beyond_the_head_is_exact_as_well(url: str) -> None:
    seats = Decider(
        "seat",
        initial=0,
        decide=take_seat,
        evolve=one_more,
        identify=lambda command: command.id,
        boundary=lambda _: Criteria(types=["seat.taken"]),
    )
    async with App(seats, store=url) as app:
        lag(app, 3)
        answers = await asyncio.gather(*(app.send(TakeSeat(id=str(n))) for n in range(12)), return_exceptions=True)
        assert Counter(type(a) for a in answers) == {Receipt: 5, Rejected: 7}


class TakeSeat(Command):
    id: str


class SeatTaken(Event, name="seat.taken"):
    id: str


def take_seat(command: TakeSeat, taken: int) -> Iterator[SeatTaken]:
    if taken >= 5:
        raise Rejected("no seat left")
    yield SeatTaken(id=command.id)


def one_more(taken: int, _: SeatTaken) -> int:
    return taken + 1


# -- a rule that comes later ------------------------------------------------------------------------------------------


class Unruled(Aggregate, category="account", key="account_id"):
    @handle
    def register(self, command: Register) -> Iterator[Registered]:
        yield Registered(account_id=command.account_id, email=command.email)

    @handle
    def close(self, command: Close) -> Iterator[Closed]:
        yield Closed(account_id=command.account_id)

    @apply
    def on_any(self, event: Registered | Closed) -> None:
        pass


async def test_what_was_held_before_the_rule_was_declared_is_held_under_it(sqlite: str) -> None:
    async with App(Unruled, store=sqlite) as app:
        await app.send(Register(account_id="a", email="Old"))
        await app.send(Register(account_id="b", email="gone"))
        await app.send(Close(account_id="b"))
    for _ in range(2):  # also in a process that starts after the rule has been in use
        async with App(Account, store=sqlite) as app:
            with pytest.raises(Taken, match="account-a"):
                await app.send(Register(account_id="c", email="old"))
            await app.send(ChangeEmail(account_id="d", email="gone"))
            with pytest.raises(Taken, match="account-d"):
                await app.send(Register(account_id="c", email="gone"))
    async with App(Account, store=sqlite) as app:
        await app.send(ChangeEmail(account_id="a", email="young"))
        await app.send(Register(account_id="c", email="old"))
    async with App(Account, store=sqlite) as app:
        with pytest.raises(Taken, match="account-c"):
            await app.send(Register(account_id="e", email="old"))


async def test_a_sequence_that_comes_later_goes_on_behind_the_numbers_there_are(sqlite: str) -> None:
    by_hand = Decider("voucher", initial=0, decide=make_by_hand, evolve=count_voucher, identify=lambda c: c.id)
    async with App(by_hand, store=sqlite) as app:
        await app.send(MakeByHand(id="v", serial=7000))
    async with App(vouchers, store=sqlite) as app:
        receipt = await app.send(MakeVoucher(id="w"))
        assert receipt.events == (Voucher(id="w", serial=7001),)


class MakeByHand(Command):
    id: str
    serial: int


def make_by_hand(command: MakeByHand, _: int) -> Iterator[Voucher]:
    yield Voucher(id=command.id, serial=command.serial)


class OldRegistered(Event, name="account.joined"):
    account_id: str
    mail: str


def join(command: Register, state: Nothing) -> Iterator[OldRegistered]:
    yield OldRegistered(account_id=command.account_id, mail=command.email or "")


def joined(state: Nothing, _: OldRegistered) -> Nothing:
    return state


@upcast("account.joined", 1, to=("account.registered", 1))
def renamed_since(data: dict[str, Any]) -> dict[str, Any]:
    return {"account_id": data["account_id"], "email": data["mail"]}


async def test_events_of_another_shape_are_seen_as_what_they_are_now(sqlite: str) -> None:
    old = Decider("account", initial=Nothing(), decide=join, evolve=joined, identify=lambda c: c.account_id)
    async with App(old, store=sqlite) as app:
        await app.send(Register(account_id="a", email="anna"))
    async with App(Account, renamed_since, store=sqlite) as app:
        with pytest.raises(Taken, match="account-a"):
            await app.send(Register(account_id="b", email="Anna"))
        await app.send(ChangeEmail(account_id="a", email="anna2"))
        await app.send(Register(account_id="b", email="Anna"))


# -- wiring -----------------------------------------------------------------------------------------------------------


def ruled(*rules: Any, boundary: Any = None) -> App:
    return App(
        Decider(
            "handle",
            initial=Nothing(),
            decide=choose,
            evolve=same,
            identify=identity,
            rules=list(rules),
            boundary=boundary,
        ),
        store="memory:",
    )


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([unique("nick")], "no event of handle has a field 'nick'"),
        ([unique("handle", release_on=Closed)], "released on Closed, which is not an event of handle"),
        ([unique("id", release_on=[Handle, Dropped])], "no event of handle has a field 'id' that a rule could look at"),
        ([sequence("handle")], "Handle.handle is not an int"),
        ([unique("handle"), capacity("handle", limit=2)], "handle has two rules for 'handle'"),
        ([capacity("handle", limit=0)], "limit 0"),
        ([capacity("handle", limit=True)], "limit True"),
        ([capacity("handle", limit="many")], "limit 'many'"),  # type: ignore[arg-type]
        ([unique("handle", hold=timedelta(0))], "hold datetime.timedelta\\(0\\)"),
        ([unique("handle", fold="casefold")], "fold 'casefold'"),  # type: ignore[arg-type]
        (["handle"], "'handle' is not a rule of handle"),
    ],
)
def test_what_cannot_hold_is_said_at_the_start(rules: list[Any], says: str) -> None:
    with pytest.raises(WiringError, match=says):
        ruled(*rules)


def test_a_start_below_nothing_a_lone_rule_and_a_boundary_are_refused() -> None:
    with pytest.raises(WiringError, match="start -1"):
        App(Decider("voucher", initial=0, decide=make, evolve=count_voucher, identify=lambda c: c.id,
                    rules=[sequence("serial", start=-1)]), store="memory:")  # fmt: skip
    with pytest.raises(WiringError, match="are one rule"):
        App(Decider("voucher", initial=0, decide=make, evolve=count_voucher, identify=lambda c: c.id,
                    rules=sequence("serial")), store="memory:")  # type: ignore[arg-type]  # fmt: skip
    with pytest.raises(WiringError, match="both a boundary and rules"):
        ruled(unique("handle"), boundary=lambda command: Criteria(tags=["x"]))


class Listed(Event, name="listed"):
    id: str
    emails: list[str]


class MakeList(Command):
    id: str


def listing(command: MakeList, state: Nothing) -> Iterator[Listed]:
    yield Listed(id=command.id, emails=["a", "b"])


def listed(state: Nothing, _: Listed) -> Nothing:
    return state


async def test_a_field_of_several_values_is_refused_and_not_compared_as_one() -> None:
    part = Decider("list", initial=Nothing(), decide=listing, evolve=listed, identify=lambda c: c.id,
                   rules=[unique("emails")])  # fmt: skip
    async with App(part, store="memory:") as app:
        with pytest.raises(WiringError, match="holds several values"):
            await app.send(MakeList(id="x"))


# -- several processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_four_processes_number_invoices_and_fill_seats_on_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}?durability=relaxed"
    spawn = multiprocessing.get_context("spawn")
    told = [tmp_path / f"told{n}" for n in range(4)]
    workers = [spawn.Process(target=rules_worker.work, args=(url, n, str(told[n]))) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    answers = Counter(line for path in told for line in path.read_text().splitlines())
    assert answers["Full"] == 4 * rules_worker.EACH - rules_worker.SEATS
    assert sorted(int(line) for line in answers if line.isdigit()) == list(range(1, 4 * rules_worker.EACH + 1))

    async def check() -> None:
        async with App(*rules_worker.PARTS, store=url) as app:
            assert numbers(await stored(app, category="invoice"), app) == list(range(1, 4 * rules_worker.EACH + 1))
            assert len(await stored(app, category="registration")) == rules_worker.SEATS

    asyncio.run(check())
