"""What a topology is made of, as data. Everything that runs or writes one reads this, so that no two can differ."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

__all__ = ["DAICHO", "PORTS", "Kind", "Part", "Ratio", "Topology"]

Ratio: TypeAlias = Literal["crud", "1:1", "10:1", "100:1"]
"""Reads per write, by the rows of the table in SPEC section 5; `crud` is 1:1 without events."""

Kind: TypeAlias = Literal[
    "varnish",
    "haproxy",
    "all",
    "command",
    "query",
    "projector",
    "primary",
    "replica",
    "redis",
    "mongodb",
    "opensearch",
]

DAICHO: frozenset[Kind] = frozenset({"all", "command", "query", "projector"})
"""Parts that are `daicho run KIND`."""

PORTS: Mapping[Kind, int] = {
    "varnish": 6081,
    "haproxy": 8080,
    "all": 8000,
    "command": 8000,
    "query": 8000,
    "projector": 8000,
    "primary": 5432,
    "replica": 5432,
    "redis": 6379,
    "mongodb": 27017,
    "opensearch": 9200,
}
"""Where a part listens that has a machine, or a container, for itself."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One process, or one container."""

    name: str
    """Unique in its topology; a DNS label."""
    kind: Kind
    talks_to: tuple[str, ...] = ()
    """Names of the parts that it opens connections to. All of them are described before it."""
    settings: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    """Of `daicho run`. `{name}` stands for host and port of that part, `{login}` for the user of the database."""


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """A shape of the whole: its parts, those that others need first."""

    ratio: Ratio
    app: str
    """The App that the services run, `module:attribute`."""
    parts: tuple[Part, ...]
    entrance: str
    """Name of the part that clients call."""

    def part(self, name: str) -> Part:
        """Raises KeyError."""
        return {part.name: part for part in self.parts}[name]

    def has(self, name: str) -> bool:
        return any(part.name == name for part in self.parts)

    def of(self, *kinds: Kind) -> tuple[Part, ...]:
        """The parts of these kinds, in order."""
        return tuple(part for part in self.parts if part.kind in kinds)

    @property
    def counts(self) -> dict[Kind, int]:
        """How many there are of each kind."""
        return dict(Counter(part.kind for part in self.parts))
