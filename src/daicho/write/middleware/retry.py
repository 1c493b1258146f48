"""When somebody else was faster: load again, decide again."""

import random

from daicho.core.conditions import ANY
from daicho.core.errors import ConcurrencyError
from daicho.core.messages import Receipt
from daicho.ports.clock import Clock
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

__all__ = ["Retry"]


class Retry:
    """Tries again on ConcurrencyError, at once the first time, then with full jitter up to 2, 4, 8 ... ms.

    A conflict with the version that the caller expects is the caller's to settle, and passes through.
    """

    def __init__(self, clock: Clock, attempts: int = 8) -> None:
        self._clock, self._attempts = clock, attempts

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        attempt = 0
        while True:
            try:
                return await proceed(envelope)
            except ConcurrencyError:
                attempt += 1
                if envelope.expected not in (None, ANY) or attempt >= self._attempts:
                    raise
                # another process may have handled this very command in between
                envelope.may_repeat = envelope.may_repeat or envelope.is_remembered
            if attempt > 1:
                await self._clock.sleep(random.uniform(0, 0.001 * 2**attempt))  # noqa: S311 - jitter, not a secret
