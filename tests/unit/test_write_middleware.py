"""The layers around a command, each alone, and the chain they make."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import mode
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from daicho import (
    ABSENT,
    ANY,
    App,
    ConcurrencyError,
    Envelope,
    Handler,
    InvalidMessage,
    KeyReused,
    NotAuthorised,
    NotRunning,
    Position,
    Receipt,
    Rejected,
    StoreFull,
    TooManyHops,
    UnknownMessage,
)
from daicho.adapters.stores.memory import MemoryStorage
from daicho.core.stored import NewEvent
from daicho.ports.event_store import Appended, AppendRequest, CommandOutcome, StreamWrite
from daicho.testing import VirtualClock
from daicho.write.appending import Appender
from daicho.write.middleware.audit import Audit
from daicho.write.middleware.authorisation import Authorisation
from daicho.write.middleware.idempotency import Idempotency
from daicho.write.middleware.retry import Retry
from daicho.write.middleware.tracing import Tracing
from daicho.write.middleware.validation import Validation
from daicho.write.pipeline import compose
from tests.bank import BANK, Account, Deposit, Open, Withdraw

ID = "919108f7-52d1-4320-9bac-f847db4148a8"


def envelope(command: Any = None, **fields: Any) -> Envelope:
    command = command or Open(account="a")
    return Envelope(
        **{"command": command, "command_id": ID, "correlation_id": ID, "name": type(command).__name__, **fields}
    )


def receipt(**fields: Any) -> Receipt:
    return Receipt(
        **{
            "command_id": ID,
            "stream": "account-a",
            "version": 1,
            "position": Position(1),
            "events": (),
            "correlation_id": ID,
            **fields,
        }
    )


async def accept(_: Envelope) -> Receipt:
    return receipt()


def raising(*errors: Exception | None) -> tuple[Handler, list[Envelope]]:
    """A handler that raises these, one after another, and then accepts; and the calls it got."""
    calls: list[Envelope] = []

    async def handler(each: Envelope) -> Receipt:
        calls.append(each)
        error = errors[len(calls) - 1] if len(calls) <= len(errors) else None
        if error is not None:
            raise error
        return receipt()

    return handler, calls


def conflict() -> ConcurrencyError:
    return ConcurrencyError("somebody was faster", expected=1, actual=2)


# -- the chain ----------------------------------------------------------------------------------------------------


async def test_the_first_layer_is_the_outermost() -> None:
    steps: list[str] = []

    def layer(name: str) -> Any:
        async def middleware(each: Envelope, proceed: Handler) -> Receipt:
            steps.append(f"{name} in")
            found = await proceed(each)
            steps.append(f"{name} out")
            return found

        return middleware

    await compose([layer("a"), layer("b")], accept)(envelope())
    assert steps == ["a in", "b in", "b out", "a out"]
    assert await compose([], accept)(envelope()) == receipt()


async def test_middleware_of_the_app_sees_permitted_commands_once_however_often_they_are_retried() -> None:
    seen: list[tuple[str, str | None]] = []

    async def note(each: Envelope, proceed: Handler) -> Receipt:
        seen.append((each.name, each.actor))
        return await proceed(each)

    async with App(*BANK, store="memory:", middleware=[note], authorise=lambda e: e.actor != "eve") as app:
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1), actor="ann") for _ in range(5)])
        with pytest.raises(NotAuthorised):
            await app.send(Deposit(account="a", amount=1), actor="eve")
        with pytest.raises(InvalidMessage):
            await app.send(Deposit(account="a", amount=-1), actor="ann")
    assert seen == [("Deposit", "ann")] * 5


async def test_middleware_may_amend_what_goes_on() -> None:
    async def stamp(each: Envelope, proceed: Handler) -> Receipt:
        each.tenant = "acme"
        each.metadata = {**each.metadata, "channel": "web"}
        return await proceed(each)

    async with App(*BANK, store="memory:", middleware=[stamp]) as app:
        await app.send(Open(account="a"), metadata={"ip": "::1"})
        [record] = [r async for r in app.events()]
    assert record.tenant == "acme"
    assert record.metadata == {"channel": "web", "ip": "::1", "command": "Open"}


# -- validation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (Deposit(account="a", amount=0), "$.amount"),
        (Deposit(account="a", amount="3"), "$.amount"),  # type: ignore[arg-type]
        (Deposit(account=7, amount=3), "$.account"),  # type: ignore[arg-type]
        (Deposit(account="a", amount=2**70), "$"),
    ],
)
async def test_validation_names_the_wrong_field_before_anything_is_decided(command: Deposit, path: str) -> None:
    handler, calls = raising()
    with pytest.raises(InvalidMessage, match="command Deposit is not valid") as caught:
        await Validation()(envelope(command), handler)
    assert caught.value.data["path"] == path
    assert calls == []


async def test_validation_lets_right_commands_through_and_trusts_the_apps_own() -> None:
    assert await Validation()(envelope(Deposit(account="a", amount=1)), accept)
    assert await Validation()(envelope(Deposit(account="a", amount=-1), trusted=True), accept)


async def test_a_chain_of_more_than_64_commands_is_taken_for_a_circle() -> None:
    assert await Validation()(envelope(hops=64), accept)
    with pytest.raises(TooManyHops, match="65 commands away") as caught:
        await Validation()(envelope(hops=65), accept)
    assert caught.value.data == {"correlation_id": ID}


# -- authorisation ------------------------------------------------------------------------------------------------


async def _permit_later(each: Envelope) -> bool | None:
    await asyncio.sleep(0)
    return each.actor == "ann"


@pytest.mark.parametrize("permit", [lambda e: e.actor == "ann", _permit_later])
async def test_authorisation_asks_for_commands_from_outside_only(permit: Any) -> None:
    layer = Authorisation(permit)
    assert await layer(envelope(actor="ann"), accept)
    assert await layer(envelope(actor="eve", cause=ID), accept)
    with pytest.raises(NotAuthorised, match="eve may not send Open") as caught:
        await layer(envelope(actor="eve"), accept)
    assert caught.value.data == {"actor": "eve", "command": "Open"}
    with pytest.raises(NotAuthorised, match="nobody may not send"):
        await layer(envelope(), accept)


async def test_a_hook_that_says_nothing_permits_and_one_that_raises_refuses_in_its_own_words() -> None:
    def refuse(_: Envelope) -> None:
        raise NotAuthorised("come back tomorrow")

    assert await Authorisation(lambda _: None)(envelope(), accept)
    with pytest.raises(NotAuthorised, match="come back tomorrow"):
        await Authorisation(refuse)(envelope(), accept)


# -- retry --------------------------------------------------------------------------------------------------------


async def test_retry_goes_again_until_nobody_is_faster() -> None:
    handler, calls = raising(conflict(), conflict(), conflict())
    assert await Retry(VirtualClock(autojump=True))(envelope(), handler) == receipt()
    assert len(calls) == 4


async def test_retry_gives_up_after_its_attempts() -> None:
    handler, calls = raising(*[conflict()] * 9)
    with pytest.raises(ConcurrencyError):
        await Retry(VirtualClock(autojump=True), attempts=8)(envelope(), handler)
    assert len(calls) == 8


@pytest.mark.parametrize(("expected", "times"), [(1, 1), (0, 1), (ABSENT, 1), (ANY, 2), (None, 2)])
async def test_a_conflict_with_what_the_caller_saw_is_the_callers_to_settle(expected: Any, times: int) -> None:
    handler, calls = raising(conflict())
    retry = Retry(VirtualClock(autojump=True))
    if times == 1:
        with pytest.raises(ConcurrencyError):
            await retry(envelope(expected=expected), handler)
    else:
        await retry(envelope(expected=expected), handler)
    assert len(calls) == times


async def test_retry_waits_by_the_apps_clock_and_not_at_all_the_first_time() -> None:
    clock = VirtualClock()
    handler, calls = raising(conflict(), conflict())
    task = asyncio.create_task(Retry(clock)(envelope(), handler))
    while not clock.sleepers:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert len(calls) == 2
    await clock.advance(0.004)
    assert await task == receipt()


@pytest.mark.parametrize("error", [Rejected("no"), StoreFull("full"), ValueError("bug"), InvalidMessage("bad")])
async def test_retry_is_for_conflicts_only(error: Exception) -> None:
    handler, calls = raising(error)
    with pytest.raises(type(error)):
        await Retry(VirtualClock())(envelope(), handler)
    assert len(calls) == 1


# -- audit --------------------------------------------------------------------------------------------------------


async def memory() -> MemoryStorage:
    storage = MemoryStorage(now=VirtualClock().now)
    await storage.open()
    return storage


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (Rejected("not enough money"), "rejected", "not enough money"),
        (InvalidMessage("bad amount", do="mend it"), "failed", "bad amount"),
        (NotAuthorised("eve may not"), "failed", "eve may not"),
        (UnknownMessage("what?"), "failed", "what?"),
    ],
)
async def test_a_refused_command_leaves_who_what_when_and_why_not(error: Exception, state: str, reason: str) -> None:
    storage, clock = await memory(), VirtualClock(datetime(2011, 12, 9, 12, 50, tzinfo=UTC))
    handler, _ = raising(error)
    with pytest.raises(type(error)):
        await Audit(storage, clock)(envelope(actor="eve", tenant="acme"), handler)
    [kept] = await storage.outcomes()
    assert (kept.name, kept.state, kept.reason, kept.actor, kept.tenant) == ("Open", state, reason, "eve", "acme")
    assert (kept.command_id, kept.correlation_id) == (ID, ID)
    assert kept.finished_at == "2011-12-09T12:50:00.000000+00:00"


async def test_accepted_commands_and_bugs_leave_no_note() -> None:
    storage = await memory()
    audit = Audit(storage, VirtualClock())
    await audit(envelope(), accept)
    with pytest.raises(ValueError, match="bug"):
        await audit(envelope(), raising(ValueError("bug"))[0])
    assert await storage.outcomes() == []


# -- idempotency --------------------------------------------------------------------------------------------------


async def _nothing(_: Any) -> list[Any]:
    return []


async def test_a_command_in_flight_is_waited_for_not_run_beside() -> None:
    layer = Idempotency(await memory(), _nothing, VirtualClock())
    running = most = 0

    async def handler(_: Envelope) -> Receipt:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return receipt()

    await asyncio.gather(*[layer(envelope(key="k"), handler) for _ in range(5)])
    assert most == 1


async def test_a_fresh_command_is_not_looked_up() -> None:
    async def never(_: Any) -> list[Any]:
        raise AssertionError("looked")

    assert await Idempotency(MemoryStorage(now=VirtualClock().now), never, VirtualClock())(envelope(), accept)


async def test_a_keyed_command_that_raised_a_bug_runs_again() -> None:
    layer = Idempotency(await memory(), _nothing, VirtualClock())
    handler, calls = raising(ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        await layer(envelope(key="k"), handler)
    assert await layer(envelope(key="k"), handler) == receipt()
    assert len(calls) == 2


async def test_a_keyed_command_that_was_rejected_stays_rejected_and_another_body_is_told() -> None:
    storage = await memory()
    layer = Idempotency(storage, _nothing, VirtualClock())
    handler, calls = raising(Rejected("no"))
    for _ in range(3):
        with pytest.raises(Rejected, match="no"):
            await layer(envelope(key="k"), handler)
    assert len(calls) == 1
    with pytest.raises(KeyReused, match="key 'k' was used before for another Open"):
        await layer(envelope(Open(account="b"), key="k"), handler)


# -- tracing ------------------------------------------------------------------------------------------------------


async def test_a_command_is_one_span_with_the_attributes_of_the_messaging_conventions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    async with App(Account, store="memory:", name="bank") as app:
        sent = await app.send(Deposit(account="a", amount=5))
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="a", amount=6))
    done, refused = exporter.get_finished_spans()
    assert done.name == "process Deposit"
    assert dict(done.attributes or {}) == {
        "messaging.system": "daicho",
        "messaging.operation.type": "process",
        "messaging.destination.name": "bank",
        "messaging.message.id": sent.command_id,
        "messaging.message.conversation_id": sent.command_id,
        "daicho.stream": "account-a",
        "daicho.position": 1,
    }
    assert refused.name == "process Withdraw"
    assert refused.events[0].name == "exception"


def test_without_a_tracer_provider_there_is_no_layer() -> None:
    app = App(Account, store="memory:")
    assert app.url == "memory:"
    assert Tracing("x") is not None


# -- group commit -------------------------------------------------------------------------------------------------


def request(n: int, stream: str = "s-1", *, expected: int | None = None, keyed: bool = False) -> AppendRequest:
    event = NewEvent(
        event_id=f"{n:08x}-0000-8000-8000-000000000000",
        type="t",
        schema_version=1,
        data=b"{}",
        occurred_at="2011-12-09T12:50:00.000000+00:00",
        correlation_id=ID,
        causation_id=ID,
    )
    outcome = CommandOutcome(command_id=f"{n:08x}-0000-5000-8000-000000000000", name="Open", state="done")
    write = StreamWrite(stream=stream, events=(event,), expected=ANY if expected is None else expected)
    return AppendRequest(writes=(write,), outcome=outcome if keyed else None)


class SlowStore:
    """Takes one group at a time, each until it is let go."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.go = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.answer: Exception | None = None

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        self.groups.append(len(requests))
        await self.go.acquire()
        if self.error is not None:
            raise self.error
        first: Appended | Exception = self.answer or Appended(positions=(1,), versions=(1,))
        return [first, *[Appended(positions=(1,), versions=(1,)) for _ in requests[1:]]]


