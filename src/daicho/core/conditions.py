"""What must be true for an append to happen, and which events a reader wants."""

import enum
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from daicho.core.errors import InvalidMessage

__all__ = ["ABSENT", "ANY", "EXISTS", "AppendCondition", "Criteria", "Criterion", "Expected", "ExpectedVersion"]


class ExpectedVersion(enum.Enum):
    """What a writer says of a stream's version; a plain number means exactly that many events."""

    ANY = "any"
    ABSENT = "absent"
    EXISTS = "exists"

    def __repr__(self) -> str:
        return self.name


ANY, ABSENT, EXISTS = ExpectedVersion.ANY, ExpectedVersion.ABSENT, ExpectedVersion.EXISTS
Expected: TypeAlias = ExpectedVersion | int


def check_expected(expected: object) -> None:
    """Raises InvalidMessage unless it is None, ANY, ABSENT, EXISTS or a number from 0."""
    if expected is None or isinstance(expected, ExpectedVersion):
        return
    if not isinstance(expected, int) or expected < 0:
        raise InvalidMessage(
            f"{expected!r} cannot be the version of a stream",
            do="expect ANY, ABSENT, EXISTS or a number of events, 0 or more",
            path="expected",
        )


def holds(expected: Expected, version: int) -> bool:
    """Whether a stream at `version` (0: no events) meets `expected`."""
    if expected is ANY:
        return True
    if expected is ABSENT:
        return version == 0
    if expected is EXISTS:
        return version > 0
    return version == expected


class Criterion(msgspec.Struct, frozen=True):
    """One alternative: an event of any of these types (none named: any type) that carries all of these tags."""

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


_ANYTHING = Criterion()


class Criteria:
    """Which events: `Criteria(types=["order.created"], tags=["customer_id:c-1"])`. Alternatives are joined by `|`.

    Semantics of a query in the dynamic-consistency-boundary specification (dcb.events): any of the types, all of the
    tags, any of the alternatives. Naming nothing means every event. A value: equal and hashable by what it selects.
    """

    __slots__ = ("items",)
    items: tuple[Criterion, ...]
    """The alternatives; none: every event."""

    def __init__(self, *items: Criterion, types: Iterable[str] = (), tags: Iterable[str] = ()) -> None:
        for what, names in (("types", types), ("tags", tags)):
            if isinstance(names, str):  # its letters would be taken for names, and nothing would ever match
                raise InvalidMessage(f"{what}={names!r} is one text", do=f"write {what}=[{names!r}]", path=what)
        named = Criterion(tuple(types), tuple(sorted(set(tags))))
        self.items = (*items, named) if named != _ANYTHING else items

    def __or__(self, other: "Criteria") -> "Criteria":
        if not self.items or not other.items:
            return Criteria()
        return Criteria(*self.items, *other.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Criteria) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"Criteria({', '.join(map(repr, self.items))})"

    def matches(self, event_type: str, tags: "frozenset[str] | set[str]") -> bool:
        return not self.items or any(
            (not item.types or event_type in item.types) and tags.issuperset(item.tags) for item in self.items
        )


class AppendCondition(msgspec.Struct, frozen=True):
    """Fail the append if any event that meets `criteria` was recorded after `after`, other than those in `seen`: a
    dynamic consistency boundary.

    `after` is the position up to which the writer has looked (0: not at all): a head that it knew before it looked.
    With several writers at once an event may be stored before one with a smaller position is; it then lies beyond the
    head, and a decision that knew of it says so.
    """

    criteria: Criteria
    after: int = 0
    seen: tuple[int, ...] = ()
    """Positions greater than `after` of events that meet `criteria` and that the writer has seen as well."""
