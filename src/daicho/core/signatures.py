"""What a function's annotations say: which messages it takes, what it gives, what else it asks for."""

import inspect
import types
from collections.abc import Callable
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from daicho.core.errors import MisplacedAsync, WiringError

__all__ = ["accepted", "describe", "further_parameters", "positional", "produced", "refuse_async", "returned"]


def describe(function: Callable[..., Any]) -> str:
    """`module.name (file:line)`, for messages."""
    name = getattr(function, "__qualname__", repr(function))
    code = getattr(function, "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{getattr(function, '__module__', '?')}.{name}{place}"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError) as error:
        raise WiringError(
            f"the annotations of {describe(function)} cannot be resolved: {error}",
            why="Daicho decides by annotations which messages a function takes",
            do="define the message classes at module level, and import them outside `if TYPE_CHECKING:`",
        ) from error


def _members(hint: Any, function: Callable[..., Any], what: str) -> tuple[type, ...]:
    if isinstance(hint, TypeVar):
        hint = hint.__bound__ or (Union[hint.__constraints__] if hint.__constraints__ else Any)  # noqa: UP007
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(m for part in get_args(hint) for m in _members(part, function, what))
    if hint is type(None):
        return ()
    if not isinstance(hint, type):
        raise WiringError(
            f"{what} of {describe(function)} is annotated {hint!r}",
            why="it must name message classes, or a union of them",
            do="annotate it precisely, e.g. `event: OrderCreated | OrderConfirmed`",
        )
    return (hint,)


def positional(function: Callable[..., Any]) -> list[str]:
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def accepted(function: Callable[..., Any], index: int) -> tuple[type, ...]:
    """The message classes that parameter number `index` is annotated with."""
    names = positional(function)
    if index >= len(names):
        raise WiringError(
            f"{describe(function)} takes {len(names)} parameters, and needs at least {index + 1}",
            do="see the tutorial for the shape of handlers",
        )
    hints = _hints(function)
    if names[index] not in hints:
        raise WiringError(
            f"parameter {names[index]!r} of {describe(function)} has no annotation",
            why="Daicho decides by annotations which messages a function takes",
            do=f"write `{names[index]}: SomeMessage`",
        )
    return _members(hints[names[index]], function, f"parameter {names[index]!r}")


def returned(function: Callable[..., Any]) -> Any:
    """The return annotation, resolved; None if there is none."""
    return _hints(function).get("return")


def produced(function: Callable[..., Any]) -> tuple[type, ...]:
    """The classes inside the returned `Iterator[...]`, `Iterable[...]`, `list[...]` or similar."""
    hint = returned(function)
    inner = get_args(hint)
    if hint is None or not inner:
        raise WiringError(
            f"{describe(function)} does not say what it gives: its return annotation is {hint!r}",
            why="what a handler may record or send is checked at start and drawn in the console",
            do="annotate it, e.g. `-> Iterator[OrderCreated | OrderRejected]`",
        )
    return _members(inner[0], function, "the return annotation")


def further_parameters(function: Callable[..., Any], after: int) -> list[tuple[str, Any]]:
    """Name and annotation of each parameter behind the first `after` ones."""
    names = positional(function)[after:]
    if not names:
        return []
    hints = _hints(function)
    return [(name, hints.get(name, Any)) for name in names]


def refuse_async(function: Callable[..., Any], role: str) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise MisplacedAsync(
            f"{describe(function)} is async",
            why=f"{role} is pure and is called synchronously; an async one would never run",
            do="make it a plain function; put I/O into an `async` event handler or the caller",
        )
