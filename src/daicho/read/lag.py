"""How every processor of an App stands, whoever runs it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from daicho.core.segments import root_of
from daicho.core.streams import apart
from daicho.ports.checkpoint_store import CUT, PAUSED, Checkpoint
from daicho.ports.event_store import EventStore, Selection
from daicho.ports.storage import Storage
from daicho.read.processor import Processor
from daicho.read.progress import Lag, Progress

__all__ = ["lag_of"]

_STATES = ("failing", "catching up", "live", "stopped", "waiting")
"""Of several segments, the first of these is told."""


async def lag_of(
    names: Iterable[str],
    storage: Storage,
    progress: Progress,
    processors: Sequence[Processor[Any]],
    now: Callable[[], datetime],
) -> list[Lag]:
    """`names`: of whole processors. `processors`: those of this process."""
    head = await storage.head()
    stored: dict[str, list[Checkpoint]] = {}
    for checkpoint in await storage.checkpoints():
        if checkpoint.owner != CUT:
            stored.setdefault(root_of(checkpoint.processor), []).append(checkpoint)
    parked: Counter[str] = Counter()
    for name, count in (await storage.parked_counts()).items():
        parked[root_of(name)] += count
    found: list[Lag] = []
    for name in names:
        pieces = stored.get(name, [])
        position = progress.position(name)
        if position is None:
            position = min((each.position for each in pieces), default=0)
        state, error = _worst(processors, pieces)
        found.append(
            Lag(
                processor=name,
                position=position,
                events_behind=apart(position, head),
                seconds_behind=await _age(storage, position, now) if position < head else 0.0,
                parked=parked[name],
                state=state,
                error=error,
                segments=max(1, len(pieces)),
            )
        )
    return found


def _worst(processors: Sequence[Processor[Any]], pieces: Sequence[Checkpoint]) -> tuple[str, str | None]:
    if any(each.owner == PAUSED for each in pieces):
        return "paused", None
    names = {each.processor for each in pieces}
    own = [(_STATES.index(p.state), p.state, p.error or None) for p in processors if p.name in names]
    _, state, error = min(own, key=lambda each: each[0], default=(0, "waiting", None))
    return state, error


async def _age(store: EventStore, position: int, now: Callable[[], datetime]) -> float:
    """Seconds since the first event behind `position` was recorded."""
    following = await store.read(Selection(after=position), limit=1)
    if not following:
        return 0.0
    return max(0.0, (now() - datetime.fromisoformat(following[0].recorded_at)).total_seconds())
