"""The bus on Redis Streams."""

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from daicho.adapters.buses.redis.entries import Place, Shelf, arguments_of
from daicho.adapters.buses.redis.location import parse_url
from daicho.adapters.buses.redis.subscription import RedisSubscription
from daicho.adapters.buses.redis.wire import Argument, Wire
from daicho.adapters.channels import check_chain, check_channel, check_group, check_partition
from daicho.core.errors import BusRefused, BusUnavailable
from daicho.ports.event_bus import BusAbilities, BusMessage, Channel
from daicho.ports.storage import Finding

__all__ = ["RedisBus"]

_OLDEST = (6, 2)
_AT_ONCE = 256
"""Messages in one script, and bytes of them: nobody else is served meanwhile."""
_BYTES_AT_ONCE = 2 * 1024 * 1024


class RedisBus:
    """Fulfils `daicho.ports.event_bus.EventBus` on a Redis server from 6.2 on.

    The number of a message is its id in the stream, and ids grow: what was sent twice is there once, and in order. What
    was confirmed survives a kill -9 of a server with `appendonly yes`; a power cut may cost the last second unless
    `appendfsync` is `always`. `tail` tells it, and hearers are not misled by it. All of it is in memory.
    """

    def __init__(self, url: str) -> None:
        self._location = parse_url(url)
        self._wire = Wire(self._location)
        self._info: Mapping[str, Any] = {}
        self._subscriptions: list[RedisSubscription] = []

    @property
    def url(self) -> str:
        return self._location.url

    @property
    def abilities(self) -> BusAbilities:
        """Once it is open: whether it keeps anything on disk is up to the server."""
        return BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=bool(self._info.get("aof_enabled")))

    @property
    def unbroken(self) -> object | None:
        return None

    async def open(self) -> None:
        if self._wire.is_open:
            return
        self._wire.open()
        try:
            self._info = await self._ask_info()
            _check_version(self.url, str(self._info["redis_version"]))
        except BaseException:
            await self._wire.close()
            raise

    async def close(self) -> None:
        while self._subscriptions:
            await self._subscriptions.pop().close()
        await self._wire.close()

    async def declare(self, channel: Channel) -> None:
        check_channel(channel)
        key = Shelf(self._location.prefix, channel, 0).channels
        await self._wire.call("HSETNX", key, channel.name, channel.partitions)
        there = int(await self._wire.call("HGET", key, channel.name))
        if there != channel.partitions:
            raise BusRefused(
                f"{channel.name} is there with {there} partitions, not with {channel.partitions}",
                why="messages would change their partition, and lose their order",
                do="use the number that is there, or another name or prefix",
            )

    async def tail(self, channel: Channel, partition: int) -> int | None:
        """The number in the last id that was ever given, also if its entry is kept no longer."""
        shelf = self._shelf(channel, partition)
        there = await self._wire.call("HGET", shelf.channels, channel.name)
        if there is None or int(there) != channel.partitions:
            raise _not_there(channel)
        if not await self._wire.call("EXISTS", shelf.stream):
            return 0
        answer = await self._wire.call("XINFO", "STREAM", shelf.stream)
        last = _fields(answer)[b"last-generated-id"]
        return int(last.partition(b"-")[0])

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        shelf = self._shelf(channel, partition)
        check_chain(channel, messages)
        for message in messages:
            if len(message.data) > self._location.largest:
                raise BusRefused(
                    f"message {message.id!r} is too large for {channel.name}",
                    why=f"it has {len(message.data):,} bytes, and {self._location.largest:,} are the most",
                    do="raise `largest` in the URL, or send less",
                )
        prepared = [arguments_of(message) for message in messages]  # all of them before anything is sent
        async with self._wire.whole():
            given: list[Argument] = []
            count, size = 0, 0
            for message, arguments in zip(messages, prepared, strict=True):
                if count and (count == _AT_ONCE or size + len(message.data) > _BYTES_AT_ONCE):
                    await self._append(shelf, given)
                    given, count, size = [], 0, 0
                given += arguments
                count, size = count + 1, size + len(message.data)
            await self._append(shelf, given)

    async def _append(self, shelf: Shelf, given: Sequence[Argument]) -> None:
        channel = shelf.channel
        head: list[Argument] = [channel.name, channel.partitions, self._location.keep_messages]
        answer = await self._wire.run("publish", [shelf.stream, shelf.channels], [*head, *given])
        if answer == b"lost":
            raise BusUnavailable(
                f"{channel.name} does not have what these messages follow",
                why="the server was down, and lost what its disk did not have yet",
                do="ask for its tail, and send again what is behind it",
            )
        if answer != b"done":
            raise _not_there(channel)

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> RedisSubscription:
        shelf = self._shelf(channel, partition)
        check_group(group)
        token, behind = token_hex(8), f"{after}-0" if after >= 0 else ""
        keys = [shelf.stream, shelf.places, shelf.channels]
        found = await self._wire.run("claim", keys, [channel.name, channel.partitions, group, token, behind])
        if found is None:
            raise _not_there(channel)
        place = Place(str(found[0], "ascii"), int(found[1]))
        subscription = RedisSubscription(self._wire, shelf, group, token, place)
        self._subscriptions = [each for each in self._subscriptions if not each.is_closed]
        self._subscriptions.append(subscription)
        return subscription

    def _shelf(self, channel: Channel, partition: int) -> Shelf:
        check_partition(channel, partition)
        return Shelf(self._location.prefix, channel, partition)

    async def examine(self) -> list[Finding]:
        self._info = info = await self._ask_info()
        try:
            info["appendfsync"] = (await self._wire.call("CONFIG", "GET", "appendfsync"))[1].decode()
        except BusRefused:
            info["appendfsync"] = "unknown"  # hosted servers do not tell
        return [
            Finding(what="Redis", ok=True, detail=f"{info['redis_version']}, {info.get('redis_mode', 'standalone')}"),
            _eviction(info),
            _durability(info),
            _memory(info),
        ]

    def describe(self) -> dict[str, Any]:
        return {
            "broker": "redis",
            "version": self._info.get("redis_version"),
            "durability": "as appendonly and appendfsync of the server say",
            "prefix": self._location.prefix,
        }

    async def _ask_info(self) -> dict[str, Any]:
        return dict(await self._wire.call("INFO", "everything"))  # which the library takes apart


