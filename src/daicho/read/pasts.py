"""The pasts of an App's views: made when somebody asks for one, and kept for a while."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from daicho.core.errors import InvalidMessage, NoPast, StoreBusy
from daicho.core.join import JoinFold
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import root_of
from daicho.core.sql_projection import SqlFold
from daicho.core.streams import check_place
from daicho.core.times import to_text
from daicho.ports.event_store import Selection
from daicho.ports.scratch import Scratch
from daicho.ports.storage import Storage
from daicho.read.past import Moment, Past, Skipped, fold_on

__all__ = ["Pasts", "check_as_of"]

_KEPT = 8
"""So many pasts are kept, whole ones and such of a few keys."""
_ROWS_KEPT = 1_000_000
"""Unless they have more rows than this together: then fewer, but the last one always."""
_LONGEST_WAIT = 5.0


def check_as_of(as_of: int | datetime) -> None:
    """Raises InvalidMessage for what is no place in history."""
    if isinstance(as_of, datetime):
        to_text(as_of)
    else:
        check_place(as_of, "as_of", "a datetime with a time zone")


class Pasts:
    """Folds, keeps, and goes on from what is kept.

    The fold is the App's present code. Events whose dead letters were skipped in the live view are left out here, too.
    """

    def __init__(
        self,
        folds: Sequence[Fold[Any] | SqlFold[Any] | JoinFold[Any]],
        storage: Storage,
        registry: Registry,
        scratch: Callable[[], Scratch],
        check_whole: Callable[[str], Awaitable[None]],
    ) -> None:
        """`scratch` makes an empty store in memory, to be opened; `check_whole` raises if some of the events that a
        view is made of were pruned."""
        self._folds: Mapping[str, Fold[Any] | SqlFold[Any] | JoinFold[Any]] = {fold.name: fold for fold in folds}
        self._storage, self._registry, self._scratch = storage, registry, scratch
        self._check_whole = check_whole
        self._kept: OrderedDict[tuple[str, Moment, frozenset[str] | None, Skipped], Past] = OrderedDict()
        self._at_work: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def forget(self) -> None:
        """Pasts that were kept: events that they were made of may be gone."""
        self._kept.clear()

    def fold_of(self, name: str) -> Fold[Any]:
        """The code that makes the rows of a view again. Raises NoPast."""
        fold = self._folds.get(name)
        if fold is None:
            raise NoPast(
                f"{name!r} has no past",
                why="it is a Crud table: its rows are written over, and nobody keeps what they were",
                do="keep what has to be remembered as events, and make the rows with a projection",
                view=name,
            )
        if isinstance(fold, SqlFold):
            raise NoPast(
                f"the past of {name!r} cannot be told",
                why="it is SQL, which only the database can run, on its own tables of rows",
                do="give App a function of another name that makes the same rows, with `@projection`, and ask that",
                view=name,
            )
        if isinstance(fold, JoinFold):
            raise NoPast(
                f"the past of {name!r} cannot be told by itself",
                why="it is a join, whose rows follow from the rows of two projections",
                do=f"give App its sides, {fold.part.left.name!r} and {fold.part.right.name!r}, too, and ask those",
                view=name,
            )
        return fold

    async def moment(self, as_of: int | datetime, within: float = _LONGEST_WAIT) -> Moment:
        """Which events it means, from now on always the same ones. Raises InvalidMessage for a position that nothing
        has reached, StoreBusy if `within` seconds pass while others still write before it."""
        head = await self._storage.head()
        if isinstance(as_of, datetime):
            return Moment(head, to_text(as_of))
        if as_of > head:
            await self._reach(as_of, head, within)
        return Moment(int(as_of))

    async def _reach(self, position: int, head: int, within: float) -> None:
        """An event of ours may be there already, behind one that another process has not committed yet."""
        if not await self._storage.read(Selection(after=position - 1, beyond_head=True), limit=1):
            raise InvalidMessage(
                f"nothing has happened at position {position} yet",
                why=f"the register ends at {head}",
                do="ask about the past: a position up to that, or a time",
                path="as_of",
            )
        try:
            async with asyncio.timeout(within):
                while head < position:
                    head = await self._storage.wait(head)
        except TimeoutError:
            raise StoreBusy(
                f"position {position} is not final yet",
                why=f"another writer has been at work behind position {head} for more than {within} s",
                do="ask again",
            ) from None

    async def past(self, name: str, processor: str, moment: Moment, keys: Sequence[str] | None) -> Past:
        """The view's rows by then, or at least those of `keys`. `processor` makes the live ones. Raises
        HistoryPruned."""
        fold = self.fold_of(name)
        letters = await self._storage.letters(states=("skipped",), limit=2**31)
        skipped = frozenset((x.event_id, x.key) for x in letters if root_of(x.processor) == processor)
        wanted = None if keys is None else frozenset(keys)
        kept = self._nearest(name, moment, wanted, skipped)
        if kept is None or kept.moment != moment:
            async with self._at_work[name]:
                kept = await self._made(fold, moment, wanted, skipped)
        self._keep(name, kept)
        return kept

    def _nearest(self, name: str, moment: Moment, keys: frozenset[str] | None, skipped: Skipped) -> Past | None:
        """The latest one from which that moment can be reached."""
        fits = [
            past
            for (view, at, _, without), past in self._kept.items()
            if view == name
            and without == skipped
            and at.until == moment.until
            and at.up_to <= moment.up_to
            and past.holds(keys)
        ]
        return max(fits, key=lambda past: past.moment.up_to, default=None)

    async def _made(self, fold: Fold[Any], moment: Moment, keys: frozenset[str] | None, skipped: Skipped) -> Past:
        start = self._nearest(fold.name, moment, keys, skipped)
        if start is not None and start.moment == moment:
            return start  # somebody else was at work on the same one
        if start is None:
            await self._check_whole(fold.name)
            if any((view, at, without) == (fold.name, moment, skipped) for view, at, _, without in self._kept):
                keys = None  # asked for one key after the other: all of them at once is cheaper
            rows = self._scratch()
            await rows.open()
            start = Past(Moment(0, moment.until), rows, keys, skipped)
        return await fold_on(fold, start, moment, self._storage, self._registry)

    def _keep(self, name: str, past: Past) -> None:
        place = (name, past.moment, past.keys, past.skipped)
        self._kept[place] = past
        self._kept.move_to_end(place)
        while len(self._kept) > 1 and (
            len(self._kept) > _KEPT or sum(each.rows.size() for each in self._kept.values()) > _ROWS_KEPT
        ):
            self._kept.popitem(last=False)
