"""Process managers, looked at and helped along by people and tools."""

import builtins
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from daicho.core.errors import NotFound
from daicho.core.instance import Instance, Step
from daicho.core.process_definition import Definition
from daicho.core.process_events import ProcessMoved
from daicho.core.process_machine import Cause, Change
from daicho.core.registry import Registry
from daicho.core.stored import StoredEvent, recorded
from daicho.core.streams import id_of
from daicho.core.times import from_text
from daicho.flow.instances import Instances
from daicho.ports.clock import Clock
from daicho.ports.event_store import Appended, AppendRequest, Selection
from daicho.ports.probe import silent
from daicho.ports.scheduler import STUCK
from daicho.ports.storage import Storage

__all__ = ["InstanceLine", "ProcessCount", "ProcessMove", "ProcessStory", "ProcessTask", "Processes"]

_PAGE = 1000
_ENDED = ("done", "compensated")


class ProcessCount(msgspec.Struct, frozen=True, kw_only=True):
    """How the instances of one process manager stand."""

    process: str
    waiting: int = 0
    """Events came for them, but not the one that starts them."""
    running: int = 0
    compensating: int = 0
    compensated: int = 0
    done: int = 0
    stuck: int = 0
    """Of all, those that cannot go on without help."""


class InstanceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, in short."""

    process: str
    key: str
    status: str
    moved_at: datetime
    stuck: str | None


class ProcessMove(msgspec.Struct, frozen=True, kw_only=True):
    """One step that an instance took."""

    at: datetime
    trigger: str
    name: str
    status: str
    commands: tuple[str, ...]
    deadlines: tuple[str, ...]
    """Set in this step."""
    reason: str | None
    position: int


class ProcessTask(msgspec.Struct, frozen=True, kw_only=True):
    """A command of an instance, and what became of it."""

    command_id: str
    command: str
    state: str
    """`sent` (no answer yet), `done`, `rejected`, `failed` or `undone`."""
    undoes: str | None
    """Id of the command that it undoes."""
    failures: int
    reason: str | None


class ProcessStory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one instance."""

    process: str
    key: str
    status: str
    fields: dict[str, Any]
    timeline: tuple[ProcessMove, ...]
    deadlines: dict[str, datetime]
    """Those that are set."""
    commands: tuple[ProcessTask, ...]
    awaited: tuple[str, ...]
    """What has to come for it to go on."""
    stuck: str | None


