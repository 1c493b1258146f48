"""Who does what: processes of the same App share the processors among them, and hand some over when others come.

Every process looks at the checkpoints again and again, and counts who is alive and what there is to run. From that each
knows, without asking, how much is its share: so many units of work, whole processors or segments of them, that all
shares together are everything, and no two differ by more than one. It claims what is free up to its share, and gives up
what is above it. Looks that differ for a moment do no harm: leases and their tokens decide, not the looks.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import field

from daicho.core.errors import StoreClosed, StoreError
from daicho.core.segments import WHOLE, Segment, root_of, segment_of
from daicho.ports.checkpoint_store import CUT, NOBODY, Checkpoint, CheckpointStore
from daicho.ports.dead_letter_store import DeadLetterStore
from daicho.read.processor import Processor, Runnable

__all__ = ["NODE", "Crew", "Job"]

_log = logging.getLogger("daicho")
NODE = "node:"
"""Before the name of an App and of an owner: the checkpoint that says that a process is there."""
_MERGE = "merging:"
"""Before a processor's name: a checkpoint where its segments stop, to be put together."""
_LOOK_WHILE_WAITING, _LOOK = 0.25, 1.0
_STRANDED = 3.0
"""Seconds after which what is free is taken by anybody."""
_NEWCOMER = 1.0
"""Seconds after which another process counts: who only comes to send a command is not worth a change."""


class Job(msgspec.Struct, eq=False):
    """One projection or reaction of the App, and the processors that may run it, or segments of it, here."""

    whole: Runnable
    """Its name is the job's; it changes when another build of a view goes live."""
    wanted: int
    """So many segments it should have."""
    processor: Callable[[Segment], Processor[Any]]
    """Makes a new one."""
    prepare_cut: Callable[[Sequence[Checkpoint], Mapping[str, int]], Awaitable[None]] | None = None
    """Called before the checkpoints are replaced, perhaps in vain."""
    was_told: bool = False
    """Whether the log says already why it is not cut."""
    processors: dict[Segment, Processor[Any]] = field(default_factory=dict[Segment, Processor[Any]])

    @property
    def name(self) -> str:
        return self.whole.name


