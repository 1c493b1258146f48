"""Several writes as one statement: one round trip and one transaction, all or nothing.

    with moved as (the checkpoint's move),        <- no row unless it is the owner's next one
      part_1 as (insert ... where exists (select from moved)),
      part_2 as (delete ... where exists (select from moved))
    select count(*) from moved

All parts see the tables as they were before, so no two of them may touch the same row.

What moves with a checkpoint need not wait for the disk: if the server crashes and forgets the last of it, it forgets
the rows and the checkpoint together, and the events, which are durable, are dealt with again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.postgres.queries import Queries
from daicho.adapters.stores.postgres.texts import storable
from daicho.core.errors import LostLease
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import ParkedEvent

__all__ = ["Together", "json_text"]

_encode = msgspec.json.Encoder().encode


def json_text(value: Any) -> str:
    return _encode(value).decode()


class Together:
    """What belongs to one move of a checkpoint, or to none."""

    def __init__(self, queries: Queries, now: str, move: Advance | None = None) -> None:
        self._queries, self._now, self._move = queries, now, move
        if move is None:
            self._parts, self.values = [queries["stay_part"]], list[Any]()
            self._lazily = ""
        else:
            self._lazily = ", set_config('synchronous_commit', 'off', true)"
            self._parts = [queries["advance_part"]]
            self.values = [move.new, now, move.processor, move.token, move.old]

    @property
    def text(self) -> str:
        """The whole statement. Its only answer is to be given to `check`."""
        named = (f"part_{n} as ({part})" if n else f"moved as ({part})" for n, part in enumerate(self._parts))
        return f"with {', '.join(named)} select count(*){self._lazily} from moved"  # noqa: S608

    def add(self, part: str, *values: Any) -> None:
        self._parts.append(part)
        self.values += values

    def park(self, processor: str, events: Iterable[ParkedEvent]) -> None:
        sent = {
            (event.key, event.position): msgspec.structs.replace(
                event, error=storable(event.error), trace=storable(event.trace)
            )
            for event in events
        }
        if sent:
            self.add(self._queries["park_part"], processor, self._now, json_text(list(sent.values())))

    def went_through(self, processor: str | None, numbers: Sequence[int]) -> None:
        if numbers:
            self.add(self._queries["retried_part"], json_text(list(numbers)), processor)

    def check(self, answer: Sequence[tuple[Any, ...]]) -> None:
        """Raises LostLease if nothing was written."""
        if answer[0][0] or self._move is None:
            return
        raise LostLease(
            f"{self._move.processor} is no longer run from here",
            why="another process took it over, or its checkpoint was put elsewhere by hand",
            do="nothing: its present owner goes on from the checkpoint",
            processor=self._move.processor,
        )
