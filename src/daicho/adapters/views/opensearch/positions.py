"""How far the rows of each processor have come: one document each, moved only by who read its latest state."""

import asyncio
import hashlib
import random
from typing import Any

import msgspec

from daicho.adapters.views.opensearch.tables import LASTING, writing
from daicho.adapters.views.opensearch.wire import Wire
from daicho.core.errors import LostLease, StoreFailed
from daicho.ports.checkpoint_store import Advance

__all__ = ["Positions", "Standing"]

_ASIDE = 0.1
"""Seconds, at most, that a refused owner waits before it hears of it."""
_KEPT = {"type": "keyword", "index": False, "doc_values": False}
_PLACE = {"type": "long", "index": False, "doc_values": False}


class _Stored(msgspec.Struct):
    processor: str
    token: int
    position: int | None
    """None: there has never been a commit."""
    updated_at: str


class Standing(msgspec.Struct):
    """A stored position, and which state of its document that is."""

    found: bool = False
    stored: _Stored | None = msgspec.field(default=None, name="_source")
    sequence: int = msgspec.field(default=-1, name="_seq_no")
    term: int = msgspec.field(default=-1, name="_primary_term")
    error: Any = None

    @property
    def token(self) -> int:
        return -1 if self.stored is None else self.stored.token

    @property
    def position(self) -> int | None:
        return None if self.stored is None else self.stored.position


class Positions:
    def __init__(self, wire: Wire, prefix: str) -> None:
        self._wire = wire
        self.index = f"{prefix}-checkpoints"

    def creation(self) -> dict[str, Any]:
        properties = {"processor": _KEPT, "updated_at": _KEPT, "token": _PLACE, "position": _PLACE}
        return {
            "settings": {"index": LASTING},
            "mappings": {"dynamic": "strict", "properties": properties},
            "aliases": {writing(self.index): {}},
        }

    async def read(self, processor: str) -> Standing:
        path = f"/{self.index}/_doc/{_id(processor)}"
        answer = await self._wire.ask("GET", path, expect=[404])
        standing: Standing = self._wire.understood(answer, Standing)
        if standing.error is not None:
            raise StoreFailed(
                f"{self._wire.location.url} has lost its index {self.index}",
                why="somebody removed it while this process had it open",
                do="restart: the read models are then brought up to date from the events",
            )
        return standing

    async def next_of(self, move: Advance) -> Standing:
        """The present state. Raises LostLease if this move is not the owner's next one."""
        standing = await self.read(move.processor)
        if standing.token > move.token or (standing.position or 0) != move.old:
            await _step_aside()
            raise _lost(move.processor)
        return standing

    async def move(self, standing: Standing, move: Advance, at: str) -> None:
        """Raises LostLease if anybody touched it since it was read."""
        if not await self._put(standing, _Stored(move.processor, move.token, move.new, at)):
            await _step_aside()
            raise _lost(move.processor)

    async def fence(self, processor: str, token: int, at: str) -> int | None:
        """The position; older tokens are refused from now on. Raises LostLease if this one is."""
        while True:
            standing = await self.read(processor)
            if standing.token > token:
                raise _lost(processor)
            fenced = _Stored(processor, token, standing.position, at)
            if standing.token == token or await self._put(standing, fenced):
                return standing.position

    async def forget(self, processor: str) -> None:
        await self._wire.ask("DELETE", f"/{self.index}/_doc/{_id(processor)}", expect=[404])

    async def _put(self, standing: Standing, stored: _Stored) -> bool:
        """Whether it was written; not if its document is in another state by now."""
        params: dict[str, str | int] = {"require_alias": "true", "op_type": "create"}
        if standing.found:
            params = {"require_alias": "true", "if_seq_no": standing.sequence, "if_primary_term": standing.term}
        path = f"/{writing(self.index)}/_doc/{_id(stored.processor)}"
        answer = await self._wire.ask("PUT", path, stored, params=params, expect=[409])
        if answer.status != 409:
            return True
        # an earlier try may have been carried out, and its answer lost
        return answer.repeated and (await self.read(stored.processor)).stored == stored


def _id(processor: str) -> str:
    """Part of a path, whatever the name is."""
    return hashlib.sha256(processor.encode()).hexdigest()


async def _step_aside() -> None:
    """A commit takes longer than taking over. Two who fight for a processor would keep each other from ending any."""
    await asyncio.sleep(random.uniform(0, _ASIDE))  # noqa: S311  (nothing secret)


def _lost(processor: str) -> LostLease:
    return LostLease(
        f"{processor} is no longer run from here",
        why="another process took it over, or its position in the read store is another one",
        do="nothing: its present owner goes on from the checkpoint",
        processor=processor,
    )
