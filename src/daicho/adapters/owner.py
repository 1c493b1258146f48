"""Who this process is, and whether the owner of a lease still lives, as far as this machine can tell."""

import hashlib
import os
import socket
from pathlib import Path

__all__ = ["HERE", "is_gone", "owner_name"]


def _here() -> str:
    """Where process numbers mean the same as here: containers may share a host's name, and each has its own numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}~{hashlib.blake2b(f'{boot}{numbers}'.encode(), digest_size=4).hexdigest()}"


HERE = _here()


def owner_name() -> str:
    """`here:pid:start time:random`. The start time (Linux: clock ticks since boot) tells a re-used pid apart."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        started = stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "0"
    return f"{HERE}:{os.getpid()}:{started}:{os.urandom(4).hex()}"


def is_gone(owner: str) -> bool:
    """True only if `here:pid:start time:random` names a process of this machine that is certainly no more.

    The start time (field 22 of /proc/PID/stat, in clock ticks) tells a process from a later one with the same number.
    """
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != HERE or not parts[1].isdecimal():
        return False
    pid, started = int(parts[1]), parts[2]
    try:
        # The name (field 2) is in brackets and may hold anything, so the fields are counted from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return not _exists(pid)
    if len(fields) < 20:
        return False
    return fields[0] in {"Z", "X"} or (started.isdecimal() and started != "0" and fields[19] != started)


def _exists(pid: int) -> bool:
    if os.name != "posix" or pid <= 0:  # elsewhere, signal 0 is not harmless
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
