"""A projection: a re-runnable fold of events into rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, get_args

from msgspec import inspect

from daicho.core.decider import only
from daicho.core.errors import MissingCollaborator, WiringError
from daicho.core.fingerprint import fingerprint
from daicho.core.messages import Event, RecordedEvent, Row
from daicho.core.signatures import accepted, describe, further_parameters, positional, refuse_async, returned

__all__ = ["Crud", "Fold", "Projection", "Table", "indexable", "projection", "row_type_of"]

RowT = TypeVar("RowT", bound=Row)
K = TypeVar("K", bound="str | Sequence[str]")


class Table(Generic[RowT]):
    """Something that rows are kept under: a projection, or a Crud part. The key of `views[...]`."""

    name: str
    row_type: type[RowT]


@dataclass(frozen=True, eq=False)
class Projection(Table[RowT]):
    """One fold for any store: `(row or None, event) -> row or None`. None deletes the row.

    `key` tells the row, or rows, that an event concerns. Rows and checkpoint are committed together, so a row shows
    each event exactly once. With `inline=True` the rows are also written in the transaction of the append itself.
    """

    name: str
    key: Callable[..., str | Sequence[str]]
    fold: Callable[..., RowT | None]
    row_type: type[RowT]
    inline: bool = False

    def __call__(self, row: RowT | None, event: Any, *further: Any) -> RowT | None:
        """The fold itself, so that a decorated function can still be called."""
        return self.fold(row, event, *further)


def projection(
    name: str, *, key: Callable[[Any], K] | Callable[[Any, RecordedEvent[Any]], K], inline: bool = False
) -> Callable[[Callable[..., RowT | None]], Projection[RowT]]:
    """Declares a projection.

        @projection("orders", key=lambda event: event.order_id)
        def orders(row: OrderRow | None, event: OrderCreated | OrderConfirmed) -> OrderRow | None: ...

    `key` may return several keys: the fold then runs once for each. The fold may take two further parameters, found by
    annotation: a `RecordedEvent` (the event with its envelope) and a `str` (the key it runs for); `key` may take the
    `RecordedEvent` as a second parameter.
    """

    def declare(fold: Callable[..., RowT | None]) -> Projection[RowT]:
        refuse_async(fold, "a projection")
        return Projection(name, key, fold, row_type_of(fold), inline)

    return declare


def row_type_of(fold: Callable[..., RowT | None]) -> type[RowT]:
    """The one class of rows that the annotation names. Raises WiringError."""
    hint = returned(fold)
    rows = [t for t in (get_args(hint) or (hint,)) if isinstance(t, type) and issubclass(t, Row)]
    if len(rows) != 1:
        raise WiringError(
            f"{describe(fold)} returns {hint!r}",
            why="a projection folds events into rows of one class",
            do="annotate it `-> MyRow | None`, with `class MyRow(Row)`",
        )
    return cast("type[RowT]", indexable(rows[0]))


def indexable(row_type: type[RowT]) -> type[RowT]:
    """The class, if every field that it names in `index=` and `search=` is there, and the latter are texts."""
    _check_named(row_type, "index", row_type.__index_fields__)
    _check_named(row_type, "search", row_type.__search_fields__)
    if row_type.__search_fields__:
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        for field in described.fields:
            if field.name in row_type.__search_fields__ and not _is_text(field.type):
                raise WiringError(
                    f"{row_type.__name__}.{field.name} holds no text to search",
                    why="words are looked for in fields that are `str` or `str | None`",
                    do="mend `search=` in the class statement, or keep the text in a field of its own",
                )
    return row_type


def _check_named(row_type: type[Row], keyword: str, names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in row_type.__struct_fields__]:
        raise WiringError(
            f"{row_type.__name__} has no field {unknown[0]!r} to {keyword}",
            do=f"mend `{keyword}=` in the class statement",
        )


def _is_text(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_text(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return len(others) == 1 and _is_text(others[0])
    return isinstance(kind, inspect.StrType)


class Fold(Generic[RowT]):
    """A projection compiled for running: which events, which keys, one call per row."""

    def __init__(self, part: Projection[RowT]) -> None:
        self.part, self.name = part, part.name
        self.events = only(Event, accepted(part.fold, 1), part.fold)
        self.code = fingerprint(part.fold, part.key, part.row_type)
        self._key = part.key
        try:
            self._key_takes_record = len(positional(part.key)) > 1
        except (TypeError, ValueError):  # a C function, e.g. operator.attrgetter
            self._key_takes_record = False
        self._fold = part.fold
        self._extras = [self._extra(name, hint) for name, hint in further_parameters(part.fold, 2)]
        self.needs_record = self._key_takes_record or "record" in self._extras

    def _extra(self, name: str, hint: Any) -> str:
        if hint is str:
            return "key"
        if getattr(hint, "__origin__", hint) is RecordedEvent:
            return "record"
        raise MissingCollaborator(
            f"{describe(self._fold)} asks for {name!r}: {hint!r}",
            why="a projection must give the same rows at every rebuild, so it may not touch the outside",
            do="use `RecordedEvent` (the envelope) or `str` (the key); put the rest into the event",
        )

    def keys(self, event: Event, record: "RecordedEvent[Any] | None" = None) -> tuple[str, ...]:
        found = cast("object", self._key(event, record) if self._key_takes_record else self._key(event))
        if isinstance(found, str):
            return (found,)
        keys = () if found is None else tuple(dict.fromkeys(cast("Sequence[object]", found)))
        for key in keys:
            if not isinstance(key, str):
                raise TypeError(f"the key of {self.name!r} for {type(event).__name__} is {key!r}, not a text")
        return cast("tuple[str, ...]", keys)

    def step(self, row: RowT | None, event: Event, key: str, record: "RecordedEvent[Any] | None" = None) -> RowT | None:
        extras = (key if extra == "key" else record for extra in self._extras)
        made = self._fold(row, event, *extras) if self._extras else self._fold(row, event)
        if made is not None and made.__class__ is not self.part.row_type:
            self._refuse_stranger(made)
        return made

    def pairs(self, events: Sequence[Event]) -> list[tuple[Event, str]]:
        """Each event with each of its keys; for projections that need no envelope."""
        key_of, found = self._key, list[tuple[Event, str]]()
        for event in events:
            key = key_of(event)
            if isinstance(key, str):
                found.append((event, key))
            else:
                found.extend((event, each) for each in self.keys(event))
        return found

    def run(self, pairs: Sequence[tuple[Event, str]], known: "Mapping[str, RowT | None]") -> "dict[str, RowT | None]":
        """The rows that change, from those `known` by key. Raises WiringError, and what the user's code raises."""
        fold, changed, kind = self._fold, dict[str, RowT | None](), self.part.row_type
        for event, key in pairs:
            row = changed[key] if key in changed else known[key]
            row = changed[key] = fold(row, event, key) if self._extras else fold(row, event)
            if row is not None and row.__class__ is not kind:
                self._refuse_stranger(row)
        return changed

    def _refuse_stranger(self, made: object) -> None:
        """Raises WiringError for what is no row of this view."""
        kind = self.part.row_type
        if not isinstance(made, kind):
            raise WiringError(
                f"{describe(self._fold)} returned {type(made).__name__}, and not {kind.__name__} or None",
                do=f"return the new {kind.__name__}, or None for no row",
            )


