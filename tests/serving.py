"""`daicho run` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Served:
    """A process that serves, its URL, and what it said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.said, self.url = process, list[str](), ""
        self._ready = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"serves on (\S+)", line):
                self.url = found[1]
                self._ready.set()
        self._ready.set()

    def bury(self) -> None:
        self.process.wait()
        self._listener.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait(self) -> None:
        assert self._ready.wait(200), self.said
        assert self.url, "".join(self.said)

    def terminate(self) -> int:
        """In good order; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def served(
    *arguments: str, app: str = "examples.quickstart:shop", store: str | None = None
) -> Generator[Served, None, None]:
    """`daicho --app ... run ...` on a free port, until the end of the block. Its socket is open when this begins; the
    first request waits until it is ready."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAICHO_")}
    port = () if "--uds" in arguments or "--port" in arguments else ("--port", "0")
    place = () if store is None else ("--store", store)
    process = subprocess.Popen(
        [sys.executable, "-m", "daicho.cli", "--app", app, *place, "run", *port, *arguments],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    found = Served(process)
    try:
        found.wait()
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        found.bury()
