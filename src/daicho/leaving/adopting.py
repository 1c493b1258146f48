"""Rows of a foreign table as the first events of streams: each one once, however often it is tried."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from daicho.app import App
from daicho.core.behaviour import Behaviour
from daicho.core.errors import ConcurrencyError, ConfigurationError, InvalidMessage, NotFound
from daicho.core.ids import derived_id
from daicho.core.messages import Event
from daicho.core.stored import NewEvent
from daicho.core.streams import stream_name
from daicho.core.times import to_text
from daicho.leaving.foreign import ForeignTable, Source
from daicho.ports.event_store import AppendRequest, EventStore, StreamWrite
from daicho.write.encoding import tags_of

__all__ = ["Adopted", "Adoption", "Proposal", "proposals"]

_NAMESPACE = "2c1c7f0e-6d3c-5f0e-9a53-0d6f9b6f4a11"
"""Of the ids of adopted events; fixed for ever."""
_AT_ONCE = 500
_OWN = "daicho."


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    table: str
    rows: int
    key: str | None
    columns: tuple[str, ...]
    events: tuple[str, ...]
    """Types whose required fields are all among the columns, the one with most fields in common first."""


class Adopted(msgspec.Struct, kw_only=True):
    new: int = 0
    there: int = 0
    """Rows that were adopted before."""
    taken: list[str] = []
    """Streams that begin with something else: their rows were left out."""


def proposals(app: App, source: Source) -> list[Proposal]:
    """What each table could become."""
    return [
        Proposal(table=t.name, rows=t.rows, key=t.key, columns=t.columns, events=tuple(_fitting(app, t)))
        for t in source.tables()
    ]


def _fitting(app: App, table: ForeignTable) -> list[str]:
    columns = {column.lower() for column in table.columns}
    found: list[tuple[int, str]] = []
    for name, cls in app.registry.classes.items():
        fields = msgspec.structs.fields(cls)
        if not name.startswith(_OWN) and all(field.name in columns for field in fields if field.required):
            found.append((-sum(field.name in columns for field in fields), name))
    return [name for _, name in sorted(found)]


class Adoption:
    """How rows of one table become events of one type."""

    def __init__(
        self,
        app: App,
        table: ForeignTable,
        event: str,
        *,
        key: str | None = None,
        category: str | None = None,
        fields: Mapping[str, str] | None = None,
        at: str | None = None,
    ) -> None:
        """
        key       column that tells the stream; by itself that of the aggregate's key, or the table's primary key
        category  of the streams, if more than one records such events
        fields    columns by field, where their names differ
        at        column with the time at which it happened; texts without a zone are UTC. Without it: now

        Raises NotFound, ConfigurationError.
        """
        classes = app.registry.classes
        if event not in classes:
            known = sorted(name for name in classes if not name.startswith(_OWN))
            raise NotFound(f"the app has no event {event!r}", do=f"name one of {', '.join(known)}")
        self._app, self._table, self._class = app, table, classes[event]
        behaviour = self._behaviour(category)
        self._category = behaviour.category
        self._at = self._column(at, "--at") if at else None
        names = {field.name: field for field in msgspec.structs.fields(self._class)}
        if strange := set(fields or {}) - set(names):
            raise ConfigurationError(f"{event} has no field {min(strange)!r}", do=f"it has {', '.join(names)}")
        by_name = {column.lower(): column for column in table.columns}
        self._columns: dict[str, str] = {}
        for name, field in names.items():
            if given := (fields or {}).get(name):
                self._columns[name] = self._column(given, f"--set {name}=")
            elif name in by_name:
                self._columns[name] = by_name[name]
            elif field.required:
                do = f"--set {name}=COLUMN; the table has {', '.join(table.columns)}"
                raise ConfigurationError(f"no column of {table.name} is called {name!r}, which {event} needs", do=do)
        natural = self._columns.get(getattr(behaviour.part, "key", ""))
        self._key = self._column(key or natural or table.key or "", "the key of the stream, --key")
        if natural is not None and self._key != natural:
            raise ConfigurationError(
                f"the streams of {behaviour.name} are named by {natural!r}, not by {self._key!r}",
                why="commands would not find what the rows became",
                do=f"leave out --key, or say --set {getattr(behaviour.part, 'key', '')}={self._key}",
            )

    def _behaviour(self, category: str | None) -> Behaviour:
        behaviours = {each.category: each for each in self._app.model.categories.values() if self._class in each.events}
        name = self._class.__message_name__
        if category is not None and category not in behaviours:
            raise ConfigurationError(f"{category!r} does not record {name}", do=f"one of {', '.join(behaviours)}")
        if not behaviours or (category is None and len(behaviours) > 1):
            raise ConfigurationError(
                f"{len(behaviours) or 'no'} aggregates record {name}", do="name one of them with --category"
            )
        found = behaviours[category] if category else next(iter(behaviours.values()))
        if found.keeps_state or found.rules is not None:
            raise ConfigurationError(
                f"streams of {found.category!r} do not begin with any event",
                why="they are kept as a state, or rules hold among them",
                do="put the rows into a Crud part and `daicho move`; or send a command for each",
            )
        return found

    def _column(self, name: str, what: str) -> str:
        if name not in self._table.columns:
            do = f"it has {', '.join(self._table.columns)}"
            raise ConfigurationError(f"{self._table.name} has no column {name!r} for {what}", do=do)
        return name

    def placed(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[tuple[str, NewEvent, Event]]:
        """Stream, and the event as it is stored and as it is read. Raises InvalidMessage that names the row."""
        for row in rows:
            key = str(row[self._key])
            where = f"{self._table.name} {key!r}"
            try:
                event = msgspec.convert(
                    {name: row[column] for name, column in self._columns.items()}, self._class, strict=False
                )
                happened = self._app.clock.now() if self._at is None else _moment(row[self._at])
                data = self._app.registry.encode(event)
                stream = stream_name(self._category, key)
            except (msgspec.ValidationError, ValueError, InvalidMessage) as error:
                raise InvalidMessage(
                    f"the row {where} is no {self._class.__message_name__}: {error}",
                    do="mend the row, or name other columns with --set; adopting again leaves alone what is there",
                    path=where,
                ) from error
            command_id = derived_id(_NAMESPACE, f"{self._class.__message_name__}\0{stream}")
            new = NewEvent(
                event_id=derived_id(command_id, "0"),
                type=self._class.__message_name__,
                schema_version=self._class.__schema_version__,
                data=data,
                occurred_at=to_text(happened),
                correlation_id=command_id,
                causation_id=command_id,
                tags=tags_of(event),
                metadata=msgspec.json.encode({"adopted": self._table.name}),
            )
            yield stream, new, event

    async def run(
        self, store: EventStore, rows: Iterator[Mapping[str, Any]], told: Callable[[int], None] = lambda _: None
    ) -> Adopted:
        """Appends them. A row that was adopted before is left alone, so that it may be run again."""
        placed, adopted = self.placed(rows), Adopted()
        while batch := list(islice(placed, _AT_ONCE)):
            await _append(store, batch, adopted)
            told(adopted.new + adopted.there)
        return adopted


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _append(store: EventStore, batch: Sequence[tuple[str, NewEvent, Event]], adopted: Adopted) -> None:
    requests = [
        AppendRequest(writes=(StreamWrite(stream=stream, events=(event,), expected=0),)) for stream, event, _ in batch
    ]
    for (stream, _, _), answer in zip(batch, await store.append(requests), strict=True):
        if isinstance(answer, ConcurrencyError):
            adopted.taken.append(stream)
        elif isinstance(answer, Exception):
            raise answer
        else:
            adopted.there += answer.duplicate
            adopted.new += not answer.duplicate
