"""`daicho check`: whether an app is sound, without a store."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import click

from daicho.app import App
from daicho.cli.findings import print_findings
from daicho.cli.group import Verb
from daicho.cli.opening import load_app
from daicho.cli.output import output_option
from daicho.cli.schemas import lock_of
from daicho.core.counting import many
from daicho.core.errors import DaichoError, MissingExtra
from daicho.ports.storage import Finding
from daicho.schemas import examined, read_lock
from daicho.schemas.shapes import untyped
from daicho.wiring.urls import open_storage

__all__ = ["check"]


@click.command(cls=Verb)
@output_option
@click.pass_context
def check(context: click.Context, output: str) -> None:
    """Examines the app without a store: its wiring, the places it names, and released events. For CI. Exit code 1 if
    something is wrong, 2 if the app cannot be built at all."""
    app, lock = load_app(context.obj), lock_of(context.obj)
    if not print_findings([*_wiring(app), *_places(app), *_released(app, lock)], output):
        context.exit(1)


def _wiring(app: App) -> Iterator[Finding]:
    model = app.model
    counts = (
        (len(model.categories), "aggregate"),
        (len(model.behaviours), "command"),
        (len([name for name in app.registry.classes if not name.startswith("daicho.")]), "event"),
        (len(model.reactions), "event handler"),
        (len(model.processes), "process manager"),
        (len(model.folds), "projection"),
        (len(model.queries), "query"),
    )
    told = ", ".join(many(count, word) for count, word in counts if count)
    yield Finding(what="wiring", ok=True, detail=told or "nothing")
    for name, cls in sorted(app.registry.classes.items()):
        if name.startswith("daicho.") or cls.__module__.startswith("daicho."):
            continue
        if loose := untyped(cls):
            detail = f"nothing says what is in {', '.join(loose)}: a field of its own for each thing could be relied on"
            yield Finding(what=f"event {name}", ok=True, detail=detail)
        if not any(cls in behaviour.events for behaviour in model.categories.values()):
            yield Finding(what=f"event {name}", ok=True, detail="comes from elsewhere: no aggregate here records it")


def _places(app: App) -> Iterator[Finding]:
    try:
        open_storage(app.url, app.clock)
    except DaichoError as error:
        yield Finding(
            what="store", ok=False, detail=f"{error.what}{f': {error.why}' if error.why else ''}", do=error.do
        )
    else:
        yield Finding(what="store", ok=True, detail="its URL is understood, and its driver is installed")
    if not app.model.routes:
        return
    try:
        importlib.import_module("daicho.http").create(app)
    except MissingExtra as missing:
        yield Finding(what="routes", ok=True, detail=f"not examined; {missing.do}")
    except DaichoError as error:
        yield Finding(what="routes", ok=False, detail=error.what, do=error.do)
    else:
        yield Finding(what="routes", ok=True, detail=f"{len(app.model.routes)} addresses that do not collide")


def _released(app: App, lock: Path) -> list[Finding]:
    if not lock.exists():
        return [Finding(what="released events", ok=True, detail="not locked; `daicho schema lock` begins to")]
    return examined(app, read_lock(lock))
