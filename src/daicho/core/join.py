"""A join: a view made of two projections, whose rows come out right in whatever order the events come.

events ──> left fold  ──> left rows,  each with the key of its partner ──┐
events ──> right fold ──> right rows ────────────────────────────────────┴──> function(left, right) ──> the view
"""

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from daicho.core.errors import WiringError
from daicho.core.fingerprint import fingerprint
from daicho.core.messages import Row
from daicho.core.projection import Fold, Projection, Table, row_type_of
from daicho.core.signatures import describe, positional, refuse_async

__all__ = ["Join", "JoinFold", "SideFold", "join"]

L = TypeVar("L", bound=Row)
R = TypeVar("R", bound=Row)
RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True, eq=False)
class Join(Table[RowT]):
    """A view with one row for each row of `left`, made of it and of its partner in `right`. Made by `join`."""

    name: str
    left: Projection[Any]
    right: Projection[Any]
    on: Callable[[Any], str | None]
    function: Callable[..., RowT | None]
    row_type: type[RowT]
    inline: bool = False
    """Never: it follows the log in transactions of its own."""

    def __call__(self, left: Any, right: Any) -> RowT | None:
        """The function itself, so that a decorated function can still be called."""
        return self.function(left, right)


def join(
    name: str, left: Projection[L], right: Projection[R], *, on: Callable[[L], str | None]
) -> Callable[[Callable[[L, R | None], RowT | None]], Join[RowT]]:
    """Declares a view made of two projections.

        @join("orders_with_names", orders, customers, on=lambda order: order.customer_id)
        def orders_with_names(order: OrderRow, customer: CustomerRow | None) -> OrderWithName | None: ...

    It has the keys of `left`. `on` tells from a row of `left` the key of its partner in `right`, or None; the function
    makes the row that is shown, or None for none. It is called again whenever the left row or its partner changes, also
    long after, with `customer` None as long as there is none. What is shown depends on the two rows alone, never on
    which of them came first.

    The view keeps rows of both sides for itself, so `left` and `right` need not be parts of the App; if they are, they
    are views of their own. Raises WiringError.
    """
    for side in (left, right):
        _check_side(name, side)
    if left.name == right.name:
        raise WiringError(
            f"both sides of {name!r} are called {left.name!r}",
            why="what a side cannot take is parked under its name",
            do="declare the fold a second time under another name, also if it is the same function",
        )
    if not callable(on):
        raise WiringError(f"`on` of {name!r} is {on!r}", do="give a function: left row -> key of its partner, or None")

    def declare(function: Callable[[L, R | None], RowT | None]) -> Join[RowT]:
        refuse_async(function, "a join")
        if len(positional(function)) != 2:
            raise WiringError(
                f"{describe(function)} takes {len(positional(function))} parameters",
                why="a join is made of a left row, and a right row or None",
                do=f"write `def {function.__name__}(left: MyRow, right: OtherRow | None) -> JoinedRow | None`",
            )
        return Join(name, left, right, on, function, row_type_of(function))

    return declare


def _check_side(name: str, side: object) -> None:
    if isinstance(side, Join):
        raise WiringError(
            f"{name!r} has the join {side.name!r} as a side",
            why="a side is folded from events, and a join has none of its own",
            do="join the projections that it is made of, or let one of them fold what both need",
        )
    if not isinstance(side, Projection):
        raise WiringError(
            f"{name!r} has {getattr(side, 'name', side)!r} as a side, which is no @projection",
            why="a side is a function that folds events into rows: SQL, and tables without events, cannot be one",
            do="give two functions that were declared with @projection",
        )
    if side.inline:
        raise WiringError(
            f"{name!r} has the inline projection {side.name!r} as a side",
            why="a join follows the log; it would not be as fresh as `inline=True` promises",
            do="leave out `inline=True`, or declare the fold a second time without it",
        )


class SideFold:
    """One of the two folds, and the shape in which the join keeps its rows: those of the left side with the key of
    their partner, by which they are found."""

    def __init__(self, part: Projection[Any], table: str, *, has_partner: bool) -> None:
        self.fold: Fold[Any] = Fold(part)
        self.name, self.table = part.name, table
        self.classes = frozenset(self.fold.events)
        fields = part.row_type.__struct_fields__
        self.partner = "partner"
        """The field that holds the partner's key."""
        while self.partner in fields:
            self.partner += "_"
        own = cast("type[Row]", part.row_type)
        self.kept = _kept(own, self.partner if has_partner else None)
        """The class of the rows in the table."""
        self._own, self._fields, self._has_partner = own, fields, has_partner

    def keep(self, row: Any, partner: str | None) -> Any:
        """The row as it is kept."""
        if self.kept is self._own:
            return row
        given = {name: getattr(row, name) for name in self._fields}
        if self._has_partner:
            given[self.partner] = partner
        return self.kept(**given)

    def shown(self, kept: Any) -> Any:
        """A kept row as the fold returned it."""
        if self.kept is self._own:
            return kept
        return self._own(**{name: getattr(kept, name) for name in self._fields})


@lru_cache(maxsize=256)
def _kept(row_type: type[Row], partner: str | None) -> type[Row]:
    """Without the indexes and words of the user's own, which nobody asks these tables for."""
    if partner is None and not row_type.__index_fields__ and not row_type.__search_fields__:
        return row_type

    def fill(namespace: dict[str, Any]) -> None:
        if partner is not None:
            namespace |= {"__annotations__": {partner: str | None}, partner: None}

    index = () if partner is None else (partner,)
    return cast("type[Row]", types.new_class(f"{row_type.__name__}Side", (row_type,), {"index": index}, fill))


class JoinFold(Generic[RowT]):
    """A join compiled for running."""

    def __init__(self, part: Join[RowT]) -> None:
        self.part, self.name = part, part.name
        self.left = SideFold(part.left, f"{part.name}.left", has_partner=True)
        self.right = SideFold(part.right, f"{part.name}.right", has_partner=False)
        self.events = tuple(dict.fromkeys([*self.left.fold.events, *self.right.fold.events]))
        self.code = fingerprint(part.function, part.on, part.row_type, self.left.fold.code, self.right.fold.code)
        self.needs_record = self.left.fold.needs_record or self.right.fold.needs_record
        self.join: Callable[[Any, Any], RowT | None] = part.function
        self.tables = (self.left.table, self.right.table)
        """Names of the tables beside its own."""

    def check(self, rows: Iterable[RowT | None]) -> None:
        """Raises WiringError for what is no row of this view."""
        kind = self.part.row_type
        for row in rows:
            if row is not None and not isinstance(cast("object", row), kind):
                raise WiringError(
                    f"{describe(self.join)} returned {type(row).__name__}, and not {kind.__name__} or None",
                    do=f"return the {kind.__name__} to show, or None for none",
                )

    def partner(self, row: Any) -> str | None:
        """Raises what the user's code raises, and TypeError if that gives no text."""
        key = cast("object", self.part.on(row))
        if key is None or isinstance(key, str):
            return key
        raise TypeError(f"`on` of {self.name!r} gave {key!r} for {row!r}, which is neither a text nor None")
