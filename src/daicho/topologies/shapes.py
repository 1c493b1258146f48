"""The four shapes of SPEC section 5."""

from typing import get_args

from daicho.core.errors import UnknownTopology
from daicho.topologies.description import Kind, Part, Ratio, Topology

__all__ = ["SHOP", "shape"]

SHOP = "examples.shop.app:app"
CATALOGUE = "examples.shop.shelf:app"
STORE = "postgresql://{login}@{primary}/daicho"
_VIEWS = {"redis": "redis://:{password}@{redis}/0", "mongodb": "mongodb://{mongodb}/daicho"}
_QUERY_SERVICES = {"crud": 0, "1:1": 0, "10:1": 2, "100:1": 4}


def shape(
    ratio: str,
    *,
    app: str | None = None,
    app_servers: int = 2,
    command_services: int = 1,
    query_services: int | None = None,
    views: str = "redis",
    search: bool = True,
) -> Topology:
    """The description of a topology.

    ratio             `crud`, `1:1`, `10:1` or `100:1`
    app               `module:attribute`; the shop of the examples, unless given
    app_servers       processes that do everything, for `crud` and `1:1`
    command_services  for the others; writes are put in order by the primary, so few are enough
    query_services    scale without limit; at 10:1 each has a replica of its own. 2 at 10:1, 4 at 100:1
    views             `redis` or `mongodb`: where rows are kept at 100:1
    search            whether there is OpenSearch for rows that are searched, at 100:1

    Raises UnknownTopology for a name that is none, and for numbers below 1.
    """
    if ratio not in get_args(Ratio):
        raise UnknownTopology(
            f"there is no topology {ratio!r}",
            why=f"the table of ratios knows {', '.join(get_args(Ratio))}",
            do="name one of them; `daicho advise` finds out which one you need",
            name=ratio,
        )
    if views not in ("redis", "mongodb"):
        raise UnknownTopology(f"views cannot be kept in {views!r}", do="name redis or mongodb", name=views)
    queries = _QUERY_SERVICES[ratio] if query_services is None else query_services
    if min(app_servers, command_services, queries or 1) < 1 or (query_services is not None and query_services < 1):
        raise UnknownTopology("a topology has at least one of each service", do="give 1 or more", name=ratio)
    if ratio == "10:1":
        return _replicated(app or SHOP, command_services, queries)
    if ratio == "100:1":
        return _cached(app or SHOP, command_services, queries, "mongodb" if views == "mongodb" else "redis", search)
    return _plain("crud" if ratio == "crud" else "1:1", app or (CATALOGUE if ratio == "crud" else SHOP), app_servers)


def _plain(ratio: Ratio, app: str, servers: int) -> Topology:
    """client -> load balancer -> app servers -> primary"""
    names = _numbered("app", servers)
    return Topology(
        ratio=ratio,
        app=app,
        parts=(
            Part(name="primary", kind="primary"),
            *(Part(name=name, kind="all", talks_to=("primary",), settings={"store": STORE}) for name in names),
            Part(name="haproxy", kind="haproxy", talks_to=names),
        ),
        entrance="haproxy",
    )


def _replicated(app: str, commands: int, queries: int) -> Topology:
    """writes -> command services -> primary; reads -> query services, each on a replica of its own"""
    writing, reading, replicas = (
        _numbered(kind, count) for kind, count in (("command", commands), ("query", queries), ("replica", queries))
    )
    return Topology(
        ratio="10:1",
        app=app,
        parts=(
            Part(name="primary", kind="primary"),
            *(Part(name=name, kind="replica", talks_to=("primary",)) for name in replicas),
            *(Part(name=name, kind="command", talks_to=("primary",), settings={"store": STORE}) for name in writing),
            Part(name="projector", kind="projector", talks_to=("primary",), settings={"store": STORE}),
            *(
                Part(
                    name=name,
                    kind="query",
                    talks_to=("primary", replica),
                    settings={"store": STORE, "read-from": STORE.replace("{primary}", f"{{{replica}}}")},
                )
                for name, replica in zip(reading, replicas, strict=True)
            ),
            Part(name="haproxy", kind="haproxy", talks_to=(*writing, *reading)),
        ),
        entrance="haproxy",
    )


def _cached(app: str, commands: int, queries: int, views: Kind, search: bool) -> Topology:
    """writes as before; reads -> edge cache -> query services -> views in a NoSQL store, and a search engine"""
    writing, reading = _numbered("command", commands), _numbered("query", queries)
    stores: tuple[Part, ...] = (Part(name=views, kind=views),)
    placed = {"store": STORE, "views": _VIEWS[views]}
    if search:
        stores += (Part(name="opensearch", kind="opensearch"),)
        placed["search"] = "opensearch://{opensearch}"
    told = {**placed, "edge": "varnish://{varnish}"}
    used = ("primary", *(part.name for part in stores))
    return Topology(
        ratio="100:1",
        app=app,
        parts=(
            Part(name="primary", kind="primary"),
            *stores,
            *(Part(name=name, kind="command", talks_to=(*used, "varnish"), settings=told) for name in writing),
            Part(name="projector", kind="projector", talks_to=(*used, "varnish"), settings=told),
            *(Part(name=name, kind="query", talks_to=used, settings=placed) for name in reading),
            Part(name="haproxy", kind="haproxy", talks_to=(*writing, *reading)),
            Part(name="varnish", kind="varnish", talks_to=("haproxy",)),
        ),
        entrance="varnish",
    )


def _numbered(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{n}" for n in range(1, count + 1))
