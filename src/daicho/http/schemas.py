"""JSON schemas of everything that an App sends and takes, by name, from the annotations alone."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from daicho.app import App
from daicho.core.handlers import answer_of
from daicho.core.messages import Command, Event, Message, Query, Row

__all__ = ["Schemas", "ref"]

_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_WHERE = "#/components/schemas/{name}"


def ref(name: str) -> dict[str, Any]:
    return {"$ref": _WHERE.format(name=name)}


class Schemas:
    """`components` are for the document, under `components/schemas`; `of(...)` refers to them."""

    def __init__(self, app: App) -> None:
        self.commands: Sequence[type[Command]] = _by_name([*app.model.behaviours, *app.model.remote])
        self.queries: Sequence[type[Query[Any]]] = _by_name(app.model.queries)
        self.events: Sequence[type[Event]] = _by_name(app.registry.classes.values())
        answers = [answer_of(query) for query in self.queries]
        tables: list[Any] = [crud.row_type for crud in app.model.cruds if crud.path is not None]
        named: list[Any] = [*self.commands, *self.queries, *self.events, *tables]
        asked = [*named, *(Any if a is None else a for a in answers)]
        schemas, components = msgspec.json.schema_components(asked, schema_hook=_anything, ref_template=_WHERE)
        self.components: dict[str, Any] = dict(components)
        for schema in [*self.components.values(), *schemas]:
            _tell_decimals(schema)
        self._of: dict[Any, dict[str, Any]] = dict(zip(named, schemas, strict=False))
        self.rows: dict[Any, dict[str, Any]] = {table: self._of[table] for table in tables}
        first = len(schemas) - len(answers)
        self.answers = dict(zip(self.queries, schemas[first:], strict=True))

    def of(self, message: type[Message | Row]) -> dict[str, Any]:
        """A reference to its schema."""
        return self._of[message]

    def whole(self, message: type[Message | Row]) -> dict[str, Any]:
        """The schema itself."""
        name = self._of[message]["$ref"].rpartition("/")[2]
        schema: dict[str, Any] = self.components[name]
        return schema

    def without(self, message: type[Message | Row], names: Iterable[str]) -> dict[str, Any]:
        """The schema without some of its fields."""
        schema, gone = self.whole(message), set(names)
        return {
            **schema,
            "title": f"{schema['title']}Body",
            "properties": {name: each for name, each in schema["properties"].items() if name not in gone},
            "required": [name for name in schema.get("required", ()) if name not in gone],
        }

    def is_plain(self, schema: dict[str, Any]) -> bool:
        """Whether a value can stand in an address: a text, number or truth, or a list of them."""
        found = self._resolved(schema)
        alternatives = found.get("anyOf")
        if alternatives is not None:
            return all(map(self.is_plain, alternatives))
        if found.get("type") == "array":
            items: dict[str, Any] = found.get("items", {})
            return self._resolved(items).get("type") not in ("array", "object", None)
        return found.get("type") != "object" and ("type" in found or "enum" in found)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.components[schema["$ref"].rpartition("/")[2]]
        return schema


def _by_name(messages: Iterable[Any]) -> list[Any]:
    return sorted(messages, key=lambda message: message.__message_name__)


def _tell_decimals(schema: Any) -> None:
    """A format is only a hint: a pattern says which texts are taken."""
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        if found.get("format") == "decimal" and found.get("type") == "string":
            found.setdefault("pattern", _DECIMAL)
        for inner in found.values():
            _tell_decimals(inner)
    elif isinstance(schema, (list, tuple)):
        for inner in cast("Iterable[Any]", schema):
            _tell_decimals(inner)


def _anything(_: type) -> dict[str, Any]:
    """For types of the user's own, which say nothing of how they are written."""
    return {}
