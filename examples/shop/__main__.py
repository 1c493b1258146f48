"""`python -m examples.shop demo`, `run`, `serve`, and `retail FILE`."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from daicho import DaichoError
from daicho.server import ServerSettings
from daicho.server import serve as serve_app
from examples.shop.app import shop
from examples.shop.demo import demo as play_demo
from examples.shop.living import stay_open
from examples.shop.retail.document import Share
from examples.shop.retail.importing import import_retail
from examples.shop.retail.printing import as_json, print_cost, print_outcome
from examples.shop.retail.sharing import import_share
from examples.shop.tools import file_of, store_of
from examples.shop.visitors import let_in

concurrency = click.option(
    "--concurrency", default=256, show_default=True, type=click.IntRange(min=1), help="Commands in flight, per process."
)


@click.group()
def main() -> None:
    """The reference application of Daicho."""


@contextlib.contextmanager
def told() -> Generator[None]:
    """What the user can do something about, as a sentence."""
    try:
        yield
    except (DaichoError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/demo"), show_default=True)
@click.option("--db", help="An empty store instead of a new file there: a SQLite file, or a URL.")
def demo(folder: Path, db: str | None) -> None:
    """A day in the shop, told step by step. Begins with an empty shop each time."""
    if db is None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("shop.db*"):
            old.unlink()
    with told():
        asyncio.run(play_demo(store_of(db or str(folder / "shop.db")), Console()))


@main.command()
@click.option("--db", default="build/run/shop.db", show_default=True, help="A SQLite file, or the URL of a store.")
@click.option("--orders", type=click.IntRange(min=1), help="Close after so many orders.")
@click.option("--pause", default=1.0, show_default=True, help="Seconds between two orders.")
def run(db: str, orders: int | None, pause: float) -> None:
    """A shop that stays open and tells every event, until Ctrl-C."""
    store = store_of(db)
    if file := file_of(store):
        file.parent.mkdir(parents=True, exist_ok=True)
    with told(), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(stay_open(store, Console(), seconds_between=pause, orders=orders))


@main.command()
@click.option("--db", default="build/run/shop.db", show_default=True, help="A SQLite file, or the URL of a store.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(min=0, max=65535))
@click.option("--customers", is_flag=True, help="Some come and buy, over HTTP.")
@click.option("--pause", default=1.0, show_default=True, help="Seconds between two of them.")
def serve(db: str, port: int, customers: bool, pause: float) -> None:
    """The shop over HTTP, for this machine. What there is, is told at /docs; the console is at /console/."""
    store = store_of(db)
    if file := file_of(store):
        file.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if customers:
        here = f"http://127.0.0.1:{port}"
        logging.getLogger("httpx").setLevel(logging.WARNING)
        let_in(here, pause=pause)
        logging.info("The shop is open. Its console: %s/console/  what it can be asked: %s/docs", here, here)
    with told():
        sys.exit(serve_app(partial(shop, store), ServerSettings(port=port)))


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--db", default="shop.db", show_default=True, help="A SQLite file, or the URL of a store.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(min=1), help="So many share the work.")
@click.option("--json", "json_", is_flag=True, help="Print the figures as one JSON object.")
@concurrency
def retail(file: Path, db: str, processes: int, json_: bool, concurrency: int) -> None:
    """Feeds the Online Retail FILE (csv, plain or gzipped) to the shop through its commands.

    It may be stopped at any moment, even by force, and run again: nothing is lost, nothing is done twice.
    """
    with told():
        outcome = asyncio.run(import_retail(file, store_of(db), at_once=concurrency, processes=processes))
    if json_:
        click.echo(as_json(outcome.figures))
    else:
        print_outcome(Console(), outcome)
    print_cost(Console(stderr=True), outcome)
    sys.exit(1 if outcome.astray else 0)


@main.command(hidden=True)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("share")
@click.option("--db", required=True)
@concurrency
def retail_share(file: Path, share: str, db: str, concurrency: int) -> None:
    """One of the processes of `retail --processes`: SHARE is 2/4 for the second of four."""
    number, _, of = share.partition("/")
    with told(), contextlib.suppress(BrokenPipeError):
        asyncio.run(import_share(file, db, Share(number=int(number), of=int(of)), at_once=concurrency))


if __name__ == "__main__":
    main(prog_name="python -m examples.shop")
