"""How long each part is busy with one request. Measured, and to be measured anew where it matters."""

from pathlib import Path
from typing import Any, cast

import msgspec

from daicho.advisor.simulation.stations import Service
from daicho.core.errors import BadAnswers

__all__ = ["MEASURED_TIMES", "Times", "times_of"]


class Times(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Microseconds. docs/explanation/simulation.md says how each was measured, on two shared cores."""

    edge: float = 70
    """An edge cache, for an answer that it has or passes on."""
    balancer: float = 100
    """A load balancer, for a request either way."""
    query: float = 267
    """A query service process, for one query: it does one thing at a time."""
    command: float = 497
    """A command service process, for one command."""
    view: float = 100
    """A replica, or a view store, for the rows of one query."""
    commit: float = 350
    """The primary, for one commit: the round trip and the disk."""
    event: float = 20
    """And for each event in it."""
    replication: float = 500
    """From the commit to the replica that shows it, while little is written."""
    replay: float = 10
    """And for each event."""
    projection: float = 700
    """A projector, from being woken to the commit of its rows."""
    fold: float = 12
    """And for each event."""
    send: float = 2
    """The primary's line, for one event to one replica: 500 bytes at 2 Gbit/s. Worked out, not measured."""
    purge: float = 1000
    """To tell an edge cache what has changed."""
    purged_key: float = 0.2
    """And for each key at each edge cache: 25 bytes at 1 Gbit/s. Worked out, not measured."""
    network: float = 100
    """Between two machines, one way."""
    variation: float = 1.0
    """Standard deviation over mean, of all service times."""
    cores: int = 2
    """How many requests an edge cache, a balancer or a database serves at once."""
    source: str = "docs/explanation/simulation.md"

    def service(self, name: str) -> Service:
        """Of one part."""
        return Service(getattr(self, name) / 1e6, self.variation)


MEASURED_TIMES = Times()


def times_of(path: Path) -> Times:
    """From a TOML or JSON file with any of the fields. Raises BadAnswers."""
    decode: Any = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    try:
        data: Any = decode(path.read_bytes())
        if isinstance(data, dict):
            data = {"source": path.name, **cast("dict[str, Any]", data.get("times", data))}  # pyright: ignore[reportUnknownMemberType]
        found = msgspec.convert(data, Times, strict=False)
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise BadAnswers(
            f"{path} is no file of times: {error}", do=f"give any of {', '.join(Times.__struct_fields__)}"
        ) from error
    for name in Times.__struct_fields__:
        value = getattr(found, name)
        if not isinstance(value, str) and not 0 <= value < 1e9:
            raise BadAnswers(f"{path}: `{name}` is {value}", do="give microseconds")
    if found.cores < 1:
        raise BadAnswers(f"{path}: `cores` is {found.cores}", do="give 1 or more")
    return found
