"""Streams that are wanted at the same moment are read by one statement.

Commands whose events went into one commit wake up together, and the next ones want their states together. One round
trip for all of them costs little more than one for the first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.postgres.lines import Rows
from daicho.adapters.stores.postgres.reading import narrow_events
from daicho.ports.event_store import Narrow

__all__ = ["Loads"]

_MOST = 256
_encode = msgspec.json.Encoder().encode


class Loads:
    """Reads the beginnings of streams."""

    def __init__(self, read: Callable[[str, Sequence[Any]], Awaitable[Rows]], one: str, many: str) -> None:
        """`one` and `many`: the statements for one stream and for several; `read` executes."""
        self._read, self._one, self._many = read, one, many
        self._waiting: dict[tuple[str, int], asyncio.Future[list[Narrow]]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._alone = True
        """Whether the last one was wanted alone: then there is nobody to wait for."""

    async def narrow(self, stream: str, limit: int) -> list[Narrow]:
        """The first `limit` events of the stream."""
        if self._alone and not self._waiting:
            self._alone = False
            try:
                return narrow_events(await self._read(self._one, (stream, limit)))
            finally:
                self._alone = not self._waiting
        coming = self._waiting.get((stream, limit))
        if coming is None:
            loop = asyncio.get_running_loop()
            coming = self._waiting[stream, limit] = loop.create_future()
            if len(self._waiting) == 1:
                loop.call_soon(self._go)
        # whoever gives up must not take it from the others
        return await asyncio.shield(coming)

    def _go(self) -> None:
        """Everybody who came in this turn of the loop goes together."""
        while self._waiting:
            some = dict(list(self._waiting.items())[:_MOST])
            for wanted in some:
                del self._waiting[wanted]
            self._alone = len(some) == 1
            task = asyncio.ensure_future(self._load(some))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _load(self, some: "dict[tuple[str, int], asyncio.Future[list[Narrow]]]") -> None:
        found: dict[tuple[str, int], list[Narrow]] = {wanted: [] for wanted in some}
        try:
            names = list(found)
            rows = await self._read(self._many, (_encode([[name, limit] for name, limit in names]).decode(),))
            for row in rows:
                position, version, type_, schema, data, packed = row[1:]
                found[names[row[0] - 1]].append((position, version, type_, schema, data or packed))
        except Exception as error:  # noqa: BLE001 - handed on to everybody who waits
            for coming in some.values():
                if not coming.done():
                    coming.set_exception(error)
                    coming.exception()  # mark as seen: whoever wanted it may have gone
            return
        for wanted, coming in some.items():
            if not coming.done():
                coming.set_result(found[wanted])
