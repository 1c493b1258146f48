"""Which replica answers, and what happens when none can.

question ──> a replica in service ──answer──> done
                │ not that far in time, frozen, gone
                ├──> another one ──> ...
                └──> the primary, for so many questions at once ──> NoReplica
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from daicho.core.errors import NoReplica, NotAReplica
from daicho.ports.replication import Replicated
from daicho.read.health import Problem
from daicho.read.queries import Reading, Views
from daicho.read.replicas.policy import ReplicaPolicy
from daicho.read.replicas.primary import Primary
from daicho.read.replicas.replica import MISSED, Replica
from daicho.read.replicas.state import PrimaryReads, ReplicaState

__all__ = ["Router", "problems_of"]

_LATE = 0.25
"""Seconds of lag beyond which a token had better be shown elsewhere."""
_log = logging.getLogger("daicho")


class Router:
    """Fulfils `daicho.read.queries.Places`."""

    def __init__(self, replicas: Sequence[Replica], policy: ReplicaPolicy) -> None:
        self.replicas = replicas
        self.primary = Primary(None)
        self._policy = policy
        self._free = asyncio.Semaphore(policy.on_primary)
        self._reads = self._refused = self._under_way = 0
        self._tasks: list[asyncio.Task[None]] = []

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self, primary: Replicated | None) -> None:
        """Looks at all of them, and goes on doing so; those that cannot be reached are tried again. `primary`: None if
        this process has no way to it. Raises NotAReplica."""
        await self.look(primary)
        self._tasks = [asyncio.create_task(self._watch_primary(), name="daicho-primary")]
        self._tasks += [asyncio.create_task(self._watch(each), name=f"daicho-{each.name}") for each in self.replicas]

    async def look(self, primary: Replicated | None) -> None:
        """Once. Raises NotAReplica."""
        self.reach(primary)
        await self.primary.look(self._policy.answer_within)
        await asyncio.gather(*(replica.look(self.primary) for replica in self.replicas))
        seen = [replica for replica in self.replicas if replica.data]
        data = self.primary.latest.data if self.primary.latest is not None else seen[0].data if seen else ""
        for replica in seen:
            if replica.data != data:
                raise NotAReplica(
                    f"{replica.name} is no replica of the store",
                    why="it is another database: another server made it, or the URL names another one on it",
                    do="name a streaming replica of the store's own server, and the same database on it",
                    name=replica.name,
                )

    def reach(self, primary: Replicated | None) -> None:
        """The way to the primary, as soon as there is one."""
        self.primary.storage = primary
        if primary is not None:
            primary.beat()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for replica in self.replicas:
            await replica.close()

    async def _watch_primary(self) -> None:
        while True:
            await asyncio.sleep(self._policy.every)
            await self.primary.look(self._policy.answer_within)

    async def _watch(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(self._policy.every)
            try:
                await replica.look(self.primary)
            except Exception:  # noqa: BLE001 - it must go on: a replica that nobody looks at answers nothing
                _log.exception("a look at the replica %s failed, and will be taken again", replica.name)

    # -- answering ------------------------------------------------------------------------------------------------

    async def answer(self, reading: Reading, within: float, ask: Callable[[Views], Awaitable[Any]], here: Views) -> Any:
        loop = asyncio.get_running_loop()
        deadline = reading.deadline if reading.deadline is not None else loop.time() + within
        tried: list[Replica] = []
        while (replica := self._pick(tried, reading)) is not None:
            tried.append(replica)
            is_last = not self._may_ask_primary and self._pick(tried, reading) is None
            until = deadline if is_last else min(deadline, loop.time() + self._policy.wait)
            answer = await replica.answer(reading, until, ask, is_last=is_last)
            if answer is not MISSED:
                return answer
        return await self._ask_primary(reading, deadline, ask, here)

    def _pick(self, tried: Sequence[Replica], reading: Reading) -> Replica | None:
        """The one that has the least to do; who has a token is not sent to one that is known to be late, if another is
        there."""
        fit = [replica for replica in self.replicas if replica not in tried and replica.in_service]
        is_asked = bool(reading.after) or reading.is_live
        return min(fit, key=lambda each: (is_asked and each.lag > _LATE, each.under_way, each.reads), default=None)

    @property
    def _may_ask_primary(self) -> bool:
        return self.primary.answers and self._policy.on_primary > 0

    async def _ask_primary(
        self, reading: Reading, deadline: float, ask: Callable[[Views], Awaitable[Any]], here: Views
    ) -> Any:
        if not self._may_ask_primary:
            self._refused += 1
            raise self._nobody("the primary does not answer" if self._policy.on_primary else "the primary may not")
        try:
            async with asyncio.timeout_at(max(deadline, asyncio.get_running_loop().time() + 0.01)):
                await self._free.acquire()
        except TimeoutError:
            self._refused += 1
            raise self._nobody(f"the primary is answering {self._policy.on_primary} others already") from None
        self._under_way += 1
        try:
            reading.restart(deadline, None)
            answer = await ask(here)
        finally:
            self._under_way -= 1
            self._free.release()
        self._reads += 1
        return answer

    def _nobody(self, why: str) -> NoReplica:
        told = "; ".join(f"{each.name}: {each.state().why or 'not that far'}" for each in self.replicas)
        return NoReplica(
            f"no replica can answer ({told})", why=why, do="ask again; `daicho replica list` tells how they stand"
        )

    # -- telling --------------------------------------------------------------------------------------------------

    def states(self) -> list[ReplicaState]:
        return [replica.state() for replica in self.replicas]

    def primary_reads(self) -> PrimaryReads:
        return PrimaryReads(
            reads=self._reads,
            refused=self._refused,
            under_way=self._under_way,
            answers=None if self.primary.storage is None else self.primary.answers,
        )

    def problems(self) -> list[Problem]:
        """What health has to say of them."""
        return problems_of(self.states())


def problems_of(states: Sequence[ReplicaState]) -> list[Problem]:
    do = "look at it and at the way to it; it comes back by itself, and until then others answer"
    found = [Problem(what=f"replica {state.name}", detail=state.why, do=do) for state in states if state.why]
    if not any(state.in_service for state in states):
        do = "mend a replica: meanwhile the primary answers, for so many at once"
        found.append(Problem(what="replicas", detail="none of them is in service", do=do))
    return found
