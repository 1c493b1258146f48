"""What changes in the views of one App, told to those whose answers it may concern."""

import weakref
from collections.abc import Iterable, Mapping
from enum import Enum
from types import NoneType
from typing import Protocol
from uuid import UUID

from daicho.core.messages import Row

__all__ = ["Altered", "Changes", "Interest", "Listener"]

_MOST_FILTERS = 100
_NOTHING: Mapping[str, Row | None] = {}
_EXACT = frozenset({str, int, bool, bytes, UUID, NoneType})


class Listener(Protocol):
    def told(self, view: str, rows: "Altered | None") -> None:
        """These rows of the view were written, and can be read. None: nobody knows which."""
        ...


class Altered:
    """Rows that were written together, found by what they hold or held. Made once for all who are told."""

    def __init__(self, after: Mapping[str, Row | None], before: Mapping[str, Row | None]) -> None:
        """See `Changes.tell`."""
        self.keys = after.keys()
        self._after, self._before = after, before
        self._fields: dict[str, _Field] = {}

    def rows_of(self, key: str) -> tuple[Row | None, Row | None]:
        """What the row was, as far as that is known, and what it is."""
        return self._before.get(key), self._after[key]

    def is_known(self, key: str) -> bool:
        """Whether it is certain what the row was."""
        return key in self._before

    def matching(self, equals: Mapping[str, object]) -> set[str]:
        """Keys of those whose fields equal these values, or did. In doubt, they do."""
        found = set(self.keys)
        for name, value in equals.items():
            field = self._fields.get(name)
            if field is None:
                field = self._fields[name] = _Field(name, self._after, self._before)
            if not (found := found & field.equal_to(value)):
                break
        return found


class _Field:
    """What the rows hold, or held, in one field."""

    def __init__(self, name: str, after: Mapping[str, Row | None], before: Mapping[str, Row | None]) -> None:
        self._keys = after.keys()
        self._doubtful = {key for key in after if key not in before}
        self._by_type: dict[type[object], dict[object, set[str]]] = {}
        for key, row in after.items():
            for each in (row, before.get(key)):
                if each is None:
                    continue
                value: object = getattr(each, name, None)
                kind: type[object] = type(value)
                if _is_exact(kind):
                    self._by_type.setdefault(kind, {}).setdefault(value, set()).add(key)
                else:
                    self._doubtful.add(key)

    def equal_to(self, value: object) -> set[str]:
        """Stores compare in their own ways: text with an enum, a whole number with a fraction. So only what is plainly
        different is."""
        if not _is_exact(type(value)):
            return set(self._keys)
        found = set(self._doubtful)
        for kind, keys in self._by_type.items():
            if kind is type(value):
                found |= keys.get(value, set())
            elif kind is not NoneType and value is not None:
                found.update(*keys.values())
        return found


def _is_exact(kind: type[object]) -> bool:
    """Whether values of this type that are not equal here are not equal in any store."""
    return kind in _EXACT or issubclass(kind, Enum)


class Changes:
    """Whoever has committed rows tells it; it tells all listeners, at once. Listeners are held weakly: one that nobody
    has any more hears nothing any more."""

    def __init__(self) -> None:
        self._listeners: list[weakref.ref[Listener]] = []
        self._tidy_at = 16

    @property
    def is_heard(self) -> bool:
        """Whether anybody may be listening."""
        return bool(self._listeners)

    def listen(self, listener: Listener) -> None:
        if len(self._listeners) >= self._tidy_at:
            self._tidy()
            self._tidy_at = max(16, 2 * len(self._listeners))
        self._listeners.append(weakref.ref(listener))

    def tell(
        self, view: str, after: Mapping[str, Row | None] | None = None, before: Mapping[str, Row | None] = _NOTHING
    ) -> None:
        """These rows of the view were written, and can be read.

        after   by key; None stands for one that was deleted. Instead of all: nobody knows which rows.
        before  what they were, as far as that is known for certain
        """
        if not self._listeners:
            return
        gone, rows = False, None if after is None else Altered(after, before)
        for reference in self._listeners:
            listener = reference()
            if listener is None:
                gone = True
            else:
                listener.told(view, rows)
        if gone:
            self._tidy()

    def _tidy(self) -> None:
        self._listeners = [reference for reference in self._listeners if reference() is not None]


class Interest:
    """Which rows of one view an answer depends on. In doubt, it does."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._filters: list[Mapping[str, object]] = []
        self._all = False

    def add(self, keys: Iterable[str] | None, equals: Mapping[str, object] | None) -> None:
        """The rows of these keys, or those whose fields equal the given values; with neither, all rows."""
        if keys is not None:
            self._keys.update(keys)
        elif not equals or len(self._filters) >= _MOST_FILTERS:
            self._all = True
        elif equals not in self._filters:
            self._filters.append(equals)

    def touched(self, rows: Altered) -> set[str]:
        """Keys of those rows that the answer depends on, or did."""
        if self._all:
            return set(rows.keys)
        found = self._keys & rows.keys
        for equals in self._filters:
            found |= rows.matching(equals)
        return found
