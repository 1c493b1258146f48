"""Finding rows: by an index where there is one, otherwise by looking at all of them, a thousand at a time.

What Redis answers by itself, without looking at rows that are not asked for: by key; by the value of one indexed
field; in the order of an indexed field. Anything further is compared here, on rows that come in pieces: right, but as
slow as there are rows to look at. Each piece is as of one moment; a longer answer is not: a row that is moved while it
is read may be missed by it, but never comes twice, and never is one that does not match.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from daicho.adapters.views.redis.ordering import sortable
from daicho.adapters.views.redis.tables import Table
from daicho.adapters.views.redis.wire import Wire
from daicho.core.errors import InvalidMessage
from daicho.ports.view_store import Mark

__all__ = ["Asked", "Reading"]

_FEW, _MOST = 100, 1000
"""Rows in the first piece, if it is open how many are needed, and in later ones."""
_UNFIT = (TypeError, ValueError, ArithmeticError)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What `find` and `page` have in common."""

    equals: Mapping[str, object]
    order_by: str | None = None
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    after: Mark | None = None


class _Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a sorted set."""

    key: str
    is_index: bool
    least: bytes = b"-"
    most: bytes = b"+"
    by: str | None = None
    """The field whose value it is, if it is one value of an index."""


class Reading:
    """Over one table."""

    def __init__(self, wire: Wire, table: Table) -> None:
        self._wire = wire
        self._table = table

    async def select(self, asked: Asked) -> list[tuple[str, Any]]:
        table, order_by = self._table, asked.order_by
        table.check_fields([*asked.equals, *([] if order_by is None else [order_by])])
        if asked.limit is not None and asked.limit <= 0:
            return []
        same = await self._narrowest(asked.equals)
        if order_by is None or order_by in asked.equals:
            return await self._in_order(same or self._all(None), asked)
        if order_by in table.indexes and not (same and await self._is_better_sorted(same, asked)):
            return await self._in_order(self._all(order_by), asked)
        return await self._sorted(same or self._all(None), asked, order_by)

    async def count(self, equals: Mapping[str, object]) -> int:
        self._table.check_fields(equals)
        if not equals:
            return int(await self._wire.call("HLEN", self._table.rows))
        same = await self._narrowest(equals)
        if same and len(equals) == 1:
            return await self._size(same)
        rows = self._walk(same or self._all(None), Asked(equals=equals), _MOST)
        return sum([1 async for _ in rows])

    # which part of which set

    def _all(self, order_by: str | None) -> _Stretch:
        table = self._table
        if order_by is None:
            return _Stretch(key=table.keys, is_index=False)
        return _Stretch(key=table.indexes[order_by], is_index=True)

    async def _narrowest(self, equals: Mapping[str, object]) -> _Stretch | None:
        """Of the indexed values that are asked for, the one with the fewest rows."""
        found: list[_Stretch] = []
        for field, value in equals.items():
            if field in self._table.indexes:
                try:
                    text = sortable(value).encode()
                except _UNFIT:
                    continue  # equal to nothing that the index holds, or to what cannot be told by its text
                found.append(
                    _Stretch(
                        key=self._table.indexes[field],
                        is_index=True,
                        least=b"[" + text + b"\0",
                        most=b"(" + text + b"\1",
                        by=field,
                    )
                )
        if len(found) < 2:
            return found[0] if found else None
        sizes = [await self._size(each) for each in found]
        return found[sizes.index(min(sizes))]

    async def _size(self, stretch: _Stretch) -> int:
        return int(await self._wire.call("ZLEXCOUNT", stretch.key, stretch.least, stretch.most))

    async def _is_better_sorted(self, same: _Stretch, asked: Asked) -> bool:
        """Whether to fetch all rows of a value and sort them, rather than look for them in the order asked for."""
        equal = await self._size(same)
        if asked.limit is None or not equal:
            return True
        in_all = int(await self._wire.call("HLEN", self._table.rows))
        return equal <= (asked.offset + asked.limit) * in_all / equal

    # rows

    async def _in_order(self, stretch: _Stretch, asked: Asked) -> list[tuple[str, Any]]:
        """As they come in the set."""
        skipped = 0
        if asked.after is not None:
            stretch = self._behind(stretch, asked, asked.after)
        elif set(asked.equals) <= {stretch.by}:
            skipped = asked.offset  # they need not be looked at
        more = asked.offset - skipped
        needed = _MOST if asked.limit is None else more + asked.limit
        if not set(asked.equals) <= {stretch.by}:
            needed = max(needed, _FEW)
        found: list[tuple[str, Any]] = []
        async for pair in self._walk(stretch, asked, min(needed, _MOST), skipped):
            if more:
                more -= 1
                continue
            found.append(pair)
            if len(found) == asked.limit:
                break
        return found

    def _behind(self, stretch: _Stretch, asked: Asked, mark: Mark) -> _Stretch:
        try:
            text = mark.key.encode()
            if stretch.is_index:
                value = mark.value if stretch.by is None else asked.equals[stretch.by]
                text = sortable(value).encode() + b"\0" + text
        except _UNFIT as error:
            raise InvalidMessage(
                f"rows of {self._table.name!r} cannot be read from {mark!r} on",
                why=str(error),
                do="give the mark of a row that was read",
            ) from error
        if asked.descending:
            return msgspec.structs.replace(stretch, most=min(stretch.most, b"(" + text, key=_upper))
        return msgspec.structs.replace(stretch, least=max(stretch.least, b"(" + text, key=_lower))

    async def _sorted(self, stretch: _Stretch, asked: Asked, order_by: str) -> list[tuple[str, Any]]:
        def place(key: str, value: object) -> tuple[tuple[bool, Any], str]:
            return self._table.place_in_order(order_by, value), key

        placed = [
            (place(key, getattr(row, order_by)), (key, row)) async for key, row in self._walk(stretch, asked, _MOST)
        ]
        placed.sort(key=lambda each: each[0], reverse=asked.descending)
        if asked.after is not None:
            mark = place(asked.after.key, asked.after.value)
            placed = [each for each in placed if (each[0] < mark if asked.descending else each[0] > mark)]
        end = None if asked.limit is None else asked.offset + asked.limit
        return [pair for _, pair in placed[asked.offset : end]]

    async def stored(self, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Rows by key as they are stored, of whatever class."""
        table, least, found = self._table, b"-" if after is None else b"(" + after.encode(), list[tuple[str, bytes]]()
        while missing := limit - len(found):
            members, rows = await self._wire.run(
                "walk", [table.keys, table.rows], ["ZRANGEBYLEX", least, b"+", 0, missing, "keys"]
            )
            found += [(key.decode(), data) for key, data in zip(members, rows, strict=True) if data is not None]
            if len(members) < missing:
                break
            least = b"(" + members[-1]
        return found

    async def _walk(
        self, stretch: _Stretch, asked: Asked, first: int, skipped: int = 0
    ) -> AsyncIterator[tuple[str, Any]]:
        """The rows of the stretch that match, `first` of them fetched at once."""
        table, equals, descending = self._table, asked.equals, asked.descending
        command = "ZREVRANGEBYLEX" if descending else "ZRANGEBYLEX"
        least, most, size = stretch.least, stretch.most, first
        kind = "index" if stretch.is_index else "keys"
        passed: set[str] = set()
        while True:
            ends = (most, least) if descending else (least, most)
            members, rows = await self._wire.run(
                "walk", [stretch.key, table.rows], [command, *ends, skipped, size, kind]
            )
            for member, data in zip(members, rows, strict=True):
                key = (member.partition(b"\0")[2] if stretch.is_index else member).decode()
                if data is None or key in passed:
                    continue
                row = table.row(data)
                if all(getattr(row, name) == value for name, value in equals.items()):
                    passed.add(key)
                    yield key, row
            if len(members) < size:
                return
            last = b"(" + members[-1]
            least, most = (least, last) if descending else (last, most)
            skipped, size = 0, _MOST


def _lower(end: bytes) -> tuple[int, bytes]:
    """Orders lower ends of stretches."""
    return (0, b"") if end == b"-" else (1, end[1:])


def _upper(end: bytes) -> tuple[int, bytes]:
    return (2, b"") if end == b"+" else (1, end[1:])
