"""How far readers may look: one tracker a process asks the database, and everybody here waits for it.

    own commit ──touch──> right behind the head? that is the new head: wake who waits
                             │ else
    NOTIFY (a hint) ─────────┼──> does anybody wait? ──> safe_head() ──> greater? wake who waits
    pause over ──────────────┘    tell other processes (at most each 10 ms)

Each position is drawn once. So if all positions from the head to a certain one were drawn by appends of this process,
and those are committed, nothing new can appear up to there: while nobody else writes, the head is known without asking.

Nothing depends on a notification: it only shortens the pause. The pause is a millisecond while something is known to
be on its way, and grows to a quarter of a second while nothing happens. Looking costs the server about as much as an
append, so it is done at most once a millisecond, and not at all while nobody wants to know.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import psycopg

from daicho.adapters.stores.postgres.failures import is_lost, translated
from daicho.adapters.stores.postgres.lines import Line
from daicho.core.errors import DaichoError, StoreClosed, StoreError, StoreFailed

__all__ = ["Head"]

_SHORTEST, _QUIET, _GROWTH = 0.001, 0.01, 1.5
_LONGEST_LISTENING, _LONGEST_POLLING = 0.25, 0.05
_NOTIFY_EVERY = 0.01
_PATIENCE = 5.0
_OWN_KEPT = 10_000

log = logging.getLogger("daicho.postgres")


class Head:
    """The safe head as this process knows it; it never goes back."""

    def __init__(self, line: Line, query: str, *, channel: str | None, shown: str) -> None:
        """`channel`: None if nothing can be heard, behind a pooler."""
        self.seen = 0
        self.written = 0
        """The greatest position that this process has committed."""
        self._line, self._query, self._channel, self._shown = line, query, channel, shown
        self._longest = _LONGEST_POLLING if channel is None else _LONGEST_LISTENING
        self._told, self._told_at = 0, 0.0
        self._looked_at = 0.0
        self._own: set[int] = set()
        """Positions behind the head that this process has committed, with others' or holes before them."""
        self._doubt = True
        """Whether others may have written since the last look."""
        self._others = True
        """Whether that look found something."""
        self._waiting = 0
        self._later: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._touched = asyncio.Event()
        if channel is not None:
            line.greeting = [b"select set_config('synchronous_commit', 'off', false)", f'listen "{channel}"'.encode()]
            line.heard = self._hear
        self._moved = asyncio.Event()
        self._asked: list[asyncio.Future[None]] = []
        self._error: DaichoError | None = None
        self._closed = False
        self.heard_of_epoch: Callable[[], None] | None = None
        """Called when the head is in a newer epoch than it was, and the server has not been looked at since."""
        self._of_epochs: dict[int, int] = {}
        """How far it was seen in each epoch."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises StoreUnavailable and the like, if the database cannot be asked."""
        await self._look()
        self._told = self.written = self.seen
        self._task = self._loop.create_task(self._watch(), name="daicho-postgres-head")

    async def close(self) -> None:
        self._closed = True
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._answer()
        await self._line.hang_up()

    def touch(self, positions: Sequence[int]) -> None:
        """This process has committed events at these positions, in ascending order."""
        if not positions:
            return
        self.written = max(self.written, positions[-1])
        if positions[0] == self.seen + 1 and positions[-1] == self.seen + len(positions) and not self._own:
            self._go(positions[-1])
        else:
            self._own.update(positions)
            self._go(self.seen)
        if self._waiting and self.seen < self.written:
            self._touched.set()
        elif self._channel is not None and self._later is None:
            if self._told_at + _NOTIFY_EVERY <= time.monotonic():
                self._touched.set()
            else:
                self._later = self._loop.call_later(_NOTIFY_EVERY, self._touch_later)

    def seen_of(self, epoch: int) -> int:
        """The greatest position that was known here up to that epoch."""
        known = {**self._of_epochs, self.seen >> 48: max(self.seen, self.written)}
        return max((seen for each, seen in known.items() if each <= epoch), default=0)

    def begin_again(self) -> None:
        """The server was replaced: what was committed on the old one says nothing of the new one."""
        self._own.clear()
        self._doubt = True
        self._touched.set()

    def _touch_later(self) -> None:
        self._later = None
        self._touched.set()

    def _hear(self) -> None:
        self._doubt = True
        self._touched.set()

    def _go(self, head: int) -> None:
        """The head is at `head`, or further if own positions follow it."""
        own = self._own
        while own and head + 1 in own:
            head += 1
            own.discard(head)
        if head > self.seen:
            if head >> 48 != self.seen >> 48:
                self._of_epochs[self.seen >> 48] = max(self.seen, self.written)
                if self.heard_of_epoch is not None and self._task is not None:
                    self.heard_of_epoch()
            self.seen = head
            self._wake()

    async def wait(self, after: int) -> int:
        """The head, as soon as it is greater than `after`. Raises what keeps the tracker from looking."""
        if self.seen > after:
            return self.seen
        self._waiting += 1
        try:
            if self._waiting == 1 and (self._others or self._looked_at + self._longest < time.monotonic()):
                self._doubt = True
            if self._doubt or self.seen < self.written:
                self._touched.set()
            while self.seen <= after:
                self._check()
                await self._moved.wait()
        finally:
            self._waiting -= 1
        return self.seen

    async def now(self, up_to: int | None = None) -> int:
        """The head, asked for anew; with what this process has committed (as far as `up_to`) in it, unless an
        unfinished transaction of somebody else keeps it back for longer than 5 s."""
        self._check_open()
        asked: asyncio.Future[None] = self._loop.create_future()
        self._asked.append(asked)
        self._touched.set()
        await asked
        self._check()
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.wait((self.written if up_to is None else min(self.written, up_to)) - 1)
        except TimeoutError:
            return self.seen

    def _check(self) -> None:
        self._check_open()
        if self._error is not None:
            raise self._error

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self._shown} was closed", do="stop what waits for it before closing the store")

    # -- the tracker ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        pause = _SHORTEST
        while True:
            asked, self._asked = self._asked, []
            looked = False
            try:
                overdue = self._looked_at + self._longest < time.monotonic()
                if asked or (self._waiting and (self._doubt or overdue or self.seen < self.written)):
                    await self._look()
                    looked = True
                await self._tell()
            except StoreError as error:
                self._fail(error)
            except psycopg.Error as error:
                await self._line.hang_up()
                if is_lost(error):  # the next look connects anew, and says so if that takes too long
                    self._asked = [*asked, *self._asked]
                    continue
                self._fail(translated(error, self._shown))
            except asyncio.CancelledError:
                self._asked = [*asked, *self._asked]  # whoever closes answers them
                raise
            except Exception as error:  # noqa: BLE001 - the tracker must live, and whoever waits must be told
                await self._line.hang_up()
                failed = StoreFailed(f"the head of {self._shown} cannot be looked at", why=repr(error))
                failed.__cause__ = error
                self._fail(failed)
            self._answer(asked)
            if self._waiting and self.seen < self.written:
                pause = _SHORTEST
            elif looked and self._others:
                pause = _SHORTEST if self._channel is None else _QUIET
            else:
                pause = min(pause * _GROWTH, self._longest)
            await self._rest(pause)

    async def _look(self) -> None:
        self._looked_at, self._doubt = time.monotonic(), False
        try:
            [(head,)] = await self._line.rows(self._query)
        except BaseException:
            self._doubt = True
            raise
        self._error = None
        self._others = head > self.seen
        if self._own:
            self._own = {position for position in self._own if position > head} if len(self._own) < _OWN_KEPT else set()
        self._go(head)

    async def _tell(self) -> None:
        """Tells other processes, in a transaction of its own: inside the append's it would make commits queue up."""
        if self._channel is not None and self.written > self._told:
            now = time.monotonic()
            if now - self._told_at >= _NOTIFY_EVERY:
                told = self.written
                await self._line.rows("select pg_notify(%s, '')", (self._channel,))
                self._told, self._told_at = told, now

    async def _rest(self, pause: float) -> None:
        """Until there is a reason to look again, and a moment at least unless somebody asks."""
        if self._told < self.written and self._channel is not None:
            pause = min(pause, _NOTIFY_EVERY)
        try:
            async with asyncio.timeout(pause):
                await self._touched.wait()
        except TimeoutError:
            self._doubt = True
        early = self._looked_at + _SHORTEST - time.monotonic()
        if early > 0 and not self._asked:
            await asyncio.sleep(early)
        self._touched.clear()

    def _fail(self, error: DaichoError) -> None:
        if self._error is None:
            log.warning("the head of %s cannot be looked at: %s", self._shown, error)
        self._error = error
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _answer(self, asked: list[asyncio.Future[None]] | None = None) -> None:
        for future in self._asked if asked is None else asked:
            if not future.done():
                future.set_result(None)
        if asked is None:
            self._asked.clear()
            self._wake()
