"""Streams that are wanted at the same moment are read by one statement.

Commands whose events went into one commit wake up together, and the next ones want their states together. One round
trip for all of them costs little more than one for the first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from daicho.adapters.stores.postgres.lines import Rows
from daicho.ports.event_store import Narrow
from daicho.ports.snapshot_store import Snapshot

__all__ = ["Loads"]

Wanted: TypeAlias = tuple[str, str, int]
"""Stream, fold, limit."""
Loaded: TypeAlias = tuple[Snapshot | None, list[Narrow]]

_MOST = 256
_encode = msgspec.json.Encoder().encode


class Loads:
    """Reads snapshots and what comes after them: see `daicho.ports.event_store.EventStore.load`."""

    def __init__(self, read: Callable[[str, Sequence[Any]], Awaitable[Rows]], one: str, many: str) -> None:
        """`one` and `many`: the statements for one stream and for several; `read` executes."""
        self._read, self._one, self._many = read, one, many
        self._waiting: dict[Wanted, asyncio.Future[Loaded]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._alone = True
        """Whether the last one was wanted alone: then there is nobody to wait for."""

    async def load(self, stream: str, fold: str, limit: int) -> Loaded:
        if self._alone and not self._waiting:
            self._alone = False
            try:
                return _loaded(stream, fold, await self._read(self._one, (stream, fold, stream, stream, fold, limit)))
            finally:
                self._alone = not self._waiting
        coming = self._waiting.get((stream, fold, limit))
        if coming is None:
            loop = asyncio.get_running_loop()
            coming = self._waiting[stream, fold, limit] = loop.create_future()
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

    async def _load(self, some: "dict[Wanted, asyncio.Future[Loaded]]") -> None:
        found: dict[Wanted, Rows] = {wanted: [] for wanted in some}
        try:
            names = list(found)
            rows = await self._read(self._many, (_encode(names).decode(),))
            for row in rows:
                found[names[row[0] - 1]].append(row[1:])
        except Exception as error:  # noqa: BLE001 - handed on to everybody who waits
            for coming in some.values():
                if not coming.done():
                    coming.set_exception(error)
                    coming.exception()  # mark as seen: whoever wanted it may have gone
            return
        for wanted, coming in some.items():
            if not coming.done():
                coming.set_result(_loaded(wanted[0], wanted[1], found[wanted]))


def _loaded(stream: str, fold: str, rows: Rows) -> Loaded:
    snapshot: Snapshot | None = None
    events: list[Narrow] = []
    for position, version, type_, schema, data, packed in rows:
        if position is None:
            snapshot = Snapshot(stream=stream, version=version, fold=fold, state=packed)
        else:
            events.append((position, version, type_, schema, data or packed))
    return snapshot, events
