"""One generation of one read model: its index, and the questions that are asked of it.

daicho-orders-0123456789abcdef-2      the index; the figures are a fingerprint of the exact name
daicho-orders-0123456789abcdef-2.w    an alias to write by: with `require_alias`, nobody makes a dropped one again
daicho-orders-0123456789abcdef        an alias that leads to the live generation, for other people's eyes, too
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from daicho.adapters.views.opensearch.ordered import Kind, fitting
from daicho.adapters.views.opensearch.rows import Document, codec_for
from daicho.core.messages import Row
from daicho.core.words import Term
from daicho.ports.view_store import Mark, TableSpec

__all__ = ["LASTING", "WORD_COUNT", "Names", "Order", "Query", "Table", "id_of", "table_for", "writing"]

LASTING = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "translog.durability": "request"}
"""Settings of every index: what is acknowledged is on disk, and on a second node if there is one."""

_LONGEST_ID = 512
"""Bytes."""

Query: TypeAlias = dict[str, Any]

WORD_COUNT = "word_count"
"""What found rows are ordered by."""
_VALUES = "values."


def writing(index: str) -> str:
    """The alias to write by."""
    return f"{index}.w"


def id_of(key: str) -> str:
    """The key itself if the engine takes it as an id."""
    if not key or key[0] == "#" or len(key.encode()) > _LONGEST_ID:
        return f"#{hashlib.sha256(key.encode()).hexdigest()}"
    return key


class Order:
    """By a field, None first, and then by key; or by the number of words and then by key; or by key alone."""

    def __init__(self, path: str | None = None, kind: Kind | None = None, *, descending: bool = False) -> None:
        self._path, self._kind = path, kind
        how, missing = ("desc", "_last") if descending else ("asc", "_first")
        by_key = {"key": how}
        self.sort: list[Query] = [by_key] if path is None else [{path: {"order": how, "missing": missing}}, by_key]

    @property
    def paths(self) -> list[str]:
        """What has to be known of a document to go on after it."""
        return ["key", WORD_COUNT, *([] if self._path is None else [self._path])]

    def after(self, document: Document) -> list[Any]:
        """For `search_after`. An own condition would not do: the engine compares no long texts in a `range`."""
        key = document.key or ""
        if self._path is None:
            return [key]
        if self._kind is None:
            return [document.word_count, key]
        value = document.values.get(self._path.removeprefix(_VALUES))
        return [self._kind.lowest if value is None else value, key]


class Names:
    """Of everything that belongs to the table of one name."""

    def __init__(self, prefix: str, name: str) -> None:
        readable = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:60].strip("-") or "table"
        self.live = f"{prefix}-{readable}-{hashlib.sha256(f'{prefix} {name}'.encode()).hexdigest()[:16]}"
        self.every_generation = f"{self.live}-*"

    def index(self, generation: int) -> str:
        return f"{self.live}-{generation}"


class Table:
    def __init__(self, prefix: str, name: str, generation: int, row_type: type[Row]) -> None:
        self.name, self.generation = name, generation
        self.codec = codec_for(row_type)
        self.names = Names(prefix, name)
        self.index = self.names.index(generation)
        self.written = writing(self.index)

    def creation(self) -> Query:
        """The index. Until it is live it shows nothing new by itself, which would only slow down the filling."""
        settings = {**LASTING, "refresh_interval": "-1", "gc_deletes": "0s"}
        about = {"name": self.name, "generation": self.generation, "shape": self.codec.shape}
        mappings = {**self.codec.mappings, "_meta": about}
        return {"settings": {"index": settings}, "mappings": mappings, "aliases": {self.written: {}}}

    def matching(self, equals: Mapping[str, object], *conditions: Query) -> Query:
        """Rows, without marks. Raises NoSuchField, InvalidMessage."""
        return {"bool": {"filter": [{"exists": {"field": "key"}}, *self.codec.equals(equals), *conditions]}}

    def order(self, field: str | None, descending: bool) -> Order:
        """Raises NoSuchField, InvalidMessage."""
        if field is None:
            return Order(descending=descending)
        return Order(f"{_VALUES}{field}", self.codec.ordering(field), descending=descending)

    def marked(self, field: str | None, mark: Mark) -> Document:
        """As much of the document as its mark tells. Raises InvalidMessage."""
        values: dict[str, Any] = {}
        if field is not None and mark.value is not None:
            values[field] = self.codec.compared(field, mark.value)
        return Document(key=fitting(mark.key), values=values)

    def marks(self, up_to: int, before: str) -> Query:
        """Of rows that were deleted at positions up to one, before a time."""
        conditions = [{"range": {"position": {"lte": up_to}}}, {"range": {"deleted_at": {"lt": before}}}]
        return {"bool": {"filter": conditions}}

    def between(self, after: int, before: int) -> Query:
        """Of rows and marks that have seen a position of these last."""
        return {"bool": {"filter": [{"range": {"position": {"gt": after, "lt": before}}}]}}

    def searching(self, asked: Sequence[Term], equals: Mapping[str, object]) -> Query:
        how = ({("prefix" if term.begun else "term"): {"words": {"value": term.text}}} for term in asked)
        return self.matching(equals, *how)


@lru_cache(maxsize=1024)
def _table(prefix: str, name: str, generation: int, row_type: type[Row]) -> Table:
    return Table(prefix, name, generation, row_type)


def table_for(prefix: str, spec: TableSpec) -> Table:
    return _table(prefix, spec.name, spec.generation, spec.row_type)
