"""Everything that lives between entering and leaving an App: an opened store, and the two sides at work on it."""

import asyncio
import logging
from typing import Any

from daicho.adapters.owner import owner_name
from daicho.core.errors import ConfigurationError, StoreError
from daicho.flow.failing_over import FailingOver
from daicho.flow.forgetting import Forgetting, refuse_without_keys
from daicho.flow.trials import Trials
from daicho.ports.epochs import Epochs
from daicho.ports.replication import Replicated
from daicho.ports.storage import Joinable, Storage
from daicho.read import health
from daicho.read.crew import Crew
from daicho.read.dead_letters import DeadLetters
from daicho.read.lag import lag_of
from daicho.read.mending import Mending
from daicho.read.processor import Processor
from daicho.read.processors import Processors
from daicho.read.progress import Lag
from daicho.read.replicas.either import Either
from daicho.read.replicas.router import Router
from daicho.wiring.between import Between
from daicho.wiring.places import Found
from daicho.wiring.read_side import ReadSide
from daicho.wiring.setup import Setup
from daicho.wiring.write_side import WriteSide

__all__ = ["Running", "joinable"]

_log = logging.getLogger("daicho")
_RENEW_EVERY = 3.0


class Running:
    def __init__(
        self, setup: Setup, found: Found, *, with_processors: bool, may_do_without_primary: bool = False
    ) -> None:
        storage, registry, clock, owner = found.storage, setup.registry, setup.clock, owner_name()
        if found.replicas and may_do_without_primary:
            storage = Either.of(storage, self._routing)
        self._opens_replicas = bool(found.replicas) and not may_do_without_primary
        self._setup, self._with_processors, self._owner = setup, with_processors, owner
        self.storage = storage
        self.read = read = ReadSide(setup, found, storage, owner, self.relocate, projects=with_processors)
        self.write = write = WriteSide(setup, storage, read.history, read.inline)
        self.between = between = Between(setup, storage, owner, write, read, found.bus)
        self.crew = Crew(setup.name, owner, storage, storage, [*read.jobs, *between.jobs])
        self.steering = Processors(storage, self.crew.look)
        trials = Trials(storage, registry, read.projectors, between.reactions, write.bare, write.imagine)
        self.dead_letters = DeadLetters(storage, lambda: self.processors, trials, clock)
        self._mending = Mending(
            read.orphans,
            storage,
            read.projections,
            owner,
            lambda: isinstance(storage, Epochs) and storage.epoch > 0,
            mends=with_processors,
        )
        self._failing_over = FailingOver(
            storage,
            read.feed,
            read.progress,
            read.changes,
            read.orphans,
            lambda: self.processors,
            [fold.name for fold in setup.model.folds],
            [write.repository.forget, write.execution.forget_rules, read.pasts.forget, between.wake],
        )
        self._forgetting: Forgetting | None = None
        self._vault = None
        if found.curtain is not None:
            self._vault, beneath = found.curtain.vault, found.curtain.beneath
            self._vault.listen(write.let_go)
            self._forgetting = Forgetting(setup.model, storage, beneath, self._vault, registry, read.projections, clock)
        self._opened = False
        self._heart: asyncio.Task[None] | None = None

    @property
    def processors(self) -> list[Processor[Any]]:
        return self.crew.processors

    @property
    def personal(self) -> Forgetting:
        """Raises ConfigurationError."""
        if self._forgetting is None:
            raise refuse_without_keys()
        return self._forgetting

    def _routing(self) -> Router:
        assert self.read.router is not None
        return self.read.router

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        read, between = self.read, self.between
        await self.storage.open()
        self._opened = True
        if self._opens_replicas and read.router is not None:
            assert isinstance(self.storage, Replicated)
            await read.router.start(self.storage)
        if self._vault is not None:
            await self._vault.open()
        for store in read.read_stores:
            await store.open()
        await self.write.keeping.check(may_write=self._with_processors)
        if self._with_processors:
            await read.register()
            await between.register()
            await read.open_tables()
            if between.services is not None:
                await between.services.register()
                await between.services.start()
        else:
            await read.locate()
        await read.feed.start()
        if read.purger is not None:
            read.purger.start()
        self._mending.start()
        if not self._with_processors:
            return
        await self.crew.start()
        await between.postman.start()
        await between.timekeeper.start()
        self.dead_letters.start()
        self._heart = asyncio.create_task(self._beat(), name="daicho-leases")

    async def stop(self) -> None:
        read, between = self.read, self.between
        try:
            await read.live.stop()
            await self._mending.stop()
            await self._failing_over.stop()
            await self.dead_letters.stop()
            await between.timekeeper.stop()
            await between.postman.stop()
            await self.crew.stop()
            if read.purger is not None:
                await read.purger.stop()
            await self.write.appender.close()
            await read.feed.stop()
            if self._heart is not None:
                self._heart.cancel()
                await asyncio.wait([self._heart])
            if self._opened and self._with_processors:
                await self.storage.release(self._owner)
        finally:
            if between.services is not None:
                await between.services.stop()
            for store in read.read_stores:
                await store.close()
            if read.router is not None:
                await read.router.stop()
            if self._vault is not None:
                await self._vault.close()
            await self.storage.close()

    async def _beat(self) -> None:
        """Tells other processes that this one lives, so that they leave its processors alone."""
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                await self.storage.renew(self._owner)
            except StoreError as error:
                _log.warning("could not renew the leases of %s: %s", self._owner, error)

    async def relocate(self, name: str) -> None:
        """Moves to the build of the view that readers are to see."""
        for projector in self.read.projectors:
            if projector.fold.name == name and not self._with_processors:
                await projector.locate()
                await projector.refusal()
        for processor in self.processors:
            fold = getattr(processor.consumer, "fold", None)
            if fold is not None and fold.name == name:
                await processor.relocate()
        await self.crew.look()

    # -- how it stands --------------------------------------------------------------------------------------------

    async def lag(self) -> list[Lag]:
        services = self.between.services
        names = [*self.between.readers, *(services.names if services else ())]
        return await lag_of(names, self.storage, self.read.progress, self.processors, self._setup.clock.now)

    async def health(self, late: float, within: float) -> health.Health:
        progress, services, router = self.read.progress, self.between.services, self.read.router
        found = await health.examine(
            self.storage,
            self._setup.clock.now(),
            late=late,
            within=within,
            readers=self._setup.model.readers,
            own={p.name: health.Own(progress.position(p.name), p.state, p.error) for p in self.processors},
        )
        if found.status == "down" or (services is None and router is None):
            return found
        problems = found.problems
        if services is not None:
            problems = (*problems, *await services.problems(self.processors))
        if router is not None:
            problems = (*problems, *router.problems())
        return health.Health(status="degraded" if problems else "ok", problems=problems)


def joinable(storage: Storage) -> Joinable:
    """The store, if it takes part in its callers' transactions. Raises ConfigurationError."""
    if not isinstance(storage, Joinable):
        raise ConfigurationError(
            "`within=` needs a PostgreSQL store",
            why=f"what is in {storage.url} shares no transaction with a connection of yours",
            do="give App a postgresql:// store in the database that your own tables are in, or leave `within` out",
        )
    return storage
