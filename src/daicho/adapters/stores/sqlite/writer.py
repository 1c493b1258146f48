"""The one writer: every change of the file goes through here, and changes that wait together share a commit.

    run(work) ──idle──> in the caller's thread, at once            (fast path: no hand-over)
        └──otherwise──> queue ──> writer thread ──> BEGIN IMMEDIATE, all that is queued, COMMIT ──> their futures
    ride(work) ───────> goes along with the next of either

There is no delay timer: the commit in flight is the timer. A piece of work that raises in company is run again alone,
so it must not remember anything between two runs.
"""

import asyncio
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar, cast

from daicho.adapters.stores.sqlite.breath import breathe
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.log_file import LogFile
from daicho.adapters.stores.sqlite.queries import statement
from daicho.core.errors import (
    OutcomeUnknown,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
)
from daicho.core.times import text_of

__all__ = ["FATAL", "OCCUPIED", "Shortcut", "Transaction", "Work", "Writer"]

T = TypeVar("T")

FATAL = (StoreBusy, StoreFull, StoreReadOnly, StoreCorrupt)
"""Errors of the file, not of the work: running the work again alone would not help."""

_HEAD = statement("head")
_MOST_JOBS = 512
_RIDE_WITHIN = 0.005  # seconds until what rides along leaves by itself
_QUICK_COMMIT = 0.001  # seconds: up to here a commit may run in an event loop's thread
_LIGHT = 16  # rows up to which work is light enough for an event loop's thread
_QUIET_GROUPS = 8  # groups of one in a row that make a lone caller

log = logging.getLogger("daicho.sqlite")


class Occupied(Enum):
    OCCUPIED = 0


OCCUPIED = Occupied.OCCUPIED
"""The answer of a look that could not be had, as somebody was writing."""


class Transaction:
    """What a piece of work gets: the connection inside a transaction, and what is true for all of it."""

    __slots__ = ("_head", "alone", "connection", "moved", "now")

    def __init__(self, connection: Connection, now: str, *, alone: bool) -> None:
        self.connection = connection
        self.now = now
        """The time of everything written here; never before that of an earlier transaction of this process."""
        self.alone = alone
        """Whether nobody else shares this run: then the work has to contain its own failures."""
        self.moved = False
        self._head = -1

    @property
    def head(self) -> int:
        """The greatest position, own ones included. Read anew in each transaction: others write, too."""
        if self._head < 0:
            self._head = self.connection.execute(_HEAD)[0][0] or 0
        return self._head

    def append_up_to(self, position: int) -> None:
        self._head, self.moved = position, True

    def back_to(self, position: int, *, moved: bool) -> None:
        """After a rollback to a savepoint."""
        self._head, self.moved = position, moved


Work: TypeAlias = Callable[[Transaction], T]
Shortcut: TypeAlias = Callable[[Connection, str], tuple[T, int] | None]
"""The same work as one statement that commits by itself, at the time given: its answer and the new head. None, with
nothing changed, if it cannot be done that way."""


class _Job:
    __slots__ = ("error", "future", "loop", "value", "work")

    def __init__(
        self,
        work: Work[Any] | None,
        loop: asyncio.AbstractEventLoop | None = None,
        future: "asyncio.Future[Any] | None" = None,
    ) -> None:
        self.work, self.loop, self.future = work, loop, future
        self.value: Any = None
        self.error: Exception | None = None


_STOP, _TEND, _CALL = _Job(None), _Job(None), _Job(None)