async def test_what_comes_while_a_commit_is_on_its_way_goes_into_the_next_one() -> None:
    store = SlowStore()
    appender = Appender(store)  # type: ignore[arg-type]
    first = appender.submit(request(0))
    while not store.groups:  # noqa: ASYNC110
        await asyncio.sleep(0)
    others = [appender.submit(request(n)) for n in range(1, 101)]
    store.go.release()
    await first
    store.go.release()
    await asyncio.gather(*others)
    assert store.groups == [1, 100]
    await appender.close()


async def test_one_refused_request_does_not_touch_the_others_of_its_group() -> None:
    store = SlowStore()
    store.answer = conflict()
    appender = Appender(store)  # type: ignore[arg-type]
    futures = [appender.submit(request(n)) for n in range(3)]
    store.go.release()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(a).__name__ for a in answers] == ["ConcurrencyError", "Appended", "Appended"]


async def test_a_store_that_fails_tells_everybody_and_is_asked_again_the_next_time() -> None:
    store = SlowStore()
    store.error = StoreFull("the disk is full")
    appender = Appender(store)  # type: ignore[arg-type]
    futures = [appender.submit(request(n)) for n in range(3)]
    store.go.release()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(a) for a in answers] == [StoreFull] * 3
    store.error = None
    store.go.release()
    assert await appender.submit(request(9))


