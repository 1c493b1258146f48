"""Messages from requests: from bodies, and from the parts of an address."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import inspect

from daicho.core.codec import encode_json, invalid
from daicho.core.errors import InvalidMessage
from daicho.core.messages import Message

__all__ = ["Reading", "unfit"]

M = TypeVar("M", bound=Message)
_FIELD = re.compile(r"(?:unknown|required) field `(.+)`\Z")
_MANY = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType, inspect.TupleType)
_NUMBERS = (inspect.DecimalType, inspect.FloatType, inspect.AnyType)


class Reading(Generic[M]):
    """Makes messages of one class from what a client sent. Raises InvalidMessage that names the field."""

    def __init__(self, message: type[M]) -> None:
        self.message, self.name = message, message.__message_name__
        self._decode = msgspec.json.Decoder(message).decode
        info = cast("inspect.StructType", inspect.type_info(message))
        self._lists = {field.encode_name: _holds_many(field.type) for field in info.fields}
        self._types: dict[str, Any] = {field.encode_name: field.type for field in msgspec.structs.fields(message)}
        self._may_be_infinite = _reaches_numbers(info, set())

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(self._types)

    def from_body(self, body: bytes, parameters: Mapping[str, str] | None = None) -> M:
        """`parameters`, from the path, fill the fields of their names; the body has the others."""
        try:
            if parameters:
                body = self._merged(body, parameters)
            return self._finite(self._decode(body))
        except msgspec.ValidationError as error:
            raise unfit(self.name, error) from error
        except msgspec.DecodeError as error:  # what the check for JSON lets pass: half a surrogate pair
            raise InvalidMessage(f"{self.name} is not valid: {error}", do="send text in Unicode", path="$") from error

    def from_parameters(self, given: list[tuple[str, str]], parameters: Mapping[str, str] | None = None) -> M:
        """From the query of an address. A field that holds many may be given more than once."""
        found: dict[str, Any] = dict(parameters or {})
        for name, value in given:
            if self._lists.get(name):
                found.setdefault(name, []).append(value)
            elif name in found:
                raise InvalidMessage(f"{self.name} is given {name} twice", do="give it once", path=f"$.{name}")
            else:
                found[name] = value
        try:
            return self._finite(msgspec.convert(found, self.message, strict=False))
        except msgspec.ValidationError as error:
            raise unfit(self.name, error) from error

    def _merged(self, body: bytes, parameters: Mapping[str, str]) -> bytes:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        for name, text in parameters.items():
            if name in found:
                raise InvalidMessage(
                    f"{self.name} is given {name} twice", why="the path has it", do="leave it out of the body",
                    path=f"$.{name}",
                )  # fmt: skip
            try:
                value = msgspec.convert(text, self._types[name], strict=False)
            except msgspec.ValidationError as error:
                raise InvalidMessage(
                    f"{self.name} is not valid: {error} at {name}", do="correct the path", path=f"$.{name}"
                ) from error
            found[name] = msgspec.Raw(encode_json(value))
        return encode_json(found)

    def _finite(self, message: M) -> M:
        if self._may_be_infinite and (path := _infinite(message, "$")):
            raise InvalidMessage(
                f"{self.name} is not valid: a number is not finite at {path}", do="send a number", path=path
            )
        return message


def unfit(name: str, error: msgspec.ValidationError) -> InvalidMessage:
    """Points to the field itself where msgspec points to what it is missing from, or unknown in."""
    told = invalid(name, error)
    text, _, path = str(error).partition(" - at `")
    if field := _FIELD.search(text):
        told.data["path"] = f"{path.rstrip('`') or '$'}.{field[1]}"
    return told


def _holds_many(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(map(_holds_many, kind.types))
    return isinstance(kind, _MANY)


def _reaches_numbers(kind: Any, seen: set[int]) -> bool:
    """Whether a value of the type can hold a float or Decimal, anywhere."""
    if isinstance(kind, _NUMBERS):
        return True
    if id(kind) in seen:
        return False
    seen.add(id(kind))
    inner: list[Any] = []
    for name in ("fields", "types", "item_types"):
        inner += getattr(kind, name, ())
    for name in ("type", "item_type", "key_type", "value_type"):
        inner += [each] if isinstance(each := getattr(kind, name, None), inspect.Type) else []
    inner = [each.type if hasattr(each, "encode_name") else each for each in inner]
    return any(_reaches_numbers(each, seen) for each in inner)


def _infinite(value: Any, path: str) -> str | None:
    """Where a number is that is none."""
    inner: Iterable[tuple[str, Any]] = ()
    match value:
        case float() | Decimal():
            return None if isfinite(value) else path
        case msgspec.Struct():
            inner = ((f"{path}.{name}", getattr(value, name)) for name in value.__struct_fields__)
        case dict():
            inner = ((f"{path}.{key}", each) for key, each in cast("dict[object, Any]", value).items())
        case list() | tuple() | set() | frozenset():
            inner = ((f"{path}[{n}]", each) for n, each in enumerate(cast("Iterable[Any]", value)))
        case _:
            pass
    return next((found for where, each in inner if (found := _infinite(each, where))), None)
