"""The bus on NATS JetStream."""

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

import msgspec

from daicho.adapters.buses.nats.location import parse_url
from daicho.adapters.buses.nats.names import Road, places_stream, road
from daicho.adapters.buses.nats.places import Place, Places, nanoseconds, refusal
from daicho.adapters.buses.nats.publishing import Publisher, number_in
from daicho.adapters.buses.nats.subscription import NatsSubscription
from daicho.adapters.buses.nats.wire import Answer, Line, Wire
from daicho.adapters.channels import check_chain, check_channel, check_partition
from daicho.core.errors import BusClosed, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusAbilities, BusMessage, Channel
from daicho.ports.storage import Finding

__all__ = ["NatsBus"]

_IN_USE = 10058
_ATTEMPTS = 20


class NatsBus:
    """Fulfils `daicho.ports.event_bus.EventBus` on a NATS server from 2.9 on, with JetStream.

    Each partition is a stream in files, and each message of a chain is stored only behind the one it follows: no
    publisher can double, reorder or leave out one, and none can come between unnoticed. What was confirmed survives a
    kill -9; a power cut may cost what the server had not brought to disk (`sync_interval`, two minutes unless it is set
    to `always`) where a stream has one replica. `tail` tells it, and hearers are not misled by it.
    """

    def __init__(self, url: str) -> None:
        self._location = parse_url(url)
        self._prefix = self._location.prefix
        self._wire = Wire(self._location)
        self._publishers: dict[tuple[Channel, int], Publisher] = {}
        self._subscriptions: list[NatsSubscription] = []
        self._version: str | None = None

    @property
    def url(self) -> str:
        return self._location.url

    @property
    def abilities(self) -> BusAbilities:
        return BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)

    @property
    def unbroken(self) -> object | None:
        return None

    async def open(self) -> None:
        if self._wire.is_open:
            return
        try:
            line = await self._wire.open()
            self._version = line.version
            await self._declare(line, self._places())
        except BaseException:
            await self._wire.close()
            raise

    async def close(self) -> None:
        publishers, self._publishers = self._publishers, {}
        while self._subscriptions:
            await self._subscriptions.pop().close()
        for publisher in publishers.values():
            await publisher.finish()
        await self._wire.close()

    async def declare(self, channel: Channel) -> None:
        check_channel(channel)
        line = await self._wire.line()
        for partition in range(channel.partitions):
            there = road(self._prefix, channel, partition)
            limits = {
                "max_msgs": self._location.keep_messages or -1,
                "max_bytes": self._location.keep_bytes or -1,
                "discard": "old",
            }
            config = {"name": there.stream, "subjects": [there.chain, there.loose], **limits}
            found = await self._declare(line, config | {"description": there.description})
            if found != there.description:
                raise BusRefused(
                    f"{channel.name} is not there with {channel.partitions} partitions",
                    why=f"its stream {there.stream} says: {found}",
                    do="use the number that is there, or another name or prefix",
                )

    def _places(self) -> dict[str, Any]:
        name = places_stream(self._prefix)
        return {
            "name": name,
            "subjects": [f"{name}.>"],
            "description": "Daicho: how far each group has come",
            "max_msgs_per_subject": 1,
        }

    async def _declare(self, line: Line, config: dict[str, Any]) -> str:
        """The description of the stream that is there: made, or found as somebody made or changed it."""
        whole = {"storage": "file", "retention": "limits", "num_replicas": self._location.replicas, **config}
        answer = await line.ask(f"STREAM.CREATE.{config['name']}", whole)
        if answer.error and answer.error.err_code == _IN_USE:
            answer = await line.ask(f"STREAM.INFO.{config['name']}")
        if answer.error or answer.config is None:
            raise _not_made(answer, config["name"])
        return str(answer.config.get("description", ""))

    async def tail(self, channel: Channel, partition: int) -> int | None:
        return await self._publisher(channel, partition).tail()

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        publisher = self._publisher(channel, partition)
        check_chain(channel, messages)
        await publisher.publish(messages)

    def _publisher(self, channel: Channel, partition: int) -> Publisher:
        check_partition(channel, partition)
        if not self._wire.is_open:
            raise BusClosed(f"{self.url} is not open", do="open the bus first")
        found = self._publishers.get((channel, partition))
        if found is None:
            found = Publisher(self._wire, road(self._prefix, channel, partition))
            self._publishers[channel, partition] = found
        return found

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> NatsSubscription:
        check_partition(channel, partition)
        there = road(self._prefix, channel, partition)
        places = Places(self._wire, there, group)
        line = await self._wire.line()
        if (info := await line.ask(f"STREAM.INFO.{there.stream}")).error:
            raise refusal(info, f"{channel.name} is not there")
        chosen = await _behind(line, there, after) if after >= 0 else None
        for _ in range(_ATTEMPTS):
            over, place = await places.read()
            mine = msgspec.structs.replace(chosen or place, token=token_hex(8))
            if await places.claim(over, mine):
                subscription = NatsSubscription(self._wire, there, group, places, mine)
                self._subscriptions = [each for each in self._subscriptions if not each.is_closed]
                self._subscriptions.append(subscription)
                return subscription
        raise BusUnavailable(f"too many subscribe for {group} at the same time", do="try again")

    async def examine(self) -> list[Finding]:
        line = await self._wire.line()
        streams: list[Mapping[str, Any]] = []
        while page := (await line.ask("STREAM.LIST", {"subject": f"{self._prefix}.>", "offset": len(streams)})).streams:
            streams += page
        return [
            Finding(what="NATS", ok=True, detail=line.version),
            _durability(streams),
            Finding(
                what="messages",
                ok=True,
                detail=f"{sum(each['state']['messages'] for each in streams):,} in {len(streams)} partitions",
            ),
        ]

    def describe(self) -> dict[str, Any]:
        return {
            "broker": "nats",
            "version": self._version,
            "durability": f"files, {self._location.replicas} of each stream; as sync_interval of the server says",
            "prefix": self._prefix,
        }


