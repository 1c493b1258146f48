"""Load, decide, append: what handling a command comes down to."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast
from weakref import WeakValueDictionary

from daicho.core.behaviour import Behaviour
from daicho.core.codec import encoder_for
from daicho.core.collaborators import Supply
from daicho.core.conditions import ANY, AppendCondition, Criteria, holds
from daicho.core.errors import ConcurrencyError, Rejected, UnknownMessage, WiringError
from daicho.core.ids import event_id
from daicho.core.messages import Command, Context, Event, Receipt
from daicho.core.registry import Registry
from daicho.core.streams import Position
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import (
    Appended,
    AppendRequest,
    EventStore,
    InlineTransaction,
    NewEvent,
    Selection,
    StoredEvent,
    StreamWrite,
)
from daicho.ports.probe import Probe
from daicho.write.appending import Appender
from daicho.write.middleware.idempotency import outcome_of
from daicho.write.repository import Held, Repository

__all__ = ["Execution", "Inline"]

Inline: TypeAlias = Callable[[InlineTransaction, Sequence[StoredEvent]], None]
_encode_metadata = encoder_for("json")


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
        self._turns: WeakValueDictionary[Criteria, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, envelope: Envelope) -> Receipt:
        behaviour = self._behaviours.get(type(envelope.command))
        if behaviour is None:
            raise UnknownMessage(
                f"no part of this App handles {envelope.name}", do="give App the decider or aggregate that does"
            )
        if behaviour.boundary is not None:
            async with self._turn(behaviour.boundary(envelope.command)) as criteria:
                return await self._within_boundary(envelope, behaviour, criteria)
        return await self._in_stream(envelope, behaviour)

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
                raise ConcurrencyError(
                    f"{stream} is at version {held.version}, not {envelope.expected}",
                    expected=envelope.expected,
                    actual=held.version,
                )
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
            writes = self._encoded(envelope, stream, behaviour, events, base)
            self._probe("append.before")
        except BaseException:
            repository.evict(stream, held)
            raise
        held.state, held.version = state, base + len(events)
        snapshot = repository.snapshot_if_due(stream, held)
        request = AppendRequest(
            writes=(writes,), outcome=outcome_of(envelope, "done", self._clock), inline=self._inline
        )
        try:
            held.pending = appending = self._appender.submit(request, after=held.pending)
            appended = await appending
        except BaseException:
            # refused, failed, or given up waiting for: in each case the store knows better than this state
            repository.evict(stream, held)
            raise
        self._probe("append.after")
        held.position = appended.positions[-1]
        if appended.duplicate:
            repository.evict(stream, held)
        elif snapshot is not None:
            await repository.save(snapshot)
        return self._receipt(envelope, stream, appended, events)

    async def _stands(self, stream: str, held: Held, base: int, fresh: bool) -> bool:
        """Whether an answer that records nothing was given on what is really stored.

        A state in memory may be ahead of the store, by appends that may still fail, or behind another process.
        """
        pending = held.pending
        if pending is not None:
            if not pending.done():
                await asyncio.wait([pending])
            if pending.cancelled() or pending.exception() is not None or pending.result().duplicate:
                return False
            if held.version > base:
                return True  # the append on top of it was accepted: the stream was at `base` while we asked
        return fresh or await self._store.stream_version(stream) == base

    async def _refreshed(self, stream: str, held: Held) -> Held:
        if held.pending is not None and not held.pending.done():
            await asyncio.wait([held.pending])
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

    @asynccontextmanager
    async def _turn(self, criteria: Criteria) -> AsyncGenerator[Criteria]:
        """One at a time for equal criteria: beside each other, all but one of them would have to decide again."""
        turn = self._turns.get(criteria)
        if turn is None:
            turn = self._turns[criteria] = asyncio.Lock()
        async with turn:
            yield criteria

    async def _within_boundary(self, envelope: Envelope, behaviour: Behaviour, criteria: Criteria) -> Receipt:
        stream = behaviour.stream_of(envelope.command)
        head = await self._store.head()
        state, after = behaviour.fresh(), 0
        while page := await self._store.read(Selection(criteria=criteria, after=after, up_to=head), limit=1000):
            state = behaviour.fold(
                state, [self._registry.decode(e.type, e.schema_version, e.data, e.stream) for e in page], stream
            )
            after = page[-1].position
        events: list[Event] = []
        behaviour.decide(state, envelope.command, self._extras(envelope), events)
        if not events:
            version = await self._store.stream_version(stream)
            return await self._without_events(envelope, stream, Held(behaviour, state, version, after, 0))
        write = self._encoded(envelope, stream, behaviour, events, None)
        self._probe("append.before")
        appended = await self._appender.submit(
            AppendRequest(
                writes=(write,),
                condition=AppendCondition(criteria, after=head),
                outcome=outcome_of(envelope, "done", self._clock),
                inline=self._inline,
            )
        )
        self._probe("append.after")
        return self._receipt(envelope, stream, appended, events)

    # -- small parts ----------------------------------------------------------------------------------------------

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

    def _encoded(
        self, envelope: Envelope, stream: str, behaviour: Behaviour, events: Sequence[Event], base: int | None
    ) -> StreamWrite:
        allowed = behaviour.effects[type(envelope.command)]
        encode = self._registry.encode
        occurred_at = to_text(envelope.occurred_at or self._clock.now())
        metadata = self._metadata_of(envelope)
        new: list[NewEvent] = []
        for n, event in enumerate(events):
            cls = type(event)
            if cls not in allowed:
                raise WiringError(
                    f"{behaviour.name} recorded {cls.__name__} for {envelope.name}, which its annotation does not name",
                    why="what a command may lead to is declared, so that it can be checked and drawn",
                    do=f"add {cls.__name__} to the return annotation",
                )
            new.append(
                NewEvent(
                    event_id=event_id(envelope.correlation_id, envelope.command_id, n),
                    type=cls.__message_name__,
                    schema_version=cls.__schema_version__,
                    data=encode(event),
                    occurred_at=occurred_at,
                    correlation_id=envelope.correlation_id,
                    causation_id=envelope.command_id,
                    actor=envelope.actor,
                    tenant=envelope.tenant,
                    tags=tags_of(event) if cls.__tag_fields__ else (),
                    metadata=metadata,
                )
            )
        if base is None:
            expected = ANY if envelope.expected is None else envelope.expected
            return StreamWrite(stream=stream, events=tuple(new), expected=expected)
        return StreamWrite(stream=stream, events=tuple(new), expected=base)

    def _metadata_of(self, envelope: Envelope) -> bytes:
        found: dict[str, str] = {**envelope.metadata, "command": envelope.name}
        if envelope.cause is not None:
            found["cause"] = envelope.cause
            found["handler"] = envelope.handler or ""
            found["hops"] = str(envelope.hops)
        if envelope.occurred_at is not None:
            found["occurred"] = "given"
        return _encode_metadata(found)

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


def tags_of(event: Event) -> tuple[str, ...]:
    """`field:value` for each tag field that has a value; a list gives one tag for each item."""
    found: list[str] = []
    for name in type(event).__tag_fields__:
        value: Any = getattr(event, name)
        many = isinstance(value, (list, tuple, set, frozenset))
        items = cast("Iterable[Any]", value) if many else (value,)
        found.extend(f"{name}:{item}" for item in items if item is not None)
    return tuple(dict.fromkeys(found))
