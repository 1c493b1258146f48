"""Refused commands leave a trace as well: who, what, when, why not."""

from daicho.core.errors import MessageError, Rejected
from daicho.core.messages import Receipt
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import CommandOutcome
from daicho.write.pipeline import Handler

__all__ = ["Audit"]


class Audit:
    """Notes every refusal in the command log. Accepted commands need no note: their events name them."""

    def __init__(self, log: CommandLog, clock: Clock) -> None:
        self._log, self._clock = log, clock

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        try:
            return await proceed(envelope)
        except Rejected as error:
            if not envelope.is_remembered and not error.data.get("duplicate"):
                await self._note(envelope, "rejected", error.what)
            raise
        except MessageError as error:
            if not envelope.is_remembered:
                await self._note(envelope, "failed", error.what)
            raise

    async def _note(self, envelope: Envelope, state: str, reason: str) -> None:
        now = to_text(self._clock.now())
        await self._log.note(
            CommandOutcome(
                command_id=envelope.command_id,
                name=envelope.name,
                state=state,
                reason=reason,
                actor=envelope.actor,
                tenant=envelope.tenant,
                correlation_id=envelope.correlation_id,
                cause=envelope.cause,
                handler=envelope.handler,
                received_at=now,
                finished_at=now,
            )
        )
