"""What a running App does when another server has taken over: forgets, tells, and looks who was ahead."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from daicho.core.errors import DaichoError
from daicho.ports.epochs import Epoch, Epochs
from daicho.read.changes import Changes
from daicho.read.feed import Feed
from daicho.read.orphans import Orphans, lost_in
from daicho.read.processor import Processor
from daicho.read.progress import Progress

__all__ = ["FailingOver"]

_log = logging.getLogger("daicho")
_ACTS = ("reaction", "process", "courier")
"""What they did for an event is not undone when the event is lost. Rows are, or are built anew."""


class FailingOver:
    """Called by the store, once in each process."""

    def __init__(
        self,
        store: object,
        feed: Feed,
        progress: Progress,
        changes: Changes,
        orphans: Orphans,
        processors: Callable[[], Sequence[Processor[Any]]],
        views: Iterable[str],
        forgets: Iterable[Callable[[], None]],
    ) -> None:
        """`views`: by name; `forgets`: what else remembers events."""
        self._feed, self._progress, self._changes = feed, progress, changes
        self._orphans, self._processors = orphans, processors
        self._views, self._forgets = list(views), [feed.forget, *forgets]
        self._noting: set[asyncio.Task[None]] = set()
        if isinstance(store, Epochs):
            store.on_new_epoch(self.noticed)

    def noticed(self, epoch: Epoch) -> None:
        for forget in self._forgets:
            forget()
        ahead = dict[str, int]()
        for processor in self._processors():
            position = self._progress.last(processor.name)  # it may have met the dead server, and given up, before
            if lost_in(position, [epoch]) and processor.name.startswith(_ACTS):
                ahead[processor.name] = position
            processor.begin_again()
        for view in self._views:  # answers that were given, and are kept at the edge or watched
            self._changes.tell(view)
        noting = asyncio.get_running_loop().create_task(self._note(ahead), name="daicho-orphans")
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _note(self, ahead: dict[str, int]) -> None:
        try:
            for name, position in ahead.items():
                await self._orphans.note(name, position, "memory")
        except DaichoError as error:
            _log.error("%s have seen events that were lost, which could not be noted: %s", sorted(ahead), error.what)

    async def stop(self) -> None:
        if self._noting:
            await asyncio.wait(list(self._noting))
