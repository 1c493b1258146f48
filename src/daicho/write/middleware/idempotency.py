"""The same command twice is the same command once."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol

from daicho.core.codec import encode_json
from daicho.core.errors import KeyReused, Rejected
from daicho.core.ids import event_id
from daicho.core.messages import Receipt, RecordedEvent
from daicho.core.streams import Position
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import CommandOutcome, EventStore, Selection
from daicho.write.pipeline import Handler

__all__ = ["Idempotency", "check_content", "fingerprint_of", "outcome_of"]


class Read(Protocol):
    def __call__(
        self, selection: Selection, /, joined: EventStore | None = None
    ) -> Awaitable[list[RecordedEvent[Any]]]:
        """All events of the selection; those that `joined` sees, if it is given."""
        ...


def fingerprint_of(envelope: Envelope) -> str:
    return blake2b(encode_json(envelope.command), digest_size=8).hexdigest()


def outcome_of(envelope: Envelope, state: str, clock: Clock, reason: str | None = None) -> CommandOutcome | None:
    """What the command log keeps of the command; None for the everyday ones, which their events tell of."""
    if not envelope.is_remembered:
        return None
    at = to_text(clock.now())
    return CommandOutcome(
        command_id=envelope.command_id,
        name=envelope.name,
        state=state,
        key=envelope.key,
        fingerprint=fingerprint_of(envelope),
        reason=reason,
        actor=envelope.actor,
        tenant=envelope.tenant,
        correlation_id=envelope.correlation_id,
        cause=envelope.cause,
        handler=envelope.handler,
        received_at=envelope.received_at or at,
        finished_at=at,
    )


def check_content(envelope: Envelope, outcome: CommandOutcome) -> None:
    """Raises KeyReused if `outcome` is of another command under the same key or id."""
    if outcome.fingerprint is not None and outcome.fingerprint != fingerprint_of(envelope):
        raise KeyReused(
            f"the key {envelope.key or envelope.command_id!r} was used before for another {envelope.name}",
            why="a key stands for one command; the first one was handled and stands",
            do="send the changed command with a new key",
            command_id=envelope.command_id,
        )


class Idempotency:
    """Answers a command that was handled before with the outcome of that first time.

    Those that came with a key or an id of their own, or were posted, are found in the command log; those of event
    handlers by their events, whose ids follow from the command's. A command that is in flight right now is waited for,
    not run beside. A command with a fresh id is not looked up.
    """

    def __init__(self, log: CommandLog, read: Read, clock: Clock) -> None:
        self._log, self._read, self._clock = log, read, clock
        self._in_flight: dict[str, asyncio.Future[None]] = {}

    def __call__(self, envelope: Envelope, proceed: Handler) -> Awaitable[Receipt]:
        if not envelope.may_repeat and not envelope.is_remembered:
            return proceed(envelope)
        return self._once(envelope, proceed)

    async def _once(self, envelope: Envelope, proceed: Handler) -> Receipt:
        if envelope.within is not None:
            # one in flight may be waiting for this very transaction: the database settles it
            return await self._earlier(envelope) or await self._now(envelope, proceed)
        while other := self._in_flight.get(envelope.command_id):
            await asyncio.wait([other])
        done = self._in_flight[envelope.command_id] = asyncio.get_running_loop().create_future()
        try:
            return await self._earlier(envelope) or await self._now(envelope, proceed)
        finally:
            del self._in_flight[envelope.command_id]
            done.set_result(None)

    async def _now(self, envelope: Envelope, proceed: Handler) -> Receipt:
        try:
            receipt = await proceed(envelope)
        except Rejected as error:
            # another process may have handled it meanwhile, and this one was refused because it has happened
            if earlier := await self._by_events(envelope, envelope.correlation_id):
                return earlier
            if refusal := outcome_of(envelope, "rejected", self._clock, error.what):
                await self._log_of(envelope).record(refusal)
            raise
        if receipt.events:
            return receipt
        return await self._by_events(envelope, envelope.correlation_id) or receipt

    async def _earlier(self, envelope: Envelope) -> Receipt | None:
        if not envelope.is_remembered and (receipt := await self._by_events(envelope, envelope.correlation_id)):
            return receipt
        # for the others the log is enough: an outcome is written in the transaction of the events it is about
        outcome = await self._log_of(envelope).outcome(envelope.command_id)
        if outcome is None:
            return None
        check_content(envelope, outcome)
        correlation_id = outcome.correlation_id or envelope.correlation_id
        if outcome.state == "rejected":
            raise Rejected(outcome.reason or "rejected before", duplicate=True)
        if outcome.state != "done":
            return None
        return await self._by_events(envelope, correlation_id) or Receipt(
            command_id=envelope.command_id,
            stream=outcome.stream or "",
            version=outcome.version,
            position=Position(outcome.position),
            events=(),
            correlation_id=correlation_id,
            duplicate=True,
        )

    def _log_of(self, envelope: Envelope) -> CommandLog:
        return self._log if envelope.within is None else envelope.within

    async def _by_events(self, envelope: Envelope, correlation_id: str) -> Receipt | None:
        read = self._read if envelope.within is None else partial(self._read, joined=envelope.within)
        first = await read(Selection(event_id=event_id(correlation_id, envelope.command_id, 0)))
        if not first:
            return None
        own = Selection(
            correlation_id=correlation_id,
            causation_id=envelope.command_id,
            after=first[0].position - 1,
            beyond_head=True,  # they are there, though somebody else's transaction may keep the head back
        )
        events = await read(own)
        last = events[-1]
        return Receipt(
            command_id=envelope.command_id,
            stream=last.stream,
            version=last.version,
            position=last.position,
            events=tuple(e.event for e in events),
            correlation_id=correlation_id,
            duplicate=True,
        )
