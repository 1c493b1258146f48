"""Who this process is, so that others can tell whether it is still there."""

import os
import socket
from pathlib import Path

__all__ = ["owner_name"]


def owner_name() -> str:
    """`host:pid:start time:random`. The start time (Linux: clock ticks since boot) tells a re-used pid apart."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        started = stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "0"
    return f"{socket.gethostname()}:{os.getpid()}:{started}:{os.urandom(4).hex()}"
