"""The fields of a message class, from its JSON schema, and an example that it accepts."""

import re
from typing import Any, cast

import msgspec
from msgspec import inspect

__all__ = ["Schema", "example", "example_of", "fields_of", "schema_of", "untyped"]

Schema = dict[str, Any]
_EXAMPLES = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "uuid": "018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11",
    "decimal": "9.90",
}
_PARCELS = ("data", "payload", "body")
_GUESSES = (
    "name@example.org",
    "https://example.org",
    *("A", "AB", "ABC", "ABCD", "a", "ab", "abc", "abcd"),
    *(digits[:n] for digits in ["1234567890123456"] for n in range(1, 17)),
    *("A1", "A-1", "AB12", "AB-12", "123-4567", "03-1234-5678", "+81312345678", "#aabbcc", "1.0", "1.0.0"),
)
"""Texts of kinds that patterns are often about."""


def schema_of(cls: type[Any]) -> Schema:
    """JSON Schema (2020-12) of the class."""
    schema = msgspec.json.schema(cls, schema_hook=_no_schema)
    _name_times(inspect.type_info(cls), schema, schema.get("$defs", {}), set())
    return schema


def _name_times(info: inspect.Type, schema: Schema, definitions: dict[str, Schema], seen: set[type[Any]]) -> None:
    """msgspec gives a format only to times that must have a zone; a reader wants to know of the others too."""
    schema = _resolved(schema, definitions)
    match info:
        case inspect.DateTimeType():
            schema.setdefault("format", "date-time")
        case inspect.TimeType():
            schema.setdefault("format", "time")
        case inspect.StructType() if info.cls not in seen:
            seen.add(info.cls)
            for field in info.fields:
                _name_times(field.type, schema["properties"][field.encode_name], definitions, seen)
        case inspect.UnionType():
            texts = [option for option in schema.get("anyOf", ()) if option.get("type") == "string"]
            for option in info.types:
                if isinstance(option, inspect.DateTimeType | inspect.TimeType) and len(texts) == 1:
                    _name_times(option, texts[0], definitions, seen)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            _name_times(info.item_type, schema.get("items", {}), definitions, seen)
        case inspect.DictType():
            _name_times(info.value_type, schema.get("additionalProperties", {}), definitions, seen)
        case _:
            pass


def _no_schema(cls: type[Any]) -> Schema:
    return {"title": cls.__name__}


def fields_of(cls: type[Any]) -> list[dict[str, Any]]:
    """Name, type in words, default (`required` if there is none) of each field."""
    schema = schema_of(cls)
    definitions: dict[str, Schema] = schema.get("$defs", {})
    struct = _resolved(schema, definitions)
    required = struct.get("required", [])
    return [
        {
            "field": name,
            "type": _words(field),
            "default": "(required)" if name in required else msgspec.json.encode(field.get("default")).decode(),
            **({"about": field["description"]} if "description" in field else {}),
        }
        for name, field in struct.get("properties", {}).items()
    ]


def untyped(cls: type[Any]) -> list[str]:
    """Fields that hold whatever there is, or a text that stands for whatever there is: no reader knows what to expect,
    and no upcaster can tell one shape from another."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    return [field.name for field in info.fields if _is_open(field.type) or _is_parcel(field)]


def _is_open(info: inspect.Type) -> bool:
    match info:
        case inspect.AnyType() | inspect.RawType():
            return True
        case inspect.DictType():
            return _is_open(info.value_type)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return _is_open(info.item_type)
        case inspect.UnionType():
            return any(map(_is_open, info.types))
        case _:
            return False


def _is_parcel(field: inspect.Field) -> bool:
    return field.name in _PARCELS and isinstance(field.type, inspect.StrType | inspect.BytesType)


def example(cls: type[Any]) -> Any:
    """Data that decodes as the class, as far as its schema tells."""
    return example_of(schema_of(cls))


def example_of(schema: Schema) -> Any:
    """Data that the schema allows, as far as it tells."""
    return _example(schema, schema.get("$defs", {}), "text", 0)


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    reference = schema.get("$ref")
    return definitions[reference.rpartition("/")[2]] if reference else schema


def _words(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(_words(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    kind = str(schema.get("type", schema.get("title", "anything")))
    if kind == "array":
        items = schema.get("items")
        return f"list of {_words(cast('Schema', items))}" if isinstance(items, dict) else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_words(schema['additionalProperties'])}"
    text = {"string": "text", "object": str(schema.get("title", "object"))}.get(kind, kind)
    limits = [
        f"{sign} {schema[key]}"
        for key, sign in (
            ("minimum", ">="),
            ("exclusiveMinimum", ">"),
            ("maximum", "<="),
            ("exclusiveMaximum", "<"),
            ("minLength", "length >="),
            ("maxLength", "length <="),
            ("pattern", "like"),
        )
        if key in schema
    ]
    return f"{schema.get('format', text)}{' ' if limits else ''}{', '.join(limits)}"


def _example(schema: Schema, definitions: dict[str, Schema], name: str, depth: int) -> Any:
    if examples := schema.get("examples"):
        return examples[0]
    schema = _resolved(schema, definitions)
    if "anyOf" in schema:
        options: list[Schema] = schema["anyOf"]
        best = next((option for option in options if option.get("type") != "null"), options[0])
        return _example(best, definitions, name, depth)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties: dict[str, Schema] = schema.get("properties", {})
            required: list[str] = schema.get("required", [])
            return {
                key: _example(value, definitions, key, depth + 1)
                for key, value in properties.items()
                if key in required or depth == 0
            }
        case "array":
            items = schema.get("items") or next(iter(schema.get("prefixItems", [])), None)
            empty = depth > 4 or not isinstance(items, dict)
            return [] if empty else [_example(cast("Schema", items), definitions, name, depth + 1)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema, name)


def _text(schema: Schema, name: str) -> str:
    """One that keeps to length and pattern, if a guess does."""
    first = _EXAMPLES.get(schema.get("format", ""), f"{name}-1")
    least, most, pattern = schema.get("minLength", 0), schema.get("maxLength"), schema.get("pattern", "")

    def fits(text: str) -> bool:
        return len(text) >= least and (most is None or len(text) <= most) and bool(re.search(pattern, text))

    guesses = (first, first[:most].ljust(least, "x"), *_GUESSES)
    return next(filter(fits, guesses), first)


def _number(schema: Schema) -> Any:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = low if low is not None else above + 1 if above is not None else 1
    return value if high is None or value <= high else high
