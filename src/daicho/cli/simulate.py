"""`daicho simulate`: what each topology would make of a load, on paper."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from daicho.advisor.rules import Topology
from daicho.advisor.simulation import MEASURED_TIMES, Counts, Load, Prediction, simulate, times_of
from daicho.advisor.simulation.measuring import measure
from daicho.cli.group import Verb
from daicho.cli.output import Rows, envelope, output_option, print_table
from daicho.core.errors import BadAnswers
from daicho.core.plain import plain
from daicho.load import SHOP

__all__ = ["simulate_verb"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_SHORT = {
    "edges": "edge",
    "shields": "shield",
    "balancers": "balancer",
    "app_servers": "app",
    "query_services": "query",
    "replicas": "replica",
    "view_stores": "views",
    "command_services": "command",
    "primaries": "primary",
}


@click.command("simulate", cls=Verb)
@click.option("--reads", default=100_000.0, show_default=True, help="A minute.")
@click.option("--writes", default=1_000.0, show_default=True, help="A minute.")
@click.option("--scale", type=float, multiple=True, default=(1.0,), help="So many times that load, too.")
@click.option("--topology", "topologies", type=click.Choice(get_args(Topology)), multiple=True, help="[all four]")
@click.option("--instances", metavar="NAME=N,...", help="As in `query_services=3,replicas=3`. [as few as will do]")
@click.option("--keys", default=10_000, show_default=True, help="How many different things are read.")
@click.option("--zipf", default=1.0, show_default=True, help="How uneven: 0 all alike.")
@click.option("--ttl", default=3600.0, show_default=True, help="Seconds that the edge keeps an answer.")
@click.option("--purges/--no-purges", default=True, show_default=True, help="Whether the edge is told of changes.")
@click.option("--shield/--no-shield", default=False, help="Whether edges fetch by way of one that they share.")
@click.option("--within", "within_ms", default=100.0, show_default=True, help="Milliseconds for 99 of 100 reads.")
@click.option("--utilisation", default=0.6, show_default=True, help="How busy an instance may be.")
@click.option("--times", "times_file", type=_FILE, metavar="FILE", help="Measured times, as TOML or JSON.")
@click.option(
    "--measure", "url", metavar="URL", help="Measure a running shop first, without a cache. It is written to."
)
@click.option("--for", "seconds", default=3.0, show_default=True, help="Seconds of each of three measurements.")
@click.option("--services", default=1, show_default=True, help="How many services answer queries at URL.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same figures.")
@click.option("--samples", default=20_000, show_default=True, help="Requests that are simulated at each part.")
@output_option
def simulate_verb(
    reads: float,
    writes: float,
    scale: Sequence[float],
    topologies: Sequence[Topology],
    instances: str | None,
    times_file: Path | None,
    url: str | None,
    seconds: float,
    services: int,
    within_ms: float,
    utilisation: float,
    seed: int,
    samples: int,
    output: str,
    **edge: Any,
) -> None:
    """Predicts for each topology, side by side: how many instances it takes, how busy they are, how long reads and
    writes take, how old answers may be, and what would give way first.

    A model of queues, fed with measured times; see the page on it for how far it can be trusted.
    """
    load = Load(reads=reads, writes=writes, keys=edge["keys"], zipf=edge["zipf"], ttl=edge["ttl"])
    load = msgspec.structs.replace(load, purged=edge["purges"], shield=edge["shield"])
    _check(load, scale, utilisation, samples)
    times = times_of(times_file) if times_file else MEASURED_TIMES
    if url:
        times = asyncio.run(measure(url, SHOP, seconds=seconds, services=services))
    loads = [msgspec.structs.replace(load, reads=reads * times_, writes=writes * times_) for times_ in scale]
    found = [
        (each, prediction)
        for each in loads
        for prediction in simulate(
            each,
            times=times,
            topologies=topologies or get_args(Topology),
            counts=_counts(instances) if instances else None,
            within_ms=within_ms,
            utilisation=utilisation,
            seed=seed,
            samples=samples,
        )
    ]
    if output == "json":
        envelope([{"load": plain(each), **plain(prediction)} for each, prediction in found], times=plain(times))
    elif output == "table":
        print_table(_COLUMNS, [_row(each, prediction) for each, prediction in found])
        click.echo(f"times: {times.source}; utilisation at most {utilisation:.0%}; seed {seed}", err=True)
    else:
        rows = Rows(output, ())
        for each, prediction in found:
            rows.add(_row(each, prediction))
        rows.end()


def _check(load: Load, scale: Sequence[float], utilisation: float, samples: int) -> None:
    for name, value in (("reads", load.reads), ("writes", load.writes), ("ttl", load.ttl), ("zipf", load.zipf)):
        if not 0 <= value < float("inf"):
            raise BadAnswers(f"--{name} is {value}", do="give 0 or more")
    if any(not 0 < each < float("inf") for each in scale):
        raise BadAnswers(f"--scale is {scale}", do="give more than 0")
    if not 0 < utilisation < 1:
        raise BadAnswers(f"--utilisation is {utilisation}", do="give a share between 0 and 1")
    if load.keys < 1 or not 100 <= samples <= 10_000_000:
        raise BadAnswers(f"--keys {load.keys}, --samples {samples}", do="give 1 key or more, 100 samples or more")


def _counts(text: str) -> Counts:
    try:
        given = {name.strip(): int(n) for name, _, n in (each.partition("=") for each in text.split(","))}
        found = msgspec.convert(given, Counts)
    except (ValueError, msgspec.ValidationError) as error:
        raise BadAnswers(f"--instances {text!r}: {error}", do=f"name some of {', '.join(_SHORT)}") from error
    if unknown := given.keys() - _SHORT.keys():
        raise BadAnswers(f"--instances: there is no {min(unknown)!r}", do=f"name some of {', '.join(_SHORT)}")
    return found


_COLUMNS = (
    *("reads/min", "writes/min", "topology", "instances", "busiest", "busy", "read p50", "read p99"),
    *("write p50", "write p99", "stale p50", "stale p99", "hits", "fast enough"),
)


def _row(load: Load, found: Prediction) -> dict[str, str]:
    counts = msgspec.structs.asdict(found.counts)
    return {
        "reads/min": f"{load.reads:,.0f}",
        "writes/min": f"{load.writes:,.0f}",
        "topology": f"{found.topology}{' + shield' if found.shield else ''}",
        "instances": " ".join(f"{short} {counts[name]}" for name, short in _SHORT.items() if counts[name]),
        "busiest": found.bottleneck,
        "busy": f"{found.utilisation:.0%}",
        **{
            name: "-" if value is None else f"{value:.1f} ms"
            for name, value in (
                ("read p50", found.read_p50_ms),
                ("read p99", found.read_p99_ms),
                ("write p50", found.write_p50_ms),
                ("write p99", found.write_p99_ms),
                ("stale p50", found.staleness_p50_ms),
                ("stale p99", found.staleness_p99_ms),
            )
        },
        "hits": "-" if found.hit_ratio is None else f"{found.hit_ratio:.1%}",
        "fast enough": "yes" if found.fast_enough else "no",
    }
