"""A topology under a load, as a network of stations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from daicho.advisor.hits import groups_of, hit_ratio_of_one
from daicho.advisor.rules import Topology
from daicho.advisor.simulation.stations import Mixture, Served, gathering, least, queue
from daicho.advisor.simulation.times import Times

__all__ = ["Counts", "Load", "Network", "Station", "least_counts", "network"]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What comes from outside."""

    reads: float
    """Per minute."""
    writes: float
    keys: int = 10_000
    zipf: float = 1.0
    ttl: float = 3600
    """Seconds that an edge cache keeps an answer, if it is not purged before."""
    purged: bool = True
    shield: bool = False
    """Whether edge caches fetch by way of one that all share, each thing from the same one of them."""
    events: float = 1
    """That a write records."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Instances."""

    edges: int = 0
    shields: int = 0
    balancers: int = 1
    app_servers: int = 0
    query_services: int = 0
    replicas: int = 0
    view_stores: int = 0
    command_services: int = 0
    primaries: int = 1


@dataclass(frozen=True, kw_only=True)
class Station:
    name: str
    instances: int
    utilisation: float
    stays: Sequence[float]


@dataclass
class Network:
    """What was simulated: stations, and samples of whole journeys, in seconds."""

    stations: list[Station] = field(default_factory=list[Station])
    reads: list[float] = field(default_factory=list[float])
    writes: list[float] = field(default_factory=list[float])
    staleness: list[float] = field(default_factory=list[float])
    """From the acknowledged write to the read that shows it."""
    hit_ratio: float | None = None

    @property
    def busiest(self) -> Station:
        return max(self.stations, key=lambda station: station.utilisation)

    @property
    def stable(self) -> bool:
        return self.busiest.utilisation < 1