class Crew:
    """This process among those that share the work."""

    def __init__(
        self, team: str, owner: str, checkpoints: CheckpointStore, letters: DeadLetterStore, jobs: Iterable[Job]
    ) -> None:
        """`team`: who has the same one shares the same work."""
        self._owner, self._checkpoints, self._letters = owner, checkpoints, letters
        self._jobs = list(jobs)
        for job in self._jobs:
            job.processors[WHOLE] = job.processor(WHOLE)
        self._name = team
        self._team: str = f"{NODE}{team}:"
        self._node = f"{self._team}{owner}"
        self._seen: dict[str, float] = {}
        """Other processes, and since when we know of them."""
        self._free_since: dict[str, float] = {}
        self._kept, self._counted = set[str](), list[str]()
        """What was taken because nobody else did, for as long as these processes are there."""
        self._watch: asyncio.Task[None] | None = None

    @property
    def processors(self) -> list[Processor[Any]]:
        """Whatever may run here now; those of a job that is cut come after the whole."""
        return [processor for job in self._jobs for processor in job.processors.values()]

    async def start(self) -> None:
        """When it returns, all work of which nobody takes care is about to be claimed."""
        await self._enlist()
        for processor in self.processors:
            processor.start()
        await self._look(newcomer_after=0.0)
        self._watch = asyncio.create_task(self._keep_looking(), name="daicho-crew")

    async def stop(self) -> None:
        """Ends all processors. What they had is still ours."""
        if self._watch is not None:
            while not self._watch.done():
                self._watch.cancel()
                await asyncio.wait([self._watch], timeout=0.2)
            self._watch = None
        for processor in self.processors:
            await processor.stop()
        with suppress(StoreError):  # then others find out by its lease
            await self._checkpoints.forget(self._node)

    async def look(self) -> None:
        """At once, because something was changed by hand."""
        if self._watch is not None:
            await self._look()

    async def _join(self, refused: Sequence[str]) -> None:
        """Shares only with those that may run the same builds: what one may not run is nobody's share then."""
        team = f"{NODE}{'~'.join([self._name, *refused])}:"
        if team != self._team:
            await self._checkpoints.forget(self._node)
            self._team, self._node = team, team + self._owner
            self._seen.clear()
            await self._enlist()

    async def _enlist(self) -> None:
        await self._checkpoints.register(self._node, position=0)
        await self._checkpoints.claim(self._node, self._owner)

    async def _keep_looking(self) -> None:
        waiting = True
        while True:
            await asyncio.sleep(_LOOK_WHILE_WAITING if waiting else _LOOK)
            try:
                waiting = await self._look()
            except StoreClosed:
                return
            except StoreError as error:
                _log.warning("could not look who runs what: %s", error)
            except Exception:  # noqa: BLE001 - told, and looked again: without looks, nothing is ever taken over
                _log.exception("could not look who runs what")

    async def _look(self, newcomer_after: float = _NEWCOMER) -> bool:
        """Decides what is to be run here. Returns whether somebody else has, or could have, some of it."""
        stored = await self._checkpoints.checkpoints()
        by_root: dict[str, dict[Segment, Checkpoint]] = {}
        for each in stored:
            if each.owner != CUT:
                by_root.setdefault(root_of(each.processor), {})[segment_of(each.processor)] = each
        units: list[tuple[Job, Checkpoint]] = []
        at_goal = set[str]()
        barred: list[str] = []
        for job in self._jobs:
            pieces = by_root.get(job.name, {})
            goal = None
            refused = job.whole.judge(stored)
            if pieces and not refused and len(pieces) != job.wanted and not await self._has_letters(job, pieces):
                goal = await self._goal(job, pieces, by_root.get(_MERGE + job.name, {}).get(WHOLE))
                if await self._recut(job, pieces):
                    return True  # the next look finds the new ones
            await self._arrange(job, pieces, goal)
            for segment, piece in pieces.items():
                job.processors[segment].check(piece)
                job.processors[segment].consumer.judge(stored)
            if refused:
                barred.append(job.name)
                continue
            at_goal |= {each.processor for each in pieces.values() if goal is not None and each.position >= goal}
            units += [(job, each) for each in pieces.values() if each.owner not in NOBODY]
        await self._join(barred)
        nodes = await self._nodes(stored, newcomer_after)
        chosen = self._chosen(units, nodes) | self._stranded(units, nodes)
        for job in self._jobs:
            for segment, processor in job.processors.items():
                name = segment.name(job.name)
                processor.allow(name in chosen and name not in at_goal)
        return len(nodes) > 1 or len(chosen) < len(units)

    def _chosen(self, units: Sequence[tuple[Job, Checkpoint]], nodes: Sequence[str]) -> set[str]:
        """What this process keeps, and what it takes of what is free. The segments of each job are dealt out in turn,
        and so are all processors that are whole: what one process has of them, and in all, is even."""
        rank, dealt = nodes.index(self._owner), 0
        groups: dict[str, list[Checkpoint]] = {}
        for job, piece in units:
            groups.setdefault("" if piece.processor == job.name else job.name, []).append(piece)
        chosen = set[str]()
        for _, pieces in sorted(groups.items()):
            share = sum(n % len(nodes) == rank for n in range(dealt, dealt + len(pieces)))
            dealt += len(pieces)
            mine = [piece.processor for piece in pieces if piece.runs and piece.owner == self._owner]
            free = [piece.processor for piece in pieces if not piece.runs]
            chosen.update([*mine, *free][:share])
        return chosen

    def _stranded(self, units: Sequence[tuple[Job, Checkpoint]], nodes: Sequence[str]) -> set[str]:
        """What nobody takes, since processes that do not have the same parts do not count the same shares."""
        now = time.monotonic()
        free = {piece.processor for _, piece in units if not piece.runs}
        self._free_since = {name: self._free_since.get(name, now) for name in free}
        if self._counted != nodes:
            self._counted, self._kept = list(nodes), set[str]()
        self._kept |= {name for name, since in self._free_since.items() if now - since > _STRANDED}
        return {p.processor for _, p in units if not p.runs or p.owner == self._owner} & self._kept

    async def _nodes(self, stored: Sequence[Checkpoint], newcomer_after: float) -> list[str]:
        """The living processes of the team, this one among them; the others once they have been there for a while."""
        now, nodes = time.monotonic(), {self._owner}
        known, self._seen = self._seen, {}
        for each in stored:
            if not each.processor.startswith(self._team) or each.processor == self._node:
                continue
            since = self._seen[each.processor] = known.get(each.processor, now)
            if not each.runs and now - since > _NEWCOMER:
                await self._checkpoints.forget(each.processor)
            elif each.runs and now - since >= newcomer_after:
                nodes.add(each.processor[len(self._team) :])
        if not any(each.processor == self._node and each.owner == self._owner for each in stored):
            await self._enlist()
        return sorted(nodes)

    async def _arrange(self, job: Job, pieces: Mapping[Segment, Checkpoint], goal: int | None) -> None:
        """A processor for each piece; the one for the whole is always there, and knows which build is live."""
        for segment in pieces:
            if segment not in job.processors:
                job.processors[segment] = processor = job.processor(segment)
                processor.start()
            job.processors[segment].goal = goal
        for segment in [s for s in job.processors if s not in pieces and s != WHOLE]:
            await job.processors.pop(segment).stop()

    # -- how many segments ----------------------------------------------------------------------------------------

    async def _has_letters(self, job: Job, pieces: Mapping[Segment, Checkpoint]) -> bool:
        """What is parked is filed under the name of its piece, and waits for that one."""
        for each in pieces.values():
            if await self._letters.letters(each.processor, limit=1):
                if not job.was_told:
                    _log.warning("%s stays in %s pieces while something of it is parked", job.name, len(pieces))
                job.was_told = True
                return True
        job.was_told = False
        return False

    async def _goal(self, job: Job, pieces: Mapping[Segment, Checkpoint], noted: Checkpoint | None) -> int | None:
        """Where pieces that are to be put together wait for each other. It is noted, so that all agree."""
        if len(pieces) < job.wanted:
            return None
        farthest = max(piece.position for piece in pieces.values())
        if noted is not None and noted.position < farthest:
            await self._checkpoints.forget(noted.processor)  # somebody who wants it otherwise went on
            return None
        return (noted or await self._checkpoints.register(_MERGE + job.name, position=farthest)).position

    async def _recut(self, job: Job, pieces: Mapping[Segment, Checkpoint]) -> bool:
        """Makes as many segments as are wanted, if nobody else is at work."""
        old = list(pieces.values())
        if any(each.owner in NOBODY or (each.runs and each.owner != self._owner) for each in old):
            return False
        new: dict[str, int] = {}
        for segment in Segment.all_of(job.wanted):
            parents = [piece for each, piece in pieces.items() if segment.within(each) or each.within(segment)]
            positions = {piece.position for piece in parents}
            if len(positions) != 1:
                return False  # those to be put together have to come to the same place first
            new[segment.name(job.name)] = positions.pop()
        if job.prepare_cut is not None:
            await job.prepare_cut(old, new)
        done = await self._checkpoints.recut(self._owner, old, new)
        if done and len(new) < len(old):
            await self._checkpoints.forget(_MERGE + job.name)
        return done
