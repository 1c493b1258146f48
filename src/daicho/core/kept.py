"""States as readable JSON, for aggregates whose present state is what is kept. Strict: nothing is lost without a word.

A snapshot is a cache: one that cannot be read is made again from the events. A kept state is the truth: one that cannot
be written raises before the command is accepted, and one that cannot be read raises instead of losing a field.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast, get_origin

import msgspec

from daicho.core.errors import UnkeepableState, UnreadableState
from daicho.core.freezing import frozen, hints_of, thawed
from daicho.core.upcasting import Upcaster, Upcasters

__all__ = ["KeptStates"]

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
_MISSING: Any = object()


class KeptStates:
    """Turns the states of one behaviour into JSON and back.

    Values (structs, dataclasses, builtins) go by their type. The attributes of an aggregate go by the annotations of
    the class body, and by what they hold where there are none. `version` is that of the shape; `steps` lead there from
    older ones.
    """

    def __init__(
        self,
        name: str,
        category: str,
        fresh: Callable[[], Any],
        *,
        hint: Any = None,
        version: int = 1,
        steps: Sequence[Upcaster] = (),
    ) -> None:
        self.name, self.category, self.version = name, category, version
        self._fresh = fresh
        initial = fresh()
        self._class: type[Any] = type(initial)
        self._is_object = hasattr(initial, "__dict__") and not isinstance(initial, msgspec.Struct) and hint is None
        self._hint: Any = hint or self._class
        self._hints: dict[str, Any] = {}
        self._names: list[str] = []
        if self._is_object:
            hints = {n: h for n, h in hints_of(self._class).items() if get_origin(h) is not ClassVar}
            self._hints = {n: h for n, h in hints.items() if h is not ClassVar}
            self._names = list(dict.fromkeys([*self._hints, *vars(initial)]))
        self._upcasters = Upcasters(list(steps))

    @property
    def fields(self) -> list[str]:
        """Names of the attributes, or fields, that a state has; none if it is not made of such."""
        if self._is_object:
            return list(self._names)
        try:
            return [field.name for field in msgspec.structs.fields(self._hint)]
        except TypeError:
            return []

    # -- writing --------------------------------------------------------------------------------------------------

    def encode(self, state: Any) -> bytes:
        """Raises UnkeepableState if it would not come back equal."""
        try:
            data = _encode(self._plain(state))
            again = self._restored(_decode(data))
        except UnkeepableState:
            raise
        except Exception as error:
            raise self._unkeepable(f"{error}") from error
        if not self._equal(again, state):
            raise self._unkeepable("it does not come back equal from JSON")
        return data

    def plain(self, state: Any) -> Any:
        """What JSON holds of it. Raises UnkeepableState."""
        return _decode(self.encode(state))

    def _unkeepable(self, why: str) -> UnkeepableState:
        return UnkeepableState(
            f"a state of {self.name} cannot be kept as JSON",
            why=why,
            do="annotate its attributes in the class body with types that msgspec knows, or use "
            '`persistence="events"`, which keeps no state',
            category=self.category,
        )

    def _plain(self, state: Any) -> Any:
        if not self._is_object:
            return msgspec.to_builtins(state, str_keys=True)
        attributes = cast("dict[str, Any]", vars(state))
        if strange := sorted(set(attributes) - set(self._names)):
            raise self._unkeepable(f"its attribute {strange[0]!r} is neither in the class body nor set in __init__")
        return {
            name: msgspec.to_builtins(value, str_keys=True) if name in self._hints else frozen(value)
            for name in self._names
            if (value := getattr(state, name, _MISSING)) is not _MISSING
        }

    def _equal(self, one: Any, other: Any) -> bool:
        if not self._is_object:
            return bool(one == other) and type(one) is type(other)
        for name in self._names:
            here, there = getattr(one, name, _MISSING), getattr(other, name, _MISSING)
            if type(here) is not type(there) or here != there:
                return False
        return True

    # -- reading --------------------------------------------------------------------------------------------------

    def decode(self, schema: int, data: bytes, where: str) -> Any:
        """The state, of the present class. Raises UnreadableState: a field that the class does not have is an error;
        one that is missing has its default."""
        try:
            plain: Any = _decode(data)
        except msgspec.DecodeError as error:
            raise self._unreadable(where, schema, f"it is not JSON: {error}") from error
        return self.restored(schema, plain, where)

    def restored(self, schema: int, plain: Any, where: str) -> Any:
        """The same from what JSON held."""
        if schema > self.version:
            raise self._unreadable(where, schema, f"this code knows version {self.version}: run the newer release")
        if schema < self.version:
            name, end = self._upcasters.end_of(self.category, schema)
            if (name, end) != (self.category, self.version):
                raise self._unreadable(where, schema, f"the upcasters lead from there to version {end}")
            try:
                plain = self._upcasters.run(self.category, schema, plain)
            except Exception as error:
                raise self._unreadable(where, schema, f"its upcaster raised {error!r}") from error
        try:
            state = self._restored(plain)
            lost = None if self._is_object else _lost(plain, msgspec.to_builtins(state, str_keys=True), "$")
        except (UnreadableState, UnkeepableState):
            raise
        except Exception as error:
            raise self._unreadable(where, schema, str(error)) from error
        if lost is not None:
            raise self._unreadable(where, schema, f"{lost} is no field of {self._class.__name__}")
        return state

    def _restored(self, plain: Any) -> Any:
        if not self._is_object:
            return msgspec.convert(plain, self._hint, str_keys=True)
        state = self._fresh()
        for name, value in cast("dict[str, Any]", plain).items():
            if name not in self._names:
                raise ValueError(f"{name!r} is no attribute of {self._class.__name__}")
            hint = self._hints.get(name)
            state.__dict__[name] = msgspec.convert(value, hint, str_keys=True) if hint is not None else thawed(value)
        for name, hint in self._hints.items():  # a default inside a nested value may have swallowed a field
            if name in plain and (
                lost := _lost(plain[name], msgspec.to_builtins(getattr(state, name), str_keys=True), name)
            ):
                raise ValueError(f"{lost} is no field of {hint!r}")
        return state

    def _unreadable(self, where: str, schema: int, why: str) -> UnreadableState:
        return UnreadableState(
            f"the kept state of {where}, of version {schema}, cannot be read as {self.name} version {self.version}",
            why=why,
            do=f"raise `state_version=` and add `@upcast({self.category!r}, {schema})`",
            category=self.category,
            version=schema,
        )


def _lost(stored: Any, again: Any, path: str) -> str | None:
    """The first field of `stored`, at any depth, that is not in `again`."""
    if stored == again:
        return None
    here: Any = stored.__class__
    there: Any = again.__class__
    if here is dict and there is dict:
        for name, value in stored.items():
            if name not in again:
                return f"{path}.{name}"
            if (lost := _lost(value, again[name], f"{path}.{name}")) is not None:
                return lost
    elif here is list and there is list:
        for n, (one, other) in enumerate(zip(stored, again, strict=False)):
            if (lost := _lost(one, other, f"{path}[{n}]")) is not None:
                return lost
    return None