def _check_version(url: str, version: str) -> None:
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise BusRefused(f"{url} is Redis {version}", why="6.2 is needed", do="use a newer server")


def _fields(answer: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _not_there(channel: Channel) -> BusRefused:
    return BusRefused(
        f"{channel.name} with {channel.partitions} partitions is not there",
        why="it was never declared, or the server lost it",
        do="declare it first",
    )


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy", "unknown")
    ok = policy in {"noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"}
    return Finding(
        what="eviction",
        ok=ok,
        detail=f"maxmemory-policy {policy}" + ("" if ok else ": short of memory, the server throws streams away"),
        do="" if ok else "set maxmemory-policy to noeviction: then it refuses, and the relay waits",
    )


def _durability(info: Mapping[str, Any]) -> Finding:
    fsync = info["appendfsync"]
    if not info.get("aof_enabled"):
        detail, do = "appendonly no: all since the last snapshot is gone after a crash", "set appendonly to yes"
    elif info.get("aof_last_write_status", "ok") != "ok":
        detail, do = "the last write to the append-only file failed", "look at the server's log and disk"
    elif fsync == "always":
        detail, do = "appendfsync always: what was confirmed survives a power cut", ""
    else:
        detail, do = f"appendfsync {fsync}: a power cut may cost the last moments, which the relay sends again", ""
    return Finding(what="durability", ok=not do, detail=detail, do=do)


def _memory(info: Mapping[str, Any]) -> Finding:
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    ok = not most or used < most * 0.9
    of = f" of {most / 2**20:,.0f}" if most else ", without a limit"
    return Finding(
        what="memory",
        ok=ok,
        detail=f"{used / 2**20:,.1f} MiB{of}",
        do="" if ok else "set keep_messages in the URL, or raise maxmemory before the server refuses",
    )
