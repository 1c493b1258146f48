"""What the tables of the workbench are made of: names and DuckDB types, and Python values out of its answers."""

import types
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from daicho.core.messages import Record

__all__ = ["TABLES", "cell", "columns_of"]

TABLES: Mapping[str, Mapping[str, str]] = {
    "events": {
        "position": "BIGINT",
        "stream": "VARCHAR",
        "category": "VARCHAR",
        "version": "BIGINT",
        "type": "VARCHAR",
        "schema_version": "INTEGER",
        "event_id": "VARCHAR",
        "occurred_at": "TIMESTAMPTZ",
        "recorded_at": "TIMESTAMPTZ",
        "actor": "VARCHAR",
        "tenant": "VARCHAR",
        "correlation_id": "VARCHAR",
        "causation_id": "VARCHAR",
        "tags": "VARCHAR[]",
        "metadata": "JSON",
        "data": "JSON",
    },
    "commands": {
        "command_id": "VARCHAR",
        "name": "VARCHAR",
        "state": "VARCHAR",
        "key": "VARCHAR",
        "stream": "VARCHAR",
        "position": "BIGINT",
        "reason": "VARCHAR",
        "actor": "VARCHAR",
        "tenant": "VARCHAR",
        "correlation_id": "VARCHAR",
        "handler": "VARCHAR",
        "received_at": "TIMESTAMPTZ",
        "finished_at": "TIMESTAMPTZ",
    },
    "checkpoints": {
        "processor": "VARCHAR",
        "position": "BIGINT",
        "owner": "VARCHAR",
        "runs": "BOOLEAN",
        "updated_at": "TIMESTAMPTZ",
    },
    "dead_letters": {
        "number": "BIGINT",
        "processor": "VARCHAR",
        "key": "VARCHAR",
        "position": "BIGINT",
        "event_id": "VARCHAR",
        "type": "VARCHAR",
        "stream": "VARCHAR",
        "correlation_id": "VARCHAR",
        "error": "VARCHAR",
        "attempts": "BIGINT",
        "parked_at": "TIMESTAMPTZ",
        "state": "VARCHAR",
        "reason": "VARCHAR",
    },
}
"""The register itself. `commands` holds those that are remembered: keyed, posted and refused ones."""

_SIMPLE: Mapping[Any, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    Decimal: "DECIMAL(38,9)",
    datetime: "TIMESTAMPTZ",
    date: "DATE",
    UUID: "UUID",
}


def columns_of(row_type: type[Record]) -> dict[str, str]:
    """Of the rows of a view, or of another record. What has no SQL type of its own is JSON."""
    hints = get_type_hints(row_type, include_extras=True)
    return {name: _type_of(hints[name]) for name in row_type.__struct_fields__}


def _type_of(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type_of(arguments[0])
    if origin in (Union, types.UnionType):
        found = {_type_of(each) for each in arguments if each is not type(None)}
        return found.pop() if len(found) == 1 else "JSON"
    if origin is Literal:
        found = {_SIMPLE.get(type(each), "JSON") for each in arguments if each is not None}
        return found.pop() if len(found) == 1 else "JSON"
    return next((sql for kind, sql in _SIMPLE.items() if kind is hint), "JSON")


def cell(value: Any) -> Any:
    """As it is shown: decimals without the zeros that only their column's type brought, times in UTC as text."""
    if isinstance(value, Decimal):
        return Decimal(format(value.normalize(), "f")) if value.is_finite() else value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value
