"""What an App was told, checked and compiled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from daicho.core.collaborators import Supply, supplier
from daicho.core.errors import ConfigurationError, MissingCollaborator, UnknownView, WiringError
from daicho.core.handlers import EventHandler
from daicho.core.join import JoinFold
from daicho.core.journal import Journal
from daicho.core.messages import Command, Context, Query
from daicho.core.meter import Meter
from daicho.core.model import Model
from daicho.core.process import Process
from daicho.core.projection import Table
from daicho.core.registry import Registry
from daicho.core.segments import MOST_SEGMENTS
from daicho.core.signatures import describe
from daicho.core.sql_projection import SqlFold
from daicho.core.tenancy import Tenancy
from daicho.flow.among import Among
from daicho.flow.forgetting import people_of
from daicho.ports.clock import Clock
from daicho.ports.probe import Probe
from daicho.read.queries import Views
from daicho.read.replicas.policy import ReplicaPolicy
from daicho.write.middleware.authorisation import Permit
from daicho.write.pipeline import Middleware

__all__ = ["Answer", "Setup", "Supplies", "allow_personal", "callables", "segments_of"]

Answer: TypeAlias = Callable[..., Awaitable[Any]]
"""`(query, views) -> answer`"""


class Supplies:
    """What handlers ask for beside their messages, found among the collaborators that the App provides."""

    def __init__(self, model: Model, provide: Sequence[Any]) -> None:
        """Raises MissingCollaborator."""
        self.commands: Mapping[type[Command], Supply] = {
            command: supply
            for command, behaviour in model.behaviours.items()
            if (supply := supplier(behaviour.asks[command], provide, f"{behaviour.name} ({command.__name__})"))
        }
        self.reactions: Mapping[str, Supply | None] = {
            reaction.name: supplier(reaction.asks, provide, describe(reaction.function)) for reaction in model.reactions
        }
        self.answers: Mapping[type[Query[Any]], Answer] = {
            query: _answer(handler.function, handler.asks, provide) for query, handler in model.queries.items()
        }


def callables(middleware: Sequence[Middleware]) -> tuple[Middleware, ...]:
    """All of them, if they can be called. Raises WiringError."""
    for each in middleware:
        if not callable(cast("object", each)):
            raise WiringError(
                f"{each!r} cannot stand around a command", do="give `async def timed(envelope, proceed) -> Receipt`"
            )
    return tuple(middleware)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    model: Model
    registry: Registry
    supplies: Supplies
    remote: Mapping[type[Command], str]
    """The services that handle commands which this one does not."""
    among: Among | None
    """What it is among the services on a bus, if it is on one."""
    clock: Clock
    probe: Probe
    middleware: Sequence[Middleware]
    authorise: Permit | None
    tenancy: Tenancy | None
    snapshot_after: int
    hot_aggregates: int
    segments: Mapping[str, int]
    """Of projections by `projection:NAME`, of reactions by `reaction:NAME`; those that are not here have one."""
    replicas: ReplicaPolicy
    meter: Meter
    journal: Journal


_NO_CONTEXT = cast("Context", None)  # a query handler that asks for one is refused before it can matter


def _answer(function: Answer, asks: Sequence[tuple[str, Any]], provide: Sequence[Any]) -> Answer:
    """With the handler's further parameters filled in."""
    others = [(name, hint) for name, hint in asks if hint is not Views]
    if any(hint is Context for _, hint in others):
        raise MissingCollaborator(
            f"{describe(function)} asks for a Context",
            why="a context belongs to a command or event; a question has none",
            do="put what the query needs into its fields",
        )
    if not others and len(asks) == 1:
        return function
    supply = supplier(others, provide, describe(function))

    def answer(query: Query[Any], views: Views) -> Awaitable[Any]:
        found = iter(supply(_NO_CONTEXT) if supply else ())
        return function(query, *[views if hint is Views else next(found) for _, hint in asks])

    return answer


def allow_personal(model: Model) -> None:
    """What people are known by may be stored, for there are keys to it. Raises WiringError."""
    for category in people_of(model)[1]:
        behaviour = model.categories[category]
        behaviour.may_hold_personal = True
        if behaviour.keeps_state:
            behaviour.check_personal()


def segments_of(model: Model, segments: Mapping[Table[Any] | EventHandler | type[Process], int]) -> dict[str, int]:
    """By the name of the processor. Raises ConfigurationError for what cannot be cut."""
    folds = {fold.name: fold for fold in model.folds}
    found: dict[str, int] = {}
    for part, count in segments.items():
        name = part.category if isinstance(part, type) else part.name
        if not 1 <= count <= MOST_SEGMENTS or count.bit_count() != 1:
            raise ConfigurationError(
                f"{name!r} cannot be cut into {count} segments",
                why=f"their number is a power of two, up to {MOST_SEGMENTS}",
                do="write 2, 4, 8, ...",
            )
        if isinstance(part, type):
            if all(part is not process.cls for process in model.processes):
                raise ConfigurationError(f"{part.__name__} is not part of this App", do="list it among the parts, too")
            found[f"process:{name}"] = count
            continue
        if isinstance(part, EventHandler):
            if part not in model.reactions:
                raise ConfigurationError(f"{part.name!r} is not part of this App", do="list it among the parts, too")
            found[f"reaction:{part.name}"] = count
            continue
        fold = folds.get(part.name)
        if fold is None or fold.part is not part:
            raise UnknownView(f"{part.name!r} is no projection of this App", do="list it among the parts, too")
        if isinstance(fold, (SqlFold, JoinFold)) or fold.part.inline:
            kind = "SQL" if isinstance(fold, SqlFold) else "a join" if isinstance(fold, JoinFold) else "inline"
            raise ConfigurationError(
                f"{part.name!r} is {kind}, and cannot be cut",
                why="only a fold of single rows knows which events concern which keys",
                do="leave it out of `segments=`",
            )
        found[f"projection:{part.name}"] = count
    return found
