"""What an App is among other services, from what it was told of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias, cast

from daicho.core.errors import ConfigurationError, WiringError
from daicho.core.messages import Command, Event
from daicho.core.model import Model
from daicho.core.registry import Registry
from daicho.core.segments import MOST_SEGMENTS
from daicho.flow.among import Among, check_service

__all__ = ["Remote", "among_of", "key_fields"]

Remote: TypeAlias = Mapping[str, Mapping[type[Command], str]]
"""By service and command, the field that says what the command is about."""


def key_fields(remote: Mapping[str, Collection[type[Command]] | Mapping[type[Command], str]]) -> Remote:
    """The first field, unless it is named. Raises ConfigurationError."""
    return {service: _key_fields(commands) for service, commands in remote.items()}


def _key_fields(commands: Collection[type[Command]] | Mapping[type[Command], str]) -> dict[type[Command], str]:
    if not isinstance(commands, Mapping):
        return {command: next(iter(command.__struct_fields__), "") for command in commands}
    named = cast("Mapping[type[Command], str]", commands)
    for command, field in named.items():
        if field and field not in command.__struct_fields__:
            raise ConfigurationError(f"{command.__name__} has no field {field!r}", do="name one that it has")
    return dict(named)


def among_of(
    name: str,
    model: Model,
    registry: Registry,
    bus: object | None,
    publish: Collection[type[Event]] | None,
    listen: Sequence[str],
    remote: Remote,
    partitions: int,
    largest: int,
) -> Among | None:
    """None without a bus. Raises WiringError and ConfigurationError."""
    for service in [*listen, *remote]:
        if check_service(service) == name:
            raise ConfigurationError(
                f"{name!r} would listen to itself, or send commands to itself",
                do="give this App another `name=`, or name other services",
            )
    if bus is None:
        if listen or publish is not None:
            raise ConfigurationError("`listen` and `publish` need a bus", do="give App(bus=...) too")
        return None
    check_service(name)
    if not 1 <= partitions <= MOST_SEGMENTS or partitions.bit_count() != 1:
        raise ConfigurationError(
            f"a channel cannot have {partitions} partitions",
            why=f"their number is a power of two, up to {MOST_SEGMENTS}",
            do="write 2, 4, 8, ...; the same for all services on the bus",
        )
    if strange := set(publish or ()) - model.emitted:
        raise WiringError(
            f"{strange.pop().__name__} is to be published, and no part of this App records it",
            do="take it out of `publish=`, or give App the part",
        )
    if mixed := [c for c in model.categories if c.partition(".")[0] in listen and "." in c]:
        raise WiringError(
            f"streams of the category {mixed[0]!r} would mix with those of the service {mixed[0].partition('.')[0]!r}",
            do="give the aggregate or decider another category",
        )
    return Among(
        name=name,
        partitions=partitions,
        published=registry.names_of(model.emitted if publish is None else publish),
        categories=frozenset(model.categories),
        listen=tuple(dict.fromkeys(listen)),
        wanted=registry.names_of(model.heard),
        owned={command.__message_name__: command for command in model.behaviours},
        remote={
            service: {command.__message_name__: field for command, field in commands.items()}
            for service, commands in remote.items()
        },
        largest=largest,
    )
