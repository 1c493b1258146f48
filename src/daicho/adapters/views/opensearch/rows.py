"""Rows of one class as documents and back.

    {"key": "o-1", "position": 7, "row": {"customer": "ann", ...}, "values": {"customer": "ann", ...},
     "words": ["red", "shoes"], "word_count": 2}
    {"position": 9, "deleted_at": "2026-01-02T03:04:05.678901+00:00"}

`row` is the row itself, exactly, which the engine does not look into. `values` is what it compares and orders by, with
no member for what is None. A document without `key` is the mark of a deleted row.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from daicho.adapters.views.opensearch.ordered import Kind, fitting, kind_of
from daicho.core.declared import declared_of
from daicho.core.errors import InvalidMessage, NoSuchField, StoreFailed
from daicho.core.messages import Row
from daicho.core.words import words_of

__all__ = ["Document", "RowCodec", "codec_for", "mark"]

_UNFIT = (AttributeError, TypeError, ValueError, ArithmeticError, msgspec.MsgspecError)
_FORMAT = 1
"""Of the documents."""

_encode = msgspec.json.Encoder().encode


class Document(msgspec.Struct, omit_defaults=True):
    """As it is stored."""

    position: int = -1
    key: str | None = None
    """As it is ordered by. A mark has none."""
    whole_key: str | None = None
    """If it is too long to be ordered by as a whole."""
    row: msgspec.Raw = msgspec.Raw()
    values: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    words: Sequence[str] = ()
    word_count: int = 0
    deleted_at: str | None = None

    @property
    def row_key(self) -> str:
        """Of a document that is no mark."""
        return self.whole_key or self.key or ""


def mark(position: int, at: str) -> bytes:
    """Stands for a row that was deleted."""
    return _encode(Document(position=position, deleted_at=at))


class RowCodec:
    def __init__(self, row_type: type[Row]) -> None:
        self.row_type = row_type
        self.check = declared_of(row_type).check
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        self._kinds = {field.name: kind_of(field.type) for field in described.fields}
        self._row = msgspec.json.Decoder(row_type).decode

    @property
    def shape(self) -> dict[str, Any]:
        fields = {name: kind.name for name, kind in self._kinds.items()}
        return {"format": _FORMAT, "fields": fields, "search": list(self.row_type.__search_fields__)}

    @property
    def mappings(self) -> dict[str, Any]:
        """Of the documents. What is not in them is refused."""
        kept = {"type": "keyword", "index": False, "doc_values": False}
        found_by = {"type": "keyword", "doc_values": False}
        values = {name: {"type": kind.type} if kind.has_order else found_by for name, kind in self._kinds.items()}
        return {
            "dynamic": "strict",
            "properties": {
                "key": {"type": "keyword"},
                "whole_key": kept,
                "position": {"type": "long"},
                "row": {"type": "object", "enabled": False},
                "values": {"type": "object", "dynamic": "strict", "properties": values},
                "words": found_by,
                "word_count": {"type": "long"},
                "deleted_at": {"type": "keyword"},
            },
        }

    def document(self, key: str, row: Any, position: int) -> bytes:
        """Raises InvalidMessage if the row holds what would not come back as it is."""
        try:
            whole = _encode(row)
            values = {
                name: kind.compared(value)
                for name, kind in self._kinds.items()
                if (value := getattr(row, name)) is not None
            }
            words = words_of(row) if self.row_type.__search_fields__ else ()
            ordered = fitting(key)
            return _encode(
                Document(
                    position=position,
                    key=ordered,
                    whole_key=None if ordered == key else key,
                    row=msgspec.Raw(whole),
                    values=values,
                    words=words,
                    word_count=len(words),
                )
            )
        except _UNFIT as error:
            raise InvalidMessage(
                "a row holds a value that cannot be stored",
                why=str(error),
                do="check the row's fields against their declared types",
                key=key,
            ) from error

    def row(self, document: Document) -> Any:
        try:
            return self._row(document.row)
        except msgspec.MsgspecError as error:
            raise StoreFailed(
                f"a stored row is no {self.row_type.__name__}",
                why=str(error),
                do="rebuild the projection into a new generation",
            ) from error

    def kind(self, name: str) -> Kind:
        try:
            return self._kinds[name]
        except KeyError:
            raise NoSuchField(
                f"{self.row_type.__name__} has no field {name!r}",
                do=f"use one of {', '.join(self._kinds)}",
                field=name,
            ) from None

    def compared(self, name: str, value: object) -> Any:
        """What stands for a value (not None) of the field. Raises NoSuchField, InvalidMessage."""
        kind = self.kind(name)
        try:
            return kind.compared(value)
        except _UNFIT as error:
            raise InvalidMessage(
                f"{name} cannot equal {value!r}",
                why=f"a {type(value).__name__} like that is not what {self.row_type.__name__} declares",
                do="compare the field with a value of its own type",
                path=name,
            ) from error

    def ordering(self, name: str) -> Kind:
        """Of a field to order by. Raises NoSuchField, InvalidMessage."""
        kind = self.kind(name)
        if not kind.has_order:
            raise InvalidMessage(
                f"rows cannot be ordered by {name}",
                why="a search engine does not order nested values",
                do="order by another field, or add one to the row",
                path=name,
            )
        return kind

    def equals(self, wanted: Mapping[str, object]) -> list[dict[str, Any]]:
        """The conditions. Raises NoSuchField, InvalidMessage."""
        return [self._equal(name, value) for name, value in wanted.items()]

    def _equal(self, name: str, value: object) -> dict[str, Any]:
        if value is None:
            self.kind(name)
            return {"bool": {"must_not": {"exists": {"field": f"values.{name}"}}}}
        return {"term": {f"values.{name}": {"value": self.compared(name, value)}}}


@lru_cache(maxsize=512)
def codec_for(row_type: type[Row]) -> RowCodec:
    return RowCodec(row_type)
