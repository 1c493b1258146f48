"""The engine behind the URL, its indices and aliases."""

from typing import Any

import msgspec

from daicho.adapters.views.opensearch.failures import refusal_in, translated
from daicho.adapters.views.opensearch.wire import Wire
from daicho.core.errors import StoreFailed
from daicho.ports.storage import Finding

__all__ = ["Engine"]

_OLDEST = {"opensearch": (1, 0), "elasticsearch": (7, 10)}
_NAMES = {"opensearch": "OpenSearch", "elasticsearch": "Elasticsearch"}
_DISK = 85.0
"""Percent; there the engine stops giving new shards to a node, and at 95 it takes no more rows."""


class _Version(msgspec.Struct):
    number: str
    distribution: str = "elasticsearch"
    """Elasticsearch does not give it."""


class _Greeting(msgspec.Struct):
    version: _Version


class _About(msgspec.Struct):
    shape: dict[str, Any]
    generation: int


class _Mappings(msgspec.Struct):
    about: _About | None = msgspec.field(default=None, name="_meta")


class _Mapped(msgspec.Struct):
    mappings: _Mappings = msgspec.field(default_factory=_Mappings)


class _Health(msgspec.Struct):
    status: str
    number_of_nodes: int
    unassigned_shards: int = 0


class _Node(msgspec.Struct):
    name: str
    disk: str | None = msgspec.field(default=None, name="disk.used_percent")
    heap: str | None = msgspec.field(default=None, name="heap.percent")


class Engine:
    def __init__(self, wire: Wire, prefix: str) -> None:
        self._wire, self._prefix = wire, prefix
        self._version = _Version("", wire.location.scheme)

    def describe(self) -> dict[str, Any]:
        return {
            "engine": _NAMES.get(self._version.distribution, self._version.distribution),
            "version": self._version.number,
            "durability": "every commit is on disk, and on a second node if there is one",
        }

    async def greet(self) -> None:
        """Raises StoreUnavailable, StoreFailed (wrong password, too old, something else)."""
        greeting: _Greeting = self._wire.understood(await self._wire.ask("GET", "/"), _Greeting)
        version = greeting.version
        oldest = _OLDEST.get(version.distribution, (0, 0))
        if _number(version.number) < oldest:
            raise StoreFailed(
                f"{self._wire.location.url} is too old",
                why=f"it is {_NAMES[version.distribution]} {version.number}",
                do=f"use {oldest[0]}.{oldest[1]} or newer",
            )
        self._version = version

    async def create(self, index: str, definition: dict[str, Any]) -> bool:
        """Whether it was not there before."""
        answer = await self._wire.ask("PUT", f"/{index}", definition, expect=[400])
        if answer.status != 400:
            return True
        refusal = refusal_in(answer.data)
        if refusal.type != "resource_already_exists_exception":
            raise translated(self._wire.location.url, answer.status, refusal)
        return False

    async def drop(self, index: str) -> None:
        await self._wire.ask("DELETE", f"/{index}", expect=[404])

    async def tables(self, pattern: str) -> dict[int, dict[str, Any]]:
        """Shapes by generation, of the tables whose index is named so."""
        params = {"filter_path": "*.mappings._meta"}
        answer = await self._wire.ask("GET", f"/{pattern}/_mapping", params=params, expect=[404])
        if answer.status == 404:
            return {}
        found: dict[str, _Mapped] = self._wire.understood(answer, dict[str, _Mapped])
        abouts = (each.mappings.about for each in found.values())
        return {about.generation: about.shape for about in abouts if about is not None}

    async def behind(self, alias: str) -> list[str]:
        """The indices that an alias leads to."""
        answer = await self._wire.ask("GET", f"/_alias/{alias}", expect=[404])
        return [] if answer.status == 404 else list(self._wire.understood(answer, dict[str, msgspec.Raw]))

    async def lead(self, alias: str, index: str) -> None:
        """Makes the alias lead to this index alone, in one step."""
        others = [other for other in await self.behind(alias) if other != index]
        actions = [{"remove": {"index": other, "alias": alias}} for other in others]
        await self._wire.ask("POST", "/_aliases", {"actions": [*actions, {"add": {"index": index, "alias": alias}}]})

    async def show(self, index: str) -> None:
        """From now on what is written can be found by others within a second, too."""
        await self._wire.ask("PUT", f"/{index}/_settings", {"index": {"refresh_interval": None}})

    async def examine(self) -> list[Finding]:
        pattern = f"{self._prefix}-*"
        name = f"{_NAMES.get(self._version.distribution, '')} {self._version.number}".strip()
        findings = [Finding(what="engine", ok=True, detail=name)]
        answer = await self._wire.ask("GET", f"/_cluster/health/{pattern}")
        health: _Health = self._wire.understood(answer, _Health)
        findings.append(
            Finding(
                what="shards",
                ok=health.status == "green",
                detail=f"{health.status}: {health.unassigned_shards} unassigned, {health.number_of_nodes} nodes",
                do="" if health.status == "green" else "GET /_cluster/allocation/explain says what is missing",
            )
        )
        params = {"flat_settings": "true", "filter_path": "*.settings"}
        answer = await self._wire.ask("GET", f"/{pattern}/_settings", params=params)
        kept: dict[str, dict[str, dict[str, Any]]] = self._wire.understood(answer, dict[str, dict[str, dict[str, Any]]])
        risky = [
            index
            for index, each in kept.items()
            if each["settings"].get("index.translog.durability", "request") != "request"
        ]
        findings.append(
            Finding(
                what="durability",
                ok=not risky,
                detail=f"{', '.join(risky)}: written to disk later" if risky else "every commit is on disk",
                do="set index.translog.durability to request" if risky else "",
            )
        )
        params = {"format": "json", "h": "name,disk.used_percent,heap.percent"}
        nodes: list[_Node] = self._wire.understood(
            await self._wire.ask("GET", "/_cat/nodes", params=params), list[_Node]
        )
        for node in nodes:
            full = float(node.disk or 0) >= _DISK
            findings.append(
                Finding(
                    what=f"node {node.name}",
                    ok=not full,
                    detail=f"disk {node.disk or '?'} %, memory {node.heap or '?'} % used",
                    do="free space: an engine whose disk is full takes no more rows" if full else "",
                )
            )
        return findings


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-")[0].split(".")[:2] if part.isdigit())
