"""From events to commands: once each, traceable, and never past a failure of the same stream."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    Context,
    Event,
    NotParked,
    Rejected,
    Unsettled,
    apply,
    event_handler,
    handle,
)
from daicho.testing import VirtualClock, crash_at
from tests.bank import (
    BANK,
    Account,
    Balance,
    Deposit,
    Deposited,
    Open,
    Opened,
    Transfer,
    TransferStarted,
    Withdraw,
    Withdrawn,
    balances,
    transfers,
)

TRANSFER = Transfer(transfer="t-1", source="a", target="b", amount=4)


async def history(app: App, **conditions: Any) -> list[Any]:
    return [record async for record in app.events(**conditions)]


# -- once, and traceable ------------------------------------------------------------------------------------------


async def test_an_event_leads_to_commands_and_they_to_events(url: str) -> None:
    async with App(*BANK, store=url) as app:
        await app.send(Deposit(account="a", amount=10))
        receipt = await app.send(TRANSFER)
        await app.settled(receipt)
        flow = await history(app, correlation=receipt.correlation_id)
        assert [type(r.event) for r in flow] == [TransferStarted, Withdrawn, Deposited]
        assert await app.views[balances].get("a") == Balance(account="a", amount=6, movements=2)
        assert await app.views[balances].get("b") == Balance(account="b", amount=4, movements=1)


async def test_the_command_of_a_reaction_has_the_id_that_follows_from_the_event(url: str) -> None:
    async with App(*BANK, store=url) as app:
        await app.send(Deposit(account="a", amount=10))
        receipt = await app.send(TRANSFER)
        await app.settled(receipt)
        started, withdrawn, deposited = await history(app, correlation=receipt.correlation_id)
    assert withdrawn.causation_id == str(uuid5(UUID(started.event_id), "pay_out:0"))
    assert deposited.causation_id == str(uuid5(UUID(withdrawn.event_id), "pay_in:0"))


async def test_actor_tenant_correlation_and_cause_travel_along(url: str) -> None:
    async with App(*BANK, store=url) as app:
        await app.send(Deposit(account="a", amount=10))
        receipt = await app.send(TRANSFER, actor="ann", tenant="acme", metadata={"ip": "::1"})
        await app.settled(receipt)
        flow = await history(app, correlation=receipt.correlation_id)
    assert {(r.actor, r.tenant, r.correlation_id) for r in flow} == {("ann", "acme", receipt.command_id)}
    assert [dict(r.metadata) for r in flow] == [
        {"ip": "::1", "command": "Transfer"},
        {"command": "Withdraw", "cause": flow[0].event_id, "handler": "pay_out", "hops": "1"},
        {"command": "Deposit", "cause": flow[1].event_id, "handler": "pay_in", "hops": "2"},
    ]


async def test_business_time_is_inherited_by_what_follows_if_it_was_given(url: str) -> None:
    long_ago, clock = datetime(2011, 12, 9, 12, 50, tzinfo=UTC), VirtualClock(autojump=True)
    async with App(*BANK, store=url, clock=clock) as app:
        await app.send(Deposit(account="a", amount=10))
        given = await app.send(TRANSFER, occurred_at=long_ago)
        await app.settled(given)
        assert {r.occurred_at for r in await history(app, correlation=given.correlation_id)} == {long_ago}
        await clock.advance(3600)
        now = clock.now()
        plain = await app.send(Transfer(transfer="t-2", source="a", target="b", amount=1))
        await app.settled(plain)
        assert all(r.occurred_at >= now for r in await history(app, correlation=plain.correlation_id))


async def test_a_refused_command_of_a_reaction_is_noted_and_not_tried_again(sqlite: str) -> None:
    async with App(*BANK, store=sqlite) as app:
        receipt = await app.send(TRANSFER, actor="ann")  # there is no money on the account
        await app.settled(receipt)
        [started] = await history(app)
        [noted] = await app.storage.outcomes()
        assert (noted.name, noted.state, noted.reason) == ("Withdraw", "rejected", "not enough money")
        assert (noted.command_id, noted.cause) == (str(uuid5(UUID(started.event_id), "pay_out:0")), started.event_id)
        assert (noted.actor, noted.correlation_id) == ("ann", receipt.correlation_id)
        assert not await app.dead_letters.list()
        await app.send(Deposit(account="a", amount=10))
        await app.settle()
    async with App(*BANK, store=sqlite) as app:
        await app.settle()
        assert (await app.load(Account, "a")).balance == 10


async def test_a_refusal_that_was_noted_before_a_crash_stands_after_it(sqlite: str) -> None:
    async with App(*BANK, store=sqlite) as app:
        await app.send(Open(account="a"))
        await app.settle()
    crash = crash_at("reaction.after")
    async with crash.of(App(Account, transfers, pay_out_only(), store=sqlite, probe=crash)) as app:
        await app.send(TRANSFER)
        await app.settle()
    async with App(Account, transfers, store=sqlite) as app:
        refused = await app.storage.outcomes(state="rejected")
        await app.send(Deposit(account="a", amount=10))
    async with App(Account, transfers, pay_out_only(), store=sqlite) as app:
        await app.settle()
        withdrawn = [r for r in await history(app) if isinstance(r.event, Withdrawn)]
    # the note is kept soon, not at once: a crash may lose it, but never contradict it
    assert len(withdrawn) == (0 if refused else 1)


def pay_out_only() -> Any:
    @event_handler(name="pay_out")
    def pay_out(event: TransferStarted) -> Iterator[Withdraw]:
        yield Withdraw(account=event.source, amount=event.amount, transfer=event.transfer, to=event.target)

    return pay_out


async def test_a_reaction_handles_each_event_once_over_many_restarts(sqlite: str) -> None:
    async with App(*BANK, store=sqlite) as app:
        await app.send(Deposit(account="a", amount=100))
    for n in range(5):
        async with App(*BANK, store=sqlite) as app:
            await app.send(Transfer(transfer=f"t-{n}", source="a", target="b", amount=10))
            if n % 2:
                await app.settle()
    async with App(*BANK, store=sqlite) as app:
        await app.settle()
        assert ((await app.load(Account, "a")).balance, (await app.load(Account, "b")).balance) == (50, 50)


async def test_a_checkpoint_put_back_by_hand_sends_nothing_twice(sqlite: str) -> None:
    async with App(*BANK, store=sqlite) as app:
        await app.send(Deposit(account="a", amount=100))
        await asyncio.gather(
            *[app.send(Transfer(transfer=str(n), source="a", target="b", amount=1)) for n in range(20)]
        )
        await app.settle()
        before = await app.storage.head()
    async with App(*BANK, store=sqlite) as app:
        await app.storage.rewind("reaction:pay_out", 0)
        await app.storage.rewind("reaction:pay_in", 0)
        await app.send(Open(account="z"))
        await app.settle()
        assert await app.storage.head() == before + 1
        assert (await app.load(Account, "b")).balance == 20


# -- which events a handler gets ----------------------------------------------------------------------------------


def recorder(calls: list[str], **options: Any) -> Any:
    @event_handler(name="recorder", **options)
    async def record(event: Deposited) -> None:
        calls.append(event.account)

    return record


async def test_a_side_effect_runs_once_an_event_and_never_again(sqlite: str) -> None:
    calls: list[str] = []
    for round_ in range(3):
        async with App(*BANK, recorder(calls), store=sqlite) as app:
            await app.send(Deposit(account=f"a{round_}", amount=1))
            await app.settle()
            async for _ in app.rebuild("balances"):
                pass
            await app.settle()
    assert calls == ["a0", "a1", "a2"]


async def test_a_handler_that_is_added_later_starts_from_now(sqlite: str) -> None:
    async with App(Account, store=sqlite) as app:
        await app.send(Deposit(account="old", amount=1))
    calls: list[str] = []
    async with App(Account, recorder(calls), store=sqlite) as app:
        await app.send(Deposit(account="new", amount=1))
        await app.settle()
    assert calls == ["new"]


async def test_a_handler_that_is_added_later_may_ask_for_the_whole_history(sqlite: str) -> None:
    async with App(Account, store=sqlite) as app:
        await app.send(Deposit(account="old", amount=1))
    calls: list[str] = []
    async with App(Account, recorder(calls, from_start=True), store=sqlite) as app:
        await app.send(Deposit(account="new", amount=1))
        await app.settle()
    assert calls == ["old", "new"]


async def test_what_happened_while_the_app_was_down_is_handled_when_it_is_up(sqlite: str) -> None:
    calls: list[str] = []
    async with App(Account, recorder(calls), store=sqlite):
        pass
    async with App(Account, store=sqlite) as app:
        await app.send(Deposit(account="meanwhile", amount=1))
    async with App(Account, recorder(calls), store=sqlite) as app:
        await app.settle()
    assert calls == ["meanwhile"]


async def test_a_handler_gets_context_and_collaborators(url: str) -> None:
    calls: list[tuple[Any, ...]] = []

    class Post:
        def send(self, *what: Any) -> None:
            calls.append(what)

    @event_handler
    async def notify(event: Deposited, post: Post, context: Context) -> None:
        post.send(event.account, context.actor, context.now, context.id())

    @event_handler
    async def twin(event: Deposited, post: Post, context: Context) -> None:
        post.send(event.account, context.actor, context.now, context.id())

    at = datetime(2011, 12, 9, tzinfo=UTC)
    async with App(Account, notify, twin, store=url, provide=[Post()]) as app:
        await app.send(Deposit(account="a", amount=1), actor="ann", occurred_at=at)
        await app.settle()
    assert [c[:3] for c in calls] == [("a", "ann", at)] * 2
    assert calls[0][3] != calls[1][3]


# -- what goes wrong ----------------------------------------------------------------------------------------------


class Mood:
    """Which accounts a handler cannot take at present."""

    def __init__(self, *bad: str) -> None:
        self.bad, self.seen = set(bad), list[str]()

    def meet(self, account: str, amount: int) -> None:
        if account in self.bad:
            raise RuntimeError(f"cannot take {account}")
        self.seen.append(f"{account}:{amount}")


class Note(Command):
    id: str
    text: str


class Noted(Event):
    id: str
    text: str


class Book(Aggregate, category="book", key="id"):
    @handle
    def note(self, command: Note, mood: Mood) -> Iterator[Noted]:
        if command.text in mood.bad:
            raise RuntimeError(f"cannot note {command.text}")
        yield Noted(id=command.id, text=command.text)

    @apply
    def noted(self, _: Noted) -> None: ...


@event_handler(name="noting")
def decides_badly(event: Deposited, mood: Mood) -> Iterator[Note]:
    mood.meet(event.account, event.amount)
    yield Note(id="book", text=f"{event.account}:{event.amount}")


@event_handler(name="noting")
async def acts_badly(event: Deposited, mood: Mood) -> None:
    mood.meet(event.account, event.amount)


@event_handler(name="noting")
def sends_badly(event: Deposited) -> Iterator[Note]:
    yield Note(id="book", text=f"{event.account}:{event.amount}")


async def deposits(app: App) -> None:
    """Three for each of three accounts, the bad one's in between."""
    for n in (1, 2, 3):
        for account in ("good", "bad", "fine"):
            await app.send(Deposit(account=account, amount=n))
    await app.settle()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("handler", [decides_badly, acts_badly], ids=["commands", "effects"])
