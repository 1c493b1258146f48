"""Which generations of a view there are, where they stand, and whose code may run them.

Each has a table, a checkpoint with the fingerprint of the code that built it, and perhaps notes, which are kept as
checkpoints, too: `built:projection:orders@2`.

    build ──> BUILT ──switch──> live ──the next is switched to, or this one rolled back──> FORMER
                                 ^                                                           │
                                 └──────────────────── rolled back to ───────────────────────┘
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import count

import msgspec

from daicho.core.errors import LostLease
from daicho.core.messages import Row
from daicho.core.segments import WHOLE, Segment, segment_of
from daicho.core.streams import apart
from daicho.ports.checkpoint_store import CUT, NOBODY, PAUSED, Checkpoint
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.elsewhere import Elsewhere

__all__ = [
    "ADOPTED",
    "BUILDER",
    "BUILDING",
    "BUILT",
    "FORMER",
    "Generation",
    "Generations",
    "former_builds",
    "generation_of",
    "is_note",
    "builder_name",
    "may_adopt",
    "processor_name",
    "standing",
]

ADOPTED = "adopted:"
"""Before a processor's name: code that was never deployed goes on with these rows. `fold` is that code."""
BUILT = "built:"
"""The build came to its end; nobody has switched to it yet."""
FORMER = "former:"
"""It was live, and is no more. `fold` is its code, which is not to adopt another generation, ever after."""
BUILDING = "building:"
"""How far a view must come before it is complete."""
BUILDER = "builder:"
"""Who builds: see `read/build_lease.py`."""
_NOTES = (ADOPTED, BUILT, FORMER, BUILDING, BUILDER)
_TRIES = 200
_builders = count(1)


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One build of a view."""

    number: int
    live: bool
    """Whether readers see it."""
    built: bool
    """Whether it can be switched to, or rolled back to: its build came to an end."""
    position: int
    events_behind: int
    """Positions between it and the head of the log."""
    code: str | None
    """Fingerprint of the code that built it."""
    own: bool
    """Whether that is the code of this App."""


def processor_name(table: TableSpec) -> str:
    """Each build of a view has a checkpoint of its own."""
    return f"projection:{table.name}@{table.generation}"


def generation_of(processor: str, name: str) -> int | None:
    """Which generation of the view `name` the checkpoint, or note, is about. Segments count as their build."""
    for note in _NOTES:
        processor = processor.removeprefix(note)
    before = f"projection:{name}@"
    number = processor.removeprefix(before).partition("/")[0]
    return int(number) if processor.startswith(before) and number.isdecimal() else None


def is_note(processor: str) -> bool:
    """Whether the checkpoint is no reader of the log."""
    return processor.startswith(_NOTES)


def former_builds(checkpoints: Iterable[Checkpoint]) -> set[str]:
    """Builds that were live and are no more: what they parked is of interest only if somebody goes back to them."""
    return {c.processor.removeprefix(FORMER) for c in checkpoints if c.processor.startswith(FORMER)}


def may_adopt(checkpoints: Sequence[Checkpoint], table: TableSpec, code: str) -> bool:
    """Whether the code has never been deployed: then it may go on with rows that other code has made."""
    builds = (c for c in checkpoints if not c.processor.startswith((ADOPTED, BUILDING)))
    return not any(c.fold == code and generation_of(c.processor, table.name) is not None for c in builds)


def standing(checkpoints: Sequence[Checkpoint], table: TableSpec, code: str) -> tuple[str, bool]:
    """Why the code may not fold events into this generation (empty: it may), and whether it has adopted it."""
    built_by = next(
        (c.fold for c in _of(checkpoints, table.name, table.generation) if c.fold is not None),
        code,
    )
    if built_by == code:
        return "", False
    note = ADOPTED + processor_name(table)
    if any(c.processor == note and c.fold == code for c in checkpoints):
        return "", True
    name, number = table.name, table.generation
    return (
        f"generation {number} was built by other code; `daicho projection deploy {name}` builds one with this code, "
        f"`daicho projection switch {name}` makes it live"
    ), False


def _of(checkpoints: Iterable[Checkpoint], name: str, number: int) -> list[Checkpoint]:
    return [c for c in checkpoints if not is_note(c.processor) and generation_of(c.processor, name) == number]


def complete_at(checkpoints: Sequence[Checkpoint], name: str, number: int, live: int | None) -> int:
    """Where this generation will be complete, if it is not yet; 0 if it is."""
    of_it = _at_work(_of(checkpoints, name, number))
    position, processor = min((c.position for c in of_it), default=0), f"projection:{name}@{number}"
    notes = {c.processor: c for c in checkpoints if is_note(c.processor) and c.processor.endswith(processor)}
    if BUILDING + processor in notes:
        goal = notes[BUILDING + processor].position
    elif number == live or live is None or BUILT + processor in notes or FORMER + processor in notes:
        return 0
    else:  # it is built beside the live one, which has come so far
        goal = max((c.position for c in _at_work(_of(checkpoints, name, live))), default=0)
    return goal if position < goal else 0


def _at_work(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Without the whole of which only segments are at work."""
    return [c for c in checkpoints if c.owner != CUT]