def least_counts(topology: Topology, load: Load, times: Times, utilisation: float) -> Counts:
    """The fewest instances of which none is busier than that."""
    reads, writes = load.reads / 60, load.writes / 60

    def need(rate: float, *names: str, servers: int = 1) -> int:
        busy = rate * sum(getattr(times, name) for name in names) / 1e6 / servers
        return max(1, -int(-round(busy / utilisation, 9) // 1))

    commands = need(writes, "command")
    if topology in ("crud", "1:1"):
        busy = (reads * times.query + writes * times.command) / 1e6 / utilisation
        return Counts(
            balancers=need(reads + writes, "balancer", servers=times.cores),
            app_servers=max(1, -int(-round(busy, 9) // 1)),
        )
    if topology == "10:1":
        queries = need(reads, "query")
        return Counts(
            balancers=need(reads + writes, "balancer", servers=times.cores),
            query_services=queries,
            replicas=max(queries, need(reads, "view", servers=times.cores)),
            command_services=commands,
        )
    edges = need(reads + writes, "edge", servers=times.cores)
    missed, fetched = misses(load, edges)
    return Counts(
        edges=edges,
        shields=need(missed, "edge", servers=times.cores) if load.shield else 0,
        balancers=need(fetched + writes, "balancer", servers=times.cores),
        query_services=need(fetched, "query"),
        view_stores=need(fetched, "view", servers=times.cores),
        command_services=commands,
    )


def misses(load: Load, edges: int) -> tuple[float, float]:
    """Reads a second that no edge answers, and those that go on to query services.

    Every edge has its own copy of everything, so each thing that changed is fetched once by each that is asked for it:
    the more edges, the more misses. A shield fetches it once for all.
    """
    reads, writes = load.reads / 60, load.writes / 60
    missed = fetched = 0.0
    for share, count in groups_of(load.keys, load.zipf):
        at_one = reads * share / edges
        changes = writes * share
        lost = reads * share * (1 - hit_ratio_of_one(at_one, changes, load.ttl, purged=load.purged))
        missed += count * lost
        shielded = hit_ratio_of_one(lost, changes, load.ttl, purged=load.purged) if load.shield else 0.0
        fetched += count * lost * (1 - shielded)
    return missed, fetched


class _Simulation:
    def __init__(self, times: Times, seed: int, samples: int) -> None:
        self.times, self.samples = times, samples
        self._seed = seed
        self.network = Network()

    def chance(self, name: str) -> Random:
        return Random(f"{self._seed} {name}")  # noqa: S311 - a simulation has to be repeatable

    def at(self, name: str, part: str, rate: float, instances: int, *, servers: int = 1) -> Served:
        """Instances that are chosen by chance, such as by names or addresses."""
        instances = max(1, instances)
        served = queue(rate / instances, self.times.service(part), servers, self.samples, self.chance(name))
        self._note(name, instances, served)
        return served

    def behind(self, name: str, part: str, rate: float, instances: int, *, in_turn: bool = False) -> Served:
        """Instances behind the balancer, which sends each request to the one with the fewest, or to one after another:
        as the configuration of our topologies has it for queries, and for commands."""
        instances = max(1, instances)
        service, chance = self.times.service(part), self.chance(name)
        if in_turn:
            served = queue(rate / instances, service, 1, self.samples, chance, dealt=instances)
        else:
            served = least(rate, service, instances, self.samples, chance)
        self._note(name, instances, served)
        return served

    def mixed(self, name: str, rates: dict[str, float], instances: int) -> dict[str, Served]:
        """A station for several kinds of request: each kind waits for all, and is served for its own time."""
        instances = max(1, instances)
        whole = sum(rates.values()) or 1.0
        kinds = {part: self.times.service(part) for part in rates}
        mixture = Mixture(tuple((rate / whole, kinds[part]) for part, rate in rates.items()))
        served = least(sum(rates.values()), mixture, instances, self.samples, self.chance(name))
        self._note(name, instances, served)
        found: dict[str, Served] = {}
        for part, service in kinds.items():
            serve = service.sampler(self.chance(f"{name} {part}"))
            found[part] = served._replace(stays=[wait + serve() for wait in served.waits])
        return found

    def gather(self, name: str, fixed: str, each: str, rate: float, *, times: int = 1) -> Served:
        """`times`: how often each is done."""
        served = gathering(
            rate,
            self.times.service(fixed),
            times * getattr(self.times, each) / 1e6,
            self.samples,
            self.chance(name),
        )
        self._note(name, 1, served)
        return served

    def _note(self, name: str, instances: int, served: Served) -> None:
        self.network.stations.append(
            Station(name=name, instances=instances, utilisation=served.utilisation, stays=served.stays)
        )

    def journeys(self, name: str, legs: Iterable[Served], hops: int) -> list[float]:
        """Samples of the whole way: a stay of each leg, drawn by themselves, and the network in between. Empty if one
        of them is not stable."""
        drawn = list(legs)
        if any(not leg.stays for leg in drawn):
            return []
        chance, fixed = self.chance(f"journey {name}"), hops * self.times.network / 1e6
        return [fixed + sum(chance.choice(leg.stays) for leg in drawn) for _ in range(self.samples)]

    def mixture(self, name: str, kinds: Sequence[tuple[float, list[float]]]) -> list[float]:
        """Samples of each kind, by its share. Empty if a kind has none."""
        if any(not samples for _, samples in kinds):
            return []
        chance = self.chance(f"mixture {name}")
        picked = chance.choices([samples for _, samples in kinds], [share for share, _ in kinds], k=self.samples)
        return [samples[n] for n, samples in enumerate(picked)]


def network(
    topology: Topology, counts: Counts, load: Load, times: Times, *, seed: int = 1, samples: int = 20_000
) -> Network:
    """Simulates it: the same for the same seed."""
    simulation = _Simulation(times, seed, samples)
    if topology in ("crud", "1:1"):
        _plain(simulation, topology, counts, load)
    elif topology == "10:1":
        _replicated(simulation, counts, load)
    else:
        _cached(simulation, counts, load)
    return simulation.network


def _plain(s: _Simulation, topology: Topology, counts: Counts, load: Load) -> None:
    reads, writes = load.reads / 60, load.writes / 60
    balancer = s.at("balancer", "balancer", reads + writes, counts.balancers, servers=s.times.cores)
    app = s.mixed("app server", {"query": reads, "command": writes}, counts.app_servers)
    rows = s.at("primary, reading", "view", reads, 1, servers=s.times.cores)
    commit = s.gather("primary, writing", "commit", "event", writes * load.events)
    s.network.reads = s.journeys("reads", [balancer, app["query"], rows], 6)
    s.network.writes = s.journeys("writes", [balancer, app["command"], commit], 6)
    if topology == "1:1":
        projector = s.gather("projector", "projection", "fold", writes * load.events)
        s.network.staleness = s.journeys("staleness", [projector], 0)


def _replicated(s: _Simulation, counts: Counts, load: Load) -> None:
    reads, writes = load.reads / 60, load.writes / 60
    balancer = s.at("balancer", "balancer", reads + writes, counts.balancers, servers=s.times.cores)
    query = s.behind("query service", "query", reads, counts.query_services)
    rows = s.at("replica", "view", reads, counts.replicas, servers=s.times.cores)
    command, commit, projector = _writing(s, counts, load)
    replica = s.gather("replication", "replication", "replay", writes * load.events)
    # every replica wants every event of the one primary: what does not scale without limit
    line = s.at("primary, sending", "send", writes * load.events * counts.replicas, 1)
    s.network.reads = s.journeys("reads", [balancer, query, rows], 6)
    s.network.writes = s.journeys("writes", [balancer, command, commit], 6)
    s.network.staleness = s.journeys("staleness", [projector, line, replica], 1)


def _cached(s: _Simulation, counts: Counts, load: Load) -> None:
    reads, writes = load.reads / 60, load.writes / 60
    missed, fetched = misses(load, max(1, counts.edges))
    s.network.hit_ratio = hits = 1 - missed / reads if reads else 0.0
    edge = s.at("edge cache", "edge", reads + writes, counts.edges, servers=s.times.cores)
    way = [edge]
    if load.shield:
        way.append(s.at("shield", "edge", missed, counts.shields, servers=s.times.cores))
    balancer = s.at("balancer", "balancer", fetched + writes, counts.balancers, servers=s.times.cores)
    query = s.behind("query service", "query", fetched, counts.query_services)
    rows = s.at("view store", "view", fetched, counts.view_stores, servers=s.times.cores)
    command, commit, projector = _writing(s, counts, load)
    kinds = (
        (hits, s.journeys("hits", [edge], 2)),
        (1 - hits - fetched / (reads or 1), s.journeys("shared", way, 4)),
        (fetched / (reads or 1), s.journeys("misses", [*way, balancer, query, rows], 8 + 2 * load.shield)),
    )
    s.network.reads = s.mixture("reads", [kind for kind in kinds if kind[0] > 1e-12])
    s.network.writes = s.journeys("writes", [edge, balancer, command, commit], 8)
    if load.purged:
        purge = s.gather("purges", "purge", "purged_key", writes * load.events, times=counts.edges + counts.shields)
        s.network.staleness = s.journeys("staleness", [projector, purge], 2)
    else:
        chance = s.chance("age")
        s.network.staleness = [age + chance.random() * load.ttl for age in s.journeys("staleness", [projector], 2)]


def _writing(s: _Simulation, counts: Counts, load: Load) -> tuple[Served, Served, Served]:
    """Command service, commit, and the projector that sees it."""
    writes = load.writes / 60
    command = s.behind("command service", "command", writes, counts.command_services, in_turn=True)
    commit = s.gather("primary", "commit", "event", writes * load.events)
    return command, commit, s.gather("projector", "projection", "fold", writes * load.events)