async def test_an_event_that_cannot_be_handled_parks_its_stream_and_nothing_else(
    url: str, handler: Any, together: bool
) -> None:
    mood = Mood("bad")
    parts = (Account, Book, handler)
    async with App(*parts, store=url, provide=[mood], clock=VirtualClock(autojump=True)) as app:
        if together:  # all in one page of events
            await asyncio.gather(
                *[app.send(Deposit(account=a, amount=n)) for n in (1, 2, 3) for a in ("good", "bad", "fine")]
            )
            await app.settle()
        else:
            await deposits(app)
        assert sorted(mood.seen) == sorted(f"{a}:{n}" for a in ("good", "fine") for n in (1, 2, 3))
        assert [s for s in mood.seen if "good" in s] == ["good:1", "good:2", "good:3"]
        letters = await app.dead_letters.list()
        assert [x.key for x in letters] == ["account-bad"] * 3
        assert [x.error for x in letters] == ["RuntimeError: cannot take bad", None, None]
        assert [x.processor for x in letters] == ["reaction:noting"] * 3
        assert "in meet" in (letters[0].trace or "")
        lag = {x.processor: x for x in await app.lag()}["reaction:noting"]
        assert (lag.parked, lag.events_behind, lag.state) == (3, 0, "live")

        # a retry before the fix changes nothing
        assert await app.dead_letters.retry() == 3
        await app.dead_letters.retried()
        assert [x.state for x in await app.dead_letters.list()] == ["parked"] * 3
        assert not [s for s in mood.seen if "bad" in s]

        # after the fix they go through, in order, and the stream flows on
        mood.bad.clear()
        assert await app.dead_letters.retry(letters[1].number) == 3  # one letter stands for its key
        await app.dead_letters.retried()
        await app.send(Deposit(account="bad", amount=4))
        await app.settle()
        assert [s for s in mood.seen if "bad" in s] == ["bad:1", "bad:2", "bad:3", "bad:4"]
        assert not await app.dead_letters.list()
        assert [x.state for x in await app.dead_letters.list(everything=True)] == ["retried"] * 3


