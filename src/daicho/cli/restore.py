"""`daicho restore`: a copy takes the place of the store."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

import click

from daicho.adapters.stores.sqlite import parse_url
from daicho.adapters.stores.sqlite.sidecar import Sidecar
from daicho.cli.findings import print_findings
from daicho.cli.group import Verb
from daicho.cli.opening import opened, try_app
from daicho.core.errors import ConfigurationError, StoreBusy, StoreError, UnsafeSqlite
from daicho.ports.storage import Finding
from daicho.settings import Settings

__all__ = ["restore"]

_NO_VERSION = (0,)
"""Of a library that must be alone with the file: nobody may have it open while another takes its place."""
_BESIDE = ("-wal", "-shm", "-journal")


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Also where there is a store; it is kept beside, as NAME.before-restore.")
@click.pass_context
def restore(context: click.Context, file: Path, force: bool) -> None:
    """Puts FILE, made by `backup`, in the place of the SQLite store, once the copy has been examined.

    Stop what uses the store before: a store in use is refused.

    Readers of the log go on from where the copy has them. What was recorded since the backup is lost, unless you have
    an export of it.
    """
    target = _target(context.obj)
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
    if target.exists() and not force:
        raise click.BadParameter(f"{target} exists; --force puts it aside", param_hint="--store")
    partial = target.with_name(f"{target.name}.partial")
    alone = _alone(target)
    try:
        shutil.copyfile(file, partial)
        findings = asyncio.run(_examined(partial))
        if wrong := [found for found in findings if not found.ok and found.what == "integrity"]:
            print_findings(wrong, "table")
            context.exit(1)
        kept = _put_aside(target) if target.exists() else None
        _durable(partial)
        partial.replace(target)
        _durable(target.parent)
    finally:
        alone.close()
        for end in ("", "-daicho", *_BESIDE):
            Path(f"{partial}{end}").unlink(missing_ok=True)
    click.echo(f"{target}: {next(found.detail for found in findings if found.what == 'head')}, verified", err=True)
    if kept is not None:
        click.echo(f"what was there is {kept}", err=True)


def _target(settings: Settings) -> Path:
    app = try_app(settings)
    url = settings.get("store") or (app.url if app else None)
    if url is None or urlsplit(url).scheme != "sqlite":
        raise ConfigurationError(
            "only a SQLite store is restored" if url else "no store was named",
            why="PostgreSQL has tools for it that know the server better: pg_restore, or a base backup" if url else "",
            do="daicho --store sqlite:///shop.db restore FILE",
        )
    return Path(parse_url(url).path)


async def _examined(copy: Path) -> list[Finding]:
    async with opened(f"sqlite:///{copy}", None) as storage:
        return await storage.examine()


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
