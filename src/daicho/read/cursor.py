"""Where a page of rows ended, as text that travels through the outside.

    cursor = base64url( 8 bytes of a hash over question and mark,  mark = MessagePack of (key, value) )

The question is the view, the order and the filters. Whoever alters a cursor, or asks another question with it, is told.
It is no secret and no proof: somebody can make one up, and sees nothing by it but other rows of the same question.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, cast

import msgspec

from daicho.core.errors import InvalidMessage, NoSuchField
from daicho.ports.view_store import Mark, TableSpec

__all__ = ["Question"]

_HASH = 8
_encode = msgspec.msgpack.Encoder(enc_hook=repr, order="deterministic").encode


class Question:
    """What pages are asked for. All of them have to be of the same one."""

    def __init__(self, table: TableSpec, order_by: str | None, descending: bool, equals: Mapping[str, object]) -> None:
        """Raises NoSuchField."""
        types = {field.name: field.type for field in msgspec.structs.fields(table.row_type)}
        if order_by is not None and order_by not in types:
            raise NoSuchField(
                f"rows of {table.name!r} have no field {order_by!r}",
                do=f"use one of {', '.join(types)}",
                field=order_by,
            )
        self._order_by = order_by
        self._value_type = None if order_by is None else types[order_by]
        self._asked = _packed((table.name, order_by, descending, sorted(equals.items(), key=lambda item: item[0])))

    def cursor(self, key: str, row: Any) -> str:
        """For the page that begins behind this row."""
        mark = _packed((key, None if self._order_by is None else getattr(row, self._order_by)))
        return _text(self._hash(mark) + mark)

    def mark(self, cursor: str) -> Mark:
        """Raises InvalidMessage if it is not one of this question's."""
        try:
            data = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            mark = data[_HASH:]
            if data[:_HASH] == self._hash(mark) and _text(data) == cursor:
                key, value = msgspec.msgpack.decode(mark, type=cast("Any", tuple)[str, self._value_type])
                return Mark(key, value)
        except ValueError as error:
            raise _foreign() from error
        raise _foreign()

    def _hash(self, mark: bytes) -> bytes:
        return blake2b(mark, digest_size=_HASH, key=blake2b(self._asked).digest()).digest()


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _foreign() -> InvalidMessage:
    return InvalidMessage(
        "the cursor does not belong to this question",
        why="it was cut off or altered, or made for another view, order or filter",
        do="ask for the first page, without a cursor, and then with the cursor that came with each page",
        path="cursor",
    )


def _packed(value: Any) -> bytes:
    try:
        return _encode(value)
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(
            "rows cannot be paged by this value", why=str(error), do="order and filter by other fields"
        ) from error
