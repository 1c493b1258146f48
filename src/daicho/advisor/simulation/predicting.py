"""From a load to what each topology makes of it, side by side."""

from collections.abc import Sequence

import msgspec

from daicho.advisor.rules import Topology
from daicho.advisor.simulation.model import Counts, Load, Network, least_counts, network
from daicho.advisor.simulation.times import MEASURED_TIMES, Times

__all__ = ["Prediction", "StationLoad", "predict", "simulate"]

TOPOLOGIES: tuple[Topology, ...] = ("crud", "1:1", "10:1", "100:1")
_MORE = 12
"""So many times one more is tried of what makes reads late."""


class StationLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of part."""

    name: str
    instances: int
    utilisation: float
    """1 and above: more comes than it can do."""
    p99_ms: float | None
    """Of waiting and being served there."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One topology under one load. Times in milliseconds; None where more comes than can be done."""

    topology: Topology
    shield: bool
    counts: Counts
    stable: bool
    read_p50_ms: float | None
    read_p99_ms: float | None
    write_p50_ms: float | None
    write_p99_ms: float | None
    staleness_p50_ms: float | None
    """From the acknowledged write until reads show it. None without read views, too: then it is none."""
    staleness_p99_ms: float | None
    hit_ratio: float | None
    bottleneck: str
    """The busiest part."""
    utilisation: float
    """Its utilisation."""
    grows_to: float
    """How many times the load the busiest part could do, before nothing is added."""
    fast_enough: bool
    """Whether 99 of 100 reads answer within the time that was asked for, and nothing has more to do than it can."""
    stations: tuple[StationLoad, ...]


def simulate(
    load: Load,
    *,
    times: Times = MEASURED_TIMES,
    topologies: Sequence[Topology] = TOPOLOGIES,
    counts: Counts | None = None,
    within_ms: float = 100.0,
    utilisation: float = 0.6,
    seed: int = 1,
    samples: int = 20_000,
) -> list[Prediction]:
    """One prediction for each topology; the same for the same seed.

    Without `counts`, as few instances as keep each at most that busy and 99 of 100 reads within the time.
    """
    return [
        predict(
            topology,
            load,
            times=times,
            counts=counts,
            within_ms=within_ms,
            utilisation=utilisation,
            seed=seed,
            samples=samples,
        )
        for topology in topologies
    ]


def predict(
    topology: Topology,
    load: Load,
    *,
    times: Times = MEASURED_TIMES,
    counts: Counts | None = None,
    within_ms: float = 100.0,
    utilisation: float = 0.6,
    seed: int = 1,
    samples: int = 20_000,
) -> Prediction:
    """For one topology. See `simulate`."""
    chosen = counts or least_counts(topology, load, times, utilisation)
    found = network(topology, chosen, load, times, seed=seed, samples=samples)
    for _ in range(0 if counts else _MORE):
        more = None if _is_fast(found, within_ms) else _more(chosen, found)
        if more is None:
            break
        chosen = more
        found = network(topology, chosen, load, times, seed=seed, samples=samples)
    return _told(topology, load, chosen, found, within_ms)


def _is_fast(found: Network, within_ms: float) -> bool:
    return bool(found.reads) and (_percentile(found.reads, 0.99) or 0) < within_ms


_SCALED = {
    "edge cache": "edges",
    "shield": "shields",
    "balancer": "balancers",
    "app server": "app_servers",
    "query service": "query_services",
    "replica": "replicas",
    "view store": "view_stores",
}


def _more(counts: Counts, found: Network) -> Counts | None:
    """One more, and a tenth more, of the busiest that can be more. None: there is none."""
    scaled = [station for station in found.stations if station.name in _SCALED]
    busiest = max(scaled, key=lambda station: station.utilisation)
    if found.busiest.utilisation >= 1 and found.busiest.name not in _SCALED:
        return None
    name = _SCALED[busiest.name]
    return msgspec.structs.replace(counts, **{name: getattr(counts, name) + max(1, busiest.instances // 10)})


def _told(topology: Topology, load: Load, counts: Counts, found: Network, within_ms: float) -> Prediction:
    busiest = found.busiest
    return Prediction(
        topology=topology,
        shield=load.shield and topology == "100:1",
        counts=counts,
        stable=found.stable,
        read_p50_ms=_percentile(found.reads, 0.5),
        read_p99_ms=_percentile(found.reads, 0.99),
        write_p50_ms=_percentile(found.writes, 0.5),
        write_p99_ms=_percentile(found.writes, 0.99),
        staleness_p50_ms=_percentile(found.staleness, 0.5),
        staleness_p99_ms=_percentile(found.staleness, 0.99),
        hit_ratio=None if found.hit_ratio is None else round(found.hit_ratio, 4),
        bottleneck=busiest.name,
        utilisation=round(busiest.utilisation, 4),
        grows_to=round(1 / busiest.utilisation, 2) if busiest.utilisation else 0.0,
        fast_enough=found.stable and _is_fast(found, within_ms),
        stations=tuple(
            StationLoad(
                name=station.name,
                instances=station.instances,
                utilisation=round(station.utilisation, 4),
                p99_ms=_percentile(station.stays, 0.99),
            )
            for station in found.stations
        ),
    )


def _percentile(seconds: Sequence[float], share: float) -> float | None:
    """In milliseconds, by nearest rank. None of none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)
