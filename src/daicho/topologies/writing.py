"""A topology as files for other machines."""

from pathlib import Path

from daicho.core.errors import ConfigurationError
from daicho.topologies.compose import compose
from daicho.topologies.description import Topology
from daicho.topologies.helm import helm

__all__ = ["files", "write"]


def files(topology: Topology, form: str) -> dict[str, str]:
    """By path within the folder, the text. `form`: `compose` or `helm`."""
    if form == "helm":
        return helm(topology)
    return {f"{topology.ratio.replace(':', '-')}.yaml": compose(topology)}


def write(topology: Topology, form: str, folder: Path) -> list[Path]:
    """Writes them, over what is there, and returns their paths. Raises ConfigurationError."""
    written: list[Path] = []
    try:
        for name, text in files(topology, form).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written to", why=str(error), do="name another folder") from error
    return written