async def test_a_caller_that_gave_up_does_not_hold_up_the_rest_of_the_group() -> None:
    store = SlowStore()
    appender = Appender(store)  # type: ignore[arg-type]
    gone, stays = appender.submit(request(0)), appender.submit(request(1))
    gone.cancel()
    store.go.release()
    assert await stays


async def test_a_closing_appender_finishes_what_it_has_and_takes_no_more() -> None:
    store = SlowStore()
    appender = Appender(store)  # type: ignore[arg-type]
    futures = [appender.submit(request(n)) for n in range(3)]
    store.go.release()
    await appender.close()
    assert all(future.done() for future in futures)
    with pytest.raises(NotRunning):
        appender.submit(request(9))


class TimedStore:
    def __init__(self, takes: float) -> None:
        self.takes, self.groups = takes, list[int]()

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        self.groups.append(len(requests))
        await asyncio.sleep(self.takes)
        return [Appended(positions=(1,), versions=(1,)) for _ in requests]


async def append_again_and_again(store: TimedStore, *, callers: int, work: float) -> None:
    """The first is under way when the others come. Each is at work, in the one thread of all, between two appends."""
    appender = Appender(store)  # type: ignore[arg-type]

    async def call(caller: int) -> None:
        for _ in range(10):
            await appender.submit(request(caller))
            time.sleep(work)  # noqa: ASYNC251

    first = asyncio.create_task(call(0))
    while not store.groups:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.gather(first, *map(call, range(1, callers)))
    await appender.close()


