"""`daicho migrate`: the tables of a store on a database server."""

import asyncio
from collections.abc import Sequence

import click

from daicho.adapters.clock import SystemClock
from daicho.cli.group import Family
from daicho.cli.opening import try_app
from daicho.cli.output import Rows, output_option
from daicho.core.errors import ConfigurationError
from daicho.core.plain import plain
from daicho.ports.storage import Migratable, MigrationState
from daicho.settings import Settings
from daicho.wiring.urls import open_storage

__all__ = ["migrate"]

_COLUMNS = ("version", "name", "state", "applied_at")
_NOTHING = "there is nothing to migrate: this kind of store makes its tables by itself"


@click.group(cls=Family)
def migrate() -> None:
    """The tables of a PostgreSQL store: make or update them, see how they stand, or print the SQL.

    An App does `up` by itself when it starts, unless its store URL says `?migrate=never`. The other kinds of stores
    have nothing to migrate.
    """


@migrate.command()
@output_option
@click.pass_obj
def up(settings: Settings, output: str) -> None:
    """Applies what is missing, all or nothing, and lists it. Safe while others do the same."""
    store = _store(settings)
    done: Sequence[MigrationState] = asyncio.run(store.migrate()) if store else ()
    _print(output, done, "nothing was missing" if store else _NOTHING)


@migrate.command()
@output_option
@click.pass_context
def status(context: click.Context, output: str) -> None:
    """All migrations that this Daicho knows, and when each was applied. Exit code 1 if one is missing, or was applied
    with another text than this Daicho has."""
    store = _store(context.obj)
    states: Sequence[MigrationState] = asyncio.run(store.migrations()) if store else ()
    _print(output, states, _NOTHING)
    if any(_word(state) != "applied" for state in states):
        context.exit(1)


@migrate.command()
@click.pass_obj
def sql(settings: Settings) -> None:
    """Prints what `up` does, as SQL for psql or another tool: one transaction, harmless if run again. Asks no server.

    Whoever runs it owns the tables; the role of the App needs the rights that docs/howto/postgresql.md lists.
    """
    store = _store(settings)
    if store:
        click.echo(store.migration_sql(), nl=False)
    else:
        click.echo(_NOTHING, err=True)


def _store(settings: Settings) -> Migratable | None:
    """The store of the settings, or of the app, not opened; None if its kind needs no migrations."""
    app = try_app(settings)
    url = settings.get("store") or (app.url if app else None)
    if url is None:
        raise ConfigurationError(
            "no store was named",
            why="neither --store nor --app is set, here, in the environment, or in daicho.toml",
            do="daicho --store postgresql://user@host/database migrate ..., or --app module:attribute",
        )
    storage = open_storage(url, app.clock if app else SystemClock())
    return storage if isinstance(storage, Migratable) else None


def _print(output: str, states: Sequence[MigrationState], nothing: str) -> None:
    rows = Rows(output, _COLUMNS)
    for state in states:
        rows.add({**plain(state), "state": _word(state)})
    rows.end(nothing)


def _word(state: MigrationState) -> str:
    if state.changed:
        return "applied with another text"
    return "missing" if state.applied_at is None else "applied"
