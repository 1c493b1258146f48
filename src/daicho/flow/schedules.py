"""Commands that are to be sent at a time, once or again and again."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from daicho.core.errors import InvalidMessage
from daicho.core.ids import derived_id
from daicho.core.messages import Command
from daicho.core.process import check_time
from daicho.core.times import from_text, to_text
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope, pack
from daicho.ports.event_store import CommandOutcome
from daicho.ports.scheduler import Scheduler, Timer

__all__ = ["Scheduled", "Schedules"]

_MOST_SECONDS = 10 * 365 * 86400.0


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """A command that waits for its time."""

    schedule_id: str
    command: str
    due: datetime
    every: timedelta | None
    sent: int
    """How often it was sent before."""


class _Kept(msgspec.Struct, kw_only=True):
    catch_up: bool
    actor: str | None
    tenant: str | None
    packed: bytes


class Schedules:
    """Each time, the command is posted under an id that follows from the schedule's and the number: once in effect."""

    def __init__(
        self,
        team: str,
        scheduler: Scheduler,
        log: CommandLog,
        clock: Clock,
        remote: Mapping[type[Command], str],
        *,
        wake: Callable[[], None],
    ) -> None:
        """
        remote  which commands are for other services, and for which
        wake    tells that a command was posted
        """
        self.group = f"app:{team}"
        self._team, self._remote = team, remote
        self._scheduler, self._log, self._clock, self._wake = scheduler, log, clock, wake

    def when(self, after: timedelta | None, at: datetime | None) -> datetime:
        """Raises InvalidMessage."""
        check_time(after, at)
        return at if at is not None else self._clock.now() + (after or timedelta())

    async def add(self, envelope: Envelope, due: datetime, every: timedelta | None, *, catch_up: bool) -> str:
        """Durable when it returns. The same id again changes nothing."""
        seconds = 0.0 if every is None else every.total_seconds()
        if every is not None and not 1.0 <= seconds <= _MOST_SECONDS:
            raise InvalidMessage(
                f"every={every!r} is no interval for a command", do="give at least one second", path="every"
            )
        kept = _Kept(
            catch_up=catch_up,
            actor=envelope.actor,
            tenant=envelope.tenant,
            packed=pack(envelope, self._remote.get(type(envelope.command), self._team)),
        )
        timer = Timer(
            timer_id=envelope.command_id,
            due=to_text(due),
            group=self.group,
            key="",
            name=envelope.name,
            every=seconds,
            payload=msgspec.json.encode(kept),
        )
        if await self._scheduler.timer(timer.timer_id) is None:
            await self._scheduler.set_timers([timer])
        return timer.timer_id

    async def move(self, schedule_id: str, due: datetime) -> bool:
        """False if there is no such schedule (any more)."""
        while (timer := await self._scheduler.timer(schedule_id)) is not None and timer.group == self.group:
            if await self._scheduler.move_timer(timer, msgspec.structs.replace(timer, due=to_text(due))):
                return True
        return False

    async def drop(self, schedule_id: str) -> bool:
        """False if there is no such schedule (any more)."""
        timer = await self._scheduler.timer(schedule_id)
        if timer is None or timer.group != self.group:
            return False
        return await self._scheduler.drop_timers([schedule_id]) > 0

    async def all(self) -> list[Scheduled]:
        """Earliest first."""
        return [
            Scheduled(
                schedule_id=timer.timer_id,
                command=timer.name,
                due=from_text(timer.due),
                every=timedelta(seconds=timer.every) if timer.every else None,
                sent=timer.number,
            )
            for timer in await self._scheduler.timers(self.group)
        ]

    async def due(self, timer: Timer) -> None:
        """Posts the command, then moves the timer to its next time or takes it away."""
        kept = msgspec.json.decode(timer.payload or b"", type=_Kept)
        command_id = derived_id(timer.timer_id, f"time:{timer.number}")
        await self._log.record(
            CommandOutcome(
                command_id=command_id,
                name=timer.name,
                state="pending",
                actor=kept.actor,
                tenant=kept.tenant,
                correlation_id=command_id,
                received_at=to_text(self._clock.now()),
                payload=kept.packed,
            ),
            replace=False,
        )
        await self._scheduler.move_timer(timer, self._next(timer, catch_up=kept.catch_up))
        self._wake()

    def _next(self, timer: Timer, *, catch_up: bool) -> Timer | None:
        if not timer.every:
            return None
        step, due = timedelta(seconds=timer.every), from_text(timer.due)
        due += step
        now = self._clock.now()
        if not catch_up and due <= now:
            due += step * ((now - due) // step + 1)
        return msgspec.structs.replace(timer, due=to_text(due), number=timer.number + 1)
