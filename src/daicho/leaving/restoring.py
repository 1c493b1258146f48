"""A copy of a SQLite store takes its place."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import msgspec

from daicho.adapters.clock import SystemClock
from daicho.adapters.stores.sqlite.sidecar import Sidecar
from daicho.core.errors import StoreBusy, StoreCorrupt, StoreError, UnsafeSqlite
from daicho.ports.storage import Finding
from daicho.wiring.urls import open_storage

__all__ = ["Restored", "restored"]

_NO_VERSION = (0,)
"""Of a library that must be alone with the file: nobody may have it open while another takes its place."""
_BESIDE = ("-wal", "-shm", "-journal")


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    head: str
    """How far the copy goes, in words."""
    kept: Path | None
    """What was there before, if there was something."""


async def restored(file: Path, target: Path) -> Restored:
    """Puts `file`, which `storage.backup` made, in the place of the SQLite store `target`, once the copy has been
    examined. What is there is kept beside, as NAME.before-restore.

    Nobody may have the store open. Raises StoreBusy if somebody has; StoreError and StoreCorrupt for a file that is no
    whole backup; then everything is as it was.
    """
    _check(file)
    partial = target.with_name(f"{target.name}.partial")
    alone = _alone(target)
    try:
        await asyncio.to_thread(shutil.copyfile, file, partial)
        findings = {found.what: found for found in await _examined(partial)}
        integrity = findings.get("integrity")
        if integrity is not None and not integrity.ok:
            raise StoreCorrupt(f"{file} is damaged", why=integrity.detail, do="restore another backup")
        return Restored(head=findings["head"].detail, kept=_put_in_place(partial, target))
    finally:
        alone.close()
        _clear_away(partial)


def _check(file: Path) -> None:
    if not file.is_file():
        raise StoreError(f"there is no backup at {file}", do="check the name")
    if not file.stat().st_size:
        raise StoreError(f"{file} is empty", do="restore a file that `daicho backup` made")
    if beside := [f"{file}{end}" for end in _BESIDE if Path(f"{file}{end}").exists()]:
        raise StoreError(
            f"{file} is in use, or was not closed",
            why=f"{beside[0]} lies beside it, and holds a part of it",
            do="restore a file that `daicho backup` made",
        )


async def _examined(copy: Path) -> list[Finding]:
    storage = open_storage(f"sqlite:///{copy}", SystemClock())
    try:
        await storage.open()
        return await storage.examine()
    finally:
        await storage.close()


def _put_in_place(partial: Path, target: Path) -> Path | None:
    kept = _put_aside(target) if target.exists() else None
    _durable(partial)
    partial.replace(target)
    _durable(target.parent)
    return kept


def _clear_away(partial: Path) -> None:
    for end in ("", "-daicho", *_BESIDE):
        Path(f"{partial}{end}").unlink(missing_ok=True)


def _alone(target: Path) -> Sidecar:
    """The lock that every process with the store open holds a part of."""
    try:
        return Sidecar(str(target), _NO_VERSION, allow_affected=False)
    except UnsafeSqlite as error:
        raise StoreBusy(
            f"{target} is open in another process", do="stop every process that uses the store, and try again"
        ) from error


def _put_aside(target: Path) -> Path:
    """Only what nobody has open: the change of journal needs the file for itself, and brings it up to date."""
    kept = target.with_name(f"{target.name}.before-restore")
    n = 2
    while kept.exists():
        kept, n = target.with_name(f"{target.name}.before-restore-{n}"), n + 1
    connection = sqlite3.connect(target, timeout=0.5)
    try:
        connection.execute("pragma journal_mode = delete")
    except sqlite3.OperationalError as error:
        raise StoreBusy(
            f"{target} is in use", why=str(error), do="stop every process that uses the store, and try again"
        ) from error
    except sqlite3.DatabaseError:
        pass  # it is damaged: the reason to restore
    finally:
        connection.close()
    for end in _BESIDE:
        Path(f"{target}{end}").unlink(missing_ok=True)
    target.replace(kept)
    return kept


def _durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
