"""A message out of `--data` and `--set`, checked against its class."""

import sys
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec

from daicho.core.codec import decode_json
from daicho.core.errors import InvalidMessage
from daicho.core.messages import Message

__all__ = ["message_from", "message_options"]

M = TypeVar("M", bound=Message)


def message_options(function: Any) -> Any:
    function = click.option("--set", "settings_", multiple=True, metavar="FIELD=VALUE", help="One field; repeatable.")(
        function
    )
    return click.option("--data", metavar="JSON|@FILE|-", help="The fields: JSON, a file, or standard input.")(function)


def message_from(cls: type[M], data: str | None, given: tuple[str, ...]) -> M:
    """Raises InvalidMessage that names the field."""
    name = cls.__message_name__
    text = _read(data) if data is not None else "{}"
    if given:
        fields = decode_json(text, dict[str, Any], name)
        for setting in given:
            _set(cls, fields, setting)
        text = msgspec.json.encode(fields)
    return decode_json(text, cls, name)


def _read(data: str) -> str | bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidMessage(f"{data[1:]} cannot be read", why=str(error), do="check --data @FILE") from error


def _set(cls: type[Any], fields: dict[str, Any], setting: str) -> None:
    path, equals, value = setting.partition("=")
    if not equals or not path:
        raise InvalidMessage(f"--set {setting} names no value", do="write --set field=value", path=path or "$")
    *parents, leaf = path.split(".")
    hint: Any = cls
    for parent in parents:
        hint = _hint(hint, parent)
        inner: object = fields.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise InvalidMessage(f"{parent!r} of --set {setting} is no object", do="check the path", path=f"$.{path}")
        fields = cast("dict[str, Any]", inner)
    fields[leaf] = _value(_hint(hint, leaf), value, path)


def _hint(cls: Any, field: str) -> Any:
    """Type of the field; Any if it cannot be told, and the decoding will say what is wrong."""
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        for info in msgspec.structs.fields(cls):
            if info.encode_name == field:
                return info.type
    return Any


def _value(hint: Any, text: str, path: str) -> Any:
    """The text as the field's type would have it: itself, or a number, yes/no, or JSON."""
    if hint is Any:
        return _json_or_text(text)
    try:
        return msgspec.to_builtins(msgspec.convert(text, hint, strict=False))
    except msgspec.ValidationError as error:
        value = _json_or_text(text)
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError:
            raise InvalidMessage(
                f"{text!r} does not fit the field {path}: {error}",
                do="`daicho describe NAME` prints the message's fields",
                path=f"$.{path}",
            ) from error
        return value


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
