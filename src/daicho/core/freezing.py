"""States as bytes, for snapshots. A state that does not come back equal is not frozen at all."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast, get_type_hints
from uuid import UUID

import msgspec

__all__ = ["Freezer", "frozen", "hints_of", "thawed"]

_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_PLAIN = (bool, int, float, str, bytes, type(None))


class Freezer:
    """Turns the states of one behaviour into bytes and back.

    Values (structs, builtins) go by their annotations. The attributes of an aggregate go by the class's annotations
    where there are any, and by what they hold otherwise: numbers, texts, dates, decimals, ids, lists, tuples, sets and
    dicts of those. Anything else makes `freeze` return None, and `why_not` say why: such states are replayed in full.
    """

    def __init__(self, fresh: Any, hint: Any = None) -> None:
        self._class: type[Any] = type(fresh)
        self._is_object = hasattr(fresh, "__dict__") and not isinstance(fresh, msgspec.Struct)
        self._hint: Any = hint or self._class
        self._hints: dict[str, Any] = hints_of(self._class) if self._is_object else {}
        self.why_not: str | None = None

    def freeze(self, state: Any) -> bytes | None:
        try:
            data = _encode(self._fields(state)) if self._is_object else _encode(state)
            if not self._equal(self.thaw(data), state):
                self.why_not = f"{self._class.__name__} does not come back equal from its frozen form"
                return None
        except Exception as error:  # noqa: BLE001 - whatever the state holds: a snapshot is never worth a failed command
            self.why_not = f"{self._class.__name__} cannot be frozen: {error}"
            return None
        self.why_not = None
        return data

    def thaw(self, data: bytes) -> Any:
        """The state that `freeze` was given, equal to it."""
        if not self._is_object:
            return msgspec.msgpack.decode(data, type=self._hint)
        state = object.__new__(self._class)
        for name, value in _decode(data).items():
            hint = self._hints.get(name)
            state.__dict__[name] = msgspec.convert(value, hint) if hint is not None else thawed(value)
        return state

    def _fields(self, state: Any) -> dict[str, Any]:
        return {
            name: msgspec.to_builtins(value, builtin_types=(bytes, datetime, date, Decimal))
            if name in self._hints
            else frozen(value)
            for name, value in _attributes(state).items()
        }

    def _equal(self, one: Any, other: Any) -> bool:
        if self._is_object:
            here, there = _attributes(one), _attributes(other)
            return here == there and all(type(here[name]) is type(value) for name, value in there.items())
        return bool(one == other)


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """By attribute, the type that its annotation names."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError):  # names that exist only while type checking: go by what the attributes hold
        return {}


def _attributes(state: object) -> dict[str, Any]:
    return vars(state)


def frozen(value: Any) -> Any:
    """Builtins that msgpack holds, other types as `[tag, content]`; every list is tagged, so nothing is ambiguous."""
    kind: Any = value.__class__
    if kind in _PLAIN:
        return value
    if kind in (list, tuple, set, frozenset):
        return [kind.__name__, [frozen(item) for item in value]]
    if kind is dict:
        return ["dict", [[frozen(k), frozen(v)] for k, v in value.items()]]
    if kind in (Decimal, UUID):
        return [kind.__name__, str(value)]
    if kind in (datetime, date):
        return [kind.__name__, value.isoformat()]
    raise TypeError(f"it holds a {kind.__name__}; annotate that attribute in the class body")


_CONTAINERS = ("list", "tuple", "set", "frozenset")
_THAW: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "Decimal": Decimal,
    "UUID": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def thawed(value: Any) -> Any:
    """What `frozen` was given."""
    if type(value) is not list:
        return value
    tag: str
    content: Any
    tag, content = cast("tuple[str, Any]", value)
    if tag == "dict":
        return {thawed(k): thawed(v) for k, v in content}
    if tag in _CONTAINERS:
        return _THAW[tag](thawed(item) for item in content)
    return _THAW[tag](content)
