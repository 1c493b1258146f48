"""The parts of an App do not fit together."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "CyclicWiring",
    "MisplacedAsync",
    "MissingApply",
    "MissingCollaborator",
    "MissingHandler",
    "TwoHandlers",
    "UnkeepableState",
    "WiringError",
]


class WiringError(DaichoError):
    """The parts given to App do not fit together. Raised before anything runs."""

    code = "D120"


class TwoHandlers(WiringError):
    """Two parts handle the same command or query, or share a name that must be unique."""

    code = "D121"


class MissingHandler(WiringError):
    """A Route or an event handler names a message that nothing handles."""

    code = "D122"


class MissingApply(WiringError):
    """An aggregate records an event that it has no `@apply` method for."""

    code = "D123"


class MisplacedAsync(WiringError):
    """A function is `async` where Daicho calls it synchronously (it would never run), or the other way round."""

    code = "D124"


class MissingCollaborator(WiringError):
    """A handler asks, by annotation, for something that `App(provide=[...])` does not hold."""

    code = "D125"


class UnkeepableState(WiringError):
    """A state of an aggregate with `persistence="state"` would not come back equal from JSON. The command that led to
    it recorded nothing."""

    code = "D842"


class CyclicWiring(WiringError):
    """Event handlers and commands form a circle in which nothing ever comes to rest."""

    code = "D126"
