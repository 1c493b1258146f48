"""After a deploy: what other code failed on is tried once more, by itself."""

import logging

from daicho.ports.dead_letter_store import DeadLetterStore

__all__ = ["ask_if_mended"]

_log = logging.getLogger("daicho")
_REASON = "retried by itself: the code was changed"


async def ask_if_mended(letters: DeadLetterStore, processor: str, code: str) -> None:
    """Asks for a retry of the keys on which `code` has not failed yet. To be called by the processor's owner, when it
    begins: so that the code which is asked for is the code that runs."""
    asked = await letters.ask_retry_by(processor, code, _REASON)
    if asked:
        _log.warning("%s: its code was changed since %d event(s) were parked: they are retried", processor, asked)
