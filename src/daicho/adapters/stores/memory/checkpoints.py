"""Who runs a processor, and how far it has come."""

from collections.abc import Mapping, Sequence
from time import monotonic

from daicho.adapters.stores.memory.contents import Contents, Shelf
from daicho.core.errors import LostLease
from daicho.core.messages import replace
from daicho.core.segments import root_of
from daicho.ports.checkpoint_store import CUT, NOBODY, PAUSED, Advance, Checkpoint

__all__ = ["MemoryCheckpoints", "move_checkpoint"]

LEASE_SECONDS = 10.0


def move_checkpoint(contents: Contents, move: Advance, at: str) -> None:
    """Raises LostLease unless the token and the old position are the present ones."""
    present = contents.checkpoints.get(move.processor)
    if present is None or (present.token, present.position) != (move.token, move.old):
        raise LostLease(
            f"{move.processor} is no longer run from here",
            why="another process took it over, or its checkpoint was put elsewhere by hand",
            do="nothing: its present owner goes on from the checkpoint",
            processor=move.processor,
        )
    contents.checkpoints[move.processor] = replace(present, position=move.new, updated_at=at)


class MemoryCheckpoints(Shelf):
    """An owner lives until it releases, or for ten real seconds after it was last heard of."""

    async def register(self, processor: str, *, position: int, fold: str | None = None) -> Checkpoint:
        async with self._critical() as contents:
            fresh = Checkpoint(processor=processor, position=position, updated_at=self._time())
            kept = replace(contents.checkpoints.get(processor, fresh), fold=fold)
            contents.checkpoints[processor] = kept
            return replace(kept, runs=_runs(contents, kept))

    async def claim(self, processor: str, owner: str) -> Checkpoint | None:
        async with self._critical() as contents:
            present = contents.checkpoints.get(processor)
            if present is None:
                return None
            if present.owner != owner:
                if present.owner in NOBODY or _runs(contents, present):
                    return None
                present = replace(present, owner=owner, token=present.token + 1)
                contents.checkpoints[processor] = present
            contents.alive_until[owner] = monotonic() + LEASE_SECONDS
            return replace(present, runs=True)

    async def renew(self, owner: str) -> None:
        async with self._critical() as contents:
            if owner in contents.alive_until:
                contents.alive_until[owner] = monotonic() + LEASE_SECONDS

    async def release(self, owner: str, processor: str | None = None) -> None:
        async with self._critical() as contents:
            if processor is None:
                contents.alive_until.pop(owner, None)
            for name, checkpoint in contents.checkpoints.items():
                if checkpoint.owner == owner and processor in (None, name):
                    contents.checkpoints[name] = replace(checkpoint, owner=None)

    async def pause(self, processor: str) -> None:
        async with self._critical() as contents:
            if present := contents.checkpoints.get(processor):
                contents.checkpoints[processor] = replace(present, owner=PAUSED, token=present.token + 1)

    async def recut(self, owner: str, old: Sequence[Checkpoint], new: Mapping[str, int]) -> bool:
        async with self._critical() as contents:
            for each in old:
                present = contents.checkpoints.get(each.processor)
                if present is None or present.position != each.position:
                    return False
                if present.owner != owner and (present.owner in NOBODY or _runs(contents, present)):
                    return False
            token, fold = max(each.token for each in old) + 1, old[0].fold
            for each in old:
                whole = contents.checkpoints.pop(each.processor)
                if each.processor == root_of(each.processor):
                    contents.checkpoints[each.processor] = replace(whole, owner=CUT, token=token)
            for name, position in new.items():
                contents.checkpoints[name] = Checkpoint(
                    processor=name, position=position, token=token, updated_at=self._time(), fold=fold
                )
            return True

    async def advance(self, move: Advance) -> None:
        async with self._critical() as contents:
            move_checkpoint(contents, move, self._time())

    async def rewind(self, processor: str, position: int) -> None:
        async with self._critical() as contents:
            present = contents.checkpoints.get(processor)
            if present is not None and present.owner != CUT:
                contents.checkpoints[processor] = replace(
                    present, position=position, owner=None, token=present.token + 1, updated_at=self._time()
                )

    async def unseat(self, processor: str) -> None:
        async with self._critical() as contents:
            if present := contents.checkpoints.get(processor):
                contents.checkpoints[processor] = replace(present, owner=None, token=present.token + 1)

    async def forget(self, processor: str) -> None:
        async with self._critical() as contents:
            contents.checkpoints.pop(processor, None)
            contents.letters = {n: letter for n, letter in contents.letters.items() if letter.processor != processor}

    async def checkpoints(self) -> Sequence[Checkpoint]:
        async with self._critical() as contents:
            found = [contents.checkpoints[name] for name in sorted(contents.checkpoints)]
            return [replace(each, runs=_runs(contents, each)) for each in found]


def _runs(contents: Contents, checkpoint: Checkpoint) -> bool:
    owner = checkpoint.owner
    return owner is not None and contents.alive_until.get(owner, 0.0) > monotonic()
