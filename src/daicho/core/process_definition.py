"""A Process class, compiled: which method is for what, checked once."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from daicho.core.codec import convert, to_builtins
from daicho.core.decider import only
from daicho.core.errors import MissingMigration, WiringError
from daicho.core.fingerprint import fingerprint
from daicho.core.messages import Command, Context, Event
from daicho.core.process import Compensate, Deadline, Done, Key, Pivot, Process, Schedule, marked
from daicho.core.signatures import accepted, describe, further_parameters, produced, refuse_async, returned

__all__ = ["Definition", "EventMethod", "Given"]

Given: TypeAlias = Command | Deadline | Schedule | Done | Compensate | Pivot
_DIRECTIVES = (Deadline, Schedule, Done, Compensate, Pivot)


@dataclass(frozen=True)
class EventMethod:
    function: Callable[..., Any]
    key: Key
    late: bool = False


class Definition:
    """What the engine needs to know of one Process class. Raises WiringError that says what does not fit."""

    def __init__(self, cls: type[Process]) -> None:
        if not hasattr(cls, "category"):
            raise WiringError(
                f"{cls.__name__} has no category",
                do=f'write `class {cls.__name__}(Process, category="...", key="...")`',
            )
        self.cls, self.category, self.name = cls, cls.category, f"process:{cls.category}"
        self.version, self.attempts, self.from_start = cls.version, cls.attempts, cls.from_start
        self.starts: dict[type[Event], EventMethod] = {}
        self.ons: dict[type[Event], EventMethod] = {}
        self.deadlines: dict[str, Callable[..., Any]] = {}
        self.refusals: dict[type[Command], Callable[..., Any]] = {}
        self.undoings: dict[type[Command], Callable[..., Any]] = {}
        self.migrations: dict[int, Callable[..., Any]] = {}
        self.sends: dict[Callable[..., Any], tuple[type[Command], ...]] = {}
        """By method, the commands that it may yield."""
        for _, member in inspect.getmembers(cls, inspect.isfunction):
            if found := marked(member):
                self._add(member, *found)
        self.commands = {c.__message_name__: c for sent in self.sends.values() for c in sent}
        self.events = frozenset([*self.starts, *self.ons])
        self._fields = _fields(cls)
        self._check()
        functions = [*(m.function for m in [*self.starts.values(), *self.ons.values()]), *self.deadlines.values()]
        self.code = fingerprint(*functions, *self.refusals.values(), *self.undoings.values(), cls.version)

    # -- compiling ------------------------------------------------------------------------------------------------

    def _add(self, method: Callable[..., Any], role: str, details: Mapping[str, Any]) -> None:
        refuse_async(method, f"a method of {self.cls.__name__}")
        match role:
            case "start" | "on":
                key = details.get("key") or getattr(self.cls, "key", None)
                if key is None:
                    raise WiringError(
                        f"{describe(method)} does not tell which instance an event concerns",
                        do=f"give {self.cls.__name__} a `key=`, or write `@{role}(key=...)`",
                    )
                table = self.starts if role == "start" else self.ons
                for event in only(Event, accepted(method, 1), method):
                    if isinstance(key, str) and key not in event.__struct_fields__:
                        raise WiringError(
                            f"{event.__name__} has no field {key!r}, the key of {self.cls.__name__}",
                            do=f"write `@{role}(key=...)` with the field, or a function, that tells the instance",
                        )
                    self._set(table, event, EventMethod(method, key, details.get("late", False)), method)
                self._check_further(method, 2)
            case "deadline":
                for name in details["names"]:
                    self._set(self.deadlines, name, method, method)
                self._check_further(method, 1)
            case "refused":
                for command in only(Command, accepted(method, 1), method):
                    self._set(self.refusals, command, method, method)
                self._check_further(method, 3)
            case "compensate":
                for command in only(Command, accepted(method, 1), method):
                    self._set(self.undoings, command, method, method)
                undo = _alternatives(returned(method))
                self.sends[method] = only(Command, tuple(t for t in undo if t is not NoneType), method)
                return
            case _:
                self._set(self.migrations, details["version"], method, method)
                return
        self.sends[method] = _yielded(method)

    def _set(self, table: dict[Any, Any], what: Any, value: Any, method: Callable[..., Any]) -> None:
        if what in table:
            raise WiringError(
                f"{self.cls.__name__} has two methods for {getattr(what, '__name__', what)!s}",
                why=f"the second is {describe(method)}",
                do="keep one of them",
            )
        table[what] = value

    def _check_further(self, method: Callable[..., Any], after: int) -> None:
        for name, hint in further_parameters(method, after):
            if hint is not Context:
                raise WiringError(
                    f"{describe(method)} asks for {name!r}: {getattr(hint, '__name__', hint)}",
                    why="a process has only its own fields, the message, and `Context`",
                    do="let a command's handler or an event handler use the collaborator",
                )

    def _check(self) -> None:
        name = self.cls.__name__
        if not self.starts:
            raise WiringError(f"{name} never starts", do="mark the method for its first event with @start")
        sent = set(self.commands.values())
        for role, table in (("@refused", self.refusals), ("@compensate", self.undoings)):
            if strangers := [c.__name__ for c in table if c not in sent]:
                raise WiringError(
                    f"{name} has {role} for {', '.join(sorted(strangers))}, which it never sends",
                    do="name the command in the annotation of the method that yields it, or take the method out",
                )
        for version in range(min(self.migrations, default=self.version), self.version):
            if version not in self.migrations:
                raise WiringError(
                    f"{name} has version {self.version} and no @migrate({version})",
                    why="instances of that version could not go on",
                    do=f"add `@migrate({version})`",
                )
        if len({c.__message_name__ for c in sent}) < len(sent):
            raise WiringError(f"{name} sends two commands of one name", do="rename one of them")
        try:
            self.freeze(self.fresh(""))
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise WiringError(
                f"the fields of {name} cannot be kept: {error}",
                why="an instance may wait for days: its fields are stored with every step",
                do="use texts, numbers, dates, decimals, and lists, dicts or structs of those, with defaults",
            ) from error

    # -- at work --------------------------------------------------------------------------------------------------

    def key_of(self, event: Event) -> str:
        """Raises what the user's function raises."""
        method = self.starts.get(type(event)) or self.ons[type(event)]
        key = getattr(event, method.key) if isinstance(method.key, str) else method.key(event)
        if not isinstance(key, str):
            raise TypeError(f"{self.cls.__name__} identifies an instance by {key!r}: it has to be a text")
        return key

    def fresh(self, identity: str) -> Process:
        process = self.cls()
        process.id = identity
        return process

    def freeze(self, process: Process) -> dict[str, Any]:
        return {name: to_builtins(getattr(process, name)) for name in self._fields}

    def thaw(self, identity: str, fields: Mapping[str, Any], version: int) -> Process:
        """The instance with these fields, which those of `version` were. Raises MissingMigration."""
        process = self.fresh(identity)
        if version > self.version:
            raise self._other_version(version, "run the newer release")
        fields = dict(fields)
        for each in range(version, self.version):
            if each not in self.migrations:
                raise self._other_version(version, f"add `@migrate({each})`")
            fields = self.migrations[each](process, fields)
        for name, value in fields.items():
            if name in self._fields:
                setattr(process, name, convert(value, self._fields[name]))
        return process

    def _other_version(self, version: int, do: str) -> MissingMigration:
        return MissingMigration(
            f"an instance of {self.cls.__name__} has fields of version {version}",
            why=f"this code has version {self.version}, and no way from there",
            do=do,
            process=self.category,
            version=version,
        )


def _fields(cls: type[Process]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    names = {name for base in cls.__mro__ if base is not Process for name in getattr(base, "__annotations__", {})}
    own = {name: hint for name, hint in hints.items() if name in names and get_origin(hint) is not ClassVar}
    for name in own:
        value = getattr(cls, name, None)
        if isinstance(value, (list, dict, set)):
            raise WiringError(
                f"{cls.__name__}.{name} has a mutable default",
                why="all instances would share the one object",
                do=f"set it in __init__: `self.{name} = ...`, or use a tuple",
            )
    return own


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if isinstance(hint, type):
        return (hint,)
    return get_args(hint)


def _yielded(method: Callable[..., Any]) -> tuple[type[Command], ...]:
    """The commands among what its annotation names; a method that returns None yields nothing."""
    if not inspect.isgeneratorfunction(method):
        if returned(method) is NoneType:
            return ()
        raise WiringError(
            f"{describe(method)} has no `yield`",
            why="it says what is to be done by yielding it, or is annotated `-> None` and only changes `self`",
            do="write `yield`, or `-> None`",
        )
    found = [each for each in produced(method) if each not in _DIRECTIVES]
    return only(Command, tuple(found), method)
