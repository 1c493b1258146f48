"""What one instance of each part can do in a second."""

from pathlib import Path
from typing import Any, cast

import msgspec

from daicho.core.errors import BadAnswers

__all__ = ["MEASURED", "Capacity", "capacity_of"]


class Capacity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests a second of one instance at full use. The defaults were measured on two shared cores: see
    docs/explanation/performance.md and docs/explanation/simulation.md."""

    query: float = 3745
    """Queries of one query service process, answered from a view on PostgreSQL."""
    command: float = 2014
    """Commands of one command service process."""
    edge: float = 14000
    """Hits of one edge cache."""
    replica: float = 10000
    """Reads by key of one PostgreSQL replica."""
    primary: float = 12388
    """Single appends of one primary, 16 callers at once."""
    utilisation: float = 0.6
    """How busy an instance may be: beyond, waiting times grow fast."""
    staleness: float = 2.0
    """Seconds that an answer may be old where nobody can tell a cache that it changed."""
    keys: int = 10_000
    """How many different things are read, if nothing else is known."""
    zipf: float = 1.0
    """How uneven: the n-th most read thing is read 1/n^zipf as often as the first. 0: all alike."""
    source: str = "docs/explanation/performance.md"
    """Where the figures are from."""


MEASURED = Capacity()


def capacity_of(path: Path) -> Capacity:
    """From a TOML or JSON file: the fields of Capacity, or what the load generator writes. Raises BadAnswers."""
    try:
        data: Any = _decoder(path)(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise BadAnswers(f"{path} cannot be read", why=str(error), do="give a TOML or JSON file") from error
    for wrapped in ("capacity", "data"):
        if isinstance(data, dict) and wrapped in data:
            data = cast("dict[str, Any]", data)[wrapped]
    if isinstance(data, dict) and "reads_per_second" in data:
        data = _of_bench(cast("dict[str, Any]", data))
    if isinstance(data, dict):
        data = {"source": path.name, **cast("dict[str, Any]", data)}
    try:
        found = msgspec.convert(data, Capacity, strict=False)
    except msgspec.ValidationError as error:
        raise BadAnswers(
            f"{path} is no capacity: {error}",
            do=f"give any of {', '.join(Capacity.__struct_fields__)}",
        ) from error
    for name in ("query", "command", "edge", "replica", "primary", "keys"):
        if not 0 < getattr(found, name) < float("inf"):
            raise BadAnswers(f"{path}: `{name}` is {getattr(found, name)}", do="give more than 0")
    if not 0 < found.utilisation < 1:
        raise BadAnswers(f"{path}: `utilisation` is {found.utilisation}", do="give a share between 0 and 1")
    return found


def _of_bench(figures: dict[str, Any]) -> dict[str, Any]:
    """What `daicho bench` found against one app server under full load: a command is taken to be as much dearer than a
    query as it was when the defaults were measured."""
    dearer = MEASURED.query / MEASURED.command
    try:
        query = float(figures["reads_per_second"]) + float(figures.get("writes_per_second", 0)) * dearer
    except (TypeError, ValueError):
        return figures
    return {"query": query, "command": query / dearer}


def _decoder(path: Path) -> Any:
    return msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