class Generations:
    """What is stored of one view."""

    def __init__(
        self,
        name: str,
        row_type: type[Row],
        storage: Storage,
        elsewhere: Elsewhere | None,
        views: ViewStore | None = None,
    ) -> None:
        """`views`: how its tables are made and dropped, if that takes more than the store."""
        self.name, self._row_type, self._storage, self._elsewhere = name, row_type, storage, elsewhere
        self.views: ViewStore = views or elsewhere or storage

    def table(self, number: int) -> TableSpec:
        return TableSpec(self.name, number, self._row_type)

    async def live(self) -> int:
        """0 if there is none yet."""
        return await self.views.live_generation(self.name) or 0

    async def numbers(self) -> list[int]:
        return list(await self.views.generations(self.name))

    async def list(self, code: str) -> list[Generation]:
        """All of them, by number."""
        live, head, checkpoints = await self.live(), await self._storage.head(), await self._storage.checkpoints()
        return [self._told(number, live, head, checkpoints, code) for number in await self.numbers()]

    def _told(self, number: int, live: int, head: int, checkpoints: Sequence[Checkpoint], code: str) -> Generation:
        of_it = _of(checkpoints, self.name, number)
        position = min((c.position for c in _at_work(of_it)), default=0)
        fold = next((c.fold for c in of_it), None)
        name = processor_name(self.table(number))
        return Generation(
            number=number,
            live=number == live,
            built=number == live or any(c.processor in (BUILT + name, FORMER + name) for c in checkpoints),
            position=position,
            events_behind=apart(position, head),
            code=fold,
            own=fold == code,
        )

    async def is_begun(self, number: int) -> bool:
        return bool(await self._checkpoints(number))

    async def position(self, number: int) -> int:
        return min((c.position for c in _at_work(await self._checkpoints(number))), default=0)

    async def furthest(self, number: int) -> int:
        """Where the fastest part of it stands."""
        return max((c.position for c in _at_work(await self._checkpoints(number))), default=0)

    async def segments(self, number: int) -> Sequence[Segment]:
        """What it is cut into; one that is not begun is whole."""
        return [segment_of(c.processor) for c in _at_work(await self._checkpoints(number))] or [WHOLE]

    async def former(self) -> set[int]:
        """Those that were live, and may be gone back to."""
        noted = [c.processor for c in await self._storage.checkpoints() if c.processor.startswith(FORMER)]
        return {number for each in noted if (number := generation_of(each, self.name)) is not None}

    async def note(self, note: str, number: int) -> None:
        """Writes a note about a generation, with the code that built it."""
        fold = next((c.fold for c in await self._checkpoints(number)), None)
        await self._storage.register(note + processor_name(self.table(number)), position=0, fold=fold)

    async def forget_note(self, note: str, number: int) -> None:
        await self._storage.forget(note + processor_name(self.table(number)))

    async def busy(self, builder: str, *, since: int | None = None) -> set[int]:
        """Generations that others than `builder` build now; and of those above `since` what they run, as processes of
        another row class do."""
        found = set[int]()
        for each in await self._storage.checkpoints():
            number = generation_of(each.processor, self.name)
            if number is None or not each.runs or each.owner in (None, builder):
                continue
            is_run = since is not None and number > since and not is_note(each.processor)
            if is_run or is_builder(each.owner or ""):
                found.add(number)
        return found

    async def drop(self, number: int, *, notes: bool) -> None:
        """Removes a generation; with `notes`, also what was noted about it."""
        for checkpoint in await self._storage.checkpoints():
            if generation_of(checkpoint.processor, self.name) == number:
                if notes or not checkpoint.processor.startswith(FORMER):
                    await self._storage.forget(checkpoint.processor)
                if self._elsewhere is not None and not is_note(checkpoint.processor):
                    await self._elsewhere.forget(checkpoint.processor)
        # last, so that rows without a checkpoint are the only thing a crash can leave
        await self.views.drop_table(self.table(number))

    async def drop_all_but(self, *kept: int, builder: str) -> None:
        """For who has the build lease: what others build stays, and so does what they run, if it is newer than the
        oldest that is kept. Notes about newer ones than that stay, too: they say whose code was rolled back."""
        noted = {generation_of(c.processor, self.name) for c in await self._storage.checkpoints()} - {None}
        numbers = {*await self.numbers(), *(number for number in noted if number is not None)}
        for number in sorted(numbers - {*kept} - await self.busy(builder, since=min(kept))):
            await self.drop(number, notes=number < min(kept))

    async def unseat(self, number: int) -> None:
        """Whoever runs it has to look where it is now."""
        for checkpoint in await self._checkpoints(number):
            if checkpoint.owner not in NOBODY:
                await self._storage.unseat(checkpoint.processor)

    @asynccontextmanager
    async def held(self, number: int, owner: str) -> AsyncGenerator[dict[Segment, int], None]:
        """No process writes rows of this generation meanwhile, except inline. Yields where each part of it stands."""
        holder = builder_name(owner)
        try:
            pieces = _at_work(await self._checkpoints(number))
            yield {segment_of(piece.processor): await self._hold(piece, holder) for piece in pieces} or {WHOLE: 0}
        finally:
            await self._storage.release(holder)

    async def _hold(self, piece: Checkpoint, holder: str) -> int:
        if piece.owner == PAUSED:  # then nobody runs it anyway, and it stays paused
            return await self._fenced(piece)
        return await self._fenced(await self.seize(piece.processor, holder))

    async def seize(self, processor: str, owner: str) -> Checkpoint:
        """Makes `owner` run it, whoever ran it before. Waits for another that builds or holds it."""
        for _ in range(_TRIES):
            claimed = await self._storage.claim(processor, owner)
            if claimed is not None:
                return claimed
            present = next((c for c in await self._storage.checkpoints() if c.processor == processor), None)
            if present is None or present.owner in NOBODY:
                break
            if present.owner is not None and is_builder(present.owner):
                await asyncio.sleep(0.1)
            else:
                await self._storage.unseat(processor)
        raise LostLease(
            f"{processor} could not be taken over",
            why="it is paused, or another process builds it, or has just removed it",
            do="resume it, or wait for that process, and try again",
            processor=processor,
        )

    async def _fenced(self, claimed: Checkpoint) -> int:
        """Where the rows are elsewhere, the old owner could still write them, and they know their own position."""
        if self._elsewhere is None:
            return claimed.position
        return await self._elsewhere.store.fence(claimed.processor, claimed.token) or 0

    async def _checkpoints(self, number: int) -> Sequence[Checkpoint]:
        return _of(await self._storage.checkpoints(), self.name, number)


def builder_name(owner: str) -> str:
    """Of an owner that is no processor, in the same process."""
    return f"{owner}-builds-{next(_builders)}"


def is_builder(owner: str) -> bool:
    return "-builds-" in owner
