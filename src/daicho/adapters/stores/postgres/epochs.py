"""What becomes of an open store when its server is replaced."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.lines import Line
from daicho.adapters.stores.postgres.seat import epoch_of
from daicho.core.errors import DaichoError
from daicho.ports.epochs import Epoch
from daicho.ports.event_store import StoredEvent

__all__ = ["PostgresEpochs"]

log = logging.getLogger("daicho.postgres")


class PostgresEpochs(Part):
    """Fulfils `daicho.ports.epochs.Epochs`."""

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._epoch_listeners: list[Callable[[Epoch], None]] = []
        self._lost: list[StoredEvent] = []
        self._looking: set[asyncio.Task[None]] = set()

    @property
    def epoch(self) -> int:
        return 0 if self._open is None else max(0, self._open.seat.epoch)

    @property
    def known_epochs(self) -> Sequence[Epoch]:
        return () if self._open is None else self._open.seat.known

    async def epochs(self) -> Sequence[Epoch]:
        found = [epoch_of(row) for row in await self._read(self._queries["epochs"])]
        self._opened().seat.known = found
        return found

    def on_new_epoch(self, listener: Callable[[Epoch], None]) -> None:
        self._epoch_listeners.append(listener)

    def lost_here(self) -> Sequence[StoredEvent]:
        return self._lost

    async def begin_epoch(self) -> Epoch:
        """Begins an epoch although the server is the same: it was put back to an earlier state, by a snapshot of its
        disk for instance, of which it knows nothing. To be called before anything is appended."""
        await self._rows(self._queries["begin_epoch"], (uuid4().hex, self.epoch + 1, True))
        await self._renew()
        return (await self.epochs())[-1]

    async def present(self, ids: Sequence[str]) -> set[str]:
        """Those of these event ids that are in the store."""
        return {found for (found,) in await self._read(self._queries["present"], (list(ids),))}

    def _noticed(self, epoch: Epoch) -> None:
        """Nothing that was remembered of the last events holds any more."""
        opened = self._open
        if opened is None:
            return
        seen = max(opened.head.seen_of(epoch.epoch - 1), epoch.survived)
        lost = [event for event in opened.recent.all() if epoch.survived < event.position < epoch.epoch << 48]
        opened.recent.clear()
        opened.head.begin_again()
        self._lost += lost
        for event in lost:
            log.error(
                "lost in the failover: %s at version %d of %s, position %d, id %s",
                event.type, event.version, event.stream, event.position, event.event_id,
            )  # fmt: skip
        self._aside(self._note_seen(epoch, seen))
        for listener in list(self._epoch_listeners):
            listener(epoch)

    async def _note_seen(self, epoch: Epoch, seen: int) -> None:
        await self._rows(self._queries["note_seen"], (epoch.epoch, seen))

    def _look_again(self) -> None:
        """Somebody has met positions of an epoch that is not known here."""
        if not self._looking:
            self._aside(self._renew())

    async def _renew(self) -> None:
        """Looks at the server anew, over a connection of its own: behind a pooler, connections outlive servers."""
        opened = self._opened()
        line = Line(self._location, prepare=False, seat=opened.seat)
        try:
            await line.ready()
        finally:
            await line.hang_up()

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        async def go() -> None:
            try:
                await work
            except DaichoError as error:
                log.warning("%s", error)

        task = asyncio.get_running_loop().create_task(go(), name="daicho-postgres-epoch")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _stop_looking(self) -> None:
        for task in list(self._looking):
            task.cancel()
        if self._looking:
            await asyncio.wait(list(self._looking))
