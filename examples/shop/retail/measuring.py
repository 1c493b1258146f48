"""What an import takes."""

import resource
import sys

from examples.shop.tools import file_of

__all__ = ["file_mib", "peak_mib"]


def peak_mib() -> float:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def file_mib(store: str) -> float | None:
    """Size of the database, if it is a file."""
    path = file_of(store)
    return path.stat().st_size / 1024 / 1024 if path and path.exists() else None
