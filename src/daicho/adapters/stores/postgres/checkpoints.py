"""Who runs a processor, and how far it has come."""

from collections.abc import Mapping, Sequence
from typing import Any

from daicho.adapters.owner import is_gone
from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.together import Together, json_text
from daicho.core.segments import root_of
from daicho.ports.checkpoint_store import CUT, NOBODY, PAUSED, Advance, Checkpoint

__all__ = ["PostgresCheckpoints"]


def _checkpoint(row: Sequence[Any]) -> Checkpoint:
    processor, position, token, owner, updated_at, fold, living = row
    return Checkpoint(
        processor=processor,
        position=position,
        token=token,
        owner=owner,
        updated_at=updated_at,
        fold=fold,
        runs=bool(owner is not None and owner not in NOBODY and living and not is_gone(owner)),
    )


class PostgresCheckpoints(Part):
    """An owner lives until it releases, until its process is seen to be gone (on the same host), or for ten seconds,
    by the database's clock, after it was last heard of."""

    async def register(self, processor: str, *, position: int, fold: str | None = None) -> Checkpoint:
        rows = await self._rows(self._queries["register"], (processor, position, self._time(), fold))
        return _checkpoint(rows[0])

    async def claim(self, processor: str, owner: str) -> Checkpoint | None:
        gone: str | None = None
        while True:
            values = (owner, owner, processor, owner, gone, processor)
            rows = await self._rows(self._queries["claim"], values)
            if not rows:
                return None  # never registered: nothing to run
            [(ours, *row)] = rows
            if ours:
                return _checkpoint(row)
            present = _checkpoint(row).owner
            if present is None or present == gone or not is_gone(present):
                return None
            gone = present

    async def renew(self, owner: str) -> None:
        await self._changed(self._queries["renew"], (owner,))

    async def release(self, owner: str, processor: str | None = None) -> None:
        await self._changed(self._queries["release"], (owner, processor))

    async def pause(self, processor: str) -> None:
        await self._changed(self._queries["pause"], (PAUSED, processor))

    async def recut(self, owner: str, old: Sequence[Checkpoint], new: Mapping[str, int]) -> bool:
        names = json_text([each.processor for each in old])
        async with self._transaction() as transaction:
            found = [_checkpoint(row) for row in await transaction.rows(self._queries["uncut"], (names,))]
            if {each.processor: each.position for each in found} != {each.processor: each.position for each in old}:
                return False
            if any(each.owner in NOBODY or (each.runs and each.owner != owner) for each in found):
                return False
            token, fold = max(each.token for each in old) + 1, old[0].fold
            for each in old:
                if each.processor == root_of(each.processor):
                    await transaction.changed(self._queries["pause"], (CUT, each.processor))
                else:
                    await transaction.changed(self._queries["uncut_one"], (each.processor,))
            for name, position in new.items():
                await transaction.changed(self._queries["recut"], (name, position, token, self._time(), fold))
        return True

    async def advance(self, move: Advance) -> None:
        together = Together(self._queries, self._time(), move)
        together.check(await self._rows(together.text, together.values))
        self._committed_lazily()

    async def rewind(self, processor: str, position: int) -> None:
        await self._changed(self._queries["rewind"], (position, self._time(), processor))

    async def unseat(self, processor: str) -> None:
        await self._changed(self._queries["unseat"], (processor,))

    async def forget(self, processor: str) -> None:
        await self._changed(self._queries["forget"], (processor, processor))

    async def checkpoints(self) -> Sequence[Checkpoint]:
        return [_checkpoint(row) for row in await self._read(self._queries["checkpoints"])]
