"""`daicho run`: the app as a process."""

import importlib
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from daicho.app import App
from daicho.cli.group import Verb
from daicho.cli.opening import load_app
from daicho.core.errors import MissingExtra
from daicho.settings import SERVER, Settings

__all__ = ["run", "server_options", "the_server"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "host": "Address to listen on. Other machines only with keys, tokens, or --insecure. [127.0.0.1]",
    "port": "Port; 0 takes a free one. [8000]",
    "uds": "A socket file, instead of host and port.",
    "workers": "Processes. [1]",
    "keys": "File of API keys, made by `daicho key create`.",
    "jwt-issuer": "Who issues tokens (`iss`).",
    "jwt-audience": "For whom they are (`aud`).",
    "jwt-keys": "URL or file of the issuer's published keys (JWKS).",
    "jwt-secret-file": "File with a secret shared with the issuer, instead of published keys.",
    "jwt-algorithms": "Algorithms that are taken, separated by commas.",
    "jwt-tenant-claim": "The claim that names the tenant. [tenant]",
    "rate": "Requests of one credential: 50/s, or 50/s:200 for up to 200 at once.",
    "rate-tenant": "The same of one tenant.",
    "rate-address": "The same of one address.",
    "most-under-way": "Requests at once in one process; reads are turned away at four fifths of it. [1000]",
    "origins": "Origins whose pages may call (CORS), separated by commas.",
    "drain-within": "Seconds that requests under way get when the process is to end. [30]",
    "keep-alive": "Seconds that a connection may be idle. [5]",
    "headers-within": "Seconds in which the headers of a request must have come. [10]",
    "console": "The console at /console: on, off, or auto: where it is installed and safe. [auto]",
    "console-payloads": "The most it shows of contents: none, masked or full. [full]",
    "schema-lock": "The lock of event schemas that the console compares with. [events.lock.json]",
    "late": "Seconds that a reader may be behind before health says so. [60]",
}


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        context.ensure_object(Settings).give(str(parameter.name).replace("_", "-"), value)


def server_options(function: F) -> F:
    """Options that are settings: what is not given comes from the environment or a file."""
    for name, text in reversed(_OPTIONS.items()):
        function = click.option(f"--{name}", metavar="TEXT", help=text, expose_value=False, callback=_note)(function)
    return function


@dataclass(frozen=True)
class Loading:
    """Loads the app of the settings, in whichever process."""

    settings: Settings

    def __call__(self) -> App:
        return load_app(self.settings)


@click.command(cls=Verb)
@click.argument("role", type=click.Choice(["all", "command", "query", "projector", "console"]), required=False)
@server_options
@click.option("--insecure", is_flag=True, help="Listen to other machines without asking who calls.")
@click.pass_context
def run(context: click.Context, role: str | None, insecure: bool) -> None:
    """Serves the app over HTTP until SIGTERM or Ctrl-C, and then ends in good order.

    command takes commands; query answers queries; projector runs projections, event handlers and posted commands, and
    answers probes alone; console serves the console alone, beside processes that do the work; all, the default, does
    everything. Probes: /livez /readyz /startupz; /metrics for Prometheus.
    """
    settings: Settings = context.obj
    if role is not None:
        settings.give("role", role)
    if insecure:
        settings.give("insecure", "true")
    server = the_server()
    given = {name.replace("-", "_"): value for name in SERVER if (value := settings.get(name)) is not None}
    chosen = server.ServerSettings.of(given)
    load_app(settings)  # what is wrong with it is told before anything begins
    with _logged():
        context.exit(server.serve(Loading(settings), chosen))


def the_server() -> Any:
    """Raises MissingExtra."""
    try:
        return importlib.import_module("daicho.server")
    except ImportError as error:
        raise MissingExtra(
            "serving needs an extra", why=str(error), do='pip install "daicho[http]"', extra="http"
        ) from error


@contextmanager
def _logged() -> Generator[None]:
    """What the engine and the server have to say goes to stderr."""
    log = logging.getLogger("daicho")
    handler, level = logging.StreamHandler(), log.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
