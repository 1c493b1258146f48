"""The durable readers of an App, for people: pause, go on, go back."""

from collections.abc import Awaitable, Callable, Sequence

from daicho.core.errors import ConfigurationError, InvalidMessage, NotFound
from daicho.core.segments import root_of
from daicho.ports.checkpoint_store import CUT, PAUSED, Checkpoint, CheckpointStore

__all__ = ["Processors", "pieces_of"]


class Processors:
    """What `app.processors` is. Holds for all processes on the store, and outlives them."""

    def __init__(self, checkpoints: CheckpointStore, changed: Callable[[], Awaitable[None]] | None = None) -> None:
        """`changed` tells the processors of this process at once; those of others find out by themselves."""
        self._checkpoints, self._changed = checkpoints, changed

    async def pause(self, name: str) -> None:
        """When this returns, nobody runs it, and nobody will, also after a restart, until `resume`. What it had in hand
        is not lost: it is begun again. `name`: as `App.lag` tells it, or what it is called in the code.

        Raises NotFound."""
        for piece in await pieces_of(self._checkpoints, name):
            await self._checkpoints.pause(piece.processor)
        await self._tell()

    async def resume(self, name: str) -> None:
        """Lets it go on where it was. Raises NotFound."""
        for piece in await pieces_of(self._checkpoints, name):
            await self._checkpoints.release(PAUSED, piece.processor)
        await self._tell()

    async def rewind(self, name: str, position: int) -> None:
        """Hands an event handler everything behind `position` once more. Commands that it sent are recognised, and not
        carried out again; side effects happen again, with the ids that they had.

        Raises NotFound, InvalidMessage for a position that it has not come to, and ConfigurationError for a projection,
        whose rows would count events twice."""
        pieces = await pieces_of(self._checkpoints, name)
        if not pieces[0].processor.startswith("reaction:"):
            raise ConfigurationError(
                f"{name!r} is a projection, and cannot be put back",
                why="its rows have seen the events already",
                do=f"`daicho projection rebuild {name}` makes them anew, beside those that are there",
            )
        if position < 0 or any(position > piece.position for piece in pieces):
            raise InvalidMessage(
                f"{name!r} cannot be put to position {position}",
                why=f"it has come to {min(piece.position for piece in pieces)}, and no event may be left out",
                do="give a position before that",
                path="position",
            )
        for piece in pieces:
            await self._checkpoints.rewind(piece.processor, position)
        await self._tell()

    async def _tell(self) -> None:
        if self._changed is not None:
            await self._changed()


async def pieces_of(checkpoints: CheckpointStore, name: str) -> Sequence[Checkpoint]:
    """The checkpoint of a processor, or those of its segments: by its whole name (`projection:orders@1`), or its short
    one (`orders`: of all builds). Raises NotFound, and InvalidMessage if the short name means two things."""
    readers = [each for each in await checkpoints.checkpoints() if each.owner != CUT and _short(each.processor)]
    found = [each for each in readers if name in (each.processor, root_of(each.processor))]
    found = found or [each for each in readers if name == _short(each.processor)]
    if not found:
        known = ", ".join(sorted({root_of(each.processor) for each in readers})) or "none"
        raise NotFound(f"there is no processor {name!r}", why=f"the store knows {known}", do="check the name")
    if len({each.processor.partition(":")[0] for each in found}) > 1:
        raise InvalidMessage(
            f"{name!r} is a projection and an event handler",
            do=f"write `projection:{name}@N` or `reaction:{name}`",
            path="name",
        )
    return found


def _short(processor: str) -> str:
    """`orders`, for `projection:orders@1/0.4`; nothing for what is no reader of the log."""
    kind, _, rest = root_of(processor).partition(":")
    if kind == "projection":
        return rest.rpartition("@")[0]
    return rest if kind == "reaction" else ""
