"""Letting the event loop run: what is done in the caller's thread never waits, and would starve all other tasks."""

import threading
from collections.abc import Generator
from time import perf_counter
from types import coroutine

__all__ = ["breathe"]

_LONGEST = 0.001  # seconds that callers of one thread may go on without giving way


class _Last(threading.local):
    breath = 0.0


_last = _Last()


@coroutine
def breathe() -> Generator[None, None, None]:
    """Gives way to the other tasks of the loop if that has not happened for a millisecond."""
    if perf_counter() - _last.breath > _LONGEST:
        yield
        _last.breath = perf_counter()
