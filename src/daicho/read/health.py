"""Whether all is well, and if not, what is wrong and what to do: for probes, for people, and for `daicho doctor`."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from daicho.core.counting import many
from daicho.core.errors import StoreError
from daicho.core.segments import root_of
from daicho.core.streams import apart, id_of
from daicho.ports.checkpoint_store import CUT, PAUSED, Checkpoint
from daicho.ports.dead_letter_store import DeadLetterStore
from daicho.ports.event_store import Selection
from daicho.ports.scheduler import STUCK
from daicho.ports.storage import Storage
from daicho.read.orphans import Orphans, told

__all__ = ["LATE", "Health", "Own", "Problem", "Status", "examine", "unreachable"]

LATE = 60.0
"""Seconds that a reader or a posted command may be behind before it is a problem."""
_MOST_STUCK = 100
_READERS = ("projection", "reaction", "process", "courier", "relay")
Status: TypeAlias = Literal["ok", "degraded", "down"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be."""

    what: str
    """A processor, `parked events`, `posted commands` or `store`."""
    detail: str
    do: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok` only if there is no problem at all: never while anything is parked."""

    status: Status
    """`degraded`: it works, but something is left undone. `down`: the store cannot be reached or does not answer."""
    problems: tuple[Problem, ...] = ()


class Own(msgspec.Struct, frozen=True):
    """What this process knows of a processor that it runs."""

    position: int | None
    state: str
    error: str


async def examine(
    storage: Storage,
    now: datetime,
    *,
    late: float = LATE,
    within: float = 5.0,
    readers: Collection[str] | None = None,
    own: Mapping[str, Own] | None = None,
) -> Health:
    """Asks the opened store, for at most `within` seconds. Raises nothing that the store raises: that is an answer.

    readers  which there should be, without their builds (`projection:orders`, `reaction:bill`); None: all that the
             store knows of
    own      what this process knows better than the store, by processor
    """
    look = _Look(storage, now, late)
    try:
        async with asyncio.timeout(within):
            problems = [
                *await look.parked(),
                *await look.readers(readers, own or {}),
                *await look.posted(),
                *await look.stuck(),
                *await look.orphans(),
            ]
    except TimeoutError:
        return unreachable(f"it did not answer within {within:g} s")
    except StoreError as error:
        return unreachable(error.what)
    return Health(status="degraded" if problems else "ok", problems=tuple(problems))


def unreachable(detail: str) -> Health:
    """The store is the one thing without which nothing works."""
    do = "look at the database and at the way to it; nothing is lost: what was accepted is durable"
    return Health(status="down", problems=(Problem(what="store", detail=detail, do=do),))


class _Look:
    """One look at the store."""

    def __init__(self, storage: Storage, now: datetime, late: float) -> None:
        self._storage, self._now, self._late = storage, now, late

    async def parked(self) -> list[Problem]:
        counts = await self._storage.parked_counts()
        return [await _parked(self._storage, name, count) for name, count in sorted(counts.items())]

    async def posted(self) -> list[Problem]:
        pending = await self._storage.pending(limit=1)  # the oldest
        age = self._since(pending[0].received_at) if pending else 0.0
        if age <= self._late:
            return []
        detail = f"{pending[0].name} has been pending for {age:.0f} s"
        return [Problem(what="posted commands", detail=detail, do="start the app: no process carries them out")]

    async def stuck(self) -> list[Problem]:
        """Instances of process managers that cannot go on without help."""
        names = {root_of(c.processor) for c in await self._storage.checkpoints() if c.processor.startswith("process:")}
        found: list[Problem] = []
        for name in sorted(names):
            notes = await self._storage.timers(name, name=STUCK, limit=_MOST_STUCK)
            if notes:
                many = f"{len(notes)}{'+' if len(notes) == _MOST_STUCK else ''}"
                what = "instance is" if len(notes) == 1 else "instances are"
                do = "`daicho process stuck` tells why; mend it, then `daicho process nudge`, or `compensate`"
                found.append(Problem(what=name, detail=f"{many} {what} stuck: {id_of(notes[0].key)}", do=do))
        return found

    async def orphans(self) -> list[Problem]:
        found = await Orphans(self._storage, self._storage).all()
        return [Problem(what=each.checkpoint, detail=told(each), do=each.do) for each in found]

    async def readers(self, wanted: Collection[str] | None, own: Mapping[str, Own]) -> list[Problem]:
        storage = self._storage
        head = await storage.head()
        found = [
            c for c in await storage.checkpoints() if c.owner != CUT and await self._is_judged(c.processor, wanted)
        ]
        problems = [await self._reader(c, head, own.get(c.processor)) for c in found]
        known = {_without_build(checkpoint.processor) for checkpoint in found}
        return [*(each for each in problems if each), *_absent(wanted or (), known)]

    async def _is_judged(self, processor: str, wanted: Collection[str] | None) -> bool:
        """Not a build that readers do not see, nor what is no reader of the log, nor one that the app has dropped."""
        kind, _, rest = root_of(processor).partition(":")
        name, _, build = rest.partition("@")
        if kind not in _READERS or (wanted is not None and _without_build(processor) not in wanted):
            return False
        if not build.isdecimal():
            return True
        live = await self._storage.live_generation(name)
        return live is None or live == int(build)

    async def _reader(self, checkpoint: Checkpoint, head: int, own: Own | None) -> Problem | None:
        position = own.position if own and own.position is not None else checkpoint.position
        behind = apart(position, head)
        age = await self._age(position) if behind else 0.0
        where = (
            f"position {position}, {many(behind, 'event')}, {age:.0f} s behind" if behind else f"position {position}"
        )
        is_late = age > self._late
        if own is not None and own.state == "failing":
            told, do = f"failing at {where}: {own.error}", "mend what it says; it tries again by itself"
        elif checkpoint.owner == PAUSED:
            told, do = f"paused at {where}", f"daicho processor resume {_without_build(checkpoint.processor)}"
        elif checkpoint.runs and is_late:
            told, do = f"at {where}", "look at its log; give it time, or more processes"
        elif not checkpoint.runs and checkpoint.owner is not None:
            told, do = f"stopped at {where}: whoever ran it is gone", "start the app: no process runs it"
        elif not checkpoint.runs and is_late:
            told, do = f"stopped at {where}", "start the app: no process runs it"
        else:
            return None
        return Problem(what=checkpoint.processor, detail=told, do=do)

    async def _age(self, position: int) -> float:
        """Seconds since the first event behind `position` was recorded."""
        following = await self._storage.read(Selection(after=position), limit=1)
        return self._since(following[0].recorded_at) if following else 0.0

    def _since(self, at: str) -> float:
        return max(0.0, (self._now - datetime.fromisoformat(at)).total_seconds())


async def _parked(letters: DeadLetterStore, processor: str, count: int) -> Problem:
    first = await letters.letters(processor, limit=1)
    told = f"; the first: {first[0].type}, key {first[0].key!r}: {first[0].error}" if first else ""
    return Problem(
        what="parked events",
        detail=f"{count} of {processor}{told}",
        do="`daicho dlq show` and `daicho dlq try` tell why; mend the code: once deployed, it retries them by itself",
    )


def _absent(wanted: Iterable[str], known: Collection[str]) -> list[Problem]:
    do = "start the app: no process has run it yet"
    return [Problem(what=name, detail="never begun", do=do) for name in sorted(wanted) if name not in known]


def _without_build(processor: str) -> str:
    """`projection:orders@1` -> `projection:orders`."""
    return root_of(processor).partition("@")[0]
