"""`daicho replica`: who else answers queries."""

import asyncio
from functools import partial

import click
import msgspec

from daicho.adapters.clock import SystemClock
from daicho.cli.group import Family
from daicho.cli.opening import Look, looking, try_app
from daicho.cli.output import Rows, output_option
from daicho.core.errors import ConfigurationError, StoreReadOnly, StoreUnavailable
from daicho.core.plain import plain
from daicho.ports.replication import Replicated
from daicho.read.health import Problem
from daicho.read.replicas.policy import ReplicaPolicy
from daicho.read.replicas.replica import Replica
from daicho.read.replicas.router import Router, problems_of
from daicho.read.replicas.state import ReplicaState
from daicho.read.replicas.urls import name_of, read_from_text
from daicho.settings import Settings
from daicho.wiring.urls import open_replica

__all__ = ["replica", "replica_problems"]

_PATIENCE = 5.0
_COLUMNS = ("name", "in_service", "lag_seconds", "lag_bytes", "position", "why")


@click.group(cls=Family)
def replica() -> None:
    """Replicas of a PostgreSQL store that queries are answered from."""


@replica.command("list")
@output_option
@click.pass_context
def list_replicas(context: click.Context, output: str) -> None:
    """Every replica: whether it is near enough to the primary to answer, and why not, its lag in seconds and bytes. As
    seen from here, now; a running app tells of its own reads at /metrics. Exit code 1 if one is not in service."""
    settings: Settings = context.obj

    async def run() -> list[ReplicaState]:
        found = _named(settings)
        if not found:
            raise ConfigurationError(
                "no replica was named",
                why="neither --read-from nor the app's `read_from=` names one",
                do="daicho --store postgresql://primary/db --read-from postgresql://replica/db replica list",
            )
        try:
            async with looking(settings) as look:
                return await _states(look, found)
        except (StoreUnavailable, StoreReadOnly):  # without the primary, what the replicas say of themselves
            return await _states(None, found)

    states = asyncio.run(run())
    rows = Rows(output, _COLUMNS)
    for state in states:
        rows.add({name: value for name, value in plain(state).items() if name in _COLUMNS})
    rows.end()
    if not all(state.in_service for state in states):
        context.exit(1)


async def replica_problems(look: Look, settings: Settings) -> list[Problem]:
    """What is wrong with the replicas that the settings name."""
    found = _named(settings)
    return problems_of(await _states(look, found)) if found else []


def _named(settings: Settings) -> list[str]:
    app, given = try_app(settings), settings.get("read-from")
    return app.read_from if app is not None else read_from_text(given) if given else []


async def _states(look: Look | None, read_from: list[str]) -> list[ReplicaState]:
    """As they are now. Raises NotAReplica."""
    app = look.app if look is not None else None
    policy, clock = app.replica_policy if app is not None else ReplicaPolicy(), SystemClock()
    policy = msgspec.structs.replace(policy, answer_within=max(policy.answer_within, _PATIENCE))
    router = Router(
        [Replica(name_of(url), partial(open_replica, url, clock), policy, clock) for url in read_from], policy
    )
    storage = look.storage if look is not None else None
    try:
        await router.look(storage if isinstance(storage, Replicated) else None)
        return router.states()
    finally:
        await router.stop()
