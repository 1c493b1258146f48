"""What a handler asks for beside its message, found by annotation."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, get_origin

from daicho.core.errors import MissingCollaborator
from daicho.core.messages import Context

__all__ = ["Supply", "supplier"]

Supply: TypeAlias = Callable[[Context], tuple[Any, ...]]
"""Gives the further arguments of one handler for one message."""

_NOTHING: tuple[Any, ...] = ()


def supplier(asks: Sequence[tuple[str, Any]], provided: Sequence[Any], who: str) -> Supply | None:
    """How to fill `asks` (parameter name, annotation) from `provided` objects; None if nothing is asked.

    Raises MissingCollaborator, naming the parameter and what there is.
    """
    if not asks:
        return None
    slots: list[Any] = []
    for name, hint in asks:
        if hint is Context:
            slots.append(Context)
            continue
        wanted = get_origin(hint) or hint
        found = [thing for thing in provided if isinstance(wanted, type) and isinstance(thing, wanted)]
        if len(found) != 1:
            kinds = ", ".join(sorted(type(thing).__name__ for thing in provided)) or "nothing"
            raise MissingCollaborator(
                f"{who} asks for {name!r}: {getattr(hint, '__name__', hint)}, and App provides {len(found)} of it",
                why=f"provide=[...] holds {kinds}",
                do="give App exactly one instance of it in `provide=[...]`, or ask for `Context`",
            )
        slots.append(found[0])
    fixed = tuple(slots)
    if Context not in slots:
        return lambda _: fixed
    return lambda context: tuple(context if slot is Context else slot for slot in fixed)
