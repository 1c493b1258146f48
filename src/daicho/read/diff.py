"""What a generation of a view would change for its readers: row by row, grouped by the fields that differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daicho.core.segments import Segment
from daicho.ports.view_store import Mark, TableSpec, ViewStore

__all__ = ["Cause", "ChangedRow", "Comparison", "Diff", "Span", "together"]

_PAGE = 500
_EXAMPLES = 5


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that differs, and only the fields in which it does."""

    key: str
    old: dict[str, Any]
    new: dict[str, Any]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that differ in the same fields, so probably for the same reason."""

    fields: tuple[str, ...]
    count: int
    examples: list[ChangedRow]
    """The first of them, by key."""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a built generation, compared with those that readers see."""

    name: str
    live: int
    built: int
    live_position: int
    built_position: int
    """How far the two had come. If the live one was not as far, rows may differ for that alone."""
    equal: int
    added: int
    removed: int
    changed: int
    causes: list[Cause]
    """Of `changed`; most frequent first."""
    added_keys: list[str]
    """The first of them; so with `removed_keys`."""
    removed_keys: list[str]
    new_fields: tuple[str, ...] = ()
    """Fields that the live rows do not have. They are not compared."""
    gone_fields: tuple[str, ...] = ()
    """Fields that only the live rows have. They are not compared."""

    @property
    def same(self) -> bool:
        """Whether readers would see the very same rows."""
        return not (self.added or self.removed or self.changed or self.new_fields or self.gone_fields)


class Span(msgspec.Struct):
    """All rows of both tables behind one key and not beyond another."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    end: str | None
    """The other key. None: there is nothing behind it."""

    @property
    def is_same(self) -> bool:
        return self.old == self.new


def together(spans: Sequence[tuple[Segment, Span]]) -> Span:
    """Of each span the rows of its segment, as far as all of them reach."""
    end = min((span.end for _, span in spans if span.end is not None), default=None)

    def of(segment: Segment, rows: Mapping[str, Any]) -> dict[str, Any]:
        return {key: row for key, row in rows.items() if segment.holds(key) and (end is None or key <= end)}

    old, new = dict[str, Any](), dict[str, Any]()
    for segment, span in spans:
        old |= of(segment, span.old)
        new |= of(segment, span.new)
    return Span(old, new, end)


class Comparison:
    """Goes through two tables page by page, in the order of keys, and counts. Keeps a few rows of each kind only."""

    def __init__(self, views: ViewStore, live: TableSpec, built: TableSpec, *, plainly: bool) -> None:
        """`plainly`: the live rows are of another class."""
        self._views, self._live, self._built, self._plainly = views, live, built, plainly
        self._old_fields: set[str] = set()
        self._new_fields = set(built.row_type.__struct_fields__)
        self._equal, self._added, self._removed = 0, 0, 0
        self._added_keys: list[str] = []
        self._removed_keys: list[str] = []
        self._counts: dict[tuple[str, ...], int] = {}
        self._examples: dict[tuple[str, ...], list[ChangedRow]] = {}

    async def settle(self) -> None:
        """When this returns, spans show what had been committed before it was called."""
        if not self._plainly:
            for table in (self._live, self._built):
                await self._views.settle(table)

    async def span(self, after: str | None) -> Span:
        """The next rows of both tables behind the key."""
        old, new = await self._page(self._live, after), await self._page(self._built, after)
        ends = [rows[-1][0] for rows in (old, new) if len(rows) == _PAGE]
        end = min(ends, default=None)
        reached = [{key: row for key, row in rows if end is None or key <= end} for rows in (old, new)]
        return Span(reached[0], reached[1], end)

    async def _page(self, table: TableSpec, after: str | None) -> Sequence[tuple[str, Any]]:
        if self._plainly:
            return await self._views.plain(table, limit=_PAGE, after=after)
        return await self._views.page(table, {}, limit=_PAGE, after=None if after is None else Mark(after))

    def count(self, span: Span) -> None:
        if self._plainly:
            self._old_fields.update(*span.old.values())
        for key in sorted({*span.old, *span.new}):
            if key not in span.old:
                self._added += 1
                _keep(self._added_keys, key)
            elif key not in span.new:
                self._removed += 1
                _keep(self._removed_keys, key)
            else:
                self._compare(key, span.old[key], span.new[key])

    def _compare(self, key: str, old: Any, new: Any) -> None:
        if old == new:
            self._equal += 1
            return
        if self._plainly:
            common = sorted(self._old_fields & self._new_fields)
            before, after = {name: old.get(name) for name in common}, {name: new.get(name) for name in common}
        else:
            before, after = msgspec.structs.asdict(old), msgspec.structs.asdict(new)
        fields = tuple(name for name in before if not _is_same(before[name], after[name]))
        if not fields:
            self._equal += 1
            return
        self._counts[fields] = self._counts.get(fields, 0) + 1
        row = ChangedRow(
            key=key, old={name: before[name] for name in fields}, new={name: after[name] for name in fields}
        )
        _keep(self._examples.setdefault(fields, []), row)

    def result(self, *, live_position: int, built_position: int) -> Diff:
        causes = [Cause(fields=each, count=n, examples=self._examples[each]) for each, n in self._counts.items()]
        causes.sort(key=lambda cause: (-cause.count, cause.fields))
        apart = self._plainly and bool(self._old_fields)
        return Diff(
            name=self._live.name,
            live=self._live.generation,
            built=self._built.generation,
            live_position=live_position,
            built_position=built_position,
            equal=self._equal,
            added=self._added,
            removed=self._removed,
            changed=sum(self._counts.values()),
            causes=causes,
            added_keys=self._added_keys,
            removed_keys=self._removed_keys,
            new_fields=tuple(sorted(self._new_fields - self._old_fields)) if apart else (),
            gone_fields=tuple(sorted(self._old_fields - self._new_fields)) if apart else (),
        )


def _keep(examples: list[Any], one: object) -> None:
    if len(examples) < _EXAMPLES:
        examples.append(one)


def _is_same(old: object, new: object) -> bool:
    return old == new or (old != old and new != new)  # NaN differs from itself
