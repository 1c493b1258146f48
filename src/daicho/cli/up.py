"""`daicho up`: a topology on this machine, or written for another one."""

import asyncio
import importlib
import signal
from pathlib import Path
from typing import Any, get_args

import click

from daicho.cli.group import Verb
from daicho.cli.output import envelope, is_terminal
from daicho.core.errors import MissingProgram
from daicho.core.plain import plain
from daicho.settings import Settings
from daicho.topologies import Ratio, Topology, shape
from daicho.topologies.writing import write

__all__ = ["up"]

_EVERY = 1.0
"""Seconds between two looks at the parts."""
_PATIENCE = 60.0
"""Seconds that the last look may take."""


@click.command(cls=Verb)
@click.option("--topology", "ratio", type=click.Choice(get_args(Ratio)), required=True, help="By reads per write.")
@click.option("--app-servers", default=2, show_default=True, help="Processes that do everything (crud, 1:1).")
@click.option("--command-services", default=1, show_default=True, help="Processes that take commands (10:1, 100:1).")
@click.option("--query-services", type=int, help="Processes that answer queries. [2 at 10:1, 4 at 100:1]")
@click.option(
    "--view-store",
    type=click.Choice(["redis", "mongodb"]),
    default="redis",
    show_default=True,
    help="Where rows are kept (100:1).",
)
@click.option("--opensearch/--no-opensearch", default=None, help="For rows that are searched (100:1). [if it is here]")
@click.option("--port", default=8080, show_default=True, help="Where clients call; 0 takes a free port.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Keep files here. [a temporary folder]")
@click.option("--for", "seconds", type=float, help="End after so many seconds.")
@click.option("--exit-when-ready", is_flag=True, help="End as soon as all is ready.")
@click.option(
    "--write",
    "written",
    type=(click.Choice(["compose", "helm"]), click.Path(path_type=Path)),
    metavar="compose|helm DIR",
    help="Start nothing; write the files for it.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def up(
    settings: Settings,
    ratio: str,
    app_servers: int,
    command_services: int,
    query_services: int | None,
    view_store: str,
    opensearch: bool | None,
    port: int,
    folder: Path | None,
    seconds: float | None,
    exit_when_ready: bool,
    written: tuple[str, Path] | None,
    output: str,
) -> None:
    """A whole topology as processes of this machine, from programs that are installed, until Ctrl-C ends all of them.

    crud, 1:1: load balancer, app servers, primary. 10:1: command services, a projector, and query services each on a
    replica of its own. 100:1: an edge cache, query services on views in Redis or MongoDB, OpenSearch. All on loopback.
    Without --app, the shop of the examples is served. With -o json it prints one line when all is ready, and one when
    it ends.
    """
    topology = shape(
        ratio,
        app=settings.get("app"),
        app_servers=app_servers,
        command_services=command_services,
        query_services=query_services,
        views=view_store,
        search=opensearch is not False,
    )
    if written is not None:
        _tell_written(write(topology, *written), output)
        return
    note = ""
    if opensearch is None and topology.has("opensearch") and (note := _without_search()):
        topology = shape(
            ratio, app=settings.get("app"), command_services=command_services, query_services=query_services,
            views=view_store, search=False,
        )  # fmt: skip
    asyncio.run(_run(topology, folder, port, seconds, output, note, exit_when_ready=exit_when_ready))


def _tell_written(files: list[Path], output: str) -> None:
    if output == "json":
        envelope({"files": [str(path) for path in files]})
    else:
        click.echo("\n".join(map(str, files)))


def _without_search() -> str:
    """Why there is none; empty, if there is."""
    try:
        importlib.import_module("daicho.topologies.local.servers").Search.check()
    except MissingProgram as error:
        return f"without search: {error.what}; {error.do}"
    return ""


async def _run(
    topology: Topology,
    folder: Path | None,
    port: int,
    seconds: float | None,
    output: str,
    note: str,
    *,
    exit_when_ready: bool,
) -> None:
    local: Any = importlib.import_module("daicho.topologies.local")
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    work = asyncio.current_task()
    begun = False

    def end() -> None:
        ending.set()
        if not begun and work is not None:
            work.cancel()

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(each, end)
    try:
        if output == "table":
            click.echo(f"starting {len(topology.parts)} parts...{f' ({note})' if note else ''}", err=True)
        async with local.Up(topology, folder=folder, port=port) as running:
            begun = True
            if output == "json":
                await _tell(running, "ready", note)
            if not exit_when_ready:
                await _until(ending, seconds, running, output, note)
            elif output == "table":
                await _show(running, note)
    except asyncio.CancelledError:
        if not ending.is_set():
            raise
        raise KeyboardInterrupt from None


async def _until(ending: asyncio.Event, seconds: float | None, running: Any, output: str, note: str) -> None:
    """Shows the table until it is time to end."""
    try:
        async with asyncio.timeout(seconds):
            if output != "table":
                await ending.wait()
            elif is_terminal():
                await _live(ending, running, note)
            else:
                await _show(running, note)
                await ending.wait()
    except TimeoutError:
        pass
    if output == "json":
        await _tell(running, "ending", note)
        return
    if not is_terminal():
        await _show(running, note)
    click.echo("stopping...", err=True)


async def _tell(running: Any, state: str, note: str) -> None:
    watching: Any = importlib.import_module("daicho.topologies.local.watching")
    parts: Any = await watching.standing(running)
    edge: Any = await watching.cached(running, within=_PATIENCE)
    topology = running.topology
    told = {"topology": topology.ratio, "state": state, "url": running.url, "app": topology.app, "note": note}
    figures = {**plain(edge), "hit_rate": round(edge.hit_rate, 4)} if edge is not None else None
    envelope({**told, "seconds": round(running.seconds, 2), "parts": plain(parts), "edge": figures})


async def _live(ending: asyncio.Event, running: Any, note: str) -> None:
    live_of: Any = importlib.import_module("rich.live").Live
    with live_of(await _table(running, note), auto_refresh=False) as live:
        while not ending.is_set():
            live.update(await _table(running, note), refresh=True)
            try:
                async with asyncio.timeout(_EVERY):
                    await ending.wait()
            except TimeoutError:
                continue


async def _show(running: Any, note: str) -> None:
    console: Any = importlib.import_module("rich.console").Console
    console(width=None if is_terminal() else 150, highlight=False).print(await _table(running, note))


async def _table(running: Any, note: str) -> Any:
    watching: Any = importlib.import_module("daicho.topologies.local.watching")
    table: Any = importlib.import_module("daicho.topologies.local.table").table
    rows: Any = await watching.standing(running)
    edge: Any = await watching.cached(running)
    title = f"{running.topology.ratio} on {running.url}, ready after {running.seconds:.1f} s; Ctrl-C ends it"
    return table(title, rows, edge, note)
