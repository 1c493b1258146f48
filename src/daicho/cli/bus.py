"""`daicho bus`: what goes between this service and others."""

import asyncio
from collections.abc import Sequence

import click

from daicho.app import App
from daicho.cli.group import Family
from daicho.cli.opening import looking
from daicho.cli.output import Rows, output_option
from daicho.core.errors import ConfigurationError, NotFound
from daicho.core.plain import plain
from daicho.flow.among import Among, PartitionState, accept_gap, partition_states
from daicho.settings import Settings

__all__ = ["bus"]

_COLUMNS = ("channel", "partition", "direction", "here", "tail", "lag", "gap_up_to")


@click.group(cls=Family)
def bus() -> None:
    """The bus between this service and others: how far, and what is missing."""


@bus.command()
@output_option
@click.pass_obj
def status(settings: Settings, output: str) -> None:
    """Every partition of the channels of events that the app says (out) and hears (in): how far this service and the
    broker are, and what is missing. Changes nothing."""

    async def run() -> Sequence[PartitionState]:
        async with looking(settings) as look:
            app, among = _on_a_bus(look.app)
            line = app.line()
            try:
                return await partition_states(among, line, look.storage)
            finally:
                await line.close()

    rows = Rows(output, _COLUMNS)
    for state in asyncio.run(run()):
        rows.add({**plain(state), "lag": _lag(state)})
    rows.end()


@bus.command("accept-gap")
@click.argument("source")
@output_option
@click.pass_obj
def accept(settings: Settings, source: str, output: str) -> None:
    """Gives up messages of the service SOURCE that are missing for good: goes on behind them, in each partition that
    has told a gap. A running app notices by itself."""

    async def run() -> list[tuple[int, int]]:
        async with looking(settings) as look:
            _on_a_bus(look.app)
            return await accept_gap(look.storage, source)

    done = asyncio.run(run())
    if not done:
        raise NotFound(
            f"nothing is missing from {source}", why="no partition has told a gap", do="`daicho bus status` shows them"
        )
    rows = Rows(output, ("source", "partition", "goes_on_behind"))
    for partition, number in done:
        rows.add({"source": source, "partition": partition, "goes_on_behind": number})
    rows.end()


def _on_a_bus(app: App | None) -> tuple[App, Among]:
    if app is None or app.among is None:
        raise ConfigurationError(
            "no app with a bus was named",
            why="which channels there are is said by the app",
            do="daicho --app module:attribute ..., of an App(bus=...)",
        )
    return app, app.among


def _lag(state: PartitionState) -> int | None:
    """How far the follower is behind, in positions: the hearer behind the broker. Of what is sent, `daicho health`."""
    if state.tail is None or state.direction == "out":
        return None
    return max(0, state.tail - state.here)