@pytest.mark.parametrize("together", [True, False])
async def test_a_command_that_fails_parks_the_event_it_came_of_and_its_followers(url: str, together: bool) -> None:
    mood = Mood("bad:2")
    async with App(Account, Book, sends_badly, store=url, provide=[mood]) as app:
        if together:
            await asyncio.gather(
                *[app.send(Deposit(account=a, amount=n)) for n in (1, 2, 3) for a in ("good", "bad", "fine")]
            )
            await app.settle()
        else:
            await deposits(app)
        noted = [r.event.text for r in await history(app, category="book")]
        assert sorted(noted) == ["bad:1", *(f"{a}:{n}" for a in ("fine", "good") for n in (1, 2, 3))]
        letters = await app.dead_letters.list()
        assert [x.error for x in letters] == ["RuntimeError: cannot note bad:2", None]
        mood.bad.clear()
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        noted = [r.event.text for r in await history(app, category="book")]
        assert [t for t in noted if "bad" in t] == ["bad:1", "bad:2", "bad:3"]


async def test_one_event_whose_commands_fail_twice_is_one_letter(url: str) -> None:
    @event_handler
    def twice(event: Deposited) -> Iterator[Note]:
        for n in range(3):
            yield Note(id=f"book{n}", text="bad")

    async with App(Account, Book, twice, store=url, provide=[Mood("bad")]) as app:
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        assert len(await app.dead_letters.list()) == 1


