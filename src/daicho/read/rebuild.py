"""A view built again from the beginning, beside the one that readers see."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import msgspec

from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment, root_of
from daicho.core.sql_projection import SqlFold
from daicho.ports.checkpoint_store import Advance, Checkpoint
from daicho.ports.event_store import Narrow, Selection
from daicho.ports.probe import Probe, silent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.read.build import processor_name
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Page
from daicho.read.projector import Projector
from daicho.read.set_projector import Place, SetProjector

__all__ = ["RebuildStep", "forget_build", "projector_for", "rebuild"]

_PAGE = 5000

Done: TypeAlias = tuple[int, int, int]
"""Position, head, events dealt with in this step."""


class RebuildStep(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rebuild has come."""

    position: int
    head: int
    events: int
    """Events folded so far."""
    generation: int
    switched: bool = False


def projector_for(
    fold: Fold[Any] | SqlFold[Any],
    table: TableSpec,
    storage: Storage,
    registry: Registry,
    probe: Probe,
    elsewhere: Elsewhere | None = None,
    segment: Segment = WHOLE,
) -> Projector | SetProjector:
    """`elsewhere`: where its rows are, if not with the events. Raises ConfigurationError if the store cannot run it."""
    if isinstance(fold, SqlFold):
        return SetProjector(fold, table, storage, registry, probe)
    return Projector(fold, table, elsewhere or storage, storage, storage, registry, probe, segment)


async def forget_build(name: str, storage: Storage, elsewhere: Elsewhere | None) -> None:
    """Removes the checkpoint of a build and of its segments, wherever they are kept."""
    for each in await storage.checkpoints():
        if root_of(each.processor) == name:
            await storage.forget(each.processor)
            if elsewhere is not None:
                await elsewhere.forget(each.processor)


async def rebuild(
    fold: Fold[Any] | SqlFold[Any],
    storage: Storage,
    registry: Registry,
    owner: str,
    elsewhere: Elsewhere | None = None,
) -> AsyncIterator[RebuildStep]:
    """Builds the next generation of a view and switches readers to it once it has caught up.

    The old one stays live, and is kept, until the switch, which is one transaction. Interrupted, it can be run again:
    it goes on where it was. Reactions are not run.
    """
    name = fold.name
    views = elsewhere or storage
    live = await views.live_generation(name) or 0
    built = [g for g in await views.generations(name) if g > live]
    table = TableSpec(name, built[-1] if built else live + 1, fold.part.row_type)
    if built:
        await _keep_if_usable(table, fold, storage, elsewhere)
    projector = projector_for(fold, table, storage, registry, silent, elsewhere)
    await views.open_table(table)
    await projector.check()
    await storage.register(projector.name, position=0, fold=fold.code)
    claimed = await storage.claim(projector.name, owner)
    while claimed is None:
        await asyncio.sleep(0.1)
        claimed = await storage.claim(projector.name, owner)
    position, dealt = await projector.begin(claimed), 0
    claimed = msgspec.structs.replace(claimed, position=position)
    if isinstance(projector, SetProjector):
        steps = _by_sql(projector, storage, claimed)
    else:
        steps = _by_fold(projector, storage, registry, claimed)
    async for position, head, events in steps:
        if events:
            dealt += events
            yield RebuildStep(position=position, head=head, events=dealt, generation=table.generation)
    await views.switch(table)
    if live:
        # whoever runs the old build loses its lease and moves over; the old rows stay until the next rebuild
        await forget_build(processor_name(TableSpec(name, live, fold.part.row_type)), storage, elsewhere)
    for old in await views.generations(name):
        if old < live:
            await views.drop_table(TableSpec(name, old, fold.part.row_type))
    yield RebuildStep(position=position, head=position, events=dealt, generation=table.generation, switched=True)


async def _by_fold(
    projector: Projector, storage: Storage, registry: Registry, claimed: Checkpoint
) -> AsyncIterator[Done]:
    position, token = claimed.position, claimed.token
    types = tuple(sorted(projector.types))
    coming: asyncio.Task[list[Narrow]] | None = None
    while True:
        head = await storage.head()
        wanted = Selection(after=position, up_to=head, types=types)
        narrow = await (coming or storage.read_narrow(wanted, limit=_PAGE))
        coming = None
        if len(narrow) == _PAGE:  # the next page is read while this one is folded and written
            behind = Selection(after=narrow[-1][0], up_to=head, types=types)
            coming = asyncio.ensure_future(storage.read_narrow(behind, limit=_PAGE))
            await asyncio.sleep(0)  # so that it is really asked for, before we are busy with this page
        if not narrow:
            if position < head:
                page = Page(position, [], registry)
                page.last = head
                position = await projector.consume(page, [], token, position)
                yield position, head, 0
            if await storage.head() == head:
                break
            continue
        if await projector.consume_narrow(narrow, token, position):
            position = narrow[-1][0]
        else:
            page = Page(position, await storage.read(wanted, limit=_PAGE), registry)
            position = await projector.consume(page, list(range(len(page.events))), token, position)
        yield position, head, len(narrow)
        if len(narrow) < _PAGE:
            break  # what came meanwhile is little, and as long as others write there will always be some


async def _by_sql(projector: SetProjector, storage: Storage, claimed: Checkpoint) -> AsyncIterator[Done]:
    place = Place(claimed.position, claimed.position)
    while place.more:
        head = await storage.head()
        place = await projector.step(claimed.token, place, head)
        yield place.position, head, place.events
    await storage.advance(Advance(processor=projector.name, token=claimed.token, old=place.stored, new=place.position))


async def _keep_if_usable(
    table: TableSpec, fold: Fold[Any] | SqlFold[Any], storage: Storage, elsewhere: Elsewhere | None
) -> None:
    """An interrupted build is gone on with if the same code began it; otherwise nothing of it is left."""
    name = processor_name(table)
    begun = next((c for c in await storage.checkpoints() if c.processor == name), None)
    if begun is None or begun.fold != fold.code or not await (elsewhere or storage).shape_fits(table):
        # first, so that rows without a checkpoint are the only thing a crash can leave
        await forget_build(name, storage, elsewhere)
        await (elsewhere or storage).drop_table(table)
