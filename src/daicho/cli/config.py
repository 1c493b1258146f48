"""`daicho config`: the settings."""

import re

import click

from daicho.cli.group import Verb
from daicho.cli.output import Rows, output_option
from daicho.cli.settings import SETTINGS, Settings

__all__ = ["config"]

_PASSWORD = re.compile(r"(://[^/:@]*):[^/@]*@")


@click.command(cls=Verb)
@click.option("--origin", is_flag=True, help="Say where each came from.")
@output_option
@click.pass_obj
def config(settings: Settings, origin: bool, output: str) -> None:
    """The settings: daicho.toml or [tool.daicho] in pyproject.toml, then the environment, then the command line."""
    rows = Rows(output, ("setting", "value", "origin") if origin else ("setting", "value"))
    for name in SETTINGS:
        value, source = settings.origin(name)
        shown = _PASSWORD.sub(r"\1:***@", value) if value else value
        rows.add({"setting": name, "value": shown, **({"origin": source} if origin else {})})
    rows.end()