async def test_who_is_back_soon_is_waited_for_so_that_all_share_a_commit() -> None:
    store = TimedStore(takes=0.02)
    await append_again_and_again(store, callers=8, work=0)
    assert mode(store.groups) == 8, store.groups


async def test_while_one_half_of_busy_callers_is_at_work_the_other_half_is_under_way() -> None:
    store = TimedStore(takes=0.01)
    await append_again_and_again(store, callers=8, work=0.004)
    assert mode(store.groups) == 4, store.groups


class RefusingStore(TimedStore):
    """Cannot take the last request of its first group."""

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        answers = await super().append(requests)
        return [*answers[:-1], StoreFull("the disk is full")] if len(self.groups) == 1 else answers


async def test_who_is_told_in_the_second_half_and_has_to_be_tried_alone_is_not_forgotten() -> None:
    store = RefusingStore(takes=0.001)
    appender = Appender(store)  # type: ignore[arg-type]
    appender._told = 0.0  # long ago: callers are taken for busy ones
    first = [appender.submit(request(n)) for n in range(8)]
    follower = appender.submit(request(7), after=first[-1])
    async with asyncio.timeout(20):
        assert all(isinstance(answer, Appended) for answer in await asyncio.gather(*first))
        with pytest.raises(ConcurrencyError):
            await follower
    assert store.groups == [8, 1]
    await appender.close()


