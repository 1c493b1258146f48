"""Mappings, lists, texts, numbers and truth as YAML: the little of it that cannot be misread."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

__all__ = ["Raw", "yaml"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*\Z")
_TAKEN = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


class Raw(str):
    """Stands as it is: for templates."""


def yaml(value: Any, indent: int = 0) -> str:
    """A document, or a part of one at that depth. Ends with a line feed."""
    return "".join(f"{line}\n" for line in _lines(value, " " * indent))


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            yield from _entry(f"{indent}{_text(str(name))}:", inner, indent)
    elif isinstance(value, list | tuple):
        for inner in cast("Iterable[Any]", value):
            if isinstance(inner, Mapping) and inner:
                first, *rest = _lines(inner, f"{indent}  ")
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield from _entry(f"{indent}-", inner, indent)
    else:
        yield f"{indent}{_text(value)}"


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value and not isinstance(value, Raw):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
        yield from (f"{indent}  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping | list | tuple) and value:
        yield head
        yield from _lines(value, f"{indent}  ")
    else:
        yield f"{head} {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _TAKEN:
        return value
    return (
        json.dumps(value, ensure_ascii=False)
        if value or not isinstance(value, Mapping | tuple)
        else ("{}" if isinstance(value, Mapping) else "[]")
    )