class Writer:
    """Owns the writing connection and its thread. Serves any number of event loops."""

    def __init__(
        self,
        connection: Connection,
        *,
        path: str,
        now: Callable[[], datetime],
        busy_timeout: float,
        moved: Callable[[int], None],
    ) -> None:
        self.commits, self.commit_seconds = 0, 0.0
        """How many, and how long one took of late."""
        self._connection, self._path, self._now, self._moved = connection, path, now, moved
        self._busy_timeout = busy_timeout
        self._latest = ""
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._riders: deque[_Job] = deque()
        self._boarded = self._landed = 0
        self._turn = threading.Lock()
        """Held while the connection is in use."""
        self._callers: set[object] = set()
        self._quiet = _QUIET_GROUPS
        self._log = LogFile(connection, path)
        self._closed = False
        self._admission = threading.Lock()
        """Between `close` and whoever is about to queue: what is queued before the stop sign is done."""
        connection.wait_for_locks(0)  # waiting is done here, where it can be given up
        self._thread = threading.Thread(target=self._serve, name="daicho-sqlite-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T], *, weight: int = 1, shortcut: Shortcut[T] | None = None) -> T:
        """Does the work in a transaction and returns its answer once that is durable.

        `weight` is about how many rows it writes. Raises what the work raised (then it changed nothing), StoreBusy,
        StoreFull, StoreClosed, OutcomeUnknown.
        """
        caller = object()
        alone = not self._callers
        self._callers.add(caller)
        try:
            if alone and weight <= _LIGHT and self._quiet >= _QUIET_GROUPS and self._queue.empty():
                job = self._at_once(work, shortcut)
                if job is not None:
                    await breathe()
                    if job.error is not None:
                        raise job.error
                    return cast("T", job.value)
            loop = asyncio.get_running_loop()
            future: asyncio.Future[T] = loop.create_future()
            self._put(_Job(work, loop, future))
            return await future
        finally:
            self._callers.discard(caller)

    def ride(self, work: Work[Any]) -> None:
        """Does the work soon, together with other work if there is some. What it raises is logged."""
        with self._admission:
            self._check_open()
            self._boarded += 1
            self._riders.append(_Job(work))
            if len(self._riders) == 1:
                self._queue.put(_CALL)

    async def settle(self) -> None:
        """Returns when everything that rides along has arrived."""
        if self._boarded != self._landed:
            await self.run(_nothing)

    def close(self) -> None:
        """Finishes what was accepted, folds the log back into the file, closes the connection. Blocks. Repeatable."""
        with self._admission:
            first, self._closed = not self._closed, True
            if first:
                self._queue.put(_STOP)
        self._thread.join()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self._path} is closed", do="use the store between `open()` and `close()`")

    def _put(self, job: _Job) -> None:
        with self._admission:
            self._check_open()
            self._queue.put(job)

    # -- the caller's thread ------------------------------------------------------------------------------------

    def look(self, look: Callable[[Connection], T]) -> T | Occupied:
        """Reads what is durable, through this connection; OCCUPIED if it is in use.

        It knows the pages that it wrote itself; a reader's connection begins anew after every commit.
        """
        if not self._turn.acquire(blocking=False):
            return OCCUPIED
        try:
            if self._closed or self._connection.in_transaction():  # a rollback that failed, which was logged
                return OCCUPIED
            return look(self._connection)
        except StoreBusy:  # readers know how to wait
            return OCCUPIED
        finally:
            self._turn.release()

    def _at_once(self, work: Work[Any], shortcut: Shortcut[Any] | None) -> _Job | None:
        """The job, done here and now; None if somebody else is writing."""
        if not self._turn.acquire(blocking=False):
            return None
        try:
            self._check_open()
            job = _Job(work)
            if shortcut is None or self._riders or not self._by_shortcut(job, shortcut):
                if not self._begun():
                    return None
                riders = self._board()
                try:
                    self._finish([*riders, job])
                except BaseException:  # an interrupt from the keyboard: nothing was written
                    self._riders.extendleft(reversed(riders))
                    raise
                self._land(riders)
            if self._log.is_due(self.commits):
                self._queue.put(_TEND)
            if self.commit_seconds > _QUICK_COMMIT:
                self._quiet = 0
            return job
        finally:
            self._turn.release()

    def _by_shortcut(self, job: _Job, shortcut: Shortcut[Any]) -> bool:
        """False, with nothing changed, if the work has to be done the long way."""
        self._latest = max(self._latest, text_of(self._now()))
        started = time.perf_counter()
        try:
            done = shortcut(self._connection, self._latest)
        except StoreBusy:
            return False
        except StoreFailed as error:
            job.error = self._unknown(error)
            return True
        if done is None:
            return False
        job.value, head = done
        self._committed(time.perf_counter() - started)
        self._moved(head)
        return True

    # -- the writer's thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        stop = False
        while not stop:
            jobs, stop = self._collect()
            with self._turn:
                riders = self._board()
                if jobs or riders:
                    try:
                        self._perform([*riders, *jobs])
                    except BaseException as error:  # noqa: BLE001 - the thread must live, and callers must be told
                        self._undo()
                        self._fail([*riders, *jobs], error)
                    self._land(riders)
            if jobs:
                self._answer(jobs)
                if len(jobs) > 1:
                    self._quiet = 0
                elif self.commit_seconds < _QUICK_COMMIT:
                    self._quiet += 1
            if self._log.is_due(self.commits):
                with self._turn:
                    self._log.tend(self.commits)
        with self._turn:
            self._log.fold_back()
            self._connection.close()

    def _collect(self) -> tuple[list[_Job], bool]:
        """Waits for work, then takes all there is."""
        jobs: list[_Job] = []
        queue = self._queue
        job = queue.get()
        if job is _CALL:  # somebody rides along: with whoever comes within a moment
            try:
                job = queue.get(timeout=_RIDE_WITHIN)
            except Empty:
                return jobs, False
        try:
            while job is not _STOP:
                if job.work is not None:
                    jobs.append(job)
                    if len(jobs) >= _MOST_JOBS:
                        return jobs, False
                job = queue.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True

    def _perform(self, jobs: list[_Job]) -> None:
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - handed on to every caller
            self._fail(jobs, error)
        else:
            self._finish(jobs)

    # -- either thread, holding the turn ------------------------------------------------------------------------

    def _board(self) -> list[_Job]:
        riders: list[_Job] = []
        while self._riders:
            riders.append(self._riders.popleft())
        return riders

    def _begun(self) -> bool:
        try:
            self._connection.execute("begin immediate")
        except StoreBusy:
            return False
        return True

    def _begin(self) -> None:
        deadline, pause = time.monotonic() + self._busy_timeout, 0.0002
        while not self._begun():
            if time.monotonic() > deadline:
                raise StoreBusy(
                    f"{self._path} is locked",
                    why=f"another process held its write lock for longer than {self._busy_timeout:g} s",
                    do="look for a long transaction in another process, or raise ?busy_timeout=",
                    file=self._path,
                )
            time.sleep(random.uniform(0, pause))  # noqa: S311
            pause = min(pause * 1.5, 0.01)

    def _finish(self, jobs: list[_Job], *, alone: bool = False) -> None:
        """Runs the jobs in the transaction that has begun, and commits. Every job has its answer afterwards."""
        try:
            self._latest = max(self._latest, text_of(self._now()))
            transaction = Transaction(self._connection, self._latest, alone=alone)
            for job in jobs:
                assert job.work is not None
                job.value = job.work(transaction)
        except Exception as error:  # noqa: BLE001 - it is the answer
            self._undo()
            if isinstance(error, FATAL) or alone:
                self._fail(jobs, error)
            else:
                self._one_by_one(jobs)
        except BaseException:
            self._undo()
            raise
        else:
            self._commit(jobs, transaction)

    def _one_by_one(self, jobs: list[_Job]) -> None:
        for job in jobs:
            job.value = None
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001
                self._fail([job], error)
            else:
                self._finish([job], alone=True)

    def _commit(self, jobs: list[_Job], transaction: Transaction) -> None:
        started = time.perf_counter()
        try:
            self._connection.execute("commit")
        except StoreFailed as error:
            self._undo()
            self._fail(jobs, self._unknown(error))
            return
        except Exception as error:  # noqa: BLE001 - handed on to every caller
            self._undo()
            self._fail(jobs, error)
            return
        self._committed(time.perf_counter() - started)
        if transaction.moved:
            self._moved(transaction.head)

    def _committed(self, seconds: float) -> None:
        self.commit_seconds += (seconds - self.commit_seconds) * 0.1
        self.commits += 1

    def _unknown(self, error: StoreFailed) -> OutcomeUnknown:
        unknown = OutcomeUnknown(
            f"{self._path} reported an error while committing",
            why=error.why,
            do="retry with the same ids: what was written after all is not written twice; then `daicho doctor`",
            file=self._path,
        )
        unknown.__cause__ = error
        return unknown

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction():  # some errors have ended it already
                self._connection.execute("rollback")
        except Exception:
            log.exception("%s: could not roll back", self._path)

    def _fail(self, jobs: Sequence[_Job], error: BaseException) -> None:
        told = error if isinstance(error, Exception) else StoreFailed(f"the writer was interrupted: {error!r}")
        for job in jobs:
            job.value, job.error = None, told

    def _land(self, riders: Sequence[_Job]) -> None:
        self._landed += len(riders)
        for job in riders:
            if job.error is not None:
                log.error("%s: a note was not written: %s", self._path, job.error, exc_info=job.error)

    def _answer(self, jobs: list[_Job]) -> None:
        """Resolves the futures: one call for each loop, however many callers it has."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        for job in jobs:
            assert job.loop is not None
            by_loop.setdefault(job.loop, []).append(job)
        for loop, answered in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, answered)
            except RuntimeError:
                log.debug("an event loop was closed before its appends were done")


def _nothing(_: Transaction) -> None: ...


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        future = job.future
        assert future is not None
        if not future.done():
            if job.error is None:
                future.set_result(job.value)
            else:
                future.set_exception(job.error)
