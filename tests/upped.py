"""`daicho up` as a process of its own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.find import program
from tests.services.guard import happens, is_alive, send

ROOT = Path(__file__).parents[1]
PATIENCE = 120
"""Seconds: on a machine of any speed."""

NEEDED = {
    "1:1": {"haproxy": "haproxy", "initdb": "postgresql"},
    "10:1": {"haproxy": "haproxy", "initdb": "postgresql"},
    "100:1": {
        "haproxy": "haproxy",
        "initdb": "postgresql",
        "redis-server": "redis-server",
        "varnishd": "varnish",
        "cc": "gcc",
    },
}


class Upped:
    """A topology that runs, and what was said of it."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process, self._folder = process, folder
        assert process.stdout is not None
        impatience = threading.Timer(PATIENCE, process.kill)
        impatience.start()
        line = process.stdout.readline()
        impatience.cancel()
        assert line, self.complaints()
        self.told: dict[str, Any] = json.loads(line)["data"]
        self.url: str = self.told["url"]
        self.parts: dict[str, dict[str, Any]] = {part["part"]: part for part in self.told["parts"]}

    @property
    def pids(self) -> list[int]:
        return [part["pid"] for part in self.parts.values()]

    @property
    def alive(self) -> list[str]:
        return [name for name, part in self.parts.items() if is_alive(part["pid"])]

    def address(self, part: str) -> str:
        return f"http://{self.parts[part]['address']}"

    def database(self, part: str) -> str:
        """URL of what a primary or replica has, for a look from outside."""
        (secret,) = self._folder.glob("daicho-up-*/secret.json")
        password = json.loads(secret.read_text())["password"]
        return f"postgresql://daicho:{password}@{self.parts[part]['address']}/daicho"

    def balancer(self, command: str) -> str:
        """What the load balancer's runtime API answers."""
        (place,) = self._folder.glob("daicho-up-*/haproxy/stats")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(place))
            connection.sendall(f"{command}\n".encode())
            with connection.makefile() as answer:
                return answer.read()

    def complaints(self) -> str:
        return (self._folder / "stderr").read_text()

    def end(self) -> dict[str, Any]:
        """By Ctrl-C: what it said last. Its exit code was 0."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, self.complaints()
        last: dict[str, Any] = json.loads(said)["data"]
        return last

    def kill(self) -> None:
        """kill -9: it can do nothing any more."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def upped(ratio: str, *options: str, app: str = "examples.shop.app:app") -> Generator[Upped, None, None]:
    """Ready when the block begins. Raises Unavailable if a server is not to be had."""
    for name, package in NEEDED[ratio].items():
        program(name, package=package)
    folder = Path(tempfile.mkdtemp(prefix="daicho-test-up-", dir="/tmp"))
    folder.chmod(0o711)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAICHO_")}
    complaints = (folder / "stderr").open("w")  # a pipe that nobody empties would hold it up
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "daicho.cli", "--app", app, "up", "--topology", ratio),
            *("--port", "0", "-o", "json", *options),
        ],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
    )
    complaints.close()
    found: Upped | None = None
    try:
        found = Upped(process, folder)
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if found is not None and not happens(lambda: not found.alive, within=PATIENCE):
            with contextlib.suppress(ProcessLookupError):
                send(signal.SIGKILL, [pid for pid in found.pids if is_alive(pid)])
        shutil.rmtree(folder, ignore_errors=True)
