"""What tests of the engine share."""

import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.services import pgbouncer as pools
from tests.services import postgres as clusters
from tests.services.find import needed, wanted
from tests.services.mongodb import JavaServer
from tests.services.opensearch import opensearch
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Postgres, drop_database, fresh_database, fresh_store
from tests.services.redis import redis
from tests.services.running import Host, through


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and so would every program that a test interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long to start is started by one worker, and its tests go there. A campaign may take any time."""
    for item in items:
        if item.get_closest_marker("campaign") or item.get_closest_marker("retail"):
            item.add_marker(pytest.mark.timeout(0))
        params = getattr(item, "callspec", None)
        if params is not None and "opensearch" in params.params.values():
            item.add_marker(pytest.mark.xdist_group("opensearch"))


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """URL of a store on disk that outlives its App. Nothing pulls the plug, so it need not wait for the disk."""
    return f"sqlite:///{tmp_path / 'app.db'}?durability=relaxed"


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, sqlite: str) -> str:
    """URL of a fresh store; the test runs on each kind that needs no server."""
    return "memory:" if request.param == "memory" else sqlite


# Real servers. Each worker of a parallel run has its own: a cluster starts in less than a second, and no worker's end
# takes another's server away.


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Where servers run. They end with it."""
    with needed():
        host = Host()
    with host:
        yield host


@pytest.fixture(scope="session")
def postgres(host: Host) -> Postgres:
    """A cluster that tests share; not to be broken."""
    with needed():
        return clusters.postgres(host)


@pytest.fixture
def own_postgres(host: Host) -> Iterator[Postgres]:
    """A cluster of the test's own, to be broken at will."""
    with needed():
        cluster = clusters.postgres(host)
    yield cluster
    cluster.kill()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """URL of a fresh store: the tables are there, as the migrations make them, and nothing is in them."""
    url = fresh_store(postgres)
    yield url
    drop_database(postgres, url)


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> Iterator[str]:
    """URL of a fresh, empty database: no Daicho was ever there."""
    url = fresh_database(postgres)
    yield url
    drop_database(postgres, url)


@pytest.fixture(scope="session")
def read_store_url(host: Host) -> Callable[[str], str]:
    """From `redis`, `mongodb` or `opensearch` to the URL of an empty read store."""
    servers, numbers = dict[str, Any](), count(1)

    def url_of(kind: str) -> str:
        if kind not in servers:
            with needed() if kind == "redis" else wanted():
                start: dict[str, Callable[[Host], Any]] = {"redis": redis, "opensearch": opensearch}
                servers[kind] = JavaServer(host).start() if kind == "mongodb" else start[kind](host)
        url: str = servers[kind].url
        place = f"views{next(numbers)}"
        return f"{url.rstrip('/')}/{place}" if kind == "mongodb" else f"{url}?prefix={place}"

    return url_of


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres) -> PgBouncer:
    """A pool in transaction mode, of four connections to each database."""
    with needed():
        return pools.pgbouncer(postgres, pool_size=4)


@pytest.fixture
def pgbouncer_url(pgbouncer: PgBouncer, postgres_url: str) -> str:
    """URL of a fresh store by way of the pool."""
    return through(postgres_url, pgbouncer.port)
