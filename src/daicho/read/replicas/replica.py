"""One replica: opened, looked at again and again, given up when it does not answer, opened again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from daicho.core.errors import NoPast, Rebuilding, StoreError
from daicho.core.segments import root_of, segment_of
from daicho.ports.checkpoint_store import CUT, Checkpoint, CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.replication import ReplicaStorage, Sample
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.build import Build
from daicho.read.generations import BUILDING
from daicho.read.progress import Progress
from daicho.read.queries import Kept, Reading, Views, ViewState
from daicho.read.replicas.judgement import FOREIGN, Standing, is_ahead, strangeness
from daicho.read.replicas.policy import ReplicaPolicy
from daicho.read.replicas.primary import Primary
from daicho.read.replicas.state import ReplicaState

__all__ = ["MISSED", "KeptThere", "Replica"]

MISSED: Final = object()
"""Instead of an answer: it has to be asked elsewhere."""
_HEAD = "head"
_SHARED = 0.003
"""Seconds for which checkpoints that were read are good enough for another reader: they only ever move on."""

_log = logging.getLogger("daicho")


class KeptThere(Kept):
    """A Crud table on a replica: it is as far as the replica's head, since its rows have no position of their own."""

    name = _HEAD

    def __init__(self, table: TableSpec, views: ViewStore) -> None:
        super().__init__(table, views)


class _Checkpoints:
    """Those of a replica, read once for all who ask at the same time."""

    def __init__(self, storage: ReplicaStorage, *, with_head: bool) -> None:
        self._storage, self._with_head = storage, with_head
        self._asking: asyncio.Task[list[Checkpoint]] | None = None
        self._asked_at = -1.0
        self.found: list[Checkpoint] = []

    async def checkpoints(self) -> Sequence[Checkpoint]:
        loop = asyncio.get_running_loop()
        if self._asking is None and loop.time() - self._asked_at < _SHARED:
            return self.found
        if self._asking is None:
            self._asked_at = loop.time()
            self._asking = asyncio.create_task(self._ask(), name="daicho-replica-checkpoints")
            self._asking.add_done_callback(self._done)
        return await asyncio.shield(self._asking)

    async def _ask(self) -> list[Checkpoint]:
        found = list(await self._storage.checkpoints())
        if self._with_head:
            head = await self._storage.head()
            found.append(Checkpoint(processor=_HEAD, position=head, token=0, owner=None, updated_at=""))
        self.found = found
        return found

    def _done(self, asking: "asyncio.Task[list[Checkpoint]]") -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # told to whoever waited


