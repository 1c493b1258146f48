"""A view whose rows are away from the register: Redis, MongoDB, a search engine.

Who runs it, its dead letters, and a copy of its position are kept with the events; its rows, and the position that
vouches for them, in the read store. Nothing can be written in both places at once, so the order is what keeps it exact:

    dead letters  ──>  rows beside  ──>  rows and position over there  ──>  position here

After a crash in between, the events are delivered again from the position over there. Letters that are there already
are not parked twice, and rows let pass what they have seen.

Unless a failover of the register has lost those events. So whoever goes on into an epoch has looked before: neither the
position nor a row may have seen what did not survive.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from daicho.core.segments import root_of
from daicho.ports.checkpoint_store import CUT, Advance, Checkpoint
from daicho.ports.clock import Clock
from daicho.ports.epochs import Epoch
from daicho.ports.read_store import Placed, ReadStore
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.read.forwarding import Forwarding
from daicho.read.orphans import Orphans, orphaned

__all__ = ["Elsewhere"]

_MARKS_KEPT = timedelta(hours=1)
"""How long a deleted row keeps its place: longer than any writer that lost its lease may still be at work."""


class _Begun(msgspec.Struct):
    """What is known of a processor that goes on from here."""

    epoch: int
    """What was lost when that one began, and before, was not seen."""
    tables: Sequence[TableSpec]
    """Of the rows that are written first."""


class Elsewhere(Forwarding[ReadStore]):
    """The rows of views in a read store, committed as `ViewStore.commit` promises."""

    def __init__(self, store: ReadStore, register: Storage, clock: Clock) -> None:
        super().__init__(store)
        self._register, self._clock = register, clock
        self.orphans: Orphans | None = None
        """Knows what a failover of the register has lost."""
        self._begun: dict[str, _Begun] = {}

    # -- writing --------------------------------------------------------------------------------------------------

    async def resume(self, checkpoint: Checkpoint, table: TableSpec, sides: Sequence[TableSpec] = ()) -> int:
        """Where to go on, for the new owner: where the rows are, whatever was noted here. Raises OrphanedPosition if
        they have seen what was lost in a failover of the register; noted it is then. Raises LostLease if it is
        another's by now, or was dropped. `sides`: whose rows are written before those of the table, which are made of
        them."""
        position = await self.store.fence(checkpoint.processor, checkpoint.token)
        if position is None:
            await self._confirm(checkpoint)
        for side in sides:
            await self.store.open_table(side)
        if position is None:
            # never written, or lost with everything else over there: then the way begins anew
            await self.store.open_table(table)
            if checkpoint.position and await self.store.live_generation(table.name) is None:
                await self.store.switch(table)
            position = 0
        self._begun[checkpoint.processor] = _Begun(position >> 48, sides or [table])
        if self.orphans is not None and (lost := await self._seen_lost(checkpoint.processor, position)):
            await self.orphans.note(checkpoint.processor, lost[0], self.store.url)
            raise orphaned(*lost)
        if position != checkpoint.position:
            await self._register.advance(
                Advance(processor=checkpoint.processor, token=checkpoint.token, old=checkpoint.position, new=position)
            )
        await self.sweep(table, await self._least(checkpoint, position))
        return position

    async def _confirm(self, checkpoint: Checkpoint) -> None:
        """That the owner still is one: who was asleep since it claimed this may come to a generation that was dropped,
        and its tables must not come back empty. Raises LostLease."""
        here, token = checkpoint.position, checkpoint.token
        await self._register.advance(Advance(processor=checkpoint.processor, token=token, old=here, new=here))

    async def _seen_lost(self, processor: str, position: int, epoch: int = 0) -> tuple[int, Epoch] | None:
        """How far it has seen what a failover has lost, if it is at `position` and goes on into `epoch`; None if it has
        not."""
        begun = self._begun.get(processor)
        if self.orphans is None or begun is None:
            return None
        later = await self.orphans.since(position, epoch)
        for began in later:
            ahead = [position] if position > began.survived else await self._ahead(begun.tables, began)
            if ahead:
                return max(ahead), began
        begun.epoch = max([begun.epoch, epoch, *(began.epoch for began in later)])
        return None

    async def _ahead(self, tables: Sequence[TableSpec], began: Epoch) -> list[int]:
        """How far rows have seen of what was lost when the epoch began: a commit that was cut off leaves rows that are
        further than their position."""
        found = [await self.store.furthest(table, began.survived, began.epoch << 48) for table in tables]
        return [position for position in found if position is not None]

    async def _least(self, checkpoint: Checkpoint, position: int) -> int:
        """Where the last segment of its table is: marks of deleted rows behind that may still be needed."""
        root, known = root_of(checkpoint.processor), await self._register.checkpoints()
        others = [each.position for each in known if root_of(each.processor) == root and each.owner != CUT]
        return min([position, *others])

    async def recut(self, table: TableSpec, owner_token: int, new: Mapping[str, int]) -> None:
        """Notes where segments begin that are about to be made. May be done again, for other ones."""
        for name, position in new.items():
            await self.store.forget(name)
            await self.store.fence(name, owner_token)
            move = Advance(processor=name, token=owner_token, old=0, new=position)
            await self.store.commit(ViewChange(table=table, upserts={}, deletes=(), advance=move))

    async def sweep(self, table: TableSpec, up_to: int) -> None:
        """Removes old marks of rows that were deleted at positions up to `up_to`."""
        await self.store.sweep(table, up_to, self._now() - _MARKS_KEPT)

    async def commit(self, change: ViewChange) -> None:
        move, register = change.advance, self._register
        if move is not None:
            await self._check(move)
        if change.parked or change.beside:
            for each in (*change.beside, change):
                self.store.check(each)
        if move is not None and change.parked:
            await register.park(move.processor, move.token, move.old, move.new, change.parked)
        for beside in change.beside:
            await self.store.commit(beside)
        await self.store.commit(msgspec.structs.replace(change, parked=(), retried=(), beside=()))
        if move is None:
            return
        if not change.parked and move.new != move.old:
            await register.advance(move)
        if change.retried:
            await register.retried(move.processor, change.retried)
            if move.new == move.old:
                await register.advance(move)  # nowhere, but others see that rows have changed

    def check(self, change: ViewChange) -> None:
        """Raises InvalidMessage if a row cannot be held: letters and rows beside, which go first, shall not stand
        without it."""
        self.store.check(change)

    async def _check(self, move: Advance) -> None:
        """Whether it may go that far. Behind a pooler, events of an epoch may be here before it is noticed. Raises
        OrphanedPosition."""
        begun, epoch = self._begun.get(move.processor), move.new >> 48
        if begun is None or epoch <= begun.epoch:
            return
        if lost := await self._seen_lost(move.processor, move.old, epoch):
            raise orphaned(*lost)

    async def forget(self, processor: str) -> None:
        await self.store.forget(processor)

    def _now(self) -> datetime:
        return self._clock.now()

    # -- reading --------------------------------------------------------------------------------------------------

    async def get_placed(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Placed]:
        return await self.store.get_placed(table, keys)
