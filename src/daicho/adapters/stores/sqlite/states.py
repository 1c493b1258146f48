"""Present states: a row for each stream that keeps one."""

from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.queries import SCHEMA, statement
from daicho.adapters.stores.sqlite.reading import read_narrow
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.core.streams import category_of
from daicho.ports.event_store import Narrow, Selection, StreamWrite
from daicho.ports.state_store import Pruned, Standing, StateRow

__all__ = ["SqliteStates", "keep_state"]

_LOAD, _STATES, _KEEP, _DROP = (statement(name) for name in ("load_state", "states", "keep_state", "drop_state"))
_STANDINGS, _STANDING = statement("standings"), statement("standing")
_NOTE, _NOTE_NEW = statement("note_standing"), statement("note_new_standing")
_ALLOW, _PRUNE, _KEEP_BASE = statement("allow_deletes"), statement("prune_events"), statement("keep_base")
_NOTE_PRUNED, _BASE = statement("note_pruned"), statement("base")
_FORBID = next(text for text in SCHEMA if text.startswith("create trigger events_are_not_deleted"))
_rules = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.Encoder().encode


class SqliteStates(Part):
    async def load_state(self, stream: str, *, limit: int) -> tuple[StateRow | None, list[Narrow]]:
        def look(connection: Connection) -> tuple[StateRow | None, list[Narrow]]:
            found = connection.execute(_LOAD, (stream,))
            row = _row((stream, *found[0])) if found else None
            behind = row.version if row is not None else 0
            return row, read_narrow(connection, Selection(stream=stream, after_version=behind), limit)

        return await self._here(look)

    async def states(self, category: str, *, after: str = "", limit: int = 100) -> list[StateRow]:
        values = (max(after, f"{category}-"), f"{category}.", limit)  # '.' is the character after '-'
        return [_row(row) for row in await self._aside(lambda connection: connection.execute(_STATES, values))]

    async def standings(self) -> dict[str, Standing]:
        rows = await self._here(lambda connection: connection.execute(_STANDINGS))
        return {
            category: Standing(
                category=category, kind=kind, moving_to=moving_to, pruned_to=pruned_to, rules=_rules(rules)
            )
            for category, kind, moving_to, pruned_to, rules in rows
        }

    async def note_standing(self, standing: Standing, *, only_new: bool = False) -> None:
        rules = _encode(standing.rules).decode()
        values = (standing.category, standing.kind, standing.moving_to, standing.pruned_to, rules)
        text = _NOTE_NEW if only_new else _NOTE
        await self._write(lambda transaction: transaction.connection.execute(text, values))

    async def prune(self, category: str, some: Sequence[Pruned], up_to: int) -> int:
        def work(transaction: Transaction) -> int:
            connection = transaction.connection
            if connection.execute(_STANDING, (category,)) != [("state", None)]:
                return 0
            gone = 0
            connection.execute(_ALLOW)  # for nobody else: the trigger is back before the transaction ends
            for each in some:
                connection.execute(_PRUNE, (each.stream, each.version, each.stream))
                gone += connection.changes()
                values = (each.version, each.occurred_at, each.schema_version, each.data.decode(), each.stream)
                connection.execute(_KEEP_BASE, values)
            connection.execute(_FORBID)
            connection.execute(_NOTE_PRUNED, (up_to, category))
            return gone

        return await self._write(work)

    async def base(self, stream: str) -> Pruned | None:
        rows = await self._here(lambda connection: connection.execute(_BASE, (stream,)))
        if not rows:
            return None
        [(version, occurred_at, schema_version, state)] = rows
        return Pruned(
            stream=stream,
            version=version,
            occurred_at=occurred_at,
            schema_version=schema_version,
            data=state.encode(),
        )


def keep_state(connection: Connection, write: StreamWrite, version: int, position: int | None, now: str) -> None:
    """Once the events are in. `position` is None if there are none."""
    state = write.state
    assert state is not None
    if state.data is None:
        connection.execute(_DROP, (write.stream,))
        return
    place = state.position if position is None else position
    row = (write.stream, version, place, state.schema_version, state.data.decode(), now)
    connection.execute(_KEEP, (*row, not state.fenced, category_of(write.stream)))


def _row(values: Sequence[Any]) -> StateRow:
    stream, version, position, schema_version, state, updated_at = values
    return StateRow(
        stream=stream,
        version=version,
        position=position,
        schema_version=schema_version,
        data=state.encode(),
        updated_at=updated_at,
    )
