"""The same command twice is the same command once."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

from daicho.core.codec import encode_json
from daicho.core.errors import KeyReused, Rejected
from daicho.core.ids import event_id
from daicho.core.messages import Receipt, RecordedEvent
from daicho.core.streams import Position
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import CommandOutcome, Selection
from daicho.write.pipeline import Handler

__all__ = ["Idempotency", "fingerprint_of"]

Read = Callable[[Selection], Awaitable[list[RecordedEvent[Any]]]]


def fingerprint_of(envelope: Envelope) -> str:
    return blake2b(encode_json(envelope.command), digest_size=8).hexdigest()


class Idempotency:
    """Answers a command that was handled before with the outcome of that first time.

    Looks twice: at the events, whose ids follow from the command's, and, for keyed commands, at the command log. A
    command that is in flight right now is waited for, not run beside. A command with a fresh id is not looked up.
    """

    def __init__(self, log: CommandLog, read: Read) -> None:
        self._log, self._read = log, read
        self._in_flight: dict[str, asyncio.Future[None]] = {}

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        if envelope.key is None and not envelope.may_repeat:
            return await proceed(envelope)
        while other := self._in_flight.get(envelope.command_id):
            await asyncio.wait([other])
        done = self._in_flight[envelope.command_id] = asyncio.get_running_loop().create_future()
        try:
            return await self._earlier(envelope) or await proceed(envelope)
        finally:
            del self._in_flight[envelope.command_id]
            done.set_result(None)

    async def _earlier(self, envelope: Envelope) -> Receipt | None:
        outcome: CommandOutcome | None = None
        if envelope.key is not None or envelope.posted:
            outcome = await self._log.outcome(envelope.command_id)
            if outcome is not None:
                self._check_content(envelope, outcome)
                if outcome.state == "rejected":
                    raise Rejected(outcome.reason or "rejected before", duplicate=True)
        events = await self._recorded_by(envelope)
        if events:
            last = events[-1]
            return Receipt(
                command_id=envelope.command_id,
                stream=last.stream,
                version=last.version,
                position=last.position,
                events=tuple(e.event for e in events),
                correlation_id=last.correlation_id,
                duplicate=True,
            )
        if outcome is not None and outcome.state == "done":
            return Receipt(
                command_id=envelope.command_id,
                stream=outcome.stream or "",
                version=outcome.version,
                position=Position(outcome.position),
                events=(),
                correlation_id=outcome.correlation_id or envelope.correlation_id,
                duplicate=True,
            )
        return None

    @staticmethod
    def _check_content(envelope: Envelope, outcome: CommandOutcome) -> None:
        if outcome.fingerprint is not None and outcome.fingerprint != fingerprint_of(envelope):
            raise KeyReused(
                f"the key {envelope.key!r} was used before for another {envelope.name}",
                why="a key stands for one command; the first one was handled and stands",
                do="send the changed command with a new key",
                command_id=envelope.command_id,
            )

    async def _recorded_by(self, envelope: Envelope) -> list[RecordedEvent[Any]]:
        first = await self._read(Selection(event_id=event_id(envelope.correlation_id, envelope.command_id, 0)))
        if not first:
            return []
        return await self._read(
            Selection(
                correlation_id=first[0].correlation_id,
                causation_id=envelope.command_id,
                after=first[0].position - 1,
            )
        )
