"""Where everything is that an App stands on, as it was told: checked at once, found when the App starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec

from daicho.core.errors import BadUrl, ConfigurationError, NotFound, UnknownView
from daicho.core.model import Model
from daicho.core.projection import Table
from daicho.core.sql_projection import SqlFold
from daicho.flow.forgetting import people_of
from daicho.flow.line import Line
from daicho.ports.clock import Clock
from daicho.ports.edge_cache import EdgeCache
from daicho.ports.event_bus import EventBus
from daicho.ports.key_store import KeyStore
from daicho.ports.read_store import ReadStore
from daicho.ports.replication import ReplicaStorage
from daicho.ports.storage import Storage
from daicho.read.replicas.urls import check_read_from, name_of
from daicho.wiring.urls import (
    BUSES,
    EDGE_CACHES,
    KEY_STORES,
    READ_STORES,
    STORES,
    hang_curtain,
    open_bus,
    open_read_store,
    open_replica,
    open_storage,
    without_password,
)

if TYPE_CHECKING:
    from daicho.adapters.sealing import Curtain  # it needs an extra

__all__ = ["Found", "Places"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The adapters of a start, none of them opened yet."""

    storage: Storage
    read_stores: Mapping[str, ReadStore]
    """By the name of the view whose rows are there."""
    bus: EventBus | None
    edge: EdgeCache | None
    replicas: Mapping[str, Callable[[], ReplicaStorage]]
    curtain: Curtain | None
    """What hangs before the storage."""


class Places:
    """URLs, or what stands in for one, of all that is outside an App."""

    def __init__(
        self,
        model: Model,
        store: str,
        *,
        views: Mapping[Table[Any], str],
        read_from: Sequence[str],
        bus: str | EventBus | None,
        edge: str | EdgeCache | None,
        keys: str | KeyStore | None,
    ) -> None:
        """Raises BadUrl, and ConfigurationError for what cannot be where it is said to be."""
        self._model = model
        self.store, self.read_from = store, list(read_from)
        self.bus, self.edge, self.keys = bus, edge, keys
        STORES.check(store)
        check_read_from(store, self.read_from)
        if isinstance(bus, str):
            BUSES.check(bus)
        if isinstance(edge, str):
            EDGE_CACHES.check(edge)
        if isinstance(keys, str):
            KEY_STORES.check(keys)
        self.views = _by_name(model, views)
        """By the name of the view, where its rows are, if not with the events."""

    def place(self, *, views: str | None, search: str | None, edge: str | None) -> None:
        """Says where those things are that have no place yet."""
        places = {
            cast("Table[Any]", fold.part): search if fold.part.row_type.__search_fields__ else views
            for fold in self._model.folds
            if not isinstance(fold, SqlFold) and not fold.part.inline
        }
        told = {part: url for part, url in places.items() if url is not None}
        self.views = {**_by_name(self._model, told), **self.views}
        if edge is not None:
            EDGE_CACHES.check(edge)
            self.edge = edge

    def find(self, clock: Clock) -> Found:
        """Raises MissingExtra, and what the adapters raise for a URL that they cannot read."""
        check_read_from(self.store, self.read_from)
        stores = {url: open_read_store(url, clock) for url in sorted(set(self.views.values()))}
        storage = open_storage(self.store, clock)
        curtain = self.curtain(storage)
        return Found(
            storage=storage,
            read_stores={name: stores[url] for name, url in self.views.items()},
            bus=None if self.bus is None else open_bus(self.bus),
            edge=EDGE_CACHES.open(self.edge) if isinstance(self.edge, str) else self.edge,
            replicas={name_of(url): partial(_replica, url, clock, curtain) for url in self.read_from},
            curtain=curtain,
        )

    def curtain(self, storage: Storage) -> Curtain | None:
        """Hangs before a store what enciphers personal data, if there are keys."""
        if self.keys is None:
            return None
        return hang_curtain(storage, self.store, self.keys, *people_of(self._model))

    def line(self) -> Line:
        """A connection to the bus, not yet opened. Raises NotFound."""
        if self.bus is None:
            raise NotFound("this App has no bus", do="give it one: App(bus=...)")
        return Line(open_bus(self.bus))


def _replica(url: str, clock: Clock, curtain: Curtain | None) -> ReplicaStorage:
    replica = open_replica(url, clock)
    if curtain is not None:
        curtain.hang(replica)
    return replica


def _by_name(model: Model, views: Mapping[Table[Any], str]) -> dict[str, str]:
    """Raises BadUrl, UnknownView, and ConfigurationError for a view that cannot be away from the events."""
    folds = {fold.name: fold for fold in model.folds}
    found: dict[str, str] = {}
    for part, url in views.items():
        if not isinstance(cast("object", part), Table):
            raise UnknownView(f"{part!r} is no projection", do="name the projection itself: `views={orders: url}`")
        fold = folds.get(part.name)
        if fold is None or fold.part is not part:
            raise UnknownView(f"{part.name!r} is no projection of this App", do="list it among the parts, too")
        if url not in READ_STORES:
            raise BadUrl(
                f"rows of {part.name!r} cannot be kept in {without_password(url)!r}",
                why=f"a URL for views begins with {', '.join(f'{scheme}://' for scheme in READ_STORES.schemes)}",
                do="leave it out for rows beside the events, in SQL",
            )
        if isinstance(fold, SqlFold) or fold.part.inline:
            raise ConfigurationError(
                f"{part.name!r} is {'SQL' if isinstance(fold, SqlFold) else 'inline'}, and cannot be kept elsewhere",
                why="it is written in the transaction of the events",
                do="leave it out of `views=`, or make it a projection of its own",
            )
        found[part.name] = url
    return found
