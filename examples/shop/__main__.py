"""`python -m examples.shop demo`, `python -m examples.shop run` and `python -m examples.shop retail FILE`."""

import asyncio
import contextlib
import sys
from pathlib import Path

import click
from rich.console import Console

from daicho import DaichoError
from examples.shop.demo import demo as play_demo
from examples.shop.living import stay_open
from examples.shop.retail.importing import import_retail
from examples.shop.retail.printing import as_json, print_cost, print_outcome


@click.group()
def main() -> None:
    """The reference application of Daicho."""


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/demo"), show_default=True)
def demo(folder: Path) -> None:
    """A day in the shop, told step by step. Begins with an empty shop each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("shop.db*"):
        old.unlink()
    asyncio.run(play_demo(folder / "shop.db", Console()))


@main.command()
@click.option("--db", type=click.Path(path_type=Path), default=Path("build/run/shop.db"), show_default=True)
@click.option("--orders", type=click.IntRange(min=1), help="Close after so many orders.")
@click.option("--pause", default=1.0, show_default=True, help="Seconds between two orders.")
def run(db: Path, orders: int | None, pause: float) -> None:
    """A shop that stays open and tells every event, until Ctrl-C."""
    db.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(stay_open(db, Console(), seconds_between=pause, orders=orders))


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--db", default="shop.db", show_default=True, help="A SQLite file, or the URL of a store.")
@click.option("--json", "json_", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--concurrency", default=256, show_default=True, type=click.IntRange(min=1), help="Commands in flight.")
def retail(file: Path, db: str, json_: bool, concurrency: int) -> None:
    """Feeds the Online Retail FILE (csv, plain or gzipped) to the shop through its commands.

    It may be stopped at any moment, even by force, and run again: nothing is lost, nothing is done twice.
    """
    store = db if ":" in db else f"sqlite:///{db}"
    try:
        outcome = asyncio.run(import_retail(file, store, at_once=concurrency))
    except (DaichoError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if json_:
        click.echo(as_json(outcome.figures))
    else:
        print_outcome(Console(), outcome)
    print_cost(Console(stderr=True), outcome)
    sys.exit(1 if outcome.astray else 0)


if __name__ == "__main__":
    main(prog_name="python -m examples.shop")
