"""uvicorn, told what to do."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from daicho.app import App
from daicho.core.errors import ConfigurationError
from daicho.server.asgi import Application, application
from daicho.server.consoles import can_console
from daicho.server.protocol import Connection
from daicho.server.securing import security_of
from daicho.server.settings import ServerSettings

__all__ = ["serve"]

_BACKLOG = 2048
_log = logging.getLogger("daicho.server")


@dataclass(frozen=True)
class Factory:
    """Makes the application, in each process anew."""

    load: Callable[[], App]
    settings: ServerSettings

    def __call__(self) -> Application:
        return application(self.load(), self.settings)


def serve(load: Callable[[], App], settings: ServerSettings) -> int:
    """Serves until SIGTERM or SIGINT, and ends in good order. Returns the exit code: 0 if it did.

    `load` makes the App; with several workers it is called in each, so it must be a function at module level, or an
    object that can be pickled. In good order: nobody is let in any more; streams end; requests under way are finished,
    within `drain_within` seconds; then processors write their page, leases are given back and the store is closed.
    """
    settings.check()
    security_of(settings)  # what is wrong with it is told before anything begins
    listening = _listen(settings)
    config = _config(Factory(load, settings), settings)
    try:
        _tell(listening, settings)
        if settings.workers > 1:
            Multiprocess(config, [listening]).run()
            return 0
        server = Quiet(config)
        with _signals_end_here(server):
            server.run([listening])
        return 0 if server.started else 3
    finally:
        listening.close()
        if settings.uds is not None and os.path.exists(settings.uds):
            os.unlink(settings.uds)


class Quiet(uvicorn.Server):
    """uvicorn's server: a second signal while it drains hastens nothing that was accepted."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._captured_signals.append(sig)
        self.should_exit = True


def _config(factory: Factory, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        factory,
        factory=True,
        http=Connection,
        ws="websockets-sansio" if settings.has_console and can_console() else "none",
        lifespan="on",
        workers=settings.workers,
        timeout_keep_alive=max(1, round(settings.keep_alive)),
        timeout_graceful_shutdown=max(1, round(settings.drain_within)),
        backlog=_BACKLOG,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
    )


def _listen(settings: ServerSettings) -> socket.socket:
    """Raises ConfigurationError."""
    found: socket.socket | None = None
    try:
        if settings.uds is not None:
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            found.bind(settings.uds)
            os.chmod(settings.uds, 0o660)
        else:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            found = socket.socket(family, socket.SOCK_STREAM)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((settings.host, settings.port))
        found.listen(_BACKLOG)
    except OSError as error:
        if found is not None:
            found.close()
        where = settings.uds or f"{settings.host}:{settings.port}"
        raise ConfigurationError(f"cannot listen on {where}: {error.strerror}", do="choose another one") from error
    found.set_inheritable(True)
    found.setblocking(False)
    return found


def _tell(listening: socket.socket, settings: ServerSettings) -> None:
    where: Any = listening.getsockname()
    place = settings.uds or f"http://{f'[{where[0]}]' if ':' in where[0] else where[0]}:{where[1]}"
    _log.info("%s serves on %s", settings.role, place)


class _signals_end_here:
    """uvicorn listens to signals a while after it was called, and raises those that it got again when it is done: those
    before end it as well, and those behind mean nothing more."""

    def __init__(self, server: Quiet) -> None:
        self._server = server

    def __enter__(self) -> None:
        end = self._server.handle_exit
        self._before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
