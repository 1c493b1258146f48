"""From a URL to its adapter: the only table. An adapter is imported when a URL names it."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

from daicho.core.errors import BadUrl, ConfigurationError, MissingExtra
from daicho.ports.clock import Clock
from daicho.ports.edge_cache import EdgeCache
from daicho.ports.event_bus import EventBus
from daicho.ports.failover import Failover
from daicho.ports.key_store import KeyStore
from daicho.ports.read_store import ReadStore
from daicho.ports.replication import ReplicaStorage
from daicho.ports.scratch import Scratch
from daicho.ports.storage import Storage

if TYPE_CHECKING:
    from daicho.adapters.sealing import Curtain  # it needs an extra

__all__ = [
    "BUSES",
    "EDGE_CACHES",
    "KEY_STORES",
    "READ_STORES",
    "STORES",
    "hang_curtain",
    "open_bus",
    "open_failover",
    "open_read_store",
    "open_replica",
    "open_scratch",
    "open_storage",
    "shown",
    "without_password",
]

T = TypeVar("T")


class Adapters(Generic[T]):
    """Those of one port, by the scheme of the URL: module, class, and the extra that it needs."""

    def __init__(self, what: str, for_instance: str, table: Mapping[str, tuple[str, str, str | None]]) -> None:
        self._what, self._for_instance, self._table = what, for_instance, table

    def __contains__(self, url: str) -> bool:
        return isinstance(cast("object", url), str) and urlsplit(url).scheme in self._table

    @property
    def schemes(self) -> list[str]:
        return list(self._table)

    def check(self, url: str) -> None:
        """Raises BadUrl."""
        if url not in self:
            raise BadUrl(
                f"{without_password(url)!r} is not the URL of {self._what}",
                why=f"this Daicho knows {', '.join(f'{scheme}:' for scheme in self._table)}",
                do=f"write for instance {self._for_instance}",
            )

    def open(self, url: str, **options: Any) -> T:
        """The adapter, not yet opened. Raises BadUrl and MissingExtra."""
        self.check(url)
        return cast("T", _named(*self._table[urlsplit(url).scheme])(url, **options))


STORES = Adapters[Storage](
    "a store",
    "`sqlite:///shop.db` or `memory:`",
    {
        "memory": ("daicho.adapters.stores.memory", "MemoryStorage", None),
        "sqlite": ("daicho.adapters.stores.sqlite", "SqliteStorage", None),
        "postgresql": ("daicho.adapters.stores.postgres", "PostgresStorage", "postgres"),
        "postgres": ("daicho.adapters.stores.postgres", "PostgresStorage", "postgres"),
    },
)

_REPLICAS = Adapters[ReplicaStorage](
    "a replica",
    "`postgresql://host/database`",
    {
        "postgresql": ("daicho.adapters.stores.postgres", "PostgresStandby", "postgres"),
        "postgres": ("daicho.adapters.stores.postgres", "PostgresStandby", "postgres"),
    },
)

READ_STORES = Adapters[ReadStore](
    "read models",
    "`redis://host/0`",
    {
        "redis": ("daicho.adapters.views.redis", "RedisReadStore", "redis"),
        "rediss": ("daicho.adapters.views.redis", "RedisReadStore", "redis"),
        "mongodb": ("daicho.adapters.views.mongodb", "MongoReadStore", "mongodb"),
        "opensearch": ("daicho.adapters.views.opensearch", "SearchReadStore", "opensearch"),
        "elasticsearch": ("daicho.adapters.views.opensearch", "SearchReadStore", "opensearch"),
    },
)

BUSES = Adapters[EventBus](
    "a bus",
    "`nats://host` or `memory:name`",
    {
        "memory": ("daicho.adapters.buses.memory", "MemoryBus", None),
        "nats": ("daicho.adapters.buses.nats", "NatsBus", "nats"),
        "tls": ("daicho.adapters.buses.nats", "NatsBus", "nats"),
        "redis": ("daicho.adapters.buses.redis", "RedisBus", "redis"),
        "rediss": ("daicho.adapters.buses.redis", "RedisBus", "redis"),
        "axon": ("daicho.adapters.buses.axon", "AxonBus", "axon"),
        "axons": ("daicho.adapters.buses.axon", "AxonBus", "axon"),
        "amqp": ("daicho.adapters.buses.rabbitmq", "RabbitBus", "rabbitmq"),
        "amqps": ("daicho.adapters.buses.rabbitmq", "RabbitBus", "rabbitmq"),
        "kafka": ("daicho.adapters.buses.kafka", "KafkaBus", "kafka"),
    },
)

KEY_STORES = Adapters[KeyStore](
    "a key store",
    "`sqlite:///shop-keys.db`",
    {
        "memory": ("daicho.adapters.keys.memory", "MemoryKeys", None),
        "sqlite": ("daicho.adapters.keys.sqlite", "SqliteKeys", None),
        "postgresql": ("daicho.adapters.keys.postgres", "PostgresKeys", "postgres"),
        "postgres": ("daicho.adapters.keys.postgres", "PostgresKeys", "postgres"),
    },
)

EDGE_CACHES = Adapters[EdgeCache](
    "an edge cache",
    "`varnish://127.0.0.1:6081`",
    {
        "varnish": ("daicho.adapters.edge.varnish", "Varnish", "client"),
        "http": ("daicho.adapters.edge.http", "HttpPurger", "client"),
        "https": ("daicho.adapters.edge.http", "HttpPurger", "client"),
    },
)


def open_storage(url: str, clock: Clock) -> Storage:
    return STORES.open(url, now=clock.now)


def open_scratch(clock: Clock) -> Scratch:
    """An empty store in memory."""
    return cast("Scratch", open_storage("memory:", clock))


def open_replica(url: str, clock: Clock) -> ReplicaStorage:
    return _REPLICAS.open(url, now=clock.now)


def open_read_store(url: str, clock: Clock) -> ReadStore:
    return READ_STORES.open(url, now=clock.now)


def open_bus(bus: str | EventBus) -> EventBus:
    """The one at the URL, or the one that was given."""
    return BUSES.open(bus) if isinstance(bus, str) else bus


def open_failover(url: str, standbys: Sequence[str], clock: Clock) -> Failover:
    """For the store at the URL, which need not answer. Raises BadUrl and ConfigurationError (not PostgreSQL)."""
    STORES.check(url)
    if url not in _REPLICAS:
        raise ConfigurationError(
            "only a PostgreSQL store fails over", why=f"{url} is one place", do="see docs/howto/failover.md"
        )
    make = _named("daicho.adapters.stores.postgres", "PostgresFailover", "postgres")
    return cast("Failover", make(url, standbys, now=clock.now))


def hang_curtain(storage: Storage, url: str, keys: str | KeyStore, *people: Any) -> "Curtain":
    """Before the store at the URL, what enciphers personal data. `people`: see `people_of`."""
    hang = _named("daicho.adapters.people", "hang", "personal")
    return cast("Curtain", hang(storage, url, KEY_STORES.open(keys) if isinstance(keys, str) else keys, *people))


def _named(module_name: str, name: str, extra: str | None) -> Callable[..., object]:
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if extra is None:
            raise
        raise MissingExtra(
            f"{name} needs an extra", why=str(error), do=f'pip install "daicho[{extra}]"', extra=extra
        ) from error
    return cast("Callable[..., object]", getattr(module, name))


def without_password(url: str) -> str:
    if not isinstance(cast("object", url), str):
        return url  # whoever checks it says so
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url


def shown(place: object) -> str | None:
    """The URL without its password, or the name of the class of what was given instead."""
    if place is None:
        return None
    return without_password(place) if isinstance(place, str) else type(place).__name__