class Replica:
    def __init__(
        self,
        name: str,
        make: Callable[[], ReplicaStorage],
        policy: ReplicaPolicy,
        clock: Clock,
        states: Callable[[ReplicaStorage], dict[str, ViewState]] | None = None,
        past: Callable[[int | datetime], Views] | None = None,
    ) -> None:
        """`make`: the replica's store, not yet opened. `states`: the views of the App, as they are there. `past`: those
        of the past, which the primary tells. Without them, it is only looked at."""
        self.name = name
        self.storage: ReplicaStorage | None = None
        self.under_way = self.reads = 0
        self.data = ""
        """Whose data it holds, as far as was seen."""
        self.is_strange = False
        """Whether it is no replica of this primary."""
        self._make, self._make_states, self._past = make, states, past
        self._policy, self._clock = policy, clock
        self._standing = Standing(policy)
        self._views: Views | None = None
        self._states: dict[str, ViewState] = {}
        self._checkpoints: _Checkpoints | None = None
        self._last: tuple[Sample, float] | None = None
        self._good_at = 0.0
        """When the last good look began, by the event loop's clock."""
        self._moved = self._taken_out = self._ahead = 0
        self._turn = 0
        """Grows whenever it is taken out: an answer that was begun before is not used."""
        self._last_seen: datetime | None = None

    @property
    def in_service(self) -> bool:
        """A verdict that is too old is none."""
        fresh = asyncio.get_running_loop().time() - self._good_at <= self._policy.max_lag + self._policy.answer_within
        return self._standing.in_service and self._views is not None and fresh

    @property
    def lag(self) -> float:
        return self._standing.lag_seconds or 0.0

    def state(self) -> ReplicaState:
        standing, last = self._standing, self._last
        return ReplicaState(
            name=self.name,
            in_service=standing.in_service,
            why=standing.why,
            lag_seconds=standing.lag_seconds,
            lag_bytes=standing.lag_bytes,
            position=last[0].position if last else 0,
            reads=self.reads,
            under_way=self.under_way,
            moved=self._moved,
            taken_out=self._taken_out,
            last_seen=self._last_seen,
        )

    # -- looking --------------------------------------------------------------------------------------------------

    async def look(self, primary: Primary) -> None:
        """Raises nothing that the replica raises: that is an answer."""
        loop = asyncio.get_running_loop()
        begun, within = loop.time(), self._policy.answer_within
        was = self._standing.in_service
        try:
            if self.storage is None:
                await self._open(within)
            storage = self.storage
            assert storage is not None
            sample = await storage.sample(within)
            self._ahead = self._ahead + 1 if is_ahead(self._last, primary) else 0
            strange = FOREIGN if self._ahead >= self._policy.samples else strangeness(sample, primary)
            self.data, self._last_seen = sample.data, self._clock.now()
            changed = self._last is not None and self._last[0].server != sample.server
            self._last, self._good_at = (sample, loop.time()), begun
            self.is_strange = bool(strange)
            if strange:
                self._standing.gone(strange)
            elif changed:
                await self._lost("it was started again, or the URL leads to another server now")
            else:
                await self._locate(storage, within)
                self._standing.seen(sample, primary)
        except (StoreError, TimeoutError) as error:
            what = error.what if isinstance(error, StoreError) else f"it did not answer within {within:g} s"
            await self._lost(what)
        if was and not self._standing.in_service:
            self._turn += 1
            self._taken_out += 1
            _log.warning("replica %s is taken out of service: %s", self.name, self._standing.why)
        elif not was and self._standing.in_service:
            _log.info("replica %s is in service", self.name)

    async def _open(self, within: float) -> None:
        storage = self._make()
        try:
            async with asyncio.timeout(within):
                await storage.open()
        except BaseException:
            self.data = storage.data or self.data
            storage.cut()
            await storage.close()
            raise
        states = self._make_states(storage) if self._make_states is not None else {}
        with_head = any(isinstance(state, KeptThere) for state in states.values())
        self._checkpoints = _Checkpoints(storage, with_head=with_head)
        progress = Progress(cast("CheckpointStore", self._checkpoints))
        self._states, self._views = states, Views(states, progress, past=self._past or _no_past)
        self.storage = storage

    async def _lost(self, why: str) -> None:
        """Whoever waits for it is sent elsewhere; the next look begins anew."""
        self._standing.gone(why)
        storage, self.storage, self._views = self.storage, None, None
        if storage is not None:
            storage.cut()
            await storage.close()

    async def _locate(self, storage: ReplicaStorage, within: float) -> None:
        """Which build of each view readers see there, and whether it is complete."""
        assert self._checkpoints is not None
        watchdog = asyncio.get_running_loop().call_later(within, storage.cut)
        try:
            live = await storage.live_tables()
            building = {c.processor: c.position for c in await self._checkpoints.checkpoints()}
            for name, state in self._states.items():
                if isinstance(state, Build) and state.views is storage:
                    if live.get(name) != state.table.generation:
                        await state.locate()
                    goal = building.get(BUILDING + state.name, 0)
                    is_built = _least(self._checkpoints.found, state.name) >= goal
                    state.complete_at = 0 if is_built else goal
        finally:
            watchdog.cancel()

    # -- answering ------------------------------------------------------------------------------------------------

    async def answer(
        self, reading: Reading, deadline: float, ask: Callable[[Views], Awaitable[Any]], *, is_last: bool
    ) -> Any:
        """The answer, or MISSED: it has not got that far by the deadline, or it is gone. `is_last`: a stale one, of
        which the reading says so, is better than none."""
        views, turn = self._views, self._turn
        if views is None:
            return MISSED
        reading.restart(deadline, self._position)
        self.under_way += 1
        limit = asyncio.timeout(self._policy.read_within)
        try:
            async with limit:
                answer = await ask(views)
        except (StoreError, Rebuilding):
            return self._miss()
        except Exception:
            # what is wrong with a question may be that its answer is not there yet, or came from nowhere
            if limit.expired() or reading.behind or turn != self._turn or not self.in_service:
                return self._miss()
            raise
        finally:
            self.under_way -= 1
        if turn != self._turn or not self.in_service or (reading.behind and not is_last):
            return self._miss()
        self.reads += 1
        return answer

    def _miss(self) -> Any:
        self._moved += 1
        return MISSED

    def _position(self, state: ViewState) -> int:
        return _least(self._checkpoints.found if self._checkpoints is not None else (), state.name)

    async def close(self) -> None:
        await self._lost("the App was left")


def _no_past(_: object) -> Views:
    raise NoPast("a replica alone tells nothing of the past", do="ask the App")


def _least(checkpoints: Sequence[Checkpoint], processor: str) -> int:
    found: Mapping[Any, int] = {
        segment_of(each.processor): each.position
        for each in checkpoints
        if each.owner != CUT and root_of(each.processor) == processor
    }
    return min(found.values(), default=0)
