"""What every part of the store works with: the writer and the readers, while the store is open."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from daicho.adapters.stores.sqlite.breath import breathe
from daicho.adapters.stores.sqlite.location import parse_url
from daicho.adapters.stores.sqlite.readers import Look, Readers
from daicho.adapters.stores.sqlite.watch import Watches
from daicho.adapters.stores.sqlite.writer import OCCUPIED, Shortcut, Work, Writer
from daicho.core.errors import StoreClosed

__all__ = ["Opened", "Part"]

T = TypeVar("T")


class Opened:
    """The moving parts of an open store."""

    def __init__(self, writer: Writer, readers: Readers, watches: Watches) -> None:
        self.writer, self.readers, self.watches = writer, readers, watches


class Part:
    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        self._location = parse_url(url)
        self._now = now
        self._open: Opened | None = None

    def _opened(self) -> Opened:
        if self._open is None:
            raise StoreClosed(f"{self._location.path} is not open", do="use the store between `open()` and `close()`")
        return self._open

    async def _write(self, work: Work[T], *, weight: int = 1, shortcut: Shortcut[T] | None = None) -> T:
        return await self._opened().writer.run(work, weight=weight, shortcut=shortcut)

    def _ride(self, work: Work[Any]) -> None:
        self._opened().writer.ride(work)

    async def _settled(self) -> None:
        """What this process noted before can be read."""
        await self._opened().writer.settle()

    async def _here(self, look: Look[T]) -> T:
        """For what is read faster than a thread is woken."""
        opened = self._opened()
        found = opened.writer.look(look)
        if found is OCCUPIED:
            found = opened.readers.here(look)
        await breathe()
        return found

    async def _aside(self, look: Look[T]) -> T:
        return await self._opened().readers.aside(look)
