"""Streams that are wanted at the same moment are read by one statement.

Commands whose events went into one commit wake up together, and the next ones want their states together. One round
trip for all of them costs little more than one for the first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from daicho.adapters.stores.postgres.lines import Rows
from daicho.ports.event_store import Narrow
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.state_store import StateRow

__all__ = ["Loads", "snapshot_loads", "state_loads"]

Wanted: TypeAlias = tuple[str, str, int]
"""Stream, fold, limit."""
K = TypeVar("K", Snapshot, StateRow)
Loaded: TypeAlias = tuple[K | None, list[Narrow]]
Read: TypeAlias = Callable[[str, Sequence[Any]], Awaitable[Rows]]

_MOST = 256
_encode = msgspec.json.Encoder().encode


class Loads(Generic[K]):
    """Reads snapshots, or kept states, and what comes after them: see `daicho.ports.event_store.EventStore.load`."""

    def __init__(
        self,
        read: Read,
        one: str,
        many: str,
        values: Callable[[str, str, int], Sequence[Any]],
        made: Callable[[str, str, Sequence[Any]], K],
    ) -> None:
        """`one` and `many`: the statements for one stream and for several; `read` executes. `values` are the parameters
        of the first, `made` makes of a row without a position what was kept."""
        self._read, self._one, self._many, self._values = read, one, many, values
        self._made: Callable[[str, str, Sequence[Any]], K] = made
        self._waiting: dict[Wanted, asyncio.Future[Loaded[K]]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._alone = True
        """Whether the last one was wanted alone: then there is nobody to wait for."""

    async def load(self, stream: str, fold: str, limit: int) -> Loaded[K]:
        if self._alone and not self._waiting:
            self._alone = False
            try:
                return self._loaded(stream, fold, await self._read(self._one, self._values(stream, fold, limit)))
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

    async def _load(self, some: "dict[Wanted, asyncio.Future[Loaded[K]]]") -> None:
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
                coming.set_result(self._loaded(wanted[0], wanted[1], found[wanted]))

    def _loaded(self, stream: str, fold: str, rows: Rows) -> Loaded[K]:
        kept: K | None = None
        events: list[Narrow] = []
        for row in rows:
            position, version, type_, schema, data, packed = row
            if position is None:
                kept = self._made(stream, fold, row)
            else:
                events.append((position, version, type_, schema, data or packed))
        return kept, events


def snapshot_loads(read: Read, one: str, many: str) -> Loads[Snapshot]:
    return Loads(read, one, many, lambda s, fold, limit: (s, fold, s, s, fold, limit), _snapshot)


def state_loads(read: Read, one: str, many: str) -> Loads[StateRow]:
    return Loads(read, one, many, lambda s, _, limit: (s, s, s, limit), _state)


def _snapshot(stream: str, fold: str, row: Sequence[Any]) -> Snapshot:
    return Snapshot(stream=stream, version=row[1], fold=fold, state=row[5])


def _state(stream: str, _: str, row: Sequence[Any]) -> StateRow:
    _, version, place, schema_version, data, packed = row
    position, _, updated_at = place.partition(" ")
    return StateRow(
        stream=stream,
        version=version,
        position=int(position),
        schema_version=schema_version,
        data=data or packed,
        updated_at=updated_at,
    )
