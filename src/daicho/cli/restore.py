"""`daicho restore`: a copy takes the place of the store."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import click

from daicho.adapters.stores.sqlite import parse_url
from daicho.cli.group import Verb
from daicho.cli.opening import try_app
from daicho.cli.output import output_option, print_done
from daicho.core.errors import ConfigurationError
from daicho.leaving import restored
from daicho.settings import Settings

__all__ = ["restore"]


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Also where there is a store; it is kept beside, as NAME.before-restore.")
@output_option
@click.pass_obj
def restore(settings: Settings, file: Path, force: bool, output: str) -> None:
    """Puts FILE, made by `backup`, in the place of the SQLite store, once the copy has been examined.

    Stop what uses the store before: a store in use is refused.

    Readers of the log go on from where the copy has them. What was recorded since the backup is lost, unless you have
    an export of it.
    """
    target = _target(settings)
    if file.is_file() and target.exists() and not force:
        raise click.BadParameter(f"{target} exists; --force puts it aside", param_hint="--store")
    found = asyncio.run(restored(file, target))
    sentence = f"{target}: {found.head}, verified"
    if found.kept is not None:
        sentence += f"\nwhat was there is {found.kept}"
    record = {"store": str(target), "head": found.head, "kept": None if found.kept is None else str(found.kept)}
    print_done(output, sentence, record, err=True)


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
