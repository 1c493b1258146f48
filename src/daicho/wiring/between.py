"""What lies between the sides of a running App: events become commands, and commands are sent when their time comes."""

from collections.abc import Callable
from typing import Any

from daicho.core.handlers import EventHandler
from daicho.core.process_definition import Definition
from daicho.core.segments import WHOLE, Segment
from daicho.flow.courier import Courier, Errands
from daicho.flow.instances import Instances
from daicho.flow.line import Line
from daicho.flow.outcomes import Outcomes
from daicho.flow.posted import Postman
from daicho.flow.process_admin import Processes
from daicho.flow.processes import ProcessFeeder
from daicho.flow.reactions import Reaction
from daicho.flow.remote import Routed
from daicho.flow.schedules import Schedules
from daicho.flow.services import Services
from daicho.flow.settling import Settling
from daicho.flow.timekeeper import Timekeeper
from daicho.ports.command_sender import CommandSender, Envelope
from daicho.ports.event_bus import EventBus
from daicho.ports.storage import Storage
from daicho.read.crew import Job
from daicho.read.processor import Processor
from daicho.read.pruned import check_heard
from daicho.wiring.read_side import ReadSide, last_positions
from daicho.wiring.setup import Setup
from daicho.wiring.write_side import WriteSide

__all__ = ["Between"]


class Between:
    def __init__(
        self, setup: Setup, storage: Storage, owner: str, write: WriteSide, read: ReadSide, bus: EventBus | None
    ) -> None:
        model, clock, probe = setup.model, setup.clock, setup.probe
        self._setup, self._storage, self._write, self._read = setup, storage, write, read
        self.outcomes = Outcomes(storage)
        self.schedules = Schedules(setup.name, storage, storage, clock, setup.remote, wake=self.wake)
        self.postman = Postman(
            storage,
            storage,
            write.handler,
            {c.__message_name__: c for c in model.behaviours},
            clock,
            probe,
            owner,
            setup.name,
            self.outcomes,
        )
        self._send: CommandSender = write.handler
        if setup.remote:
            self._send = Routed(write.handler, self._post, setup.remote)
        self.services: Services | None = None
        if bus is not None and setup.among is not None:
            whole = (storage, read.feed, read.progress, owner, clock, probe, write.handler, self.outcomes, read.orphans)
            self.services = Services(setup.among, Line(bus), *whole)
        self.reactions = [self._reaction(part, WHOLE) for part in model.reactions]
        self._errands = [self._errands_of(process) for process in model.processes]
        for each in self._errands:
            self.outcomes.listen(each.heard)
        self.timekeeper = Timekeeper(
            setup.name,
            owner,
            storage,
            storage,
            clock,
            {self.schedules.group: self.schedules.due, **{each.definition.name: each.due for each in self._errands}},
        )
        self._feeders = [self._feeder(each, WHOLE) for each in self._errands]
        self._couriers = [self._courier(each, WHOLE) for each in self._errands]
        self.processes = Processes([each.instances for each in self._errands], storage, setup.registry, clock)
        self.settling = Settling(
            storage, storage, read.progress, self.postman, self.timekeeper, lambda: self.readers, read.orphans
        )

    @property
    def jobs(self) -> list[Job]:
        return [
            *map(self._reaction_job, self.reactions),
            *(self.services.jobs if self.services else ()),
            *(self._job(*each, self._feeder) for each in zip(self._errands, self._feeders, strict=True)),
            *(self._job(*each, self._courier) for each in zip(self._errands, self._couriers, strict=True)),
        ]

    @property
    def readers(self) -> list[str]:
        """By name, all that follow the log: projections, reactions and process managers."""
        flows: list[Reaction | ProcessFeeder | Courier] = [*self.reactions, *self._feeders, *self._couriers]
        return [*(each.name for each in self._read.projectors), *(each.name for each in flows)]

    def wake(self) -> None:
        """Something was posted here."""
        self.postman.wake()
        if self.services is not None:
            self.services.wake()

    async def _post(self, envelope: Envelope) -> str:
        command_id = await self._write.gateway.post(envelope)
        self.wake()
        return command_id

    def _reaction(self, part: EventHandler, segment: Segment) -> Reaction:
        setup, storage = self._setup, self._storage
        supply = setup.supplies.reactions[part.name]
        own = setup.model.behaviours
        codes = {command: own[command].codes[command] for command in part.commands if command in own}
        clock, probe = setup.clock, setup.probe
        return Reaction(
            part, supply, self._send, storage, storage, storage, setup.registry, clock, probe, codes, segment
        )

    def _reaction_job(self, whole: Reaction) -> Job:
        def processor(segment: Segment) -> Processor[Any]:
            return self._read.processor(whole if segment.of == 1 else self._reaction(whole.part, segment))

        return Job(whole, self._setup.segments.get(whole.name, 1), processor)

    def _errands_of(self, process: Definition) -> Errands:
        setup, storage = self._setup, self._storage
        instances = Instances(process, storage, self._write.appender.submit, setup.registry, setup.probe)
        return Errands(
            instances,
            setup.model.behaviours.keys(),
            self._send,
            self._post,
            storage,
            storage,
            storage,
            setup.registry,
            setup.clock,
            setup.probe,
            wake=lambda: self.timekeeper.wake(),
        )

    def _feeder(self, errands: Errands, segment: Segment) -> ProcessFeeder:
        setup, storage = self._setup, self._storage
        return ProcessFeeder(
            errands.instances, storage, storage, storage, setup.registry, setup.clock, setup.probe, segment
        )

    def _courier(self, errands: Errands, segment: Segment) -> Courier:
        return Courier(errands, self._storage, self._storage, self._storage, self._setup.probe, segment)

    def _job(self, errands: Errands, whole: ProcessFeeder | Courier, make: Callable[[Errands, Segment], Any]) -> Job:
        def processor(segment: Segment) -> Processor[Any]:
            return self._read.processor(whole if segment.of == 1 else make(errands, segment))

        return Job(whole, self._setup.segments.get(errands.definition.name, 1), processor)

    async def register(self) -> None:
        """Checkpoints for those that the store does not know yet."""
        storage, categories = self._storage, self._setup.model.categories
        known = last_positions(await storage.checkpoints())
        head = await storage.head()
        for reaction in self.reactions:
            if reaction.name not in known:
                if reaction.part.from_start:
                    await check_heard(storage, reaction.name, reaction.part.events, categories)
                await storage.register(reaction.name, position=0 if reaction.part.from_start else head)
        for feeder, courier in zip(self._feeders, self._couriers, strict=True):
            for name, at in ((feeder.name, 0 if feeder.definition.from_start else head), (courier.name, head)):
                if name not in known:
                    if name == feeder.name and feeder.definition.from_start:
                        await check_heard(storage, name, feeder.definition.events, categories)
                    await storage.register(name, position=at)
