"""Rows as bytes, so that a row read is never the very object that was written."""

from typing import Any

import msgspec

from daicho.adapters.stores.memory.contents import Contents, StoredTable
from daicho.core.declared import declared_of
from daicho.core.errors import InvalidMessage, NoSuchTable
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec

__all__ = ["decode", "encode", "opened", "shape_of"]

_encode = msgspec.msgpack.Encoder().encode


def encode(row: Row) -> bytes:
    """Raises InvalidMessage for a row that could not be read again."""
    declared_of(type(row)).check([row])
    try:
        return _encode(row)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise InvalidMessage(
            f"a row of {type(row).__name__} cannot be stored",
            why=str(error),
            do="check the row's fields against their declared types",
        ) from error


def decode(table: TableSpec, data: bytes) -> Any:
    return msgspec.msgpack.decode(data, type=table.row_type)


def shape_of(row_type: type[Row]) -> dict[str, str]:
    shape = {field.name: str(field.type) for field in msgspec.structs.fields(row_type)}
    return {**shape, "search=": ", ".join(row_type.__search_fields__)} if row_type.__search_fields__ else shape


def opened(contents: Contents, table: TableSpec) -> StoredTable:
    try:
        return contents.tables[table.name, table.generation]
    except KeyError:
        raise NoSuchTable(
            f"there is no table {table.name!r} of generation {table.generation}",
            why="it was dropped, or never opened",
            do="read the generation that is live, or call `open_table` first",
        ) from None
