"""`daicho dev`: the app as a process, begun anew whenever its code changes."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from daicho.cli.group import Verb
from daicho.cli.run import server_options, the_server
from daicho.settings import Settings

__all__ = ["dev", "serve_while_wanted"]

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_WATCHED = (".py", ".toml")
_EVERY = 0.3
_CHILD = "from daicho.cli.dev import serve_while_wanted; serve_while_wanted()"
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv"}


@click.command(cls=Verb)
@server_options
@click.option(
    "--watch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default=True,
    help="Folder.",
)
@click.pass_context
def dev(context: click.Context, watch: Path) -> None:
    """Serves the app as `run` does, and begins it anew whenever a .py or .toml file under WATCH changes. An app that
    cannot be built is told of, and tried again at the next change. Ctrl-C ends it."""
    settings: Settings = context.obj
    the_server()  # what no change of the code brings
    environment = {**os.environ, **settings.environment()}
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        context.exit(_serve(environment, watch, stopped))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(environment: dict[str, str], watch: Path, stopped: threading.Event) -> int:
    while True:
        seen = dict(_times(watch))
        command = [sys.executable, "-c", _CHILD]
        child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        try:
            while not stopped.wait(_EVERY) and dict(_times(watch)) == seen:
                if child.poll() is not None:
                    _until_changed(watch, seen, stopped)
                    break
        finally:
            _end(child)
        if stopped.is_set():
            return 0
        changed = sorted({str(path) for path, _ in dict(_times(watch)).items() ^ seen.items()})
        click.echo(f"{', '.join(changed)}: begun anew", err=True)


def serve_while_wanted() -> None:
    """In the child: `daicho run` until its standard input ends, so that it does not outlive a `dev` that was killed."""

    def end_with_it() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_it, daemon=True).start()
    importlib.import_module("daicho.cli").main(["run"])


def _until_changed(watch: Path, seen: dict[Path, int], stopped: threading.Event) -> None:
    click.echo("waiting for a change", err=True)
    while dict(_times(watch)) == seen and not stopped.wait(_EVERY):
        pass


def _times(watch: Path) -> Iterator[tuple[Path, int]]:
    for folder, folders, files in os.walk(watch):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        for name in files:
            if name.endswith(_WATCHED):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):  # gone between the listing and the look
                    yield path, path.stat().st_mtime_ns


def _end(child: subprocess.Popen[bytes]) -> None:
    """In good order; by force if that takes longer than it may."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(35)
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdin is not None:
        child.stdin.close()
