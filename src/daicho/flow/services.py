"""This service among the others: everything that it says and hears on the bus."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

from daicho.core.errors import BusError, ConfigurationError
from daicho.core.segments import WHOLE, Segment, root_of, segment_of
from daicho.flow.among import Among, PartitionState, gap_problems, partition_states
from daicho.flow.hearing import Ear, Hearer
from daicho.flow.inbox import Inbox
from daicho.flow.line import Line, commands_of, events_of, replies_of
from daicho.flow.outcomes import Outcomes
from daicho.flow.owned import Owned
from daicho.flow.relay import Relay
from daicho.flow.remote import Answers, Sender, Sending
from daicho.ports.clock import Clock
from daicho.ports.command_sender import CommandSender
from daicho.ports.probe import Probe
from daicho.ports.storage import Storage
from daicho.read.crew import Job
from daicho.read.feed import Feed
from daicho.read.health import Problem
from daicho.read.orphans import Orphans
from daicho.read.processor import PageProcessor, Processor
from daicho.read.progress import Progress

__all__ = ["Services"]

_TAILS_EVERY = 2.0


class _Relaying(PageProcessor):
    """Runs a relay."""

    consumer: Relay


class Services:
    """The jobs that connect one App to a bus. They share the crew's work among processes as projections do."""

    def __init__(
        self,
        among: Among,
        line: Line,
        storage: Storage,
        feed: Feed,
        progress: Progress,
        owner: str,
        clock: Clock,
        probe: Probe,
        handler: CommandSender,
        outcomes: Outcomes,
        orphans: Orphans | None = None,
    ) -> None:
        self._orphans = orphans
        self.among, self.line = among, line
        self._storage, self._feed, self._progress, self._owner = storage, feed, progress, owner
        self._clock, self._probe, self._handler, self._outcomes = clock, probe, handler, outcomes
        self.senders: list[Sender] = []
        self._relays = WeakSet[_Relaying]()
        self._watch: asyncio.Task[None] | None = None
        self._wanted: dict[str, int] = {}
        """Segments, by the name of the job."""
        self.jobs = list(self._jobs())

    def _jobs(self) -> Sequence[Job]:
        among, partitions = self.among, self.among.partitions
        jobs = list[Job]()
        if among.published:
            jobs.append(self._job(partitions, self._relay))
        for source in among.listen:
            jobs.append(self._heard(partitions, partial(self._inbox, source)))
        if among.owned:
            jobs.append(self._heard(partitions, self._commands))
        if among.remote:
            jobs.append(self._heard(1, self._answers))
        for service, key_fields in among.remote.items():
            sending = Sending(service, commands_of(service, partitions), key_fields, self._storage)
            jobs.append(Job(sending, 1, partial(self._sender, sending)))
            self._wanted[sending.name] = 1
        return jobs

    def _job(self, partitions: int, make: Callable[[Segment], Relay]) -> Job:
        whole = make(WHOLE)
        self._wanted[whole.name] = partitions

        def processor(segment: Segment) -> _Relaying:
            relay = make(segment)
            found = _Relaying(relay.name, relay, self._feed, self._storage, self._progress, self._owner)
            self._relays.add(found)
            return found

        return Job(whole, partitions, processor)

    def _heard(self, partitions: int, make: Callable[[Segment], Ear]) -> Job:
        whole = make(WHOLE)
        self._wanted[whole.name] = partitions

        def processor(segment: Segment) -> Hearer:
            ear, line, group = make(segment), self.line, self.among.name
            return Hearer(ear, line, group, self._feed, self._storage, self._progress, self._owner)

        return Job(whole, partitions, processor)

    def _relay(self, segment: Segment) -> Relay:
        among = self.among
        channel = events_of(among.name, among.partitions)
        types, categories, store = among.published, among.categories, self._storage
        return Relay(
            among.name, channel, segment, types, categories, self.line, store, store, self._probe, self._orphans
        )

    def _inbox(self, source: str, segment: Segment) -> Inbox:
        channel, store, wanted = events_of(source, self.among.partitions), self._storage, self.among.wanted
        return Inbox(source, channel, segment, wanted, store, store, store, self._probe, self.among.largest)

    def _commands(self, segment: Segment) -> Owned:
        among, name = self.among, self.among.name
        channel, parts = commands_of(name, among.partitions), (self._storage, self._clock, self._probe)
        return Owned(name, channel, segment, among.owned, self._handler, self.line, *parts)

    def _answers(self, segment: Segment) -> Answers:
        name, store = self.among.name, self._storage
        return Answers(name, replies_of(name), segment, store, store, self._outcomes, self._clock, self._probe)

    def _sender(self, sending: Sending, segment: Segment) -> Sender:
        parts = (self._feed, self._storage, self._progress, self._owner, self._probe)
        sender = Sender(sending, self.among.name, self.line, self._storage, *parts)
        self.senders.append(sender)
        return sender

    # -- life -----------------------------------------------------------------------------------------------------

    async def register(self) -> None:
        """Checkpoints for everything. Raises ConfigurationError if the partitions were others before."""
        known: dict[str, set[Segment]] = {}
        for each in await self._storage.checkpoints():
            known.setdefault(root_of(each.processor), set()).add(segment_of(each.processor))
        for root, count in self._wanted.items():
            segments = set(Segment.all_of(count))
            if root in known and not known[root] <= segments:
                raise ConfigurationError(
                    f"{root} has had {max(segment.of for segment in known[root])} partitions, not {count}",
                    why="the messages of a key would change their partition, and lose their order",
                    do="give App(partitions=...) the number that there was; all services on one bus have the same",
                )
            for segment in segments - known.get(root, set()):
                await self._storage.register(segment.name(root), position=0)

    async def start(self) -> None:
        """Connects, if the broker is there: else whoever needs it waits for it. Raises ConfigurationError and
        BusRefused."""
        try:
            async with asyncio.timeout(5):
                await self.line.opened()
        except (BusError, TimeoutError) as error:
            if isinstance(error, BusError) and error.code != "D601":
                raise

        self._watch = asyncio.create_task(self._keep_looking(), name="daicho-tails")

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        await self.line.close()

    async def _keep_looking(self) -> None:
        """A broker that lost what it had confirmed may be back before anybody has noticed that it was away."""
        while True:
            await asyncio.sleep(_TAILS_EVERY)
            for processor in self._relays:
                if processor.state != "live":
                    continue
                try:
                    if await processor.consumer.has_lost():
                        processor.begin_again()
                except BusError:
                    continue  # it is away: whoever sends next is told

    def wake(self) -> None:
        """Something was posted in this process."""
        for sender in self.senders:
            sender.nudge()

    # -- how it stands --------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Of what reads the log for the bus."""
        return [f"relay:{self.among.name}"] if self.among.published else []

    async def problems(self, processors: Sequence[Processor[Any]]) -> list[Problem]:
        """What is wrong: with those that run here, and what others have told."""
        found = dict[str, Problem]()
        for processor in processors:
            root = root_of(processor.name)
            if root in self._wanted and processor.state == "failing" and root not in found:
                do = "look at the broker and at the way to it; nothing is lost, and it tries again by itself"
                if "BusGap" in processor.error:
                    do = f"`daicho bus accept-gap {root.partition(':')[2]}`, if they are lost for good"
                found[root] = Problem(what=root, detail=processor.error.replace("\n", " "), do=do)
        told = {problem.what: problem for problem in await gap_problems(self.among, self._storage)}
        return list({**told, **found}.values())

    async def status(self) -> list[PartitionState]:
        """Every partition of what this service says and hears. Raises BusUnavailable."""
        return await partition_states(self.among, self.line, self._storage)