def _durability(streams: Sequence[Mapping[str, Any]]) -> Finding:
    """The server does not tell a client its `sync_interval`; so this says what depends on it."""
    in_memory = [each["config"]["name"] for each in streams if each["config"]["storage"] != "file"]
    if in_memory:
        return Finding(
            what="durability",
            ok=False,
            detail=f"{', '.join(in_memory)}: kept in memory, gone with the server",
            do="make the stream anew with file storage; the relay fills it again",
        )
    fewest = min((each["config"].get("num_replicas", 1) for each in streams), default=1)
    detail = "files; a power cut may cost what is younger than sync_interval, which the relay sends again"
    if fewest >= 3:
        detail = f"files on {fewest} servers; a power cut of one costs nothing"
    return Finding(what="durability", ok=True, detail=detail)


async def _behind(line: Line, there: Road, number: int) -> Place:
    """The place from which everything behind that number is heard. Numbers ascend, so it is found by halving."""
    info = await line.ask(f"STREAM.INFO.{there.stream}")
    if info.error or not info.state:
        raise _not_made(info, there.stream)
    low, high = int(info.state["first_seq"]) or 1, int(info.state["last_seq"]) + 1
    while low < high:  # the first sequence from which the next message of the chain has a larger number, or none is
        middle = (low + high) // 2
        answer = await line.ask(f"STREAM.MSG.GET.{there.stream}", {"seq": middle, "next_by_subj": there.chain})
        if answer.message and number_in(answer) <= number:
            low = int(answer.message["seq"]) + 1
        else:
            high = middle
    before = await line.ask(f"STREAM.MSG.GET.{there.stream}", {"seq": low - 1}) if low > 1 else Answer()
    return Place(low - 1, nanoseconds(before.message["time"])) if before.message else Place()


def _not_made(answer: Answer, stream: str) -> BusRefused | BusUnavailable:
    if answer.error:
        return refusal(answer, f"the stream {stream} is not to be had")
    return BusUnavailable(f"the stream {stream} is not to be had", why="the server's answer says nothing about it")
