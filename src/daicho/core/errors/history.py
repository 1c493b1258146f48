"""What is stored cannot be understood by the code that is running."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "CannotApply",
    "HistoryError",
    "HistoryPruned",
    "UnknownEventType",
    "UnreadableEvent",
    "UnreadableState",
]


class HistoryError(DaichoError):
    """What is stored cannot be understood by the code that is running."""

    code = "D220"


class UnknownEventType(HistoryError):
    """A stored event's type, or its version, is not registered with this App."""

    code = "D221"


class UnreadableEvent(HistoryError):
    """A stored event's data does not fit the class registered for it."""

    code = "D222"


class UnreadableState(HistoryError):
    """The row that keeps the state of an aggregate with `persistence="state"` does not fit its class. Nothing is
    decided on a state of which a part would be lost."""

    code = "D840"


class HistoryPruned(HistoryError):
    """The answer needs events that were pruned (`daicho prune`). The present state does not depend on them."""

    code = "D841"


class CannotApply(HistoryError):
    """`evolve` or an `@apply` method raised while a state was being restored."""

    code = "D223"
