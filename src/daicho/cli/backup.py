"""`daicho backup`: a copy of the database while it is in use."""

import asyncio
from pathlib import Path

import click

from daicho.cli.group import Verb
from daicho.cli.opening import looking
from daicho.cli.output import output_option, print_done
from daicho.cli.progress import Progress
from daicho.settings import Settings

__all__ = ["backup"]


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@click.pass_obj
def backup(settings: Settings, file: Path, output: str) -> None:
    """Copies the store to the new FILE, at one moment, and verifies the copy. The copy is itself a store."""

    async def run() -> float:
        async with looking(settings) as look:
            with Progress(f"backing up to {file}", unit="pages") as progress:
                async for done, total in look.storage.backup(file):
                    progress.show(done, total, done)
                return progress.seconds

    seconds = asyncio.run(run())
    size = file.stat().st_size
    sentence = f"{file}: {size / 2**20:.1f} MiB in {seconds:.1f} s, verified"
    print_done(output, sentence, {"file": str(file), "bytes": size, "seconds": round(seconds, 3)}, err=True)
