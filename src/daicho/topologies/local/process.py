"""One process of a topology: ends with us, however we end."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from daicho.core.errors import PartFailed

__all__ = ["Process"]

_LINES = 15


class Process:
    """Has a folder of its own, with its log. Start it from the thread that lasts: the kernel ends it with that one."""

    def __init__(self, name: str, folder: Path, *, user: str | None, drops_at: signal.Signals = signal.SIGKILL) -> None:
        """`drops_at`: what ends it at once, with its children, should we die."""
        self.name, self.folder, self.user = name, folder, user
        self._drops_at = drops_at
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if user is not None:
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def ended(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [*self._prefix(), *command],
                cwd=cwd or self.folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we end them in good order
            )

    async def run(self, *command: str, env: Mapping[str, str]) -> None:
        """A tool, as the same user. Raises PartFailed."""
        tool = await asyncio.create_subprocess_exec(
            *self._prefix(),
            *command,
            cwd=self.folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, _ = await tool.communicate()
        except BaseException:
            if tool.returncode is None:
                tool.kill()
                await tool.wait()
            raise
        if tool.returncode:
            tail = said.decode(errors="replace").strip().splitlines()[-_LINES:]
            raise PartFailed(
                f"{self.name}: {Path(command[0]).name} failed", why="\n".join(tail), do="see above", part=self.name
            )

    async def ready(self, is_ready: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Waits until it answers. Raises PartFailed if it does not, or ends."""
        deadline, pause = asyncio.get_running_loop().time() + within, 0.01
        while not await is_ready():
            if not self.is_running:
                raise self._failed(f"ended at once, with code {self.ended}")
            if asyncio.get_running_loop().time() > deadline:
                raise self._failed(f"is not ready after {within:.0f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.2)

    def _failed(self, what: str) -> PartFailed:
        log = self.log()
        return PartFailed(f"{self.name} {what}", why=log or "it said nothing", do="see above", part=self.name, log=log)

    def send(self, what: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(what)

    async def stop(self, how: signal.Signals, *, within: float) -> None:
        """In good order, if it can; by force after that."""
        if self._process is None:
            return
        self.send(how)
        deadline = asyncio.get_running_loop().time() + within
        while self.is_running and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def log(self) -> str:
        """The end of what it said."""
        path = self.folder / "log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:])

    def _prefix(self) -> list[str]:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return []
        change = (
            [f"--reuid={self.user}", f"--regid={pwd.getpwnam(self.user).pw_gid}", "--clear-groups"] if self.user else []
        )
        return [setpriv, *change, f"--pdeathsig={self._drops_at.name.removeprefix('SIG')}", "--"]
