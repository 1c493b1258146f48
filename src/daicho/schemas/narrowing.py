"""Whether data of one JSON schema can be read by another: what the new one refuses of what the old one allowed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

__all__ = ["narrowings", "same_shape"]

Schema: TypeAlias = Mapping[str, Any]

_LOWEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_HIGHEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EQUAL = ("format", "pattern", "multipleOf", "const", "contentEncoding")
_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_WORDS = ("title", "description", "examples")


def narrowings(old: Schema, new: Schema) -> list[str]:
    """In words, with the place: `quantity: integer, was string`. Empty: whatever was stored can be read as it is."""
    return list(_Comparison(old, new).of(old, new, ""))


def same_shape(old: Schema, new: Schema) -> bool:
    """Whether they differ in words alone."""
    return bool(_bare(old) == _bare(new))


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(each) for each in cast("Sequence[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", schema).items():
        if key in ("properties", "$defs"):
            found[key] = {name: _bare(each) for name, each in value.items()}
        elif key not in _WORDS:
            found[key] = sorted(value) if key == "required" else _bare(value)
    return found


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old.get("$defs", {}), new.get("$defs", {})
        self._seen: set[tuple[str, str]] = set()

    def of(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        names = (str(old.get("$ref", "")), str(new.get("$ref", "")))
        if all(names):
            if names in self._seen:
                return
            self._seen.add(names)
        old, new = self._resolved(old, self._old), self._resolved(new, self._new)
        if "anyOf" in old or "anyOf" in new:
            yield from self._options(old, new, at)
            return
        was, now = _type(old), _type(new)
        if now is not None and was != now and not (was == "integer" and now == "number"):
            yield f"{_place(at)}{now}, was {was or 'anything'}"
            return
        yield from self._limits(old, new, at)
        yield from self._fields(old, new, at)
        yield from self._items(old, new, at)

    def _options(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        taken = new.get("anyOf", [new])
        for option in old.get("anyOf", [old]):
            seen = set(self._seen)
            refusals: list[list[str]] = []
            alike: list[list[str]] = []
            for each in taken:
                self._seen = set(seen)
                refusals.append(list(self.of(option, each, at)))
                if self._kind(option, self._old) == self._kind(each, self._new):
                    alike.append(refusals[-1])
            self._seen = seen
            if all(refusals):
                yield from min(alike, key=len, default=[f"{_place(at)}{_named(option)} is taken no more"])

    def _limits(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        for key in (*_LOWEST, *_HIGHEST, *_EQUAL):
            was, now = old.get(key), new.get(key)
            if now is None or now == was:
                continue
            wider = was is not None and ((key in _LOWEST and now < was) or (key in _HIGHEST and now > was))
            if not wider:
                yield f"{_place(at)}{key} is {now}, was {'any' if was is None else was}"
        if "enum" in new:
            allowed = old.get("enum", [old["const"]] if "const" in old else None)
            gone = ["others"] if allowed is None else [repr(each) for each in allowed if each not in new["enum"]]
            if gone:
                yield f"{_place(at)}{', '.join(gone)} is taken no more"

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        if "properties" not in old and "properties" not in new:
            return
        were, are = old.get("properties", {}), new.get("properties", {})
        for name in were:
            if name in are:
                yield from self.of(were[name], are[name], f"{at}.{name}".lstrip("."))
            else:
                yield f"{_place(at)}the field {name} is gone"
        for name in new.get("required", ()):
            if name not in were:
                yield f"{_place(at)}the field {name} is new and has no default"
            elif name not in old.get("required", ()):
                yield f"{_place(at)}the field {name} has no default any more"

    def _items(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        for key, end in (("items", "[]"), ("additionalProperties", "{}")):
            was, now = old.get(key), new.get(key)
            if isinstance(now, dict):
                nothing: Schema = {}
                yield from self.of(nothing if isinstance(was, bool | None) else was, cast("Schema", now), f"{at}{end}")
            elif now is False and was is not False:
                yield f"{_place(at)}no further {key} are taken"
        were, are = old.get("prefixItems", []), new.get("prefixItems", [])
        for n, (was, now) in enumerate(zip(were, are, strict=False)):
            yield from self.of(was, now, f"{at}[{n}]")

    def _kind(self, schema: Schema, definitions: Schema) -> str | None:
        return _type(self._resolved(schema, definitions))

    @staticmethod
    def _resolved(schema: Schema, definitions: Schema) -> Schema:
        reference = schema.get("$ref")
        return definitions.get(str(reference).rpartition("/")[2], {}) if reference else schema


def _type(schema: Schema) -> str | None:
    """Of the values that an enumeration names, where they are of one."""
    values: list[Any] = schema.get("enum", [schema["const"]] if "const" in schema else [])
    named = {next((name for kind, name in _TYPES.items() if kind is type(each)), None) for each in values}
    return schema.get("type") or (named.pop() if len(named) == 1 else None)


def _place(at: str) -> str:
    return f"{at}: " if at else ""


def _named(schema: Schema) -> str:
    return str(schema.get("$ref", schema.get("title", schema.get("type", "a value")))).rpartition("/")[2]
