"""SQLite and memory, driven by the same random operations, give the same answers.

`DAICHO_CAMPAIGN=1 pytest -s -m campaign tests/properties/test_stores_agree.py` runs 2,000 sequences of 50 steps.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from daicho.adapters.stores.memory import MemoryStorage
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.core.conditions import ABSENT, ANY, EXISTS, AppendCondition, Criteria, Criterion, Expected
from daicho.core.errors import ConcurrencyError, DaichoError
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance, Checkpoint
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent
from daicho.ports.event_store import (
    AppendRequest,
    CommandOutcome,
    InlineTransaction,
    NewEvent,
    Selection,
    StoredEvent,
    StreamWrite,
)
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange

STREAMS = ("a-1", "a-2", "a2-1", "b-1-x")
TYPES, TAGS, PEOPLE = ("x", "y", "z"), ("t:1", "t:2", "t:3"), ("ann", "bob", None)
PROCESSORS, OWNERS, KEYS = ("projection:p", "reaction:r"), ("one", "two"), ("k1", "k2", "k3")
STATES = ("pending", "done", "rejected", "failed")
LETTER_STATES = ("parked", "retry", "retried", "skipped")


class Tally(Row):
    stream: str
    events: int
    last: str | None = None


TALLIES = TableSpec("tallies", 1, Tally)
READER = "projection:tallies"


class Upset(Exception):
    """Raised by inline work on purpose."""


def tally(tx: InlineTransaction, events: Sequence[StoredEvent]) -> None:
    for event in events:
        row = tx.rows(TALLIES, [event.stream]).get(event.stream)
        now = Tally(stream=event.stream, events=(row.events if row else 0) + 1, last=event.actor)
        if event.type == "z":
            tx.write(TALLIES, {}, [event.stream])
        else:
            tx.write(TALLIES, {event.stream: now}, [])
        tx.advance(READER, event.position)


def tally_and_raise(tx: InlineTransaction, events: Sequence[StoredEvent]) -> None:
    tally(tx, events)
    raise Upset


def an_id(kind: int, n: int) -> str:
    return f"{n:08x}-0000-7000-800{kind}-000000000000"


def comparable(answer: Any) -> Any:
    """What both stores must agree on: everything but the moments at which they wrote."""
    if isinstance(answer, StoredEvent):
        return msgspec.structs.replace(answer, recorded_at="")
    if isinstance(answer, Checkpoint):
        return msgspec.structs.replace(answer, updated_at="")
    if isinstance(answer, DeadLetter):
        return msgspec.structs.replace(answer, parked_at="", number=0)  # numbers may have holes, not another order
    if isinstance(answer, ConcurrencyError):
        return ("ConcurrencyError", answer.expected, answer.actual)
    if isinstance(answer, Exception):
        return type(answer).__name__
    if isinstance(answer, list | tuple):
        return [comparable(each) for each in answer]
    return answer


async def numbers(store: Storage, processor: str | None = None, states: Sequence[str] = LETTER_STATES) -> list[int]:
    """The numbers that this store gave its letters, oldest first; then one that no letter has."""
    return [letter.number for letter in await store.letters(processor, states=states)] + [10**6]


async def ask_for_one(store: Storage, nth: int) -> int:
    return await store.ask_retry(number=(await numbers(store))[: nth + 1][-1])


async def skip_one(store: Storage, nth: int) -> None:
    await store.skip((await numbers(store))[: nth + 1][-1], "no")


async def retry_two(store: Storage, processor: str, error: str | None) -> None:
    await store.retried(processor, (await numbers(store, processor, ["retry"]))[:-1][:2], error=error)


async def commit_one(store: Storage, change: ViewChange, processor: str | None) -> None:
    """The change, and the first letter that a retry was asked for went through with it."""
    asked = (await numbers(store, processor, ["retry"]))[:-1] if processor else []
    await store.commit(msgspec.structs.replace(change, retried=asked[:1]))


# -- what is drawn: small, so that things meet ----------------------------------------------------------------

expectations = st.sampled_from([ANY, ANY, ANY, ABSENT, EXISTS, 0, 1, 2, 3, 4, 5, 6])
criteria = st.lists(
    st.builds(
        Criterion,
        st.lists(st.sampled_from(TYPES), max_size=2, unique=True).map(tuple),
        st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple),
    ),
    max_size=3,
).map(lambda items: Criteria(*items))
conditions = st.builds(AppendCondition, criteria, st.integers(0, 25))


class EventPlan(msgspec.Struct, frozen=True):
    old: int | None
    """Which of the earlier events to use again, counted from the last."""
    type: str
    tags: tuple[str, ...]
    actor: str | None
    tenant: str | None
    flow: int
    day: int


class WritePlan(msgspec.Struct, frozen=True):
    stream: str
    events: list[EventPlan]
    expected: Expected


class RequestPlan(msgspec.Struct, frozen=True):
    again: int | None
    """Which of the earlier requests to send again, counted from the last."""
    writes: list[WritePlan]
    condition: AppendCondition | None
    command: int | None
    state: str
    inline: Any


mostly_none = st.one_of(st.none(), st.none(), st.none(), st.none(), st.integers(0, 5))
event_plans = st.builds(
    EventPlan,
    mostly_none,
    st.sampled_from(TYPES),
    st.lists(st.sampled_from(TAGS), max_size=3, unique=True).map(tuple),
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.integers(0, 3),
    st.integers(1, 9),
)
write_plans = st.builds(WritePlan, st.sampled_from(STREAMS), st.lists(event_plans, max_size=3), expectations)
request_plans = st.builds(
    RequestPlan,
    mostly_none,
    st.lists(write_plans, max_size=3),
    st.one_of(st.none(), st.none(), conditions),
    st.one_of(st.none(), st.integers(0, 7)),
    st.sampled_from(STATES),
    st.sampled_from([None, None, tally, tally, tally_and_raise]),
)
groups = st.lists(request_plans, min_size=1, max_size=4)
staleness = st.sampled_from(["no", "no", "no", "token", "old"])
days = st.integers(1, 9).map(lambda day: f"2026-01-0{day}T00:00:00.000001+00:00")
people = st.sampled_from(["ann", "bob", "cid"])
asked_for: dict[str, st.SearchStrategy[Any]] = {
    "stream": st.sampled_from([*STREAMS, "a", "none-1"]),
    "category": st.sampled_from(["a", "a2", "b", "none"]),
    "types": st.lists(st.sampled_from(TYPES), min_size=1, max_size=2).map(tuple),
    "criteria": criteria,
    "correlation_id": st.integers(0, 4).map(lambda n: an_id(2, n)),
    "causation_id": st.integers(0, 4).map(lambda n: an_id(3, n)),
    "event_id": st.integers(0, 40).map(lambda n: an_id(1, n)),
    "actor": people,
    "tenant": people,
    "since": days,
    "until": days,
    "after": st.integers(0, 25),
    "up_to": st.integers(0, 25),
    "after_version": st.integers(0, 5),
    "up_to_version": st.integers(0, 8),
    "newest_first": st.booleans(),
}
# A few conditions at a time: all together find nothing, and nothing is easy to agree on.
selections = st.lists(
    st.one_of([st.tuples(st.just(name), values) for name, values in asked_for.items()]), max_size=3
).map(lambda asked: Selection(**dict(asked)))
limits = st.sampled_from([1, 2, 3, 7, 1000])
processors, owners = st.sampled_from(PROCESSORS), st.sampled_from(OWNERS)
tallies = st.builds(
    Tally, stream=st.sampled_from(STREAMS), events=st.integers(-2, 4), last=st.sampled_from([*PEOPLE, "cid"])
)


class StoresAgree(RuleBasedStateMachine):
    runs: ClassVar[int] = 0
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="daicho-agree-"))
        url = f"sqlite:///{self.folder / 'app.db'}?durability=relaxed&allow_affected_sqlite=true"
        self.sqlite: Storage = SqliteStorage(url, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.memory: Storage = MemoryStorage(now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.clock = self.head = 0
        self.events: list[NewEvent] = []
        self.requests: list[AppendRequest] = []

    def run(self, work: Awaitable[Any]) -> Any:
        async def answered() -> Any:
            try:
                return await work
            except DaichoError as error:
                return error

        return self.loop.run_until_complete(answered())

    def both(self, ask: Callable[[Storage], Awaitable[Any]]) -> Any:
        """Asks both stores, and fails if they differ."""
        type(self).steps += 1
        one, other = comparable(self.run(ask(self.memory))), comparable(self.run(ask(self.sqlite)))
        assert one == other, f"memory says {one!r}\nsqlite says {other!r}"
        return one

    @initialize()
    def opened(self) -> None:
        self.both(lambda store: store.open())
        self.both(lambda store: store.open_table(TALLIES))
        self.both(lambda store: store.register(READER, position=0))

    def teardown(self) -> None:
        try:
            self.both(lambda store: store.read(Selection(), limit=10_000))
            self.both(lambda store: store.outcomes(limit=1000))
            self.both(lambda store: store.checkpoints())
            self.both(lambda store: store.letters(states=LETTER_STATES))
            self.both(lambda store: store.find(TALLIES, {}))
        finally:
            self.both(lambda store: store.close())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)

    # -- events -----------------------------------------------------------------------------------------------

    def an_event(self, plan: EventPlan) -> NewEvent:
        if plan.old is not None and plan.old < len(self.events):
            return self.events[-1 - plan.old]
        event = NewEvent(
            event_id=an_id(1, len(self.events)),
            type=plan.type,
            schema_version=plan.day % 2 + 1,
            data=b'{"n":%d}' % len(self.events),
            occurred_at=f"2026-01-0{plan.day}T00:00:00.000001+00:00",
            correlation_id=an_id(2, plan.flow),
            causation_id=an_id(3, plan.flow),
            actor=plan.actor,
            tenant=plan.tenant,
            tags=plan.tags,
        )
        self.events.append(event)
        return event

    def an_outcome(self, command: int, state: str) -> CommandOutcome:
        self.clock += 1
        return CommandOutcome(
            command_id=an_id(4, command),
            name="Test",
            state=state,
            correlation_id=an_id(2, command % 4),
            payload=b"p" if state == "pending" else None,
            received_at=f"2026-01-01T00:00:00.{self.clock:06}+00:00",
        )

    def a_request(self, plan: RequestPlan) -> AppendRequest:
        if plan.again is not None and plan.again < len(self.requests):
            earlier = self.requests[-1 - plan.again]
            expected = plan.writes[0].expected if plan.writes else ANY
            writes = tuple(msgspec.structs.replace(write, expected=expected) for write in earlier.writes)
            return msgspec.structs.replace(earlier, writes=writes, condition=plan.condition)
        request = AppendRequest(
            writes=tuple(
                StreamWrite(stream=w.stream, events=tuple(map(self.an_event, w.events)), expected=w.expected)
                for w in plan.writes
            ),
            condition=plan.condition,
            outcome=None if plan.command is None else self.an_outcome(plan.command, plan.state),
            inline=plan.inline,
        )
        self.requests.append(request)
        return request

    def append(self, plans: list[RequestPlan]) -> None:
        group = [self.a_request(plan) for plan in plans]
        self.both(lambda store: store.append(group))
        self.head = self.both(lambda store: store.head())

    @rule(plans=groups, selections=st.lists(selections, min_size=2, max_size=8), limit=limits)
    def append_and_read(self, plans: list[RequestPlan], selections: list[Selection], limit: int) -> None:
        self.append(plans)
        for selection in selections:
            self.both(lambda store, wanted=selection: store.read(wanted, limit=limit))
            self.both(lambda store, wanted=selection: store.read_narrow(wanted, limit=limit))

    @rule(plans=groups, stream=st.sampled_from(STREAMS), after=st.sampled_from(["", "a", *STREAMS]), limit=limits)
    def append_and_look_at_streams(self, plans: list[RequestPlan], stream: str, after: str, limit: int) -> None:
        self.append(plans)
        self.both(lambda store: store.stream_version(stream))
        self.both(lambda store: store.counts())
        self.both(lambda store: store.streams(None, after=after, limit=limit))
        self.both(lambda store: store.streams("a", after=after, limit=limit))

    @rule(wanted=criteria, back=st.integers(0, 4), condition=criteria, limit=limits)
    def keep_to_a_boundary(self, wanted: Criteria, back: int, condition: Criteria, limit: int) -> None:
        """Conditions right at the edge: the writer has looked up to one of the last events."""
        after = max(0, self.head - back)
        self.both(lambda store: store.read(Selection(criteria=wanted, after=after), limit=limit))
        event = self.an_event(EventPlan(None, "x", ("t:1",), None, None, 0, 1))
        write = StreamWrite(stream="b-1-x", events=(event,))
        request = AppendRequest(writes=(write,), condition=AppendCondition(condition, after))
        self.both(lambda store: store.append([request]))
        self.head = self.both(lambda store: store.head())

    # -- commands, snapshots ----------------------------------------------------------------------------------

    @rule(
        records=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(STATES), st.booleans()), max_size=3),
        state=st.sampled_from([None, *STATES]),
        flow=st.one_of(st.none(), st.integers(0, 3)),
        limit=limits,
    )
    def keep_commands(
        self, records: list[tuple[int, str, bool]], state: str | None, flow: int | None, limit: int
    ) -> None:
        for command, became, replace in records:
            outcome = self.an_outcome(command, became)
            self.both(lambda store, o=outcome, r=replace: store.record(o, replace=r))
        correlation = None if flow is None else an_id(2, flow)
        self.both(lambda store: store.outcomes(state=state, correlation_id=correlation, limit=limit))
        self.both(lambda store: store.pending(limit=limit))

    @rule(
        versions=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["f1", "f2"])), min_size=1, max_size=4),
        stream=st.sampled_from(STREAMS[:2]),
        drop=st.sampled_from(["", "", "this", "all"]),
    )
    def keep_snapshots(self, versions: list[tuple[int, str]], stream: str, drop: str) -> None:
        for version, fold in versions:
            snapshot = Snapshot(stream=stream, version=version, fold=fold, state=b"%d" % version)
            self.both(lambda store, s=snapshot: store.save_snapshot(s))
            self.both(lambda store: store.load_snapshot(stream))
        if drop:
            self.both(lambda store: store.drop_snapshots(stream if drop == "this" else None))

    # -- checkpoints and dead letters -------------------------------------------------------------------------

    def a_move(self, processor: str, stale: str, by: int) -> Advance:
        """The next advance of the present owner, or one that comes too late."""
        checkpoints = [c for c in self.both(lambda store: store.checkpoints()) if c.processor == processor]
        token, old = (checkpoints[0].token, checkpoints[0].position) if checkpoints else (1, 0)
        return Advance(processor=processor, token=token - (stale == "token"), old=old - (stale == "old"), new=old + by)

    def a_letter(self, key: str) -> ParkedEvent:
        """Now and then the same one again, as after a rewind."""
        self.clock += 1
        position = self.clock % 8
        return ParkedEvent(
            key=key,
            position=position,
            event_id=an_id(5, position),
            type="x",
            stream="a-1",
            correlation_id=an_id(2, 0),
            error=None if self.clock % 3 == 0 else "ValueError: no",
        )

    @rule(
        acts=st.lists(
            st.sampled_from(["register", "claim", "claim", "renew", "release", "rewind", "advance", "advance"]),
            min_size=1,
            max_size=5,
        ),
        processor=processors,
        owner=owners,
        stale=staleness,
        n=st.integers(0, 3),
        forget=st.sampled_from([False, False, False, False, True]),
    )
    def lease(self, acts: list[str], processor: str, owner: str, stale: str, n: int, forget: bool) -> None:
        for act in acts:
            if act == "register":
                self.both(lambda store: store.register(processor, position=n, fold=f"f{n}"))
            elif act == "claim":
                self.both(lambda store: store.claim(processor, owner))
            elif act == "renew":
                self.both(lambda store: store.renew(owner))
            elif act == "release":
                self.both(lambda store: store.release(owner))
            elif act == "rewind":
                self.both(lambda store: store.rewind(processor, n))
            else:
                move = self.a_move(processor, stale, n)
                self.both(lambda store, m=move: store.advance(m))
        if forget:
            self.both(lambda store: store.forget(processor))
        self.both(lambda store: store.checkpoints())

    @rule(
        keys=st.lists(st.sampled_from(KEYS), max_size=4),
        acts=st.lists(st.sampled_from(["all", "processor", "one", "through", "failed", "skip"]), max_size=4),
        processor=processors,
        stale=staleness,
        nth=st.integers(0, 5),
        states=st.sets(st.sampled_from(LETTER_STATES)),
        limit=limits,
    )
    def dead_letters(
        self, keys: list[str], acts: list[str], processor: str, stale: str, nth: int, states: set[str], limit: int
    ) -> None:
        self.both(lambda store: store.register(processor, position=0, fold="f1"))
        move, letters = self.a_move(processor, stale, 1), [self.a_letter(key) for key in keys]
        self.both(lambda store: store.park(processor, move.token, move.old, move.new, letters))
        for act in acts:
            if act == "all":
                self.both(lambda store: store.ask_retry())
            elif act == "processor":
                self.both(lambda store: store.ask_retry(processor))
            elif act == "one":
                self.both(lambda store: ask_for_one(store, nth))
            elif act == "skip":
                self.both(lambda store: skip_one(store, nth))
            elif act == "failed":
                self.both(lambda store: retry_two(store, processor, "KeyError: again"))
            else:
                self.both(lambda store: retry_two(store, processor, None))
        self.both(lambda store: store.parked_keys(processor))
        self.both(lambda store: store.letters(processor, states=sorted(states), limit=limit))
        self.both(lambda store: store.letters(states=LETTER_STATES))

    # -- rows -------------------------------------------------------------------------------------------------

    @rule(
        rows=st.dictionaries(st.sampled_from(KEYS), tallies, max_size=3),
        deletes=st.sets(st.sampled_from(KEYS), max_size=2),
        processor=st.sampled_from([None, *PROCESSORS]),
        stale=staleness,
        keys=st.lists(st.sampled_from(KEYS), max_size=2),
        retried=st.booleans(),
    )
    def commit(
        self,
        rows: dict[str, Row],
        deletes: set[str],
        processor: str | None,
        stale: str,
        keys: list[str],
        retried: bool,
    ) -> None:
        change = ViewChange(
            table=TALLIES,
            upserts=rows,
            deletes=sorted(deletes - rows.keys()),
            advance=self.a_move(processor, stale, 2) if processor else None,
            parked=[self.a_letter(key) for key in keys] if processor else [],
        )
        self.both(lambda store: commit_one(store, change, processor if retried else None))
        self.both(lambda store: store.find(TALLIES, {}))
        self.both(lambda store: store.letters(states=LETTER_STATES))

    @rule(
        equals=st.fixed_dictionaries(
            {},
            optional={
                "stream": st.sampled_from(STREAMS),
                "events": st.integers(-2, 4),
                "last": st.sampled_from([*PEOPLE, "cid"]),
                "nothing": st.just(1),
            },
        ),
        order_by=st.sampled_from([None, None, "stream", "events", "last", "nothing"]),
        descending=st.booleans(),
        limit=st.one_of(st.none(), st.integers(0, 4)),
        offset=st.integers(0, 3),
    )
    def find(
        self, equals: dict[str, object], order_by: str | None, descending: bool, limit: int | None, offset: int
    ) -> None:
        self.both(lambda store: store.count(TALLIES, equals))
        self.both(lambda store: store.get_many(TALLIES, [*KEYS, *STREAMS]))
        self.both(
            lambda store: store.find(
                TALLIES, equals, order_by=order_by, descending=descending, limit=limit, offset=offset
            )
        )


def agree(runs: int, steps: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    StoresAgree.runs = StoresAgree.steps = 0
    run_state_machine_as_test(
        StoresAgree,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            phases=phases,
        ),
    )
    print(f"\n{StoresAgree.runs} sequences ran, {StoresAgree.steps} answers were compared")


@pytest.mark.slow
def test_sqlite_and_memory_give_the_same_answers() -> None:
    agree(60, 30)


@pytest.mark.campaign
@pytest.mark.skipif(os.environ.get("DAICHO_CAMPAIGN") != "1", reason="set DAICHO_CAMPAIGN=1: it takes minutes")
def test_sqlite_and_memory_give_the_same_answers_for_long() -> None:
    agree(2000, 50)
