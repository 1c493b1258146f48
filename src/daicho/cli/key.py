"""`daicho key`: API keys."""

import importlib
from datetime import UTC, datetime
from typing import Any

import click

from daicho.cli.group import Family
from daicho.cli.output import Rows, output_option, print_record
from daicho.core.errors import MissingExtra
from daicho.settings import Settings

__all__ = ["key"]


def _keys() -> Any:
    """What deals with keys."""
    try:
        return importlib.import_module("daicho.http.security.keys")
    except ImportError as error:
        raise MissingExtra(
            "keys need an extra", why=str(error), do='pip install "daicho[http]"', extra="http"
        ) from error


def _file(settings: Settings, given: str | None) -> Any:
    keys = _keys()
    return keys.KeyFile(given or settings.get("keys") or keys.KEY_FILE)


keys_option = click.option(
    "--keys", metavar="FILE", help="Where keys are kept, as hashes. [daicho-keys.json, or as `daicho run` is told]"
)


@click.group(cls=Family)
def key() -> None:
    """API keys: made at random, shown once, kept as salted hashes."""


@key.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="What it may do, e.g. orders:write. May be repeated.")
@click.option("--tenant", help="The tenant whose it is.")
@click.option("--expires", metavar="SPAN", help="After how long it ends: 90d, 12h, 30m. Without it: never.")
@keys_option
@output_option
@click.pass_obj
def create(
    settings: Settings,
    name: str,
    scopes: tuple[str, ...],
    tenant: str | None,
    expires: str | None,
    keys: str | None,
    output: str,
) -> None:
    """Makes a key for NAME, who stands as the actor in every event. The key is shown now and never again."""
    now = datetime.now(UTC)
    text, kept = _file(settings, keys).create(
        name, now=now, tenant=tenant, scopes=scopes, expires_at=None if expires is None else now + _keys().span(expires)
    )
    print_record(output, {"key": text, **_keys().key_row(kept, now)})


@key.command("list")
@keys_option
@output_option
@click.pass_obj
def list_keys(settings: Settings, keys: str | None, output: str) -> None:
    """All keys, by their public part."""
    now = datetime.now(UTC)
    rows = Rows(output, ("prefix", "name", "tenant", "scopes", "state", "expires_at"))
    for kept in _file(settings, keys).read().values():
        rows.add(_keys().key_row(kept, now))
    rows.end()


@key.command()
@click.argument("prefix")
@keys_option
@output_option
@click.pass_obj
def revoke(settings: Settings, prefix: str, keys: str | None, output: str) -> None:
    """Ends the key with that PREFIX. Servers that are running notice with the next request."""
    now = datetime.now(UTC)
    print_record(output, _keys().key_row(_file(settings, keys).revoke(prefix, now), now))
