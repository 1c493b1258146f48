"""A hash of code: changes when what a function does changes, not when it moves or is reformatted."""

import re
from hashlib import blake2b
from types import CodeType
from typing import Any, cast

import msgspec

__all__ = ["fingerprint"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(*things: Any) -> str:
    """16 hex digits over functions (bytecode, constants, names), struct classes (field names and types) and values.

    Blind to functions that the given ones call: change one of those, and say so (see `daicho projection rebuild`).
    """
    digest = blake2b(digest_size=8)
    for thing in things:
        digest.update(_describe(thing).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _describe(thing: Any) -> str:
    code = getattr(thing, "__code__", None)
    if isinstance(code, CodeType):
        return _code(code)
    if isinstance(thing, type) and issubclass(thing, msgspec.Struct):
        return repr([(f.name, str(f.type)) for f in msgspec.structs.fields(thing)])
    if isinstance(thing, msgspec.Struct):
        return f"{_describe(type(thing))}{thing!r}"
    named = getattr(cast("object", thing), "__qualname__", None)
    # an object that is called: where it lies in memory says nothing about what it does
    return _ADDRESS.sub("", repr(cast("object", thing))) if named is None else str(named)


def _code(code: CodeType) -> str:
    return repr((code.co_code.hex(), [_constant(c) for c in code.co_consts], code.co_names, code.co_varnames))


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # `x in {...}`: its order differs from process to process
        return f"{{{sorted(_constant(item) for item in cast('frozenset[object]', value))}}}"
    if isinstance(value, tuple):
        return f"({[_constant(item) for item in cast('tuple[object, ...]', value)]})"
    return repr(value)
