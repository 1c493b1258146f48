"""Load, decide, append: what handling a command comes down to."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from itertools import chain
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from daicho.core.behaviour import Behaviour
from daicho.core.collaborators import Supply
from daicho.core.conditions import ANY, AppendCondition, Criteria, Expected, holds
from daicho.core.errors import ConcurrencyError, Rejected, UnknownMessage
from daicho.core.founding import FOUNDED
from daicho.core.messages import Command, Context, Event, Receipt
from daicho.core.registry import Registry
from daicho.core.rules import Rules
from daicho.core.streams import Position
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import (
    Appended,
    AppendRequest,
    EventStore,
    InlineTransaction,
    Selection,
    StoredEvent,
    StreamWrite,
)
from daicho.ports.probe import Probe
from daicho.ports.storage import Joined
from daicho.write.appending import Appender
from daicho.write.encoding import Encoding
from daicho.write.middleware.idempotency import outcome_of
from daicho.write.repository import Held, Repository
from daicho.write.rules import Look, Rulebook

__all__ = ["Execution", "Inline"]

Inline: TypeAlias = Callable[[InlineTransaction, Sequence[StoredEvent]], None]
_TRIES = 16
_NAMED_AT_MOST = 20  # events in the way that an error carries


class Execution:
    """The innermost handler of the pipeline.

    Between looking at a state and putting its append into the queue nothing is awaited, so commands of one stream are
    decided one after another, each on top of the last, without waiting for the disk in between.
    """

    def __init__(
        self,
        behaviours: Mapping[type[Command], Behaviour],
        supplies: Mapping[type[Command], Supply],
        repository: Repository,
        appender: Appender,
        store: EventStore,
        log: CommandLog,
        registry: Registry,
        clock: Clock,
        probe: Probe,
        inline: Inline | None,
    ) -> None:
        self._behaviours, self._supplies = behaviours, supplies
        self._repository, self._appender, self._store, self._log = repository, appender, store, log
        self._registry, self._clock, self._probe, self._inline = registry, clock, probe, inline
        self._encoded = Encoding(registry, clock)
        self._rulebook = Rulebook(store, registry)
        self.forget_rules = self._rulebook.forget
        self._turns: WeakValueDictionary[Criteria | str, asyncio.Lock] = WeakValueDictionary()

    def __call__(self, envelope: Envelope) -> Awaitable[Receipt]:
        if envelope.within is not None and envelope.within is not self._store:
            return self._inside(envelope, envelope.within)
        behaviour = self._behaviours.get(type(envelope.command))
        if behaviour is None:
            raise UnknownMessage(
                f"no part of this App handles {envelope.name}", do="give App the decider or aggregate that does"
            )
        if behaviour.boundary is not None:
            return self._within_boundary(envelope, behaviour, behaviour.boundary(envelope.command))
        rules = behaviour.rules
        if rules is not None and rules.concern(type(envelope.command)):
            return self._under_rules(envelope, behaviour, rules)
        return self._in_stream(envelope, behaviour)

    async def _inside(self, envelope: Envelope, joined: Joined) -> Receipt:
        """The same in a transaction of the caller's: read and written through `joined`, with nothing of it kept here,
        and without a turn: whose turn it is says the database, and it may be for a transaction that waits for us."""
        inside = copy(self)
        inside._store = inside._log = joined
        inside._repository, inside._rulebook = self._repository.through(joined), self._rulebook.through(joined)
        inside._appender, inside._turns = Appender(joined), WeakValueDictionary()
        try:
            receipt = await inside(envelope)
        finally:
            await inside._appender.leave()
        if (hot := self._repository.held(receipt.stream)) is not None:
            self._repository.evict(receipt.stream, hot)  # the next one need not find out that it is old
        return receipt

    # -- one stream -----------------------------------------------------------------------------------------------

    async def _in_stream(self, envelope: Envelope, behaviour: Behaviour) -> Receipt:
        stream = behaviour.stream_of(envelope.command)
        repository = self._repository
        held = repository.held(stream)
        fresh = held is None and not repository.is_loading(stream)
        while True:
            if held is None:
                held = await repository.fetch(behaviour, stream)
            events: list[Event] = []
            if envelope.expected is not None and not holds(envelope.expected, held.version):
                if not fresh:
                    held, fresh = await self._refreshed(stream, held), True
                    continue
                raise await self._overtaken(stream, held.version, envelope.expected)
            base = held.version
            try:
                state = behaviour.decide(held.state, envelope.command, self._extras(envelope), events)
            except BaseException as error:
                if events and behaviour.in_place:
                    repository.evict(stream, held)  # it applied events that will never be recorded
                if not isinstance(error, Rejected):
                    raise
                if await self._stands(stream, held, base, fresh):
                    raise
            else:
                if events:
                    break
                if await self._stands(stream, held, base, fresh):
                    return await self._without_events(envelope, stream, held)
            repository.evict(stream, held)
            held, fresh = None, True
        try:
            write = StreamWrite(
                stream=stream,
                events=self._encoded(envelope, behaviour, events),
                expected=base,
                state=repository.kept(behaviour, state),
            )
            self._probe("append.before")
        except BaseException:
            repository.evict(stream, held)
            raise
        held.state, held.version = state, base + len(events)
        snapshot = repository.snapshot_if_due(stream, held)
        outcome = outcome_of(envelope, "done", self._clock)
        request = AppendRequest(writes=(write,), outcome=outcome, inline=self._inline, epoch=held.epoch)
        try:
            held.pending = appending = self._appender.submit(request, after=held.pending)
            appended = await appending.future
        except BaseException:
            # refused, failed, or given up waiting for: in each case the store knows better than this state
            repository.evict(stream, held)
            raise
        self._probe("append.after")
        held.position = appended.positions[-1]
        if appended.duplicate:
            repository.evict(stream, held)
        elif snapshot is not None:
            await repository.save(snapshot, appended.positions[-1])
        return self._receipt(envelope, stream, appended, events)

    async def _stands(self, stream: str, held: Held, base: int, fresh: bool) -> bool:
        """Whether an answer that records nothing was given on what is really stored.

        A state in memory may be ahead of the store, by appends that may still fail, or behind another process.
        """
        pending = held.pending
        if pending is not None:
            if not pending.done():
                await asyncio.wait([pending.future])
            future = pending.future
            if future.cancelled() or future.exception() is not None or future.result().duplicate:
                return False
            if held.version > base:
                return True  # the append on top of it was accepted: the stream was at `base` while we asked
        return fresh or await self._store.stream_version(stream) == base

    async def _refreshed(self, stream: str, held: Held) -> Held:
        if held.pending is not None and not held.pending.done():
            await asyncio.wait([held.pending.future])
        self._repository.evict(stream, held)
        return await self._repository.fetch(held.behaviour, stream)

    async def _without_events(self, envelope: Envelope, stream: str, held: Held) -> Receipt:
        outcome = outcome_of(envelope, "done", self._clock)
        if outcome is not None:
            await self._log.record(outcome)
        return Receipt(
            command_id=envelope.command_id,
            stream=stream,
            version=held.version,
            position=Position(held.position),
            events=(),
            correlation_id=envelope.correlation_id,
        )

    # -- a boundary of criteria -----------------------------------------------------------------------------------

    async def _within_boundary(self, envelope: Envelope, behaviour: Behaviour, criteria: Criteria) -> Receipt:
        async with self._turn(criteria):
            return await self._bounded(envelope, behaviour, criteria)

    async def _bounded(self, envelope: Envelope, behaviour: Behaviour, criteria: Criteria) -> Receipt:
        stream, epoch = behaviour.stream_of(envelope.command), self._repository.epoch
        head = await self._store.head()
        state, after, seen = behaviour.fresh(), 0, list[int]()
        while page := await self._store.read(Selection(criteria=criteria, after=after, beyond_head=True), limit=1000):
            state = behaviour.fold(
                state,
                [self._registry.decode(e.type, e.schema_version, e.data, e.stream) for e in page if e.type != FOUNDED],
                stream,
            )
            after = page[-1].position
            seen += [e.position for e in page if e.position > head]
        events: list[Event] = []
        behaviour.decide(state, envelope.command, self._extras(envelope), events)
        if not events:
            version = await self._store.stream_version(stream)
            return await self._without_events(envelope, stream, Held(behaviour, state, version, after, 0))
        expected = ANY if envelope.expected is None else envelope.expected
        write = StreamWrite(stream=stream, events=self._encoded(envelope, behaviour, events), expected=expected)
        self._probe("append.before")
        appended = await self._appender.submit(
            AppendRequest(
                writes=(write,),
                condition=AppendCondition(criteria, after=head, seen=tuple(seen)),
                outcome=outcome_of(envelope, "done", self._clock),
                inline=self._inline,
                epoch=epoch,
            )
        )
        self._probe("append.after")
        return self._receipt(envelope, stream, appended, events)

    # -- under set rules ------------------------------------------------------------------------------------------

    async def _under_rules(self, envelope: Envelope, behaviour: Behaviour, rules: Rules) -> Receipt:
        stream = behaviour.stream_of(envelope.command)
        async with self._turn(stream, *rules.sequences_of(type(envelope.command))):
            tries = 0
            while True:
                try:
                    return await self._ruled(envelope, behaviour, rules, stream)
                except ConcurrencyError as error:
                    tries += 1
                    if tries == _TRIES or not isinstance(error.expected, AppendCondition):
                        raise
                    # another process was faster, in other streams: here, the others wait for their turn

    async def _ruled(self, envelope: Envelope, behaviour: Behaviour, rules: Rules, stream: str) -> Receipt:
        """Like a command of one stream, but on a state of its own: between deciding and appending, others are asked."""
        book = self._rulebook
        look = Look(book, rules)
        numbering = rules.numbering(await look.coming(rules.sequences_of(type(envelope.command))))
        held = await self._repository.load(behaviour, stream)
        base = held.version
        if envelope.expected is not None and not holds(envelope.expected, base):
            raise await self._overtaken(stream, base, envelope.expected)
        events: list[Event] = []
        held.state = behaviour.decide(held.state, envelope.command, self._extras(envelope), events, numbering)
        if not events:
            return await self._without_events(envelope, stream, held)
        holdings = await book.held_by(rules, stream, base)
        changes = [rules.changes(holdings, event) for event in events]
        numbers = [rules.number_tags(event) for event in events]
        tags = [(*n, *(tag for change in c for tag in change.tags)) for n, c in zip(numbers, changes, strict=True)]
        write = StreamWrite(
            stream=stream,
            events=self._encoded(envelope, behaviour, events, tags),
            expected=base,
            state=self._repository.kept(behaviour, held.state),
        )
        taken = sorted({change.taken for c in changes for change in c if change.taken is not None})
        async with self._turn(*taken):
            await look.check(stream, chain.from_iterable(changes), envelope.occurred_at or self._clock.now())
            self._probe("append.before")
            appended = await self._appender.submit(
                AppendRequest(
                    writes=(write,),
                    condition=look.condition([*chain.from_iterable(numbers), *taken]),
                    outcome=outcome_of(envelope, "done", self._clock),
                    inline=self._inline,
                    epoch=held.epoch,
                )
            )
        self._probe("append.after")
        if (hot := self._repository.held(stream)) is not None:
            self._repository.evict(stream, hot)  # it does not know of these events
        if appended.duplicate:
            events = await self._as_recorded(stream, appended)
        else:
            held.version, held.position = base + len(events), appended.positions[-1]
            book.keep(stream, held.version, holdings)
            if (snapshot := self._repository.snapshot_if_due(stream, held)) is not None:
                await self._repository.save(snapshot, held.position)
        return self._receipt(envelope, stream, appended, events)

    async def _as_recorded(self, stream: str, appended: Appended) -> list[Event]:
        """The events as they were recorded the first time: with the numbers they got then."""
        last, count = appended.versions[0], len(appended.positions)
        places = Selection(stream=stream, after_version=last - count, up_to_version=last, beyond_head=True)
        page = await self._store.read(places, limit=count)
        return [self._registry.decode(e.type, e.schema_version, e.data, e.stream) for e in page]

    # -- small parts ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, *keys: Criteria | str) -> AsyncGenerator[None]:
        """One at a time for each key: beside each other, all but one of them would have to decide again.

        Whoever takes several turns takes them in one order: its stream, sequences, values, and those sorted.
        """
        async with AsyncExitStack() as turns:
            for key in keys:
                await turns.enter_async_context(self._turns.setdefault(key, asyncio.Lock()))
            yield

    async def _overtaken(self, stream: str, version: int, expected: Expected) -> ConcurrencyError:
        """With the events that the caller did not know of, as the store tells a conflict that it finds itself."""
        seen = expected if isinstance(expected, int) else 0
        unseen = Selection(stream=stream, after_version=seen, up_to_version=version, beyond_head=True)
        return ConcurrencyError(
            f"{stream} is at version {version}, not {expected!r}",
            expected=expected,
            actual=version,
            events=tuple(await self._store.read(unseen, limit=_NAMED_AT_MOST)) if seen < version else (),
        )

    def _extras(self, envelope: Envelope) -> tuple[Any, ...]:
        supply = self._supplies.get(type(envelope.command))
        if supply is None:
            return ()
        return supply(
            Context(
                now=envelope.occurred_at or self._clock.now(),
                command_id=envelope.command_id,
                correlation_id=envelope.correlation_id,
                actor=envelope.actor,
                tenant=envelope.tenant,
                metadata=envelope.metadata,
            )
        )

    @staticmethod
    def _receipt(envelope: Envelope, stream: str, appended: Appended, events: Sequence[Event]) -> Receipt:
        return Receipt(
            command_id=envelope.command_id,
            stream=stream,
            version=appended.versions[0],
            position=Position(appended.positions[-1]),
            events=tuple(events),
            correlation_id=envelope.correlation_id,
            duplicate=appended.duplicate,
        )
