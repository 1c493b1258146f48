"""Runs the commands that were posted: durable, in order of arrival, each with an outcome that can be asked for."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import msgspec

from daicho.core.errors import ConcurrencyError, MessageError, NotRunning, Rejected, StoreError
from daicho.core.messages import Command, Receipt
from daicho.core.times import to_text
from daicho.flow.outcomes import Outcomes
from daicho.ports.checkpoint_store import CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import CommandSender, Envelope, packed, unpack
from daicho.ports.event_store import CommandOutcome
from daicho.ports.probe import Probe

__all__ = ["Postman"]

_log = logging.getLogger("daicho")
_AT_ONCE = 200
_ATTEMPTS = 5
_POLL = 0.5
_STRAYS_EVERY = 2.0
NAME = "posted"
"""Before the name of the service: the checkpoint of who carries out its posted commands."""


class Postman:
    """One process at a time carries out what any process posted."""

    def __init__(
        self,
        log: CommandLog,
        checkpoints: CheckpointStore,
        sender: CommandSender,
        commands: Mapping[str, type[Command]],
        clock: Clock,
        probe: Probe,
        owner: str,
        service: str,
        outcomes: Outcomes,
    ) -> None:
        """`service`: this one; several may share a store, and each carries out what is for it."""
        self._name, self._service, self._outcomes = f"{NAME}:{service}", service, outcomes
        self._log, self._checkpoints, self._send, self._commands = log, checkpoints, sender, commands
        self._clock, self._probe, self._owner = clock, probe, owner
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._attempts: dict[str, int] = {}
        self._names = list(commands)
        self._look_for_strays_at = 0.0

    async def start(self) -> None:
        await self._checkpoints.register(self._name, position=0)
        self._task = asyncio.create_task(self._run(), name="daicho-postman")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def wake(self) -> None:
        """Something was posted in this process."""
        self._idle.clear()
        self._wake.set()

    async def idle(self) -> None:
        """Waits until nothing that this process posted is left to do."""
        if self._task is not None:
            await self._idle.wait()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._deliver()
            except NotRunning:
                return
            except Exception:  # noqa: BLE001 - told and tried again: the postman never dies silently
                _log.exception("posted commands could not be carried out; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._wake.wait()

    async def _deliver(self) -> None:
        while True:
            pending = await self._log.pending(limit=_AT_ONCE, names=self._names)
            if not pending:
                await self._give_up_strays()
                if not self._wake.is_set():  # else something was posted since we looked
                    self._idle.set()
                return
            if await self._checkpoints.claim(self._name, self._owner) is None:
                return  # another process is at it
            await asyncio.gather(*[self._carry_out(outcome) for outcome in pending])

    async def _give_up_strays(self) -> None:
        """What is for this service, and nobody handles: a part was taken away after it had been posted."""
        now = asyncio.get_running_loop().time()
        if now < self._look_for_strays_at:
            return
        self._look_for_strays_at = now + _STRAYS_EVERY
        for outcome in await self._log.pending(limit=_AT_ONCE):
            if outcome.name in self._commands or not self._is_ours(outcome):
                continue
            if await self._checkpoints.claim(self._name, self._owner) is None:
                return
            await self._finish(outcome, "failed", f"no part of this App handles {outcome.name}")

    def _is_ours(self, outcome: CommandOutcome) -> bool:
        try:
            return packed(outcome).to in (None, self._service)
        except msgspec.MsgspecError:
            return True

    async def _carry_out(self, outcome: CommandOutcome) -> None:
        self._probe("post.before")
        cls = self._commands[outcome.name]
        envelope: Envelope | None = None
        try:
            envelope = unpack(outcome, cls)
            receipt = await self._send(envelope)
        except Rejected as error:
            await self._finish(outcome, "rejected", error.what)
        except (MessageError, msgspec.MsgspecError) as error:
            await self._finish(outcome, "failed", str(error))
        except ConcurrencyError as error:
            # without a version that the caller saw it is only bad luck: it stays pending, and has another go
            if envelope is not None and envelope.expected is not None:
                await self._finish(outcome, "failed", str(error))
        except (StoreError, NotRunning):
            raise  # not the command's fault: it stays pending
        except Exception as error:  # noqa: BLE001 - the user's code: tried again, then told
            attempts = self._attempts[outcome.command_id] = self._attempts.get(outcome.command_id, 0) + 1
            _log.exception("posted %s %s failed (attempt %s)", outcome.name, outcome.command_id, attempts)
            if attempts >= _ATTEMPTS:
                await self._finish(outcome, "failed", f"{type(error).__name__}: {error}")
            else:
                await self._clock.sleep(0.02 * 2**attempts)
        else:
            if not receipt.events or receipt.duplicate:
                await self._finish(outcome, "done", None, receipt)
            else:
                await self._outcomes.tell(_finished(outcome, "done", None, receipt, self._clock))

    async def _finish(
        self, outcome: CommandOutcome, state: str, reason: str | None, receipt: Receipt | None = None
    ) -> None:
        self._attempts.pop(outcome.command_id, None)
        finished = _finished(outcome, state, reason, receipt, self._clock)
        await self._log.record(finished)
        await self._outcomes.tell(finished)


def _finished(
    outcome: CommandOutcome, state: str, reason: str | None, receipt: Receipt | None, clock: Clock
) -> CommandOutcome:
    return msgspec.structs.replace(
        outcome,
        state=state,
        reason=reason,
        payload=None,
        stream=receipt.stream if receipt else None,
        version=receipt.version if receipt else 0,
        position=int(receipt.position) if receipt else 0,
        finished_at=to_text(clock.now()),
    )
