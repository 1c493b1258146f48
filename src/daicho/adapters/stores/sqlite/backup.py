"""Copying the database while it is in use."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from daicho.adapters.stores.sqlite.driver import Connection, Driver, Progress
from daicho.adapters.stores.sqlite.queries import statement
from daicho.core.errors import StoreCorrupt, StoreFailed, StoreReadOnly

__all__ = ["back_up"]

_HEAD = statement("head")


class _Abandoned(Exception):  # not an error: nobody wants the copy any more
    pass


async def back_up(driver: Driver, source: str, target: Path) -> AsyncIterator[tuple[int, int]]:
    """Copies one moment of `source` to the new file `target` and proves the copy; yields (pages done, pages in all).

    The copy is made under another name and gets its own only when it has been verified and is on the disk. Raises
    StoreFailed if `target` exists, StoreCorrupt if the copy is not sound, StoreFull, StoreReadOnly.
    """
    loop = asyncio.get_running_loop()
    steps: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
    abandoned = False

    def progress(done: int, total: int) -> None:
        if abandoned:
            raise _Abandoned
        loop.call_soon_threadsafe(steps.put_nowait, (done, total))

    def work() -> None:
        try:
            _copy(driver, source, target, progress)
        finally:
            loop.call_soon_threadsafe(steps.put_nowait, None)

    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        while (step := await steps.get()) is not None:
            yield step
        await running
    finally:
        abandoned = True
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()


def _copy(driver: Driver, source: str, target: Path, progress: Progress) -> None:
    if target.exists():
        raise StoreFailed(f"{target} exists", why="a backup never overwrites a file", do="name a new file")
    partial = target.with_name(f"{target.name}.partial")
    try:
        _remove(partial)
        head = _copy_pages(driver, source, partial, progress)
        _verify(driver, partial, head)
        _sync(partial)
        _publish(partial, target)
    except OSError as error:
        raise StoreReadOnly(
            f"{target} cannot be written", why=str(error), do="choose a folder that can be written"
        ) from error
    finally:
        _remove(partial)


def _copy_pages(driver: Driver, source: str, partial: Path, progress: Progress) -> int:
    reading = driver.connect(source, read_only=True)
    try:
        reading.wait_for_locks(5)
        # A transaction held open keeps one moment in view: without it, every append would start the copy anew.
        reading.execute("begin")
        head = reading.execute(_HEAD)[0][0] or 0
        writing = driver.connect(str(partial))
        try:
            reading.copy_to(writing, progress)
        finally:
            writing.close()
        return int(head)
    finally:
        reading.close()


def _verify(driver: Driver, partial: Path, head: int) -> None:
    copy: Connection = driver.connect(str(partial))
    try:
        # Out of WAL mode, so that the copy is one file; the store puts it back when it opens it.
        copy.execute("pragma journal_mode = delete")
        problems = [str(text) for (text,) in copy.execute("pragma integrity_check")]
        found = copy.execute(_HEAD)[0][0] or 0
    finally:
        copy.close()
    if problems != ["ok"] or found != head:
        raise StoreCorrupt(
            "the backup is not sound, and was removed",
            why=f"its head is {found}, should be {head}; {'; '.join(problems[:5])}",
            do="run `daicho doctor` on the store itself",
        )


def _publish(partial: Path, target: Path) -> None:
    try:
        os.link(partial, target)  # unlike a renaming, it fails if somebody made the target meanwhile
    except FileExistsError as error:
        raise StoreFailed(f"{target} exists", why="it was created during the backup", do="name a new file") from error
    except OSError:  # a file system without links
        if target.exists():
            raise
        partial.rename(target)
    if os.name == "posix":
        _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(partial: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        Path(f"{partial}{ending}").unlink(missing_ok=True)
