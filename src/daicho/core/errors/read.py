"""The read side cannot answer as asked."""

from typing import Any

from daicho.core.errors.root import DaichoError

__all__ = [
    "BeingBuilt",
    "NoPast",
    "NoSuchField",
    "NotBuilt",
    "NotSearchable",
    "OrphanedPosition",
    "OrphanedView",
    "PastIncomplete",
    "ReadError",
    "Rebuilding",
    "SqlFailed",
    "SqlRefused",
    "SqlTooLong",
    "StaleAnswer",
    "UnknownView",
]


class ReadError(DaichoError):
    """The read side cannot answer as asked."""

    code = "D300"


class StaleAnswer(ReadError):
    """The views a query reads did not reach the position asked for in time.

    `answer` is what they hold now, `lag` how many positions they were behind.
    """

    code = "D301"

    def __init__(self, what: str, *, answer: Any, lag: int, **data: Any) -> None:
        super().__init__(
            what,
            why="the projection is behind, paused or parked",
            do="show `answer` as provisional, raise `within`, or look at `daicho projection list`",
            answer=answer,
            lag=lag,
            **data,
        )
        self.answer, self.lag = answer, lag


class UnknownView(ReadError):
    """A query asked for a view that is not part of the App."""

    code = "D302"


class NoSuchField(ReadError):
    """A query filters or orders by a field that the row does not have."""

    code = "D303"


class NotSearchable(ReadError):
    """A query searches rows whose class names no `search` fields, or whose words the store cannot keep."""

    code = "D305"


class NotBuilt(ReadError):
    """There is no generation of the view to switch to, to compare with, or to roll back to."""

    code = "D306"


class BeingBuilt(ReadError):
    """Another process builds this view, and nobody else may meanwhile; `data`: view, owner, since."""

    code = "D309"


class Rebuilding(ReadError):
    """A view is being built for the first time in its present shape and has no complete answer yet."""

    code = "D304"


class OrphanedPosition(ReadError):
    """The position is of an event that was lost in a failover; `data`: position, survived, epoch."""

    code = "D811"


class OrphanedView(ReadError):
    """The view has seen events that were lost in a failover. It is being built anew."""

    code = "D812"


class NoPast(ReadError):
    """A question about the past reads what cannot tell it: a Crud table, a join, or a projection in SQL."""

    code = "D307"


class PastIncomplete(ReadError):
    """A question about the past met events that a projection's present code raises on, or that cannot be read.

    They were left out, with what follows them of the same key. `answer` is what there is without them; `broken` says
    for each view which keys (or whole streams, where the key cannot be told) are wrong, since where, and why.
    """

    code = "D308"

    def __init__(self, *, answer: Any, broken: dict[str, dict[str, str]]) -> None:
        views = ", ".join(sorted(broken))
        key, error = next((key, error) for keys in broken.values() for key, error in keys.items())
        super().__init__(
            f"{views} as of then: {sum(map(len, broken.values()))} keys cannot be told whole",
            why=f"{key!r}: {error}",
            do="mend the projection, or use `answer`; what is skipped in the live view is left out here without a word",
            answer=answer,
            broken=broken,
        )
        self.answer, self.broken = answer, broken


class SqlRefused(ReadError):
    """SQL that somebody typed is not one statement that reads, or a table that it names is too large to be copied.
    Nothing was run."""

    code = "D875"


class SqlFailed(ReadError):
    """SQL that somebody typed is wrong: its syntax, a name in it, or a value that it met."""

    code = "D876"


class SqlTooLong(ReadError):
    """SQL that somebody typed was not done in time, and was ended. `within` is how many seconds it had."""

    code = "D877"
