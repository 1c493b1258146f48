"""The session that the page about HTTP shows, held against a real server in a process of its own."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from docs_pages import DOCS, ROOT, Block, Run, blocks_of, compare

from daicho.http import HttpSettings
from daicho.http.problems import STATUS, status_of
from tests.services.find import needed, program

PAGE = DOCS / "howto" / "http.md"
REFERENCE = DOCS / "reference" / "http.md"
_EXIT = re.compile(r"\s+# exit (\d+)\s*\Z")


@contextlib.contextmanager
def server(folder: Path) -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port: int = listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "served:asgi", "--fd", str(listening.fileno()), "--log-level", "error"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            pass_fds=[listening.fileno()],
        )
    try:
        httpx.get(f"http://127.0.0.1:{port}/docs", timeout=60).raise_for_status()
        yield port
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


def session() -> Iterator[tuple[Block, str, list[str]]]:
    for block in blocks_of(PAGE):
        if block.language == "console" and "against a real server" in block.excuse:
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, *expected = part.splitlines()
                yield block, command, expected


@pytest.mark.slow
def test_the_session_is_as_the_page_shows_it(tmp_path: Path) -> None:
    with needed():
        program("curl", package="curl")
    run = Run(PAGE, tmp_path)
    for page in (DOCS / "tutorial" / "index.md", PAGE):
        for block in blocks_of(page):
            run._write(block)
    commands = list(session())
    assert len(commands) >= 20
    with server(tmp_path) as port:
        for block, command, expected in commands:
            status, shown = 0, command
            if ends := _EXIT.search(command):
                command, status = command[: ends.start()], int(ends[1])
            command = command.replace("localhost:8000", f"127.0.0.1:{port}")
            assert command.startswith("curl ")
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
            said = done.stdout + done.stderr
            assert done.returncode == status, f"{block.place}: $ {shown} ended with {done.returncode}:\n{said}"
            compare(f"{block.place}: $ {shown}", said, expected)


def test_the_reference_tells_the_status_of_every_error() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    told = {
        code: int(status)
        for status, codes in re.findall(r"^\| (\d{3}) \| (.+?) \|", text, re.M)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert told == {cls.__name__: status_of(cls) for cls in STATUS}


def test_the_reference_tells_every_setting() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", text, re.M))
    assert told == {name: _plain(value) for name, value in vars(HttpSettings()).items()}


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_page_is_where_people_look() -> None:
    assert "(http.md)" in (DOCS / "howto" / "index.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "reference" / "http.md").exists()
