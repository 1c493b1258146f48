"""What a service is among others, and how it stands with them, as far as its register and the broker tell."""

import re
from collections.abc import Collection, Mapping, Sequence

import msgspec

from daicho.core.errors import ConfigurationError
from daicho.core.messages import Command
from daicho.core.segments import Segment, root_of, segment_of
from daicho.flow.inbox import GAP, INBOX
from daicho.flow.line import Line, events_of
from daicho.ports.checkpoint_store import CheckpointStore
from daicho.read.health import Problem

__all__ = ["Among", "PartitionState", "accept_gap", "check_service", "gap_problems", "partition_states"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}\Z")


class Among(msgspec.Struct, frozen=True, kw_only=True):
    """What an App was told about itself and the others."""

    name: str
    partitions: int
    published: Collection[str]
    """Stored names of the events that are for others."""
    categories: Collection[str]
    """Of this service's own streams."""
    listen: Sequence[str]
    wanted: Collection[str]
    """Stored names of the events that somebody here reads."""
    owned: Mapping[str, type[Command]]
    remote: Mapping[str, Mapping[str, str]]
    """By service and the command's name: the field of it that says what it is about, or nothing."""
    largest: int
    """Bytes of an event."""


class PartitionState(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of a channel of events, as `daicho bus status` tells it."""

    channel: str
    partition: int
    direction: str
    """`out` or `in`."""
    here: int
    """How far this service has come with it: sent, or taken in."""
    tail: int | None
    """The number of the last message; None if the broker does not tell."""
    gap_up_to: int | None = None
    """What is missing between `here` and this number."""


async def partition_states(among: Among, line: Line, checkpoints: CheckpointStore) -> list[PartitionState]:
    """Every partition of the channels of events that the service says and hears. Raises BusError."""
    stored = {each.processor: each.position for each in await checkpoints.checkpoints()}
    ways = [(f"relay:{among.name}", among.name, "out")] if among.published else []
    ways += [(INBOX + source, source, "in") for source in among.listen]
    found = list[PartitionState]()
    for root, source, direction in ways:
        channel = events_of(source, among.partitions)
        bus = await line.ready(channel)
        for segment in Segment.all_of(among.partitions):
            found.append(
                PartitionState(
                    channel=channel.name,
                    partition=segment.index,
                    direction=direction,
                    here=stored.get(segment.name(root), 0),
                    tail=await bus.tail(channel, segment.index),
                    gap_up_to=stored.get(segment.name(GAP + source)),
                )
            )
    return found


async def gap_problems(among: Among, checkpoints: CheckpointStore) -> list[Problem]:
    """One for each service whose messages are missing, whichever process found it."""
    found = dict[str, Problem]()
    for each in await checkpoints.checkpoints():
        source = root_of(each.processor).removeprefix(GAP)
        if each.processor.startswith(GAP) and source in among.listen:
            detail = f"messages up to {each.position} are missing in partition {segment_of(each.processor).index}"
            do = f"start {source}, or `daicho bus accept-gap {source}`"
            found.setdefault(source, Problem(what=INBOX + source, detail=detail, do=do))
    return list(found.values())


async def accept_gap(checkpoints: CheckpointStore, source: str) -> list[tuple[int, int]]:
    """Goes on behind what is missing, in every partition that has told a gap; returns partition and number."""
    done = list[tuple[int, int]]()
    for each in await checkpoints.checkpoints():
        if root_of(each.processor) == GAP + source:
            segment = segment_of(each.processor)
            await checkpoints.rewind(segment.name(INBOX + source), each.position)
            await checkpoints.forget(each.processor)
            done.append((segment.index, each.position))
    return done


def check_service(name: str) -> str:
    """Raises ConfigurationError for a name that cannot stand in front of a stream's."""
    if not _NAME.match(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a service",
            why="it stands in channels and in front of categories: up to 60 letters, digits and '_', a letter first",
            do="choose a name like 'orders' or 'card_payments'",
        )
    return name
