"""One generation of one read model: its collection, and what is asked of it. Simple operators only, which the servers
that stand in for MongoDB understand, too."""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from daicho.adapters.views.mongodb.rows import Document, RowCodec, codec_for
from daicho.core.messages import Row
from daicho.ports.view_store import Mark, TableSpec

__all__ = ["Table", "live_id", "table_for"]

_PLAIN = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_THERE, _MISSING = {"$exists": True}, {"$exists": False}


def _collection(name: str, generation: int) -> str:
    """`orders__1`. Another name than small letters and digits is made plain, and kept apart by its fingerprint: some
    servers do not tell capital letters, and MongoDB has limits and dots and dollars."""
    if not _PLAIN.match(name):
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower())[:32].strip("_")
        name = f"t_{plain}~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"
    return f"{name}__{generation}"


def live_id(name: str) -> str:
    """Of the document that says which generation readers get. No collection is called so."""
    return f"live:{name}"


class Table:
    def __init__(self, name: str, generation: int, row_type: type[Row]) -> None:
        self.collection = _collection(name, generation)
        self.codec: RowCodec = codec_for(row_type)
        self.indexes = [
            [(self.codec.column(field).compared, 1), ("_id", 1)] for field in dict.fromkeys(row_type.__index_fields__)
        ]

    def where(self, equals: Mapping[str, object]) -> Document:
        """Raises NoSuchField, InvalidMessage."""
        asked: Document = {}
        for name, value in equals.items():
            column = self.codec.column(name)
            asked[column.compared] = _MISSING if value is None else self.codec.parameter(column, value)
        return {**asked, "_deleted": _MISSING}

    def order(self, order_by: str | None, descending: bool) -> list[tuple[str, int]]:
        """Missing fields come first by themselves. Raises NoSuchField."""
        direction = -1 if descending else 1
        first = [] if order_by is None else [(self.codec.column(order_by).compared, direction)]
        return [*first, ("_id", direction)]

    def behind(self, after: Mark, order_by: str | None, descending: bool) -> Document:
        """Raises NoSuchField, InvalidMessage."""
        beyond = "$lt" if descending else "$gt"
        later_key = {"_id": {beyond: after.key}}
        if order_by is None:
            return later_key
        column = self.codec.column(order_by)
        name = column.compared
        ways: list[Document]
        if after.value is None:
            ways = [{name: _MISSING, **later_key}, *([] if descending else [{name: _THERE}])]
        else:
            value: Any = self.codec.parameter(column, after.value)
            ways = [{name: value, **later_key}, {name: {beyond: value}}, *([{name: _MISSING}] if descending else [])]
        return {"$or": ways}


@lru_cache(maxsize=1024)
def _table(name: str, generation: int, row_type: type[Row]) -> Table:
    return Table(name, generation, row_type)


def table_for(spec: TableSpec) -> Table:
    return _table(spec.name, spec.generation, spec.row_type)
