"""The parts of an App, compiled and checked against each other. Raises WiringErrors; runs nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, TypeAlias, cast

from daicho.core.aggregate import Aggregate
from daicho.core.behaviour import Behaviour, behaviour_of
from daicho.core.decider import Decider
from daicho.core.errors import CyclicWiring, MissingHandler, TwoHandlers, UnknownMessage, WiringError
from daicho.core.handlers import EventHandler, QueryHandler, Route
from daicho.core.join import Join, JoinFold
from daicho.core.messages import Command, Event, Message, Query
from daicho.core.process import Process
from daicho.core.process_definition import Definition
from daicho.core.process_events import ProcessMoved
from daicho.core.projection import Crud, Fold, Projection
from daicho.core.signatures import describe
from daicho.core.sql_projection import SqlFold, SqlProjection
from daicho.core.upcasting import Upcaster

__all__ = ["Model", "Part"]

Part: TypeAlias = (
    type[Aggregate]
    | Decider[Any, Any, Any]
    | EventHandler
    | type[Process]
    | Projection[Any]
    | SqlProjection[Any]
    | Join[Any]
    | QueryHandler
    | Crud[Any]
    | Upcaster
    | Route
)


class Model:
    """Who handles what."""

    def __init__(self, parts: Iterable[Part], remote: Collection[type[Command]] = ()) -> None:
        """`remote`: commands that other services handle."""
        self.remote = frozenset(remote)
        self.behaviours: dict[type[Command], Behaviour] = {}
        self.parts: dict[int, Behaviour] = {}
        self.categories: dict[str, Behaviour] = {}
        self.reactions: list[EventHandler] = []
        self.processes: list[Definition] = []
        self.folds: list[Fold[Any] | SqlFold[Any] | JoinFold[Any]] = []
        self.queries: dict[type[Query[Any]], QueryHandler] = {}
        self.cruds: list[Crud[Any]] = []
        self.upcasters: list[Upcaster] = []
        self.routes: list[Route] = []
        for part in parts:
            self._add(part)
        self._share_upcasters()
        self._check()

    def _add(self, part: Part) -> None:
        match part:
            case EventHandler():
                self.reactions.append(part)
            case Projection():
                self.folds.append(Fold(part))
            case SqlProjection():
                self.folds.append(SqlFold(part))
            case Join():
                self.folds.append(JoinFold(part))
            case QueryHandler():
                for query in part.queries:
                    if query in self.queries:
                        raise TwoHandlers(
                            f"{query.__name__} is answered twice",
                            why=f"{describe(self.queries[query].function)} and {describe(part.function)}",
                            do="keep one of them",
                        )
                    self.queries[query] = part
            case Crud():
                self.cruds.append(part)
            case Upcaster():
                self.upcasters.append(part)
            case Route():
                self.routes.append(part)
            case Decider():
                self._add_behaviour(part)
            case type() if issubclass(cast("type", part), Aggregate):
                self._add_behaviour(part)
            case type() if issubclass(cast("type", part), Process):
                self.processes.append(Definition(cast("type[Process]", part)))
            case _:
                raise WiringError(
                    f"{part!r} is not a part of an App",
                    do="give aggregates, deciders, event handlers, processes, projections, query handlers, Crud, "
                    "Route or upcasters; is a decorator missing?",
                )

    def _add_behaviour(self, part: Any) -> None:
        behaviour = behaviour_of(part)
        if other := self.categories.get(behaviour.category):
            raise TwoHandlers(
                f"the category {behaviour.category!r} is used by {other.name} and {behaviour.name}",
                do="give one of them another category: their streams must not mix",
            )
        self.categories[behaviour.category] = self.parts[id(part)] = behaviour
        for command in behaviour.effects:
            if command in self.behaviours:
                raise TwoHandlers(
                    f"{command.__name__} is handled by {self.behaviours[command].name} and {behaviour.name}",
                    why="a command has exactly one handler; an event may have many",
                    do="keep one of them",
                    command=command.__name__,
                )
            self.behaviours[command] = behaviour

    def _share_upcasters(self) -> None:
        """Those that are named after a category are for the kept states of it, the others for events."""
        events = {event.__message_name__ for event in self.events}
        for behaviour in self.categories.values():
            name = behaviour.category
            steps = [step for step in self.upcasters if step.type == name and name not in events]
            behaviour.state_steps = steps
            self.upcasters = [step for step in self.upcasters if step not in steps]
            behaviour.check_kept()

    def _check(self) -> None:
        self._check_names("two event handlers are called", [r.name for r in self.reactions], "name=")
        views = [*(f.name for f in self.folds), *(c.name for c in self.cruds)]
        views += [name for fold in self.folds if isinstance(fold, JoinFold) for name in fold.tables]
        self._check_names("two views are called", views, "another name")
        self._check_names(
            "two commands are called", [c.__message_name__ for c in self.behaviours], "another class name"
        )
        for reaction in self.reactions:
            for command in reaction.commands:
                if command not in self.behaviours and command not in self.remote:
                    raise MissingHandler(
                        f"{describe(reaction.function)} sends {command.__name__}, which nothing handles",
                        do="give App the part that handles it, or name the service that does in `remote=`",
                        command=command.__name__,
                    )
        for command in self.remote & set(self.behaviours):
            raise TwoHandlers(
                f"{command.__name__} is handled by {self.behaviours[command].name}, and named in `remote=`",
                why="a command has exactly one handler, in one service",
                do="take it out of `remote=`, or the part out of this App",
                command=command.__name__,
            )
        self._check_processes()
        for route in self.routes:
            if route.message not in self.behaviours and route.message not in self.queries:
                raise MissingHandler(
                    f"{route.method} {route.path}: nothing handles {route.message.__name__}",
                    do="give App the part that handles or answers it",
                )
        self._check_circles()

    def _check_processes(self) -> None:
        categories = [process.category for process in self.processes]
        self._check_names("two processes have the category", categories, "another category")
        for process in self.processes:
            if other := self.categories.get(process.category):
                raise TwoHandlers(
                    f"the category {process.category!r} is used by {other.name} and {process.cls.__name__}",
                    do="give one of them another category: their streams must not mix",
                )
            for method, sent in process.sends.items():
                for command in sent:
                    if command not in self.behaviours and command not in self.remote:
                        raise MissingHandler(
                            f"{describe(method)} sends {command.__name__}, which nothing handles",
                            do="give App the part that handles it, or name the service that does in `remote=`",
                            command=command.__name__,
                        )

    @staticmethod
    def _check_names(what: str, names: list[str], do: str) -> None:
        for name in {n for n in names if names.count(n) > 1}:
            raise TwoHandlers(f"{what} {name!r}", why="names are stored, and must be unique", do=f"give one {do}")

    def _check_circles(self) -> None:
        """Follows event -> command -> event where the annotations are precise enough to know."""
        follows: dict[type[Event], set[type[Event]]] = defaultdict(set)
        via: dict[tuple[type[Event], type[Event]], str] = {}
        for reaction in self.reactions:
            if reaction.circular:
                continue
            for command in reaction.commands:
                behaviour = self.behaviours.get(command)
                if behaviour is None:
                    continue  # another service handles it: what comes of that is not known here
                if not behaviour.in_place and len(behaviour.effects) > 1:
                    continue  # one `decide` for several commands does not say which event comes of which
                for event in reaction.events:
                    for effect in behaviour.effects[command]:
                        follows[event].add(effect)
                        via.setdefault((event, effect), f"{reaction.name} -> {command.__name__}")
        for start in list(follows):
            if path := _way_back(start, follows):
                steps = " -> ".join(f"{a.__name__} ({via[a, b]})" for a, b in pairwise(path))
                raise CyclicWiring(
                    f"events and commands go round in a circle: {steps} -> {start.__name__}",
                    why="unless something in the state ends it, it would never come to rest",
                    do="break the circle, or mark the handler `@event_handler(circular=True)` if it is meant and ends",
                )

    @property
    def sources(self) -> dict[str, list[str]]:
        """By view, the categories whose events it is made of."""
        return {
            fold.name: [
                category
                for category, behaviour in self.categories.items()
                if not set(fold.events).isdisjoint(behaviour.events)
            ]
            for fold in self.folds
        }

    @property
    def readers(self) -> frozenset[str]:
        """What reads the log durably, by the name of its checkpoint, without the build of a view."""
        views = (f"projection:{fold.name}" for fold in self.folds)
        flows = [f"reaction:{reaction.name}" for reaction in self.reactions]
        for process in self.processes:
            flows += [process.name, f"courier:{process.category}"]
        return frozenset([*views, *flows])

    @property
    def emitted(self) -> set[type[Event]]:
        """Every event class that a decider or aggregate of this App may record."""
        return {event for each in self.behaviours.values() for effects in each.effects.values() for event in effects}

    @property
    def heard(self) -> set[type[Event]]:
        """Every event class that is read by something else than a decider."""
        found = {event for reaction in self.reactions for event in reaction.events}
        found.update(event for process in self.processes for event in process.events)
        return found.union(*(fold.events for fold in self.folds))

    @property
    def events(self) -> set[type[Event]]:
        """Every event class that any part names."""
        found = {event for behaviour in self.categories.values() for event in behaviour.events}
        found.update(event for reaction in self.reactions for event in reaction.events)
        found.update(event for fold in self.folds for event in fold.events)
        found.update(event for process in self.processes for event in process.events)
        if self.processes:
            found.add(ProcessMoved)
        return found

    def message(self, name: str) -> type[Message]:
        """The command or query of that name. Raises UnknownMessage with names that look alike."""
        known: dict[str, type[Message]] = {c.__message_name__: c for c in [*self.behaviours, *self.remote]}
        known.update({q.__message_name__: q for q in self.queries})
        if name in known:
            return known[name]
        similar = get_close_matches(name, known, n=3, cutoff=0.5)
        raise UnknownMessage(
            f"there is no command or query {name!r}",
            why=f"this App knows {', '.join(sorted(known))}",
            do=f"did you mean {' or '.join(similar)}?" if similar else "check the name",
            message=name,
            similar=similar,
        )


def _way_back(start: type[Event], follows: dict[type[Event], set[type[Event]]]) -> list[type[Event]] | None:
    """A shortest path of at least one step from `start` to itself."""
    paths: list[list[type[Event]]] = [[start]]
    seen: set[type[Event]] = set()
    while paths:
        path = paths.pop(0)
        for event in sorted(follows.get(path[-1], ()), key=lambda e: e.__name__):
            if event is start:
                return [*path, event]
            if event not in seen:
                seen.add(event)
                paths.append([*path, event])
    return None
