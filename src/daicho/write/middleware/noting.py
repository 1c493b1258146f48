"""Notes in the journal what became of each command, while somebody wants to know."""

import time
from collections.abc import Awaitable

from daicho.core.errors import ConcurrencyError, Rejected
from daicho.core.journal import CommandNote, Journal, Outcome
from daicho.core.messages import Receipt
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

__all__ = ["Noting"]


class Noting:
    """Costs one comparison a command while the journal is closed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __call__(self, envelope: Envelope, proceed: Handler) -> Awaitable[Receipt]:
        return self._noted(envelope, proceed) if self._journal.is_open else proceed(envelope)

    async def _noted(self, envelope: Envelope, proceed: Handler) -> Receipt:
        at, begin = time.time(), time.perf_counter()
        outcome: Outcome = "failed"
        reason, stream, events = "", "", 0
        try:
            receipt = await proceed(envelope)
            outcome = "duplicate" if receipt.duplicate else "accepted" if receipt.events else "nothing"
            stream, events = receipt.stream, len(receipt.events)
        except Rejected as refusal:
            outcome, reason = "rejected", refusal.what
            raise
        except ConcurrencyError as conflict:
            outcome, reason = "conflict", conflict.what
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._journal.handled(
                CommandNote(
                    command=envelope.command,
                    command_id=envelope.command_id,
                    correlation_id=envelope.correlation_id,
                    name=envelope.name,
                    actor=envelope.actor,
                    tenant=envelope.tenant,
                    handler=envelope.handler,
                    at=at,
                    seconds=time.perf_counter() - begin,
                    outcome=outcome,
                    retries=self._journal.retries_of(envelope.command_id),
                    stream=stream,
                    events=events,
                    reason=reason,
                )
            )
        return receipt
