"""Time, as the engine asks for it."""

from datetime import datetime
from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, aware, UTC. Never goes back within a process."""
        ...

    def new_id(self) -> str:
        """A fresh UUID as canonical text; ids made later sort later (RFC 9562, version 7)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns when `seconds` of this clock's time have passed."""
        ...
