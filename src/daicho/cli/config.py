"""`daicho config`: the settings."""

import click

from daicho.cli.group import FreeVerb
from daicho.cli.output import Rows, output_option
from daicho.settings import Settings, told_settings

__all__ = ["config"]


@click.command(cls=FreeVerb)
@click.option("--origin", is_flag=True, help="Say where each came from.")
@output_option
@click.pass_obj
def config(settings: Settings, origin: bool, output: str) -> None:
    """The settings: daicho.toml or [tool.daicho] in pyproject.toml, then the environment, then the command line."""
    rows = Rows(output, ("setting", "value", "origin") if origin else ("setting", "value"))
    for name, value, source in told_settings(settings):
        rows.add({"setting": name, "value": value, **({"origin": source} if origin else {})})
    for unknown in (*settings.unknown_in_files, *settings.unknown_in_environment()):
        # no value: it may be a secret, and nobody knows
        where = {"origin": f"{unknown.where}: {unknown.told}"} if origin else {}
        rows.add({"setting": unknown.name, "value": None, **where})
        click.echo(f"{unknown.name} ({unknown.where}) is {unknown.told}", err=True)
    rows.end()
