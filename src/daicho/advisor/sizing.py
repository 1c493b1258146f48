"""How many instances a load needs, and how long caches may keep answers."""

import math

import msgspec

from daicho.advisor.answers import Answers
from daicho.advisor.capacity import Capacity
from daicho.advisor.hits import hit_ratio, ttl_for
from daicho.advisor.rules import Approach, Topology

__all__ = ["Sizing", "least_topology", "size"]


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of each part, none of them busier than the capacity allows. None spare: see `Advice.notes`."""

    reads_per_second: float
    """In the busiest minute."""
    writes_per_second: float
    edge_caches: int = 0
    hit_ratio: float | None = None
    """Share of reads that the edge answers."""
    reads_behind_edge: float = 0.0
    """Reads a second that reach query services."""
    query_services: int = 0
    replicas: int = 0
    command_services: int = 0
    app_servers: int = 0
    """Where reads and writes are not separated (crud, 1:1), they do both."""
    primaries: int = 1
    primary_utilisation: float = 0.0
    cache_seconds: float | None = None
    """For caches that nobody tells what changed, such as browsers."""
    edge_seconds: float | None = None
    """For an edge cache that is purged by projections."""


def size(answers: Answers, approach: Approach, capacity: Capacity) -> Sizing | None:
    """None if reads and writes a minute are not known. One primary takes all writes; `primary_utilisation` above the
    capacity's says that it does not suffice."""
    if answers.reads is None or answers.writes is None:
        return None
    reads, writes = answers.reads * answers.peak / 60, answers.writes * answers.peak / 60
    keys = answers.keys or capacity.keys
    caught = edge_seconds = None
    behind, edges = reads, 0
    if approach == "edge":
        edges = _count(reads / capacity.edge, capacity)
        at_one = reads / edges  # each edge has its own copy of everything, and its own misses
        edge_seconds = ttl_for(at_one, writes, keys=keys, zipf=capacity.zipf) if reads else 60.0
        caught = hit_ratio(at_one, writes, edge_seconds, keys=keys, zipf=capacity.zipf)
        behind = reads * (1 - caught)
    primary = writes / capacity.primary
    if approach in ("crud", "staged"):
        servers = _count(reads / capacity.query + writes / capacity.command, capacity)
        # what the primary cannot answer beside its writes goes to read replicas
        queries, commands, replicas = 0, 0, _count(max(0.0, reads / capacity.replica - 0.5), capacity, least=0)
        primary += min(reads / capacity.replica, 0.5)
    else:
        servers = 0
        queries, commands = _count(behind / capacity.query, capacity), _count(writes / capacity.command, capacity)
        # each query service has a replica of its own; at the edge, NoSQL views take their place
        replicas = max(queries, _count(behind / capacity.replica, capacity)) if approach == "full" else 0
    return Sizing(
        reads_per_second=round(reads, 3),
        writes_per_second=round(writes, 3),
        edge_caches=edges,
        hit_ratio=None if caught is None else round(caught, 4),
        reads_behind_edge=round(behind, 3),
        query_services=queries,
        replicas=replicas,
        command_services=commands,
        app_servers=servers,
        primary_utilisation=round(primary, 4),
        cache_seconds=capacity.staleness if approach == "edge" else None,
        edge_seconds=edge_seconds,
    )


def _count(busy: float, capacity: Capacity, *, least: int = 1) -> int:
    """`busy`: how many instances the load would keep fully busy."""
    return max(least, math.ceil(round(busy / capacity.utilisation, 9)))


def least_topology(answers: Answers, capacity: Capacity) -> Topology | None:
    """The plainest topology that carries the load, whatever its ratio. None if the load is not known."""
    if answers.reads is None or answers.writes is None:
        return None
    reads, writes = answers.reads * answers.peak / 60, answers.writes * answers.peak / 60
    limit = capacity.utilisation
    if reads / capacity.query + writes / capacity.command <= limit and reads / capacity.replica <= limit:
        return "crud"
    if reads / capacity.replica + writes / capacity.primary <= limit:
        return "1:1"
    return "10:1" if reads / capacity.query <= 10 * limit else "100:1"
