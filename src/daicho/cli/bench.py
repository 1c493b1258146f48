"""`daicho bench`: load for a system that serves."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from daicho.cli.group import Verb
from daicho.cli.output import envelope, print_record
from daicho.core.errors import ConfigurationError
from daicho.load import SHOP, Figures, Plan
from daicho.load.driving import drive
from daicho.load.plan import Ratio, Request

__all__ = ["bench"]


@click.command(cls=Verb)
@click.argument("url")
@click.option("--ratio", default="100:1", show_default=True, help="Reads to writes.")
@click.option("--rate", type=float, help="Requests a second, in all. [as fast as answers come]")
@click.option("--for", "seconds", type=float, default=10.0, show_default=True, help="Seconds.")
@click.option("--connections", default=32, show_default=True, help="At once.")
@click.option("--processes", default=1, show_default=True, help="That the load comes from.")
@click.option("--keys", default=1000, show_default=True, help="So many things; the first ones are asked for oftener.")
@click.option("--read", "reads", multiple=True, help="As `GET /stock/{key}`; may be given again. [the shop's]")
@click.option("--write", "writes", multiple=True, help='As `POST /stock/{key}/deliveries {"quantity": 1}`.')
@click.option("--counts", help="Field of the first read's answer that counts the writes of its key.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def bench(
    context: click.Context,
    url: str,
    ratio: str,
    rate: float | None,
    seconds: float,
    connections: int,
    processes: int,
    keys: int,
    reads: Sequence[str],
    writes: Sequence[str],
    counts: str | None,
    output: str,
) -> None:
    """Drives reads and writes against URL, and tells how many a second there were, how long they took, and whether an
    answer was older than the token that it was asked with.

    Without --read and --write, those of the examples' shop. Each caller asks with the token of its last write of the
    same key. Exit code 1 if an answer was stale, or a request failed.
    """
    if min(seconds, connections, processes, keys, 1.0 if rate is None else rate) <= 0:
        raise ConfigurationError("seconds, rates and numbers are above 0", do="give greater ones")
    if bool(reads) != bool(writes):
        raise ConfigurationError("reads and writes go together", do="give both --read and --write, or neither")
    plan = (
        Plan(reads=[*map(Request.of, reads)], writes=[*map(Request.of, writes)], keys=keys, counts=counts)
        if reads
        else Plan(reads=SHOP.reads, writes=SHOP.writes, keys=keys, counts=SHOP.counts)
    )
    figures = asyncio.run(
        drive(
            url, plan, Ratio.of(ratio), seconds=seconds, connections=connections, rate=rate, processes=processes
        )
    )  # fmt: skip
    if output == "json":
        envelope(figures.told())
    else:
        print_record("table", _shown(figures))
    context.exit(1 if figures.stale or figures.failed else 0)


def _shown(figures: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {
        "reads": f"{figures.reads_per_second:,.0f}/s, p50 {figures.read_p50:.1f} ms, p99 {figures.read_p99:.1f} ms",
        "writes": f"{figures.writes_per_second:,.0f}/s, p50 {figures.write_p50:.1f} ms, p99 {figures.write_p99:.1f} ms",
        "with a token": f"{figures.with_token:,}, of them {figures.stale:,} stale and {figures.refused:,} refused",
        "from a cache": f"{figures.hit_rate:.1%}",
        "failed": f"{figures.failed:,}",
    }
    return {**found, **({"errors": figures.errors} if figures.errors else {})}
