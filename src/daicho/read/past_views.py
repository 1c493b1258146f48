"""Views as they were then, for queries to read like those of now."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from daicho.core.errors import PastIncomplete
from daicho.core.messages import Row
from daicho.core.projection import Table
from daicho.read.past import Moment, Past, past_table
from daicho.read.pasts import Pasts, check_as_of
from daicho.read.progress import Progress
from daicho.read.queries import Kept, PageOf, Reading, View, Views, ViewState

__all__ = ["PastView", "PastViews"]

RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")


class PastViews(Views):
    """All views of the App by one moment, the same for all of them."""

    def __init__(
        self,
        states: Mapping[str, ViewState],
        progress: Progress,
        pasts: Pasts,
        as_of: int | datetime,
        reading: Reading | None = None,
    ) -> None:
        """Raises InvalidMessage for what is no place in history."""
        check_as_of(as_of)
        super().__init__(states, progress, reading, past=lambda other: PastViews(states, progress, pasts, other))
        self._pasts, self._as_of = pasts, as_of
        self._moment: Moment | None = None
        self._asking = asyncio.Lock()

    def __getitem__(self, table: Table[RowT]) -> View[RowT]:
        """Raises UnknownView, and NoPast for a Crud table, a join or a projection in SQL."""
        return PastView(self._state(table), self._progress, self._reading, self._pasts, self)

    def reading(self, reading: Reading) -> Views:
        return PastViews(self._states, self._progress, self._pasts, self._as_of, reading)

    async def moment(self) -> Moment:
        """Found out once, so that all rows are of the same."""
        async with self._asking:
            if self._moment is None:
                self._moment = await self._pasts.moment(self._as_of)
            return self._moment


class PastView(View[RowT]):
    """The rows of one projection by then: its events, folded by the App's present code.

    The first question makes the rows, which takes as long as a rebuild up to there; they are kept in memory for the
    next ones, as are a few others. `get` and `get_many` make only the rows asked for, but they, too, look at all events
    of the projection's types. An event that the fold raises on is left out with everything after it of the same key; an
    answer that this may matter to is given as `PastIncomplete.answer`.
    """

    def __init__(
        self, state: ViewState, progress: Progress, reading: Reading | None, pasts: Pasts, views: PastViews
    ) -> None:
        """Raises NoPast."""
        super().__init__(Kept(past_table(pasts.fold_of(state.table.name)), state.views), progress, reading)
        self._live, self._pasts, self._views = state, pasts, views

    async def _fresh(self, *, keys: Sequence[str] | None = None, equals: Mapping[str, object] | None = None) -> None:
        self._whole = await self._then(None)
        self._store = self._whole.rows

    async def _then(self, keys: Sequence[str] | None) -> Past:
        moment = await self._views.moment()
        return await self._pasts.past(self._state.table.name, self._live.name, moment, keys)

    async def get(self, key: str) -> RowT | None:
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, RowT]:
        past = await self._then(keys)
        stored: dict[str, RowT] = await past.rows.get_many(self._state.table, keys)
        found = {key: row for key, row in stored.items() if self._is_seen(row)}
        return self._told(found, past.broken_of(keys))

    async def find(self, *args: Any, **kwargs: Any) -> list[RowT]:
        return self._told(await super().find(*args, **kwargs), self._whole.broken_of(None))

    async def page(self, *args: Any, **kwargs: Any) -> PageOf[RowT]:
        return self._told(await super().page(*args, **kwargs), self._whole.broken_of(None))

    async def search(self, *args: Any, **kwargs: Any) -> list[RowT]:
        return self._told(await super().search(*args, **kwargs), self._whole.broken_of(None))

    async def count(self, **equals: object) -> int:
        return self._told(await super().count(**equals), self._whole.broken_of(None))

    def _told(self, answer: T, broken: dict[str, str]) -> T:
        """The answer; what it lacks is noted for the whole question, or raised if there is none."""
        if not broken:
            return answer
        if self._reading is None:
            raise PastIncomplete(answer=answer, broken={self._state.table.name: broken})
        self._reading.broken.setdefault(self._state.table.name, {}).update(broken)
        return answer