class Crud(Table[RowT]):
    """Master data that needs neither commands nor events: a table of rows, kept by key.

    `products = Crud(Product, key="sku")` is a part of the App; write by `app.crud(products).put(row)`, read by
    `views[products]`. With `path="/products"` it can be had over HTTP as well: `GET` of the table, `GET`, `PUT` and
    `DELETE` of a row; `read` and `write` name the scopes that a caller needs for it. The last writer wins.
    """

    def __init__(
        self,
        model: type[RowT],
        *,
        key: str | None = None,
        name: str | None = None,
        path: str | None = None,
        read: Sequence[str] = (),
        write: Sequence[str] = (),
    ) -> None:
        given = cast("object", model)
        if not (isinstance(given, type) and issubclass(given, Row)):
            raise WiringError(f"Crud keeps rows, and {model!r} is no class of them", do="derive it from daicho.Row")
        self.row_type = model
        self.path, self.read, self.write = path, tuple(read), tuple(write)
        if path is not None and (not path.startswith("/") or path.endswith("/") or "{" in path):
            raise WiringError(f"{path!r} is no path for the rows of {model.__name__}", do="write `/products`")
        indexable(model)
        self.key = key or model.__struct_fields__[0]
        self.name = name or model.__name__.lower()
        if self.key not in model.__struct_fields__:
            raise WiringError(f"{model.__name__} has no field {self.key!r}", do="mend `key=`")

    def key_of(self, row: RowT) -> str:
        return str(getattr(row, self.key))
