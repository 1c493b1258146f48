"""Runs projections inside the transaction of the append itself."""

from collections.abc import Sequence
from typing import Any

from daicho.core.errors import ProjectionFailed
from daicho.core.messages import RecordedEvent
from daicho.core.registry import Registry
from daicho.core.stored import StoredEvent, recorded
from daicho.ports.event_store import InlineTransaction
from daicho.ports.view_store import TableSpec
from daicho.read.generations import ADOPTED, processor_name
from daicho.read.projector import Projector

__all__ = ["Inline"]


class Inline:
    """Runs projections inside the transaction of the append itself.

    It takes part only where it is up to date to the very event before; otherwise the projector, which runs beside it
    like any other, catches up first. So an inline view is never ahead of a gap and never needs a special rebuild. And
    while a key is parked, the projector does all the work, because only it can park the followers.
    """

    def __init__(self, projectors: Sequence[Projector], registry: Registry) -> None:
        self._projectors, self.registry = projectors, registry

    def __call__(self, transaction: InlineTransaction, events: Sequence[StoredEvent]) -> None:
        if not events:
            return
        first, last = events[0].position, events[-1].position
        records: list[RecordedEvent[Any]] | None = None
        for projector in self._projectors:
            table = projector.table  # once: the projector may move to another build meanwhile
            name = processor_name(table)
            if projector.refused or (projector.adopted and transaction.checkpoint(ADOPTED + name) is None):
                continue  # these rows are another code's
            if transaction.checkpoint(name) != first - 1 or transaction.has_parked(name):
                continue
            if any(event.type in projector.types for event in events):
                try:
                    records = records or [recorded(event, self.registry) for event in events]
                    self._fold(transaction, projector, table, records)
                except Exception as error:
                    raise ProjectionFailed(
                        f"the inline projection {projector.fold.name!r} raised {error!r}",
                        why="it shares the transaction of the append, so the append was not written either",
                        do="mend the projection, or take `inline=True` off it: then it parks what it cannot take",
                        projection=projector.fold.name,
                        position=first,
                    ) from error
            transaction.advance(name, last)

    @staticmethod
    def _fold(
        transaction: InlineTransaction, projector: Projector, table: TableSpec, records: Sequence[RecordedEvent[Any]]
    ) -> None:
        fold = projector.fold
        mine = [(record, fold.keys(record.event, record)) for record in records if record.type in projector.types]
        rows: dict[str, Any] = dict(transaction.rows(table, sorted({key for _, keys in mine for key in keys})))
        changed: dict[str, Any] = {}
        for record, keys in mine:
            for key in keys:
                rows[key] = changed[key] = fold.step(rows.get(key), record.event, key, record)
        transaction.write(
            table,
            {key: row for key, row in changed.items() if row is not None},
            [key for key, row in changed.items() if row is None],
        )
