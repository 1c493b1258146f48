"""What became of commands, for those who wait to hear it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from daicho.core.errors import OutcomeTimeout
from daicho.ports.command_log import CommandLog
from daicho.ports.event_store import CommandOutcome

__all__ = ["Outcomes"]

_log = logging.getLogger("daicho")
_LOOK_EVERY = 0.05
_FINAL = frozenset({"done", "rejected", "failed"})


class Outcomes:
    """The command log says what became of a command, whoever handled it; here is told that there is something new."""

    def __init__(self, log: CommandLog) -> None:
        self._log = log
        self._listeners: list[Callable[[CommandOutcome], Awaitable[None]]] = []
        self._changed = asyncio.Event()

    def listen(self, listener: Callable[[CommandOutcome], Awaitable[None]]) -> None:
        """Has it called, soon, with each outcome that this process learns: of posted commands, its own and those that
        another service answered. What another process of this App learns stands in the command log alone; so does what
        was learned when this one died before it told. What a listener raises is logged."""
        self._listeners.append(listener)

    async def tell(self, outcome: CommandOutcome) -> None:
        """It is in the log now."""
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self._listeners:
            try:
                await listener(outcome)
            except Exception:  # noqa: BLE001 - told; the outcome stands in the log, where the listener finds it again
                _log.exception("could not tell of the outcome of %s", outcome.command_id)

    async def wait(self, command_id: str, within: float) -> CommandOutcome:
        """What became of the command, as soon as that is known. Raises OutcomeTimeout."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            changed = self._changed
            outcome = await self._log.outcome(command_id)
            if outcome is not None and outcome.state in _FINAL:
                return outcome
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                known = "nobody has heard of it" if outcome is None else f"{outcome.name} is {outcome.state}"
                raise OutcomeTimeout(
                    f"what became of {command_id} is not known after {within:g} s: {known}",
                    outcome=outcome,
                    command_id=command_id,
                )
            try:
                async with asyncio.timeout(min(left, _LOOK_EVERY)):  # another process may learn it
                    await changed.wait()
            except TimeoutError:
                continue
