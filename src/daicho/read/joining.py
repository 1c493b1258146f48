"""Works out what events do to a join, on the rows that are there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from daicho.core.collecting import uncollected
from daicho.core.join import JoinFold
from daicho.core.messages import Event, RecordedEvent, Row
from daicho.ports.view_store import Mark, TableSpec, ViewChange, ViewStore
from daicho.read.elsewhere import Elsewhere
from daicho.read.join_step import Refused, Side, Step, Unit
from daicho.read.join_tables import side_table

__all__ = ["Joining"]

_LEFTS, _TOGETHER = 2_000, 8
"""Left rows of one right row in one answer, and how many of these questions are asked at once."""
_HELD = 10_000
"""So many rows of the view are held in memory for the left rows of changed right rows."""


class Joining:
    """Reads, and remembers what it read; writes nothing."""

    def __init__(
        self,
        fold: JoinFold[Any],
        views: ViewStore,
        elsewhere: Elsewhere | None,
        generation: Callable[[], int],
    ) -> None:
        self._fold, self._views, self._elsewhere, self._generation = fold, views, elsewhere, generation
        self.left, self.right = Side(fold.left), Side(fold.right)

    def table_of(self, side: Side) -> TableSpec:
        return side_table(side.fold, self._generation())

    def tables(self) -> list[TableSpec]:
        """Of both sides."""
        return [self.table_of(self.left), self.table_of(self.right)]

    def forget(self) -> None:
        """What was remembered: it may not be so any more."""
        self.left.forget()
        self.right.forget()

    def remember(self, step: Step) -> None:
        """What was written."""
        self.left.remember(step.left)
        self.right.remember(step.right)

    def changes(self, step: Step) -> list[ViewChange]:
        """The rows of the sides, ready to be written."""
        sides = [(self.left, step.left), (self.right, step.right)]
        return [step.changes(self.table_of(side), side, changes) for side, changes in sides if changes.rows]

    def units(self, position: int, event: Event, record: RecordedEvent[Any] | None) -> list[Unit]:
        """Raises what the user's code raises."""
        return [
            Unit(int(position), event, record, side, key)
            for side in (self.left, self.right)
            if type(event) in side.fold.classes
            for key in side.fold.fold.keys(event, record)
        ]

    async def extended(self, step: Step, units: Sequence[Unit]) -> Step:
        """The step with these events, too. Raises Refused, and has changed nothing then."""
        step, guarded = step.copy(), self._elsewhere is not None
        lefts = {unit.key for unit in units if unit.side is self.left}
        rights = {unit.key for unit in units if unit.side is self.right}
        await self._fetch(self.left, lefts)
        await self._fetch(self.right, rights)
        dirty: dict[str, None] = {}
        with uncollected():
            try:
                for unit in units:
                    if unit.side is self.left:
                        step.left.fold(unit, guarded=guarded)
                        row = step.left.row(self.left, unit.key)
                        step.partners[unit.key] = None if row is None else self._fold.partner(row)
                    elif step.right.fold(unit, guarded=guarded):  # also if it is changed back: see `_write_others`
                        dirty[unit.key] = None
            except Exception as error:
                raise Refused(f"{type(error).__name__}: {error}") from error
        await self._fetch(self.right, {key for key in map(step.partners.__getitem__, lefts) if key is not None})
        own = [key for key, partner in step.partners.items() if key in lefts or partner in rights]
        step.results |= self._joined(step, ((key, step.left.row(self.left, key), step.partners[key]) for key in own))
        step.dirty |= dirty
        async for piece in self.others(step, dirty):
            step.add(piece, _HELD)
        return step

    async def _fetch(self, side: Side, keys: Iterable[str]) -> None:
        await side.fetch(keys, self.table_of(side), self._views, self._elsewhere)

    def _joined(self, step: Step, lefts: Iterable[tuple[str, Any, str | None]]) -> dict[str, Row | None]:
        """What to show for left rows with the keys of their partners. Raises Refused."""
        join, right = self._fold.join, self.right
        try:
            made = {
                key: None if row is None else join(row, None if partner is None else step.right.row(right, partner))
                for key, row, partner in lefts
            }
            self._fold.check(made.values())
            return made
        except Exception as error:
            raise Refused(f"{type(error).__name__}: {error}") from error

    async def others(self, step: Step, rights: Iterable[str]) -> AsyncIterator[dict[str, Row | None]]:
        """What to show for the left rows of these right rows, as the store has them, page by page: those that the step
        changes are told by itself. Raises Refused."""
        keys = list(rights)
        if keys:
            await self._views.settle(self.table_of(self.left))
        for start in range(0, len(keys), _TOGETHER):
            some = keys[start : start + _TOGETHER]
            for key, page in zip(some, await asyncio.gather(*map(self._lefts, some)), strict=True):
                found = page
                while found:
                    yield self._joined(step, ((k, row, key) for k, row in found if k not in step.partners))
                    found = await self._lefts(key, Mark(found[-1][0])) if len(found) == _LEFTS else []

    async def as_they_are(self, rights: Iterable[str]) -> AsyncIterator[dict[str, Row | None]]:
        """What to show for the left rows of these right rows before any event more. Raises Refused."""
        keys = list(rights)
        await self._fetch(self.right, keys)
        async for piece in self.others(Step(), keys):
            yield piece

    async def _lefts(self, partner: str, after: Mark | None = None) -> list[tuple[str, Any]]:
        left = self._fold.left
        found = await self._views.page(self.table_of(self.left), {left.partner: partner}, limit=_LEFTS, after=after)
        return [(key, left.shown(kept)) for key, kept in found]
