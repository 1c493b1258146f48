"""Tenants that know nothing of each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daicho.core.errors import WiringError
from daicho.core.projection import Table

__all__ = ["Tenancy"]


@dataclass(frozen=True)
class Tenancy:
    """`App(tenancy=Tenancy())`: a stream belongs to the tenant of its first event, and a row to that in its field
    `tenant`. Whoever asks as a tenant sees these rows alone, and sends commands to these streams alone; to others they
    do not exist. Whoever asks as no tenant (your own code) sees everything.

    A projection fills the field from the envelope: `def orders(row, event, record: RecordedEvent) -> ...` with
    `tenant=record.tenant`. Commands decided within a `boundary` are kept apart by its criteria, which are yours.
    """

    shared: Sequence[Table[Any]] = ()
    """Views that all tenants may see, whose rows have no field `tenant`."""

    def check(self, tables: Sequence[tuple[str, Any]]) -> None:
        """Raises WiringError for a view, given by name and row class, that belongs to nobody and to all."""
        names = {table.name for table in self.shared}
        for name, row_type in tables:
            if "tenant" not in row_type.__struct_fields__ and name not in names:
                raise WiringError(
                    f"the rows of {name!r} do not say whose they are",
                    why=f"{row_type.__name__} has no field `tenant`, so every tenant would see all of them",
                    do="add `tenant: str | None`, or list the view in Tenancy(shared=[...])",
                )
