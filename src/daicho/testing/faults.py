"""Crashes on demand: an App that dies at a named moment, the way a killed process does.

crash = crash_at("reaction.after", nth=3)
async with crash.of(App(*parts, store=url, probe=crash)) as app:
    await app.send(...)
    await app.settle()              # never returns: the App is dead before
async with App(*parts, store=url) as app:
    await app.settle()              # a new one on the same store heals
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from daicho.app import App
from daicho.core.errors import ConfigurationError, DaichoError, StoreClosed
from daicho.ports.probe import POINTS, PROCESS_POINTS, SERVICE_POINTS
from daicho.ports.storage import Storage

__all__ = ["Crash", "CrashPlan", "crash_at"]

_BY_THE_SYSTEM = ("open", "close", "release")
"""What still works for the dead: the operating system frees the locks and closes the files of a killed process."""


class Crash(BaseException):
    """The process died. Not an Exception, so that no handler can take it for something to recover from."""


class CrashPlan:
    """A probe that ends its App at the `nth` passage of one point."""

    def __init__(self, point: str, nth: int = 1) -> None:
        points = {**POINTS, **PROCESS_POINTS, **SERVICE_POINTS}
        if point not in points:
            raise ConfigurationError(
                f"there is no point {point!r} to crash at",
                do="use one of\n" + "\n".join(f"  {name:18} {meaning}" for name, meaning in points.items()),
            )
        self.point, self.nth = point, nth
        self.passed = 0
        self.happened = False
        self._app: App | None = None
        self._body: asyncio.Task[Any] | None = None
        self._strangers: set[asyncio.Task[Any]] = set()

    def __call__(self, point: str) -> None:
        if self.happened:
            raise Crash(self.point)
        if point == self.point:
            self.passed += 1
            if self.passed == self.nth:
                self._die()
                raise Crash(point)

    def _die(self) -> None:
        self.happened = True
        if self._app is not None:
            _cut_off(self._app.storage)
        for task in self._tasks():
            task.cancel()

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """Those of the App and of whoever uses it, except the one that is running."""
        return asyncio.all_tasks() - self._strangers - {asyncio.current_task()} if self._body else set()

    @asynccontextmanager
    async def of(self, app: App) -> AsyncGenerator[App]:
        """Runs `app` until it dies, which ends the block. Raises AssertionError if the block ends first."""
        body = asyncio.current_task()
        assert body is not None
        self._strangers = asyncio.all_tasks() - {body}
        await app.start()
        self._app, self._body = app, body
        try:
            yield app
        except (Crash, DaichoError, asyncio.CancelledError):
            if not self.happened:
                raise
        finally:
            if self.happened:
                await self._bury(body)
            await app.stop()
        if not self.happened:
            raise AssertionError(f"{self.point} was passed {self.passed} times, not {self.nth}: nothing crashed")

    async def _bury(self, body: asyncio.Task[Any]) -> None:
        while body.cancelling():
            body.uncancel()
        if dead := self._tasks():
            await asyncio.wait(dead)
        for task in dead:
            if not task.cancelled():
                task.exception()


def _cut_off(storage: Storage) -> None:
    async def dead(*_: object, **__: object) -> None:
        raise StoreClosed("this process is dead", why="crash_at ended it", do="start a new App on the same store")

    for name, _ in inspect.getmembers(type(storage), inspect.iscoroutinefunction):
        if not name.startswith("_") and name not in _BY_THE_SYSTEM:
            setattr(storage, name, dead)


def crash_at(point: str, *, nth: int = 1) -> CrashPlan:
    """A probe for `App(..., probe=...)` that ends it at the `nth` time that `point` is passed.

    Raises ConfigurationError, which lists the points, for a name that is none.
    """
    return CrashPlan(point, nth)
