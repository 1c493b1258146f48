"""The health of the database itself."""

import shutil
from pathlib import Path

from daicho.adapters.stores.sqlite.driver import Connection, Driver
from daicho.adapters.stores.sqlite.location import Location
from daicho.adapters.stores.sqlite.sidecar import Sidecar, is_safe
from daicho.core.errors import StoreError
from daicho.ports.storage import Finding

__all__ = ["look_at"]

_LONG_LOG = 256 * 2**20
_LITTLE_SPACE = 512 * 2**20


def look_at(connection: Connection, driver: Driver, location: Location, sidecar: Sidecar) -> list[Finding]:
    """What a reading connection can tell. Reads the whole file."""
    return [
        _library(driver),
        _journal_mode(connection),
        _integrity(connection),
        _log(location),
        _disk(location),
        _lock(sidecar),
    ]


def _library(driver: Driver) -> Finding:
    version = ".".join(map(str, driver.version))
    return Finding(
        what="SQLite library",
        ok=is_safe(driver.version),
        detail=f"{version} through {driver.name}"
        + ("" if is_safe(driver.version) else ": two processes writing at once can corrupt the file (WAL-reset bug)"),
        do="" if is_safe(driver.version) else "pip install apsw (SQLite 3.51.3 or later)",
    )


def _journal_mode(connection: Connection) -> Finding:
    [(mode,)] = connection.execute("pragma journal_mode")
    return Finding(what="journal mode", ok=mode == "wal", detail=str(mode), do="" if mode == "wal" else "reopen it")


def _integrity(connection: Connection) -> Finding:
    try:
        problems = [str(text) for (text,) in connection.execute("pragma quick_check(5)")]
    except StoreError as error:
        problems = [str(error)]
    sound = problems == ["ok"]
    return Finding(
        what="integrity",
        ok=sound,
        detail="quick_check found nothing" if sound else "; ".join(problems),
        do="" if sound else "stop writing, keep the file, restore a backup",
    )


def _log(location: Location) -> Finding:
    try:
        size = Path(f"{location.path}-wal").stat().st_size
    except OSError:
        size = 0
    return Finding(
        what="write-ahead log",
        ok=size < _LONG_LOG,
        detail=f"{size / 2**20:.1f} MiB",
        do="" if size < _LONG_LOG else "look for a reader that never ends: it keeps the log from being folded back",
    )


def _disk(location: Location) -> Finding:
    free = shutil.disk_usage(Path(location.path).parent).free
    return Finding(
        what="free disk",
        ok=free > _LITTLE_SPACE,
        detail=f"{free / 2**30:.1f} GiB",
        do="" if free > _LITTLE_SPACE else "free space: at zero nothing can be appended",
    )


def _lock(sidecar: Sidecar) -> Finding:
    return Finding(
        what="sidecar lock",
        ok=True,
        detail=f"{sidecar.path}: {'exclusive, one process only' if sidecar.exclusive else 'shared'}",
    )
