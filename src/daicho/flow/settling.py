"""Coming to rest: waiting until everything that something caused has been handled."""

import asyncio
from collections.abc import Callable, Sequence

from daicho.core.errors import StaleAnswer, Unsettled
from daicho.core.messages import Receipt
from daicho.core.segments import root_of
from daicho.flow.posted import Postman
from daicho.flow.timekeeper import Timekeeper
from daicho.ports.dead_letter_store import DeadLetterStore
from daicho.ports.event_store import EventStore, Selection
from daicho.read.orphans import Orphans
from daicho.read.progress import Progress

__all__ = ["Settling"]


class Settling:
    """Knows every processor, and waits for all of them."""

    def __init__(
        self,
        store: EventStore,
        letters: DeadLetterStore,
        progress: Progress,
        postman: Postman,
        timekeeper: Timekeeper,
        processors: Callable[[], Sequence[str]],
        orphans: Orphans,
    ) -> None:
        self._orphans = orphans
        self._store, self._letters, self._progress = store, letters, progress
        self._postman, self._timekeeper, self._processors = postman, timekeeper, processors

    async def settled(self, receipt: Receipt, within: float) -> None:
        """Returns when every event of the receipt's flow has been handled by every processor.

        Raises Unsettled if one of them was parked, StaleAnswer if `within` seconds did not suffice, OrphanedPosition if
        what the receipt is for was lost in a failover.
        """
        deadline = asyncio.get_running_loop().time() + within
        position = int(receipt.position)
        await self._orphans.check(position)
        while True:
            await self._reach(position, deadline, within)
            newest = await self._store.read(
                Selection(correlation_id=receipt.correlation_id, newest_first=True), limit=1
            )
            if not newest or newest[0].position <= position:
                break
            position = newest[0].position
        names = {*self._processors()}  # not those of builds that nobody sees
        letters = [
            x
            for x in await self._letters.letters()
            if x.correlation_id == receipt.correlation_id and root_of(x.processor) in names
        ]
        if letters:
            raise Unsettled(
                f"{len(letters)} event(s) of this flow are parked; the first: {letters[0].type} at "
                f"{letters[0].processor}: {letters[0].error}",
                letters=tuple(letters),
            )

    async def at_rest(self, within: float) -> None:
        """Returns when nothing is left to do anywhere: posted commands run, what is due done,
        every processor at the head of the log."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            await self._postman.idle()
            head = await self._store.head()
            await self._reach(head, deadline, within)
            if not await self._timekeeper.ring() and await self._store.head() == head:
                return

    async def _reach(self, position: int, deadline: float, within: float) -> None:
        left = deadline - asyncio.get_running_loop().time()
        behind = await self._progress.reach(self._processors, position, max(0.0, left))
        if behind:
            raise StaleAnswer(
                f"{', '.join(sorted(behind))} did not reach position {position} within {within} s",
                answer=None,
                lag=position - min(behind.values()),
                processors=behind,
            )
