"""`daicho openapi` and `daicho asyncapi`: the documents that the HTTP face of the app serves."""

import importlib
import json
from typing import Any

import click

from daicho.cli.group import Verb
from daicho.cli.opening import load_app
from daicho.settings import Settings

__all__ = ["asyncapi", "openapi"]

root = click.option("--root", default="", help="Path under which the app is mounted, e.g. /api.")


@click.command(cls=Verb)
@root
@click.pass_obj
def openapi(settings: Settings, root: str) -> None:
    """Prints what the app takes and answers over HTTP, as an OpenAPI 3.1 document."""
    app, http = load_app(settings), importlib.import_module("daicho.http")
    _print(importlib.import_module("daicho.http.openapi").openapi(app, http.HttpSettings(), root=root))


@click.command(cls=Verb)
@root
@click.pass_obj
def asyncapi(settings: Settings, root: str) -> None:
    """Prints the events and live answers that the app tells, as an AsyncAPI 3.1 document."""
    _print(importlib.import_module("daicho.http.asyncapi").asyncapi(load_app(settings), root=root))


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
