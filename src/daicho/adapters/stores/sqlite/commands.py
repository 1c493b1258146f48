"""What became of commands."""

from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.ports.event_store import CommandOutcome

__all__ = ["SqliteCommandLog", "outcome_values"]

_json = msgspec.json.Encoder().encode
_RECORD, _KEEP_FIRST = statement("record_command"), statement("keep_first_command")
_ONE, _PENDING = statement("command"), statement("pending_commands")
_NEWEST, _OF_FLOW = statement("commands"), statement("commands_of_flow")


def outcome_values(
    outcome: CommandOutcome, stream: str | None = None, version: int = 0, position: int = 0
) -> tuple[Any, ...]:
    """The columns, in the order of `record_command`; with what an append found out, if a stream is given."""
    payload: bytes | str | None = outcome.payload
    if outcome.payload is not None and outcome.payload[:1] == b"{":
        try:
            payload = outcome.payload.decode()
        except UnicodeDecodeError:
            payload = outcome.payload
    if stream is None:
        version, position = outcome.version, outcome.position
    return (
        outcome.command_id,
        outcome.name,
        outcome.state,
        outcome.key,
        outcome.fingerprint,
        outcome.stream if stream is None else stream,
        version,
        position,
        outcome.reason,
        outcome.actor,
        outcome.tenant,
        outcome.correlation_id,
        outcome.cause,
        outcome.handler,
        outcome.received_at,
        outcome.finished_at,
        payload,
    )


def _outcome(row: tuple[Any, ...]) -> CommandOutcome:
    return CommandOutcome(**dict(zip(CommandOutcome.__struct_fields__, row, strict=True)))


class SqliteCommandLog(Part):
    async def record(self, outcome: CommandOutcome, *, replace: bool = True) -> CommandOutcome:
        def work(transaction: Transaction) -> CommandOutcome:
            transaction.connection.execute(_RECORD if replace else _KEEP_FIRST, outcome_values(outcome))
            return _outcome(transaction.connection.execute(_ONE, (outcome.command_id,))[0])

        return await self._write(work)

    async def note(self, outcome: CommandOutcome) -> None:
        self._ride(lambda transaction: transaction.connection.execute(_RECORD, outcome_values(outcome)))

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        await self._settled()
        rows = await self._here(lambda connection: connection.execute(_ONE, (command_id,)))
        return _outcome(rows[0]) if rows else None

    async def pending(self, *, limit: int, names: Sequence[str] | None = None) -> Sequence[CommandOutcome]:
        await self._settled()
        wanted = None if names is None else _json(list(names)).decode()
        rows = await self._aside(lambda connection: connection.execute(_PENDING, (wanted, wanted, limit)))
        return [_outcome(row) for row in rows]

    async def outcomes(
        self, *, state: str | None = None, correlation_id: str | None = None, limit: int = 100
    ) -> Sequence[CommandOutcome]:
        await self._settled()
        sql, bound = _NEWEST, (state, state, limit)
        if correlation_id is not None:
            rows = await self._here(
                lambda connection: connection.execute(_OF_FLOW, (correlation_id, state, state, limit))
            )
        else:
            rows = await self._aside(lambda connection: connection.execute(sql, bound))
        return [_outcome(row) for row in rows]
