"""Present states: a row for each stream that keeps one. How they are written: see migrations/0010."""

import base64
from collections.abc import Sequence

import msgspec

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.together import json_text
from daicho.ports.state_store import Pruned, Standing, StateRow

__all__ = ["PostgresStates"]

_rules = msgspec.json.Decoder(tuple[str, ...]).decode


class PostgresStates(Part):
    async def states(self, category: str, *, after: str = "", limit: int = 100) -> list[StateRow]:
        start, end = max(after, f"{category}-"), f"{category}."  # '.' is the character after '-'
        return [
            StateRow(
                stream=stream,
                version=version,
                position=position,
                schema_version=schema_version,
                data=state or packed,
                updated_at=updated_at,
            )
            for stream, version, position, schema_version, state, packed, updated_at in await self._read(
                self._queries["states"], (start, end, limit)
            )
        ]

    async def standings(self) -> dict[str, Standing]:
        return {
            category: Standing(
                category=category, kind=kind, moving_to=moving_to, pruned_to=pruned_to, rules=_rules(rules)
            )
            for category, kind, moving_to, pruned_to, rules in await self._read(self._queries["standings"])
        }

    async def note_standing(self, standing: Standing, *, only_new: bool = False) -> None:
        text = self._queries["note_new_standing" if only_new else "note_standing"]
        rules = json_text(standing.rules)
        await self._changed(text, (standing.category, standing.kind, standing.moving_to, standing.pruned_to, rules))

    async def prune(self, category: str, some: Sequence[Pruned], up_to: int) -> int:
        told = [
            {
                "s": each.stream,
                "v": each.version,
                "o": each.occurred_at,
                "k": each.schema_version,
                "b": base64.b64encode(each.data).decode(),
            }
            for each in some
        ]
        [(gone,)] = await self._rows(self._queries["prune"], (category, json_text(told), up_to))
        return int(gone)

    async def base(self, stream: str) -> Pruned | None:
        rows = await self._read(self._queries["base"], (stream,))
        if not rows:
            return None
        [(version, occurred_at, schema_version, data)] = rows
        return Pruned(stream=stream, version=version, occurred_at=occurred_at, schema_version=schema_version, data=data)
