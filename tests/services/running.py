"""A server process of ours, and the folder that holds all of them."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit, urlunsplit

from tests.services import guard
from tests.services.find import StartFailed, Unavailable, program

PREFIX = "daicho-servers-"
MEMORY = Path("/dev/shm")
ROOM = 2 * 1024**3
"""Bytes that must be free in memory before servers keep their files there."""


class Host:
    """A folder of servers, on loopback. They end with it: at `close`, or when this process dies, however it dies.

    Two things see to that. A guard, started here, sweeps when it sees us gone. And each server asks the kernel for a
    signal on the death of the thread that started it, should somebody kill the guard first; so start servers from a
    thread that stays.
    """

    def __init__(self) -> None:
        if not hasattr(os, "pidfd_open"):
            raise Unavailable("servers for tests need Linux 5.3: run the tests in a container")
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_fast_folder()))
        self.folder.chmod(0o711)  # servers run as users of their own
        (self.folder / "owner").write_text(guard.identity(os.getpid()))
        self._sweep_after_others()
        self._servers: list[Running] = []
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, self.folder, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _sweep_after_others(self) -> None:
        """Those whose guard was killed too."""
        for folder in self.folder.parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError, ValueError):  # another's, or gone meanwhile
                owner = (folder / "owner").read_text()  # empty while its folder is being made
                if owner and folder.stat().st_uid == os.geteuid() and not guard.lives(owner):
                    guard.sweep(folder)

    def room(self, name: str, user: str | None) -> Path:
        """A new folder that belongs to the user."""
        folder = self.folder / f"{name}-{sum(1 for _ in self.folder.iterdir())}"
        folder.mkdir(mode=0o711)
        if user:
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        return folder

    def add(self, server: "Running") -> None:
        self._servers.append(server)

    def close(self) -> None:
        self._guard.communicate()  # the end of its standard input tells it to sweep
        if self._guard.returncode:
            guard.sweep(self.folder)
        for server in self._servers:
            server.bury()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class Running(ABC):
    """One server on one port. Stopped or killed, it can start again on the same port with the same files."""

    name: ClassVar[str]
    users: ClassVar[tuple[str, ...]] = ("nobody",)
    """Who runs it if we are root: the first that exists."""
    stops_at: ClassVar[signal.Signals] = signal.SIGTERM
    """Ends it in good order."""
    drops_at: ClassVar[signal.Signals] = signal.SIGKILL
    """Ends it and all its children at once."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.port = free_port()
        self.user = None if os.geteuid() else next(filter(_is_user, self.users))
        self.folder = host.room(self.name, self.user)
        self._process: subprocess.Popen[bytes] | None = None
        host.add(self)

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers in its protocol. An open port is not enough."""

    @property
    def pid(self) -> int:
        assert self._process, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, within: float = 60) -> Self:
        """Returns when it is ready."""
        assert not self.is_running, f"{self.name} runs already"
        command = as_user(self.user, *self.command(), on_our_death=self.drops_at)
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "process").write_text(f"{guard.identity(self.pid)} {self.drops_at.value}")
        came = guard.happens(lambda: not self.is_running or self.is_ready(), within)
        if not came or not self.is_running:
            self.kill()
            raise StartFailed(f"{self.name} is not ready: {' '.join(command)}\n{self.log()}")
        return self

    def stop(self, *, within: float = 15) -> None:
        """In good order, if it can."""
        if self.is_running:
            self.thaw()
            self._signal(self.stops_at, self.pid)
            guard.happens(lambda: not self.is_running, within)
        self.kill()

    def kill(self) -> None:
        """kill -9 of the server and its children: when this returns, none of them does anything any more."""
        if self.is_running:
            everyone = guard.family(self.pid)
            self._signal(signal.SIGKILL, *everyone)
            guard.happens(lambda: not any(map(guard.is_alive, everyone)), within=15)
        self.bury()

    def freeze(self) -> None:
        """Alive, connected, and silent, with all its children."""
        self._signal(signal.SIGSTOP, self.pid)  # first, so that it has no more children
        self._signal(signal.SIGSTOP, *guard.family(self.pid))

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, *guard.family(self.pid))

    def log(self, lines: int = 20) -> str:
        """The end of what it wrote."""
        path = self.folder / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def bury(self) -> None:
        """Takes note that it is dead."""
        if self._process:
            self._process.wait(timeout=15)
            (self.folder / "process").unlink(missing_ok=True)

    def _signal(self, what: signal.Signals, *pids: int) -> None:
        guard.send(what, list(pids))


def as_user(user: str | None, *command: str, on_our_death: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command, run as the user, and ended with the thread that runs it."""
    change = [] if user is None else [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
    setpriv = program("setpriv", package="util-linux")
    return [str(setpriv), *change, f"--pdeathsig={on_our_death.name.removeprefix('SIG')}", "--", *command]


def free_port() -> int:
    """Nobody listens on it, and no outgoing connection takes it: Linux gives those 32768 and up."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def through(url: str, port: int) -> str:
    """The same URL by way of another port: a pool's, a proxy's."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))


def _is_user(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _fast_folder() -> Path | None:
    """Memory, if there is enough and nobody forbids it."""
    wanted = os.environ.get("DAICHO_SERVICES_SHM", "1") != "0" and os.access(MEMORY, os.W_OK)
    return MEMORY if wanted and shutil.disk_usage(MEMORY).free > ROOM else None
