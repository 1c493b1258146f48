"""Who has seen events that a failover has lost: found, noted, built anew, and never passed over in silence.

    views with the events     their rows and checkpoints were lost with the events: nothing to mend
    views elsewhere           their rows show what never happened: nobody feeds them any more, and they are built anew
    reactions, processes      what they did outside cannot be undone from here: noted, until somebody has seen to it
    relays                    what they published was heard by others: noted, likewise
    tokens, subscriptions     refused with OrphanedPosition

What was found is noted in the store under `orphaned:NAME`, as a checkpoint at the position to which NAME had come.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from daicho.core.errors import NotFound, OrphanedPosition
from daicho.core.streams import Position
from daicho.ports.checkpoint_store import Checkpoint, CheckpointStore
from daicho.ports.epochs import Epoch, Epochs
from daicho.ports.failover import Orphan

__all__ = ["ORPHANED", "Orphans", "lost_in", "orphaned", "told"]

ORPHANED = "orphaned:"
_log = logging.getLogger("daicho")


def lost_in(position: int, epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch in which what happened at that position does not exist any more; None if it does."""
    of = position >> 48
    return next((each for each in epochs if each.epoch > of and position > each.survived), None)


class Orphans:
    """What is known of them, by all processes on the store."""

    def __init__(self, store: object, checkpoints: CheckpointStore) -> None:
        self._epochs = store if isinstance(store, Epochs) else None
        self._checkpoints = checkpoints
        self.known: frozenset[str] = frozenset()
        """Names of those that were noted, as last looked at."""
        self.noted: Callable[[], None] = lambda: None
        """Called when there is one more."""

    # -- positions ------------------------------------------------------------------------------------------------

    def lost(self, position: int) -> Epoch | None:
        """As far as is known here; costs next to nothing."""
        epochs = self._epochs
        if epochs is None or position >> 48 >= epochs.epoch:
            return None
        return lost_in(position, epochs.known_epochs)

    async def since(self, position: int, epoch: int = 0) -> list[Epoch]:
        """The epochs that began after what happened there, as far as is known here; asked for anew if `epoch` is
        not."""
        if self._epochs is None:
            return []
        known = self._epochs.known_epochs
        if epoch > max((each.epoch for each in known), default=0):
            known = await self._epochs.epochs()
        return [each for each in known if each.epoch > position >> 48]

    async def check(self, position: int) -> None:
        """Raises OrphanedPosition if what happened there was lost."""
        epochs = self._epochs
        if epochs is None or not position:
            return
        if position >> 48 > epochs.epoch:
            await epochs.epochs()  # somebody else has noticed first
        if position >> 48 > max((each.epoch for each in epochs.known_epochs), default=0):
            raise OrphanedPosition(
                f"no event has ever had the position {position} here",
                why=f"it is of epoch {position >> 48}, which has not begun on this server: it is of another one",
                do="see which server this is: daicho failover check",
                position=position,
            )
        if epoch := lost_in(position, epochs.known_epochs):
            raise orphaned(position, epoch)

    # -- who was ahead --------------------------------------------------------------------------------------------

    async def note(self, checkpoint: str, position: int, where: str) -> None:
        """To be told and kept until it is mended or accepted."""
        if checkpoint not in self.known:
            _log.error("%s (%s) has seen events up to %d that were lost in a failover", checkpoint, where, position)
        self.known |= {checkpoint}
        await self._checkpoints.register(ORPHANED + checkpoint, position=position, fold=where)
        self.noted()

    async def forget(self, checkpoint: str) -> None:
        """It is mended."""
        await self._checkpoints.forget(ORPHANED + checkpoint)
        self.known -= {checkpoint}

    async def accept(self, checkpoint: str) -> None:
        """Somebody has seen to it. Raises NotFound."""
        if not any(each.checkpoint == checkpoint for each in await self.all()):
            raise NotFound(f"{checkpoint!r} has seen nothing that was lost", do="`daicho failover orphans` lists them")
        await self.forget(checkpoint)

    async def all(self) -> list[Orphan]:
        """All of them, by name."""
        stored = await self._checkpoints.checkpoints()
        noted = {c.processor.removeprefix(ORPHANED): c for c in stored if c.processor.startswith(ORPHANED)}
        self.known = frozenset(noted)
        if not noted or self._epochs is None:
            return []
        epochs = await self._epochs.epochs()
        return [_orphan(name, each, epochs) for name, each in sorted(noted.items())]


def orphaned(position: int, epoch: Epoch) -> OrphanedPosition:
    return OrphanedPosition(
        f"what happened at position {position} was lost",
        why=f"another server took over: of what came before epoch {epoch.epoch}, only what is up to position "
        f"{epoch.survived} exists",
        do="ask without that token; what was told with it did not happen: do it again if it is to happen",
        position=position,
        survived=epoch.survived,
        epoch=epoch.epoch,
    )


def _orphan(name: str, noted: Checkpoint, epochs: Sequence[Epoch]) -> Orphan:
    epoch = lost_in(noted.position, epochs)
    first = (epoch.survived if epoch else noted.position) + 1
    kind, where = name.partition(":")[0], noted.fold or ""
    return Orphan(
        checkpoint=name,
        where=where,
        position=noted.position,
        first=first,
        last=noted.position,
        events=max(0, noted.position - first + 1) if epoch and noted.position >> 48 == epoch.survived >> 48 else 0,
        epoch=epoch.epoch if epoch else 0,
        state="repairing" if kind == "projection" else "open",
        found_at=noted.updated_at,
        do=_DO.get(kind, _DO["reaction"]).format(name=name),
    )


_DO: Mapping[str, str] = {
    "projection": "nothing: it is being built anew; `daicho projection list` shows how far",
    "reaction": "see what it did outside for these events; then `daicho failover accept {name}`",
    "relay": "tell those who listen that these messages tell of nothing; then `daicho failover accept {name}`",
}


def told(orphan: Orphan) -> str:
    """In a sentence."""
    first, last = _shown(orphan.first), _shown(orphan.last)
    return (
        f"has seen up to {orphan.events} events, positions {first} to {last}, that were lost in the failover to epoch "
        f"{orphan.epoch} ({orphan.where})"
    )


def _shown(position: int) -> str:
    at = Position(position)
    return str(at.number) if not at.epoch else f"{at.epoch}:{at.number}"