async def test_what_was_parked_stays_parked_over_a_restart(sqlite: str) -> None:
    parts, mood = (Account, Book, decides_badly), Mood("bad")
    async with App(*parts, store=sqlite, provide=[mood]) as app:
        await app.send(Deposit(account="bad", amount=1))
        await app.settle()
    mood.bad.clear()
    async with App(*parts, store=sqlite, provide=[mood]) as app:
        await app.send(Deposit(account="bad", amount=2))
        await app.settle()
        assert mood.seen == []
        assert [x.error for x in await app.dead_letters.list("noting")] == ["RuntimeError: cannot take bad", None]
        await app.dead_letters.retry(processor="noting")
        await app.dead_letters.retried()
    assert mood.seen == ["bad:1", "bad:2"]


async def test_a_side_effect_is_tried_a_few_times_before_it_parks(url: str) -> None:
    attempts = 0

    @event_handler
    async def flaky(event: Deposited) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise OSError("connection refused")

    async with App(Account, flaky, store=url, clock=VirtualClock(autojump=True)) as app:
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        assert not await app.dead_letters.list()
    assert attempts == 4


async def test_many_side_effects_with_a_bad_stream_among_them_all_run_once(url: str) -> None:
    mood = Mood("a7")
    async with App(Account, acts_badly, store=url, provide=[mood], clock=VirtualClock(autojump=True)) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n}", amount=i)) for n in range(40) for i in (1, 2)])
        await app.settle()
        letters = await app.dead_letters.list()
    assert sorted(mood.seen) == sorted(f"a{n}:{i}" for n in range(40) if n != 7 for i in (1, 2))
    assert [x.error for x in letters] == ["RuntimeError: cannot take a7", None]


async def test_skipping_a_letter_needs_a_reason_that_stays_on_record(url: str) -> None:
    mood = Mood("bad")
    async with App(Account, Book, decides_badly, store=url, provide=[mood]) as app:
        await app.send(Deposit(account="bad", amount=1))
        await app.settle()
        [letter] = await app.dead_letters.list()
        with pytest.raises(Exception, match="needs a reason"):
            await app.dead_letters.skip(letter.number, "  ")
        await app.dead_letters.skip(letter.number, "test data")
        assert not await app.dead_letters.list()
        kept = await app.dead_letters.show(letter.number)
        assert (kept.state, kept.reason) == ("skipped", "test data")
        with pytest.raises(NotParked):
            await app.dead_letters.skip(letter.number, "again")
        with pytest.raises(NotParked):
            await app.dead_letters.show(999)


async def test_waiting_for_a_flow_of_which_a_part_was_parked_says_so_at_once(url: str) -> None:
    async with App(Account, Book, decides_badly, store=url, provide=[Mood("bad")]) as app:
        fine = await app.send(Deposit(account="fine", amount=1))
        bad = await app.send(Deposit(account="bad", amount=1))
        await app.settled(fine)
        with pytest.raises(Unsettled, match=r"1 event\(s\) of this flow are parked.*cannot take bad") as caught:
            await app.settled(bad)
        assert [x.key for x in caught.value.letters] == ["account-bad"]


async def test_a_handler_that_yields_what_it_does_not_declare_is_parked(url: str) -> None:
    @event_handler
    def liar(event: Opened) -> Iterator[Deposit]:
        yield Withdraw(account="a", amount=1)  # type: ignore[misc]

    async with App(Account, liar, store=url) as app:
        await app.send(Open(account="a"))
        await app.settle()
        [letter] = await app.dead_letters.list()
        assert "liar yielded Withdraw" in (letter.error or "")


