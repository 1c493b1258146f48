"""The write side of a running App: from a command to events in the store."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from daicho.core.messages import Command, Receipt, RecordedEvent
from daicho.core.streams import Position
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import EventStore, Selection
from daicho.ports.storage import Storage
from daicho.read.history import History
from daicho.read.inline import Inline
from daicho.read.projector import Projector
from daicho.wiring.setup import Setup
from daicho.write.appending import Appender
from daicho.write.execution import Execution
from daicho.write.gateway import Gateway
from daicho.write.imagined import Imagined
from daicho.write.keeping import Keeping
from daicho.write.middleware.audit import Audit
from daicho.write.middleware.authorisation import Authorisation
from daicho.write.middleware.counting import Counting
from daicho.write.middleware.idempotency import Idempotency
from daicho.write.middleware.noting import Noting
from daicho.write.middleware.retry import Retry
from daicho.write.middleware.tenancy import Isolation
from daicho.write.middleware.tracing import Tracing, is_traced
from daicho.write.middleware.validation import Validation
from daicho.write.pipeline import Middleware, compose
from daicho.write.pruning import Pruning
from daicho.write.repository import Repository

__all__ = ["WriteSide"]


class WriteSide:
    def __init__(self, setup: Setup, storage: Storage, history: History, inline: Sequence[Projector]) -> None:
        """`inline`: projections whose rows are written with the events."""
        model, registry, clock = setup.model, setup.registry, setup.clock
        self._storage, self._registry, self._history = storage, registry, history
        self.appender = Appender(storage)
        self.repository = Repository(
            storage, storage, registry, storage, snapshot_after=setup.snapshot_after, hot=setup.hot_aggregates
        )
        self.keeping = Keeping(storage, self.repository, model.categories, registry, clock)
        self.pruning = Pruning(storage, registry, model.categories)
        self.execution = Execution(
            model.behaviours,
            setup.supplies.commands,
            self.repository,
            self.appender,
            storage,
            storage,
            registry,
            clock,
            setup.probe,
            Inline(inline, registry) if inline else None,
        )
        validation = Validation()
        checks: list[Middleware] = [Audit(storage, clock), validation]
        if is_traced():
            checks.insert(0, Tracing(setup.name))
        if setup.authorise is not None:
            checks.append(Authorisation(setup.authorise))
        if setup.tenancy is not None:
            checks.append(Isolation(model.behaviours, storage))
        idempotency = Idempotency(storage, self._recorded, clock)
        counting = Counting(setup.meter, model.behaviours, setup.journal)
        noting, retry = Noting(setup.journal), Retry(clock)
        self.handler = compose([*checks, *setup.middleware, noting, retry, idempotency, counting], self.execution)
        self.bare = compose([validation, Retry(clock), idempotency], self.execution)
        """The handler without what is about callers: for what only looks."""
        self.imagine = partial(Imagined, storage, clock)
        """Makes a register that only seems to be written."""
        self.gateway = Gateway(self.handler, compose(checks, _accept), storage, clock, setup.name, setup.remote)

    async def imagined(self, command: Command, actor: str | None, tenant: str | None) -> Receipt:
        """What would come of the command now; none of it is kept."""
        envelope = self.gateway.envelope(command, actor=actor, tenant=tenant)
        envelope.within = self.imagine()
        return await self.bare(envelope)

    async def _recorded(self, selection: Selection, joined: EventStore | None = None) -> list[RecordedEvent[Any]]:
        history = self._history if joined is None else History(joined, self._storage, self._registry)
        return [history.recorded(event) async for event in history.stored(selection)]

    def let_go(self, key: str) -> None:
        """Of a state that held what nobody may know any more."""
        kind, _, stream = key.partition(":")
        if kind == "snapshot":
            self.repository.drop(stream)


async def _accept(envelope: Envelope) -> Receipt:
    """The end of the checks of a posted command: it has passed, and nothing has come of it yet."""
    return Receipt(
        command_id=envelope.command_id,
        stream="",
        version=0,
        position=Position(0),
        events=(),
        correlation_id=envelope.correlation_id,
    )
