"""What a message says about who may have to do with it. It only says it; the doors ask."""

from collections.abc import Callable
from typing import TypeVar

from daicho.core.errors import WiringError
from daicho.core.messages import Command, Message, Query

__all__ = ["requires", "scopes_of"]

M = TypeVar("M", bound=type[Message])
_SCOPES = "__required_scopes__"


def requires(*scopes: str) -> Callable[[M], M]:
    """Declares which scopes a caller from outside needs, all of them: `@requires("orders:write")` on a command or a
    query.

    `app.send` and `app.ask` in your own code are not asked: whoever can call them is inside.
    """

    def declare(message: M) -> M:
        if not issubclass(message, (Command, Query)):
            raise WiringError(
                f"{message.__name__} cannot require scopes",
                why="they are asked for at the door, and only commands and queries come through it",
                do="put @requires on a class derived from Command or Query",
            )
        if not scopes or not all(scope and " " not in scope for scope in scopes):
            raise WiringError(
                f"@requires{scopes!r} on {message.__name__} names no scope",
                do='write for instance @requires("orders:write"): texts without blanks',
            )
        type.__setattr__(message, _SCOPES, frozenset(scopes) | scopes_of(message))
        return message

    return declare


def scopes_of(message: type[Message]) -> frozenset[str]:
    """What `@requires` says of it, or of a class it derives from."""
    found: frozenset[str] = getattr(message, _SCOPES, frozenset())
    return found