async def test_an_event_that_cannot_be_read_parks_its_stream_only(sqlite: str) -> None:
    class Blind(Event, name="account.deposited", version=1):
        account: str
        amount: str  # a text, where history holds numbers

    @event_handler
    async def reads(event: Blind) -> None:
        raise AssertionError("never called")

    async with App(Account, store=sqlite) as app:
        await app.send(Deposit(account="a", amount=1))
    reader = event_handler(name="reads", from_start=True)(reads.function)
    async with App(reader, store=sqlite) as app:
        await app.settle()
        [letter] = await app.dead_letters.list()
        assert (letter.key, (letter.error or "").split(":")[0]) == ("account-a", "UnreadableEvent")


# -- circles ------------------------------------------------------------------------------------------------------


class Ping(Command):
    id: str
    n: int


class Pinged(Event):
    id: str
    n: int


class Game(Aggregate, category="game", key="id"):
    @handle
    def ping(self, command: Ping) -> Iterator[Pinged]:
        yield Pinged(id=command.id, n=command.n)

    @apply
    def pinged(self, _: Pinged) -> None: ...


def bat(last: int) -> Any:
    @event_handler(name="bat", circular=True)
    def swing(event: Pinged) -> Iterator[Ping]:
        if event.n < last:
            yield Ping(id=event.id, n=event.n + 1)

    return swing


async def test_a_circle_that_ends_comes_to_rest(url: str) -> None:
    async with App(Game, bat(50), store=url) as app:
        receipt = await app.send(Ping(id="g", n=0))
        await app.settled(receipt)
        assert len(await history(app)) == 51


async def test_a_circle_without_end_is_stopped_after_64_hops_and_parked(url: str) -> None:
    async with App(Game, bat(10_000), store=url) as app:
        await app.send(Ping(id="g", n=0))
        await app.settle()
        assert len(await history(app)) == 65
        [letter] = await app.dead_letters.list()
        assert (letter.error or "").startswith("TooManyHops: Ping is 65 commands away")


# -- who runs it --------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_of_two_apps_one_runs_a_handler_and_the_other_takes_over_when_it_leaves(sqlite: str) -> None:
    calls: dict[str, list[str]] = {"one": [], "two": []}
    one = App(Account, recorder(calls["one"]), store=sqlite)
    two = App(Account, recorder(calls["two"]), store=sqlite)
    await one.start()
    await one.settle()
    await two.start()
    try:
        for n in range(5):
            await two.send(Deposit(account=f"a{n}", amount=1))
        await two.settle()
        assert calls == {"one": [f"a{n}" for n in range(5)], "two": []}
    finally:
        await one.stop()
    await two.send(Deposit(account="b", amount=1))
    await two.settle()
    await two.stop()
    assert calls == {"one": [f"a{n}" for n in range(5)], "two": ["b"]}


async def test_an_app_for_looking_only_runs_no_handlers(sqlite: str) -> None:
    calls: list[str] = []
    async with App(Account, recorder(calls), store=sqlite):
        pass
    app = App(Account, recorder(calls), store=sqlite)
    await app.start(processors=False)
    await app.send(Deposit(account="a", amount=1))
    await app.stop()
    assert calls == []
    async with App(Account, recorder(calls), store=sqlite) as app:
        await app.settle()
    assert calls == ["a"]


async def test_a_lease_is_renewed_for_as_long_as_the_app_lives(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daicho.wiring.running._RENEW_EVERY", 0.01)
    async with App(Account, recorder([]), store=sqlite) as app:
        renewed: list[str] = []
        renew = app.storage.renew

        async def counted(owner: str) -> None:
            renewed.append(owner)
            await renew(owner)

        monkeypatch.setattr(app.storage, "renew", counted)
        await until(lambda: len(renewed) >= 3)
        [checkpoint] = [c for c in await app.storage.checkpoints() if c.processor == "reaction:recorder"]
        assert set(renewed) == {checkpoint.owner}


async def test_a_rejection_is_an_answer_also_where_many_commands_come_of_one_event(url: str) -> None:
    @event_handler
    def many(event: Opened) -> Iterator[Deposit | Withdraw]:
        yield Withdraw(account=event.account, amount=1)
        yield Deposit(account=event.account, amount=5)
        yield Withdraw(account="poor", amount=1)

    async with App(Account, many, store=url) as app:
        receipt = await app.send(Open(account="a"))
        await app.settled(receipt)
        assert (await app.load(Account, "a")).balance == 5
        assert len(await app.storage.outcomes(state="rejected")) == 2
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="poor", amount=1))
