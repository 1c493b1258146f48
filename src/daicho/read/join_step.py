"""What a stretch of events does to the three tables of a join, worked out in memory before anything is written."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from daicho.core.join import SideFold
from daicho.core.messages import Event, RecordedEvent, Row
from daicho.ports.read_store import Placed
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore
from daicho.read.elsewhere import Elsewhere

__all__ = ["Changes", "Refused", "Side", "Step", "Unit"]

_ROWS_KEPT = 50_000


class Refused(Exception):
    """The user's code raised, as the cause of this tells."""


class Side:
    """The rows of one side as the store has them, as far as they are remembered."""

    def __init__(self, fold: SideFold) -> None:
        self.fold = fold
        self.rows: OrderedDict[str, Any | None] = OrderedDict()
        self.seen: dict[str, int] = {}
        """For rows elsewhere: the position of the last event that each of `rows` has seen."""

    def forget(self) -> None:
        self.rows.clear()
        self.seen.clear()

    async def fetch(self, keys: Iterable[str], table: TableSpec, views: ViewStore, elsewhere: Elsewhere | None) -> None:
        rows, shown = self.rows, self.fold.shown
        wanted = dict.fromkeys(keys)
        missing = [key for key in wanted if key not in rows]
        for key in wanted:
            if key in rows:
                rows.move_to_end(key)
        if not missing:
            return
        if elsewhere is None:
            found = await views.get_many(table, missing)
            for key in missing:
                rows[key] = shown(found[key]) if key in found else None
            return
        placed, nowhere = await elsewhere.get_placed(table, missing), Placed(None, 0)
        for key in missing:
            there = placed.get(key, nowhere)
            rows[key], self.seen[key] = None if there.row is None else shown(there.row), there.position

    def remember(self, changes: "Changes") -> None:
        """What was written."""
        self.rows.update(changes.rows)
        self.seen.update(changes.seen)
        while len(self.rows) > _ROWS_KEPT:
            key, _ = self.rows.popitem(last=False)
            self.seen.pop(key, None)


@dataclass(frozen=True, slots=True)
class Unit:
    """One event for one row of one side: what is taken, or parked, as a whole."""

    position: int
    event: Event
    record: RecordedEvent[Any] | None
    side: Side
    key: str

    @property
    def parked_as(self) -> str:
        """The same key may be on both sides."""
        return f"{self.side.fold.name}:{self.key}"


@dataclass
class Changes:
    """Of one side."""

    rows: dict[str, Any | None] = field(default_factory=dict[str, Any | None])
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def copy(self) -> "Changes":
        return Changes(dict(self.rows), dict(self.seen))

    def row(self, side: Side, key: str) -> Any | None:
        return self.rows[key] if key in self.rows else side.rows[key]

    def fold(self, unit: Unit, *, guarded: bool) -> bool:
        """Whether the event changed the row, or, if rows are `guarded`, may have changed it at an earlier delivery.
        Raises what the user's code raises."""
        key, side = unit.key, unit.side
        if guarded:
            if unit.position <= self.seen.get(key, side.seen.get(key, 0)):
                return True
            self.seen[key] = unit.position
        before = self.row(side, key)
        after = self.rows[key] = side.fold.fold.step(before, unit.event, key, unit.record)
        return guarded or after != before


@dataclass
class Step:
    left: Changes = field(default_factory=Changes)
    right: Changes = field(default_factory=Changes)
    partners: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """By left key, of all left rows that events of this step are about, whether they changed or had changed before."""
    dirty: dict[str, None] = field(default_factory=dict[str, None])
    """Right keys whose other left rows must be joined anew."""
    results: dict[str, Row | None] = field(default_factory=dict[str, Row | None])
    """What is shown from now on, None for nothing."""
    is_large: bool = False
    """The rows that `dirty` stands for are too many to be held: `results` is without them."""

    def copy(self) -> "Step":
        return Step(
            self.left.copy(),
            self.right.copy(),
            dict(self.partners),
            dict(self.dirty),
            dict(self.results),
            self.is_large,
        )

    def changes(self, table: TableSpec, side: Side, changes: Changes) -> ViewChange:
        """The rows of one side, ready to be written."""
        keep = side.fold.keep
        return ViewChange(
            table=table,
            upserts={key: keep(row, self.partners.get(key)) for key, row in changes.rows.items() if row is not None},
            deletes=[key for key, row in changes.rows.items() if row is None],
            seen=changes.seen,
        )

    def add(self, results: dict[str, Row | None], most: int) -> None:
        """More rows that are shown, as long as there is room for them."""
        if self.is_large:
            return
        self.results.update(results)
        if len(self.results) - len(self.partners) > most:
            self.is_large = True
            self.results = {key: row for key, row in self.results.items() if key in self.partners}
