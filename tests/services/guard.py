"""Waits for the end of the process that owns a folder of servers; then ends them and removes the folder.

Runs as a program, beside the tests and in a session of its own, so that it survives a kill -9 of theirs. Each server
has a file `<folder>/<server>/process` with its process id, start time, and the signal that ends it without delay.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 2.0
"""Seconds a server has to follow its signal."""


def stat(pid: int) -> list[str]:
    """State, parent, ... of a process, as in proc(5) from the third field on; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    return stat(pid)[:1] not in ([], ["Z"], ["X"])


def identity(pid: int) -> str:
    """Process id and start time: another process with the same id is another one."""
    return f"{pid} {''.join(stat(pid)[19:20])}"


def lives(who: str) -> bool:
    """Whether the process with this identity is still there."""
    pid = int(who.split()[0]) if who else 0
    return is_alive(pid) and identity(pid) == who


def family(pid: int) -> list[int]:
    """The process, its children, theirs, and so on."""
    parents = {int(path.name): stat(int(path.name))[1:2] for path in Path("/proc").glob("[0-9]*")}
    found = [pid]
    for elder in found:
        found.extend(child for child, parent in parents.items() if parent == [str(elder)])
    return found


def send(what: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def happens(condition: Callable[[], bool], within: float) -> bool:
    """Whether the condition comes true in so many seconds. Asks from every 5 ms down to every 50."""
    deadline, pause = time.monotonic() + within, 0.005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)
    return True


def sweep(folder: Path) -> None:
    """Ends every server in the folder and removes it."""
    doomed: list[int] = []
    for path in folder.glob("*/process"):
        who, _, ending = path.read_text().rpartition(" ")
        if lives(who):
            pid = int(who.split()[0])
            doomed += family(pid)
            send(signal.Signals(int(ending)), [pid])
    send(signal.SIGCONT, doomed)  # the frozen would not hear
    if not happens(lambda: not any(map(is_alive, doomed)), within=PATIENCE):
        send(signal.SIGKILL, [pid for pid in doomed if is_alive(pid)])
    shutil.rmtree(folder, ignore_errors=True)


def main(folder: Path, owner: int) -> None:
    """Returns when standard input ends or the owner does, whichever is first, and all is swept."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(owner)
        if os.getppid() == owner:  # otherwise the id may already be another's
            select.select([sys.stdin, watched], [], [])
    sweep(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