class Processes:
    """Everything here reads what is recorded, so it works in any process, also where none runs."""

    @staticmethod
    def beside(definitions: Iterable[Definition], storage: Storage, registry: Registry, clock: Clock) -> "Processes":
        """For a store that is open without an App running on it."""

        async def append(request: AppendRequest) -> Appended:
            [answer] = await storage.append([request])
            if isinstance(answer, Exception):
                raise answer
            return answer

        instances = [Instances(each, storage, append, registry, silent) for each in definitions]
        return Processes(instances, storage, registry, clock)

    def __init__(self, instances: Sequence[Instances], storage: Storage, registry: Registry, clock: Clock) -> None:
        self._all = {each.definition.category: each for each in instances}
        self._storage, self._registry, self._clock = storage, registry, clock

    async def list(self) -> Sequence[ProcessCount]:
        """One line for each process manager of the App. Reads all their records."""
        found: builtins.list[ProcessCount] = []
        for category in self._all:
            last = [moved for _, moved in (await self._last(category)).values()]
            counts = Counter(moved.status for moved in last)
            stuck = sum(moved.stuck is not None for moved in last)
            found.append(ProcessCount(process=category, stuck=stuck, **counts))
        return found

    async def instances(self, process: str, *, status: str | None = None, limit: int = 100) -> Sequence[InstanceLine]:
        """Those that moved last come first. Reads all records of the process manager. Raises NotFound."""
        self._of(process)
        lines = [_line(*last) for last in (await self._last(process)).values()]
        lines = [line for line in lines if status in (None, line.status)]
        return sorted(lines, key=lambda line: line.moved_at, reverse=True)[:limit]

    async def stuck(self, *, older: timedelta = timedelta(hours=1)) -> Sequence[InstanceLine]:
        """Instances that cannot go on without help, and those that have not ended and not moved for so long."""
        before = self._clock.now() - older
        found: builtins.list[InstanceLine] = []
        for category in self._all:
            lines = [_line(*last) for last in (await self._last(category)).values()]
            found += [x for x in lines if x.stuck is not None or (x.status not in _ENDED and x.moved_at < before)]
        return sorted(found, key=lambda line: line.moved_at)

    async def show(self, process: str, key: str) -> ProcessStory:
        """Raises NotFound."""
        instances = self._of(process)
        instance = await self._found(instances, key)
        timeline: builtins.list[ProcessMove] = []
        async for stored in self._records(Selection(stream=instance.stream)):
            moved = self._moved(stored)
            timeline.append(
                ProcessMove(
                    at=from_text(stored.recorded_at),
                    trigger=moved.trigger,
                    name=moved.name,
                    status=moved.status,
                    commands=tuple(issued.name for issued in moved.commands),
                    deadlines=tuple(timer.name for timer in moved.timers if timer.kind == "deadline"),
                    reason=moved.back or moved.reason or moved.stuck,
                    position=stored.position,
                )
            )
        return ProcessStory(
            process=process,
            key=key,
            status=instance.status,
            fields=instance.fields,
            timeline=tuple(timeline),
            deadlines={t.name: from_text(t.due) for t in instance.timers.values() if t.kind == "deadline"},
            commands=tuple(map(_task, instance.steps.values())),
            awaited=_awaited(instance),
            stuck=instance.stuck,
        )

    async def nudge(self, process: str, key: str) -> bool:
        """Sends again what has no answer, and tries again what was given up; what was done already is not done twice.
        False if there is nothing to be done. Raises NotFound."""
        instances, token = self._of(process), self._clock.new_id()
        await self._found(instances, key)

        async def decide(instance: Instance) -> builtins.list[Change]:
            return instances.machine.nudged(instance, token, self._cause(instance))

        return bool(await instances.change(key, decide))

    async def compensate(self, process: str, key: str, reason: str) -> bool:
        """Undoes what the instance did, the last step first. False if it has not started, or does so already. Raises
        NotFound, PastPivot."""
        instances, token = self._of(process), self._clock.new_id()
        await self._found(instances, key)

        async def decide(instance: Instance) -> builtins.list[Change]:
            return instances.machine.turned_back(instance, token, reason, self._cause(instance))

        return bool(await instances.change(key, decide))

    async def stuck_now(self, limit: int = 1000) -> Sequence[tuple[str, str]]:
        """Process and key of those that cannot go on without help, from the notes that are kept of them."""
        found: builtins.list[tuple[str, str]] = []
        for category, instances in self._all.items():
            notes = await self._storage.timers(instances.definition.name, name=STUCK, limit=limit)
            found += [(category, id_of(note.key)) for note in notes]
        return found

    def _cause(self, instance: Instance) -> Cause:
        return Cause(
            now=self._clock.now(),
            event_id=None,
            correlation_id=instance.correlation_id,
            actor=instance.actor,
            tenant=instance.tenant,
        )

    def _of(self, process: str) -> Instances:
        if process not in self._all:
            raise NotFound(
                f"there is no process manager {process!r}",
                why=f"this App has {', '.join(sorted(self._all)) or 'none'}",
                do="check the name; it is the category of the Process class",
            )
        return self._all[process]

    async def _found(self, instances: Instances, key: str) -> Instance:
        instance = await instances.load(key)
        if not instance.version:
            raise NotFound(
                f"there is no instance {key!r} of {instances.definition.category}",
                why="no event that concerns it was handled yet",
                do="`daicho process list` tells how many there are; `daicho dlq list` what is parked",
            )
        return instance

    async def _last(self, category: str) -> dict[str, tuple[StoredEvent, ProcessMoved]]:
        """The last record of each instance."""
        found: dict[str, StoredEvent] = {}
        async for stored in self._records(Selection(category=category, types=(ProcessMoved.__message_name__,))):
            found[stored.stream] = stored
        return {stream: (stored, self._moved(stored)) for stream, stored in found.items()}

    def _moved(self, stored: StoredEvent) -> ProcessMoved:
        event: ProcessMoved = recorded(stored, self._registry).event
        return event

    async def _records(self, selection: Selection) -> AsyncIterator[StoredEvent]:
        while page := await self._storage.read(selection, limit=_PAGE):
            for stored in page:
                yield stored
            if selection.stream is not None:
                selection = msgspec.structs.replace(selection, after_version=page[-1].version)
            else:
                selection = msgspec.structs.replace(selection, after=page[-1].position)


def _line(stored: StoredEvent, moved: ProcessMoved) -> InstanceLine:
    return InstanceLine(
        process=moved.process,
        key=moved.key,
        status=moved.status,
        moved_at=from_text(stored.recorded_at),
        stuck=moved.stuck,
    )


def _task(step: Step) -> ProcessTask:
    return ProcessTask(
        command_id=step.issued.command_id,
        command=step.issued.name,
        state=step.state,
        undoes=step.issued.undoes,
        failures=step.failures,
        reason=step.reason,
    )


def _awaited(instance: Instance) -> tuple[str, ...]:
    found = [f"the answer to {step.issued.name}" for step in instance.unanswered]
    for timer in instance.timers.values():
        what = {"deadline": f"the deadline {timer.name!r}", "send": f"the time to send {timer.name}"}
        step = instance.steps.get(timer.name)
        again = f"the time to try {step.issued.name if step else '?'} again"
        found.append(f"{what.get(timer.kind, again)} at {timer.due}")
    if instance.status == "waiting":
        found.append("the event that starts it")
    return tuple(found)
