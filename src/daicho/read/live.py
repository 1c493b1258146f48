"""Live queries: an answer, and the next one whenever it is another.

    this process:   rows committed ──Changes.tell──> Watch: do they concern what the answer was made of?
    another one:    its checkpoint was written, seen by a look at the store ──> the same, but nobody knows which rows
                                                   │ yes
                          asked again <────────────┘ ──> another answer? ──> Change

Nothing is queued: a Watch remembers that it has to ask again, and why. It does so when its consumer comes for more.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Generic, TypeAlias, TypeVar, cast

import msgspec

from daicho.core.errors import DaichoError, OrphanedView, Rebuilding, StoreError
from daicho.core.messages import Query
from daicho.core.segments import Segment
from daicho.read.changes import Altered, Changes, Interest
from daicho.read.progress import Progress
from daicho.read.queries import Queries, Reading, ViewState, is_kept

__all__ = ["Change", "Live", "Watch"]

R = TypeVar("R")
Marks: TypeAlias = dict[Segment, tuple[int, int, str]]
"""Of each segment: its position, its token, and when it was written last. Rows also change without the first, when a
dead letter goes through."""
Causes: TypeAlias = dict[str, set[str] | None]
"""By view: the keys of rows that were written. None: of any, or too many."""

_log = logging.getLogger("daicho")
_LOOK_EVERY = 0.05
"""Seconds between two looks at the checkpoints of other processes."""
_OWN_EVERY = 0.25
"""Between two checks that this process still runs all that is waited for."""
_UNTOLD_EVERY = 1.0
"""Between two questions that read what other processes may change without a trace: Crud tables."""
_LONGEST_PAUSE = 5.0
_MOST_KEYS = 1000
_NEVER = 2**63


class Change(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """An answer, as it became."""

    answer: R
    position: int
    """All views that it was read from had come at least so far. 0 if it was read from Crud tables alone."""
    keys: Mapping[str, Sequence[str] | None]
    """By view: which of the rows that concern the answer were written since the Change before. None: unknown, because
    another process wrote them, or SQL did, or the view was built anew; or too many to name. The first has none."""


class _Noted(Reading):
    """Remembers what was read, so that one can tell which changes matter."""

    is_live = True

    def __init__(
        self,
        after: int,
        within: float,
        position: Callable[[ViewState], int],
        tenant: str | None = None,
        floor: Callable[[ViewState], int] | None = None,
    ) -> None:
        super().__init__(after, asyncio.get_running_loop().time() + within, tenant)
        self._floor = floor
        self.interests: dict[str, Interest] = {}
        self.positions: list[int] = []
        self.reads_untold = False
        self._position = position

    def restart(self, deadline: float, place: Callable[[ViewState], int] | None) -> None:
        super().restart(deadline, place)
        self.interests.clear()
        self.positions.clear()
        self.reads_untold = False

    def floor(self, state: ViewState) -> int:
        return self._floor(state) if self._floor is not None else 0

    def uses(self, state: ViewState, keys: Iterable[str] | None, equals: Mapping[str, object] | None) -> None:
        super().uses(state, keys, equals)
        interest = self.interests.get(state.table.name)
        if interest is None:
            interest = self.interests[state.table.name] = Interest()
            if not is_kept(state):
                here = self._position(state) if self.place is None else max(self.place(state), self.floor(state))
                self.positions.append(here)
            else:
                self.reads_untold = True
        interest.add(keys, equals)


class Watch(Generic[R]):
    """An endless iterator over the Changes of one answer. It holds no task: if it is let go, nothing is left."""

    def __init__(self, live: "Live", query: Query[R], after: int, within: float, tenant: str | None) -> None:
        self._live, self._query, self._after, self._within, self._tenant = live, query, after, within, tenant
        self._turn = asyncio.Lock()
        self._due = asyncio.Event()
        self._due.set()
        self._causes: Causes = {}
        self._noted: list[_Noted] = []
        """What the last answer was made of; while it is asked for again, also what the next one is."""
        self._last: list[R] = []
        self._failures = 0

    def __aiter__(self) -> "Watch[R]":
        return self

    async def __anext__(self) -> Change[R]:
        async with self._turn:
            while not self._live.is_over:
                if not self._due.is_set():
                    await self._live.wait(self, self._due)
                elif (change := await self._ask()) is not None:
                    return change
            raise StopAsyncIteration

    @property
    def views(self) -> Iterable[str]:
        """Names of what the last answer was read from."""
        return self._noted[-1].interests if self._noted else ()

    @property
    def reads_untold(self) -> bool:
        return bool(self._noted) and self._noted[-1].reads_untold

    def told(self, view: str, rows: Altered | None) -> None:
        for noted in self._noted:
            interest = noted.interests.get(view)
            if interest is None:
                continue
            keys = None if rows is None else interest.touched(rows)
            if keys is None or keys:
                self._causes = _together(self._causes, {view: keys})
                self._due.set()

    async def _ask(self) -> Change[R] | None:
        """None if the answer is the same, or none is to be had now."""
        before, causes, is_first = self._noted, self._causes, not self._last
        self._causes = {}
        self._due.clear()
        try:
            await self._live.begin(anew=is_first or self._failures > 0)
            live = self._live
            noted = _Noted(self._after if is_first else 0, self._within, live.position, self._tenant, live.floor)
            self._noted = [*before, noted]
            answer = await self._live.queries.answer(self._query, noted, self._within)
        except BaseException as error:
            self._noted = before
            self._causes = _together(causes, self._causes)
            self._due.set()
            if self._live.is_over and isinstance(error, DaichoError):
                return None
            if is_first or not isinstance(error, (StoreError, Rebuilding, OrphanedView)):
                raise
            await self._pause(error)
            return None
        self._noted, self._failures = [noted], 0
        if self._last and answer == self._last[0]:
            return None
        # what was told meanwhile may be in the answer already; it stays due, because it may as well not
        causes = {} if is_first else _together(causes, self._causes)
        self._last = [_kept(answer)]
        return Change(
            answer=answer,
            position=max(self._after if is_first else 0, min(noted.positions, default=0)),
            keys={view: None if keys is None else sorted(keys) for view, keys in causes.items()},
        )

    async def _pause(self, error: BaseException) -> None:
        self._failures += 1
        _log.warning("the answer to %s could not be renewed and will be: %s", type(self._query).__name__, error)
        await self._live.pause(self._failures)


def _together(some: Causes, others: Causes) -> Causes:
    found = dict(some)
    for view, keys in others.items():
        known = found.get(view, set())
        both = None if known is None or keys is None else known | keys
        found[view] = both if both is None or len(both) <= _MOST_KEYS else None
    return found


def _kept(answer: R) -> R:
    """For comparison: what the consumer gets may be sorted, or have things taken out of it."""
    return copy(cast("R", answer)) if isinstance(answer, (list, dict, set)) else answer


class Live:
    """Who waits for another answer, and the lookout for what other processes do to the views."""

    def __init__(
        self,
        queries: Queries,
        changes: Changes,
        states: Mapping[str, ViewState],
        progress: Progress,
        locate: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`locate`: finds the build of a view that readers are to see, where no processor does that."""
        self.queries, self._changes, self._states = queries, changes, states
        self._progress, self._locate = progress, locate
        self._waiting: dict[Watch[Any], asyncio.Event] = {}
        self._lookout: asyncio.Task[None] | None = None
        self._stored: dict[str, dict[Segment, int]] = {}
        """By processor: where its segments were at the last look."""
        self._seen: dict[str, tuple[str, Marks]] = {}
        """By view: its processor, and what was seen of those segments that other processes run."""
        self._looked_at = 0.0
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the App is being left."""
        return self._over.is_set()

    def watch(self, query: Query[R], *, after: int = 0, within: float = 5.0, tenant: str | None = None) -> Watch[R]:
        watch = Watch(self, query, after, within, tenant)
        self._changes.listen(watch)
        return watch

    async def stop(self) -> None:
        """All iterators end."""
        self._over.set()
        for due in self._waiting.values():
            due.set()
        lookout = self._rest()
        while lookout is not None and not lookout.done():
            await asyncio.wait([lookout], timeout=_OWN_EVERY)
            lookout.cancel()  # once is not always enough: drivers have been seen to swallow it

    async def begin(self, *, anew: bool) -> None:
        """Before something is read: knows where the views are that other processes fill, so that a later look tells
        whether they have moved. `anew`: also finds them, should they have been built again."""
        if (anew or not self._seen) and any(self._is_elsewhere(state) for state in self._states.values()):
            await self._look()

    async def wait(self, watch: Watch[Any], due: asyncio.Event) -> None:
        """Until it is due, or the App is left."""
        self._waiting[watch] = due
        if self._lookout is None:
            self._lookout = asyncio.create_task(self._look_out(), name="daicho-lookout")
        try:
            async with asyncio.timeout(_UNTOLD_EVERY if watch.reads_untold else None):
                await due.wait()
        except TimeoutError:
            due.set()
        finally:
            del self._waiting[watch]
            if not self._waiting:
                self._rest()

    def _rest(self) -> "asyncio.Task[None] | None":
        """Nobody waits: the lookout ends, if there is one."""
        lookout, self._lookout = self._lookout, None
        if lookout is not None:
            lookout.cancel()
        return lookout

    async def pause(self, failures: int) -> None:
        """A moment, longer with every failure; not beyond the App's end."""
        longest = min(_LONGEST_PAUSE, 0.05 * 2**failures)
        try:
            async with asyncio.timeout(random.uniform(0.5, 1) * longest):  # noqa: S311
                await self._over.wait()
        except TimeoutError:
            return

    def position(self, state: ViewState) -> int:
        """How far the view has come, at least."""
        own = self._progress.position(state.name)
        if own is not None:
            return own
        known = {**self._stored.get(state.name, {}), **self._progress.own(state.name)}
        return min(known.values(), default=0)

    def floor(self, state: ViewState) -> int:
        """How far a view must have come on a replica, so that an answer from there shows all that was told here."""
        here = self._states[state.table.name]
        if not here.name:  # nobody tells what happens to it
            return 0
        return self.position(here) if here.table.generation == state.table.generation else _NEVER

    def _is_elsewhere(self, state: ViewState) -> bool:
        """Whether other processes may work on it."""
        return bool(state.name) and self._progress.position(state.name) is None

    async def _look_out(self) -> None:
        failures, loop = 0, asyncio.get_running_loop()
        await asyncio.sleep(self._looked_at + _LOOK_EVERY - loop.time())
        while self._lookout is asyncio.current_task():
            views = {view for watch in self._waiting for view in watch.views}
            if not any(self._is_elsewhere(self._states[view]) for view in views):
                await asyncio.sleep(_OWN_EVERY)
                continue
            try:
                await self._look()
                failures = 0
            except Exception as error:  # noqa: BLE001 - told and tried again: whoever waits relies on it
                failures += 1
                if failures == 1:
                    _log.warning("cannot see how far other processes have come, and will look again: %r", error)
                await self.pause(failures)
            await asyncio.sleep(_LOOK_EVERY)

    async def _look(self) -> None:
        self._looked_at = asyncio.get_running_loop().time()
        states = {view: state for view, state in self._states.items() if state.name}
        found = await self._progress.checkpoints([state.name for state in states.values()])
        self._stored = {name: {each: at.position for each, at in pieces.items()} for name, pieces in found.items()}
        for view, state in states.items():
            if state.name not in self._stored and self._locate is not None:
                await self._locate(view)
            own = self._progress.own(state.name)
            pieces = found.get(state.name, {}).items()
            theirs = {each: (at.position, at.token, at.updated_at) for each, at in pieces if each not in own}
            if self._seen.get(view) != (state.name, theirs):
                self._seen[view] = (state.name, theirs)
                self._changes.tell(view)