class EagerStore(SlowStore):
    """Begins a lone append at once, unless it is told not to; a test answers it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[AppendRequest, Callable[[Appended | Exception], None]]] = []
        self.able = True

    def begin(self, request: AppendRequest, told: Callable[[Appended | Exception], None]) -> bool:
        if self.able:
            self.begun.append((request, told))
        return self.able

    def answer_it(self, answer: Appended | Exception | None = None) -> None:
        self.begun[-1][1](answer or Appended(positions=(1,), versions=(1,)))


async def lone(store: EagerStore) -> Appender:
    """One whose callers have come one after another for a while."""
    appender = Appender(store)  # type: ignore[arg-type]
    for n in range(3):
        store.go.release()
        await appender.submit(request(n))
        await asyncio.sleep(0)
    assert (store.groups, store.begun) == ([1, 1, 1], [])
    return appender


async def test_who_has_been_alone_for_a_while_waits_for_nobody() -> None:
    store = EagerStore()
    appender = await lone(store)
    submission = appender.submit(request(3))
    assert [asked for asked, _ in store.begun] == [request(3)]
    store.answer_it(Appended(positions=(7,), versions=(4,)))
    assert (await submission).positions == (7,)
    failing = appender.submit(request(4))
    store.answer_it(conflict())
    with pytest.raises(ConcurrencyError):
        await failing
    assert store.groups == [1, 1, 1]
    await appender.close()


async def test_what_comes_while_a_lone_append_is_on_its_way_goes_together_behind_it() -> None:
    store = EagerStore()
    appender = await lone(store)
    first = appender.submit(request(3))
    others = [appender.submit(request(n)) for n in range(4, 24)]
    await asyncio.sleep(0)
    assert store.groups == [1, 1, 1]
    store.answer_it()
    store.go.release()
    await asyncio.gather(first, *others)
    assert (len(store.begun), store.groups) == (1, [1, 1, 1, 20])
    together = [appender.submit(request(n)) for n in range(24, 44)]
    store.go.release()
    await asyncio.gather(*together)
    assert (len(store.begun), store.groups) == (1, [1, 1, 1, 20, 20])
    await appender.close()


async def test_a_lone_append_that_cannot_be_begun_goes_as_any_other() -> None:
    store = EagerStore()
    appender = await lone(store)
    store.able = False
    store.go.release()
    assert await appender.submit(request(3))
    assert (store.begun, store.groups) == ([], [1, 1, 1, 1])
    await appender.close()


async def test_closing_waits_for_a_lone_append_whose_caller_gave_up() -> None:
    store = EagerStore()
    appender = await lone(store)
    submission = appender.submit(request(3))
    submission.cancel()
    closing = asyncio.ensure_future(appender.close())
    await asyncio.sleep(0)
    assert not closing.done()
    store.answer_it(Appended(positions=(9,), versions=(4,)))
    await closing
    assert submission.outcome == Appended(positions=(9,), versions=(4,))


# -- appends that build on each other -----------------------------------------------------------------------------


async def chain(appender: Appender, numbers: Sequence[int], base: int, **options: Any) -> list[Any]:
    """Appends, each decided on top of the one before, whose fate is not known yet."""
    submitted: list[Any] = []
    for version, n in enumerate(numbers, base):
        before = submitted[-1] if submitted else None
        submitted.append(appender.submit(request(n, expected=version, **options), after=before))
    return list(await asyncio.gather(*submitted, return_exceptions=True))


@pytest.mark.parametrize("keyed", [False, True])
async def test_appends_that_build_on_each_other_get_the_places_they_would_have_got_alone(keyed: bool) -> None:
    appender = Appender(await memory())
    await appender.submit(request(0, expected=0))
    answers = await chain(appender, [1, 2, 3, 4], base=1, keyed=keyed)
    assert [(a.positions, a.versions) for a in answers] == [((n,), (n,)) for n in (2, 3, 4, 5)]


@pytest.mark.parametrize("keyed", [False, True])
async def test_appends_that_build_on_one_that_fails_fail_with_it_although_the_version_is_there(keyed: bool) -> None:
    storage = await memory()
    appender = Appender(storage)
    await appender.submit(request(0, expected=0))
    await appender.submit(request(99, expected=1))  # somebody else takes version 2
    answers = await chain(appender, [1, 2, 3], base=1, keyed=keyed)
    assert [type(a) for a in answers] == [ConcurrencyError] * 3
    assert await storage.stream_version("s-1") == 2
    assert "on top of was not written" in str(answers[1])
    fresh = await appender.submit(request(4, expected=2))
    assert fresh.versions == (3,)


async def test_an_append_that_was_there_before_is_recognised_and_what_was_built_on_it_is_not_written() -> None:
    storage = await memory()
    appender = Appender(storage)
    await appender.submit(request(0, expected=0))
    first, second, third = await chain(appender, [0, 1, 2], base=1)
    assert (first.duplicate, first.positions) == (True, (1,))
    assert (type(second), type(third)) == (ConcurrencyError, ConcurrencyError)
    assert await storage.stream_version("s-1") == 1


async def test_an_append_built_on_one_whose_caller_gave_up_is_written_all_the_same() -> None:
    storage = await memory()
    appender = Appender(storage)
    first = appender.submit(request(0, expected=0))
    second = appender.submit(request(1, expected=1, keyed=True), after=first)
    first.cancel()
    assert (await second).versions == (2,)


async def test_many_appends_to_many_streams_keep_their_order_within_each() -> None:
    appender = Appender(await memory())
    latest: dict[str, Any] = {}
    submitted: list[tuple[str, int, Any]] = []
    for n in range(700):
        stream = f"s-{n % 7}"
        each = appender.submit(request(n, stream, expected=n // 7, keyed=n % 5 == 0), after=latest.get(stream))
        latest[stream] = each
        submitted.append((stream, n // 7 + 1, each))
    await asyncio.gather(*[each for _, _, each in submitted])
    assert all(each.result().versions == (version,) for _, version, each in submitted)
    await appender.close()
