"""Buses on real brokers: nothing that was confirmed is missing, whatever breaks in between."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from daicho.adapters.buses.nats import NatsBus
from daicho.adapters.buses.redis import RedisBus
from daicho.core.errors import BusClosed, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusMessage, BusSubscription, Channel, EventBus
from daicho.testing.contracts.base import soon
from daicho.testing.contracts.event_bus import chain, loose, nothing_comes, numbers, take
from tests.services import nats as nats_servers
from tests.services import redis as redis_servers
from tests.services.find import needed
from tests.services.nats import Nats
from tests.services.proxy import Passed, Proxy
from tests.services.redis import Redis
from tests.services.running import Host, Running

NEWS = Channel("news", 2)
BUSES: dict[str, Callable[[str], EventBus]] = {"nats": NatsBus, "redis": RedisBus}
places = count(1)


@dataclass
class Broker:
    """A server of the test's own, to be broken at will."""

    kind: str
    server: Running

    def bus(self, url: str | None = None, **options: object) -> EventBus:
        given = "&".join(f"{name}={value}" for name, value in {"reconnect_within": 3, **options}.items())
        return BUSES[self.kind](f"{url or self.server.url}?{given}")

    @asynccontextmanager
    async def opened(self, url: str | None = None, **options: object) -> AsyncGenerator[EventBus]:
        bus = self.bus(url, **options)
        await bus.open()
        try:
            await bus.declare(NEWS)
            yield bus
        finally:
            await bus.close()

    @property
    def files(self) -> Path:
        return self.server.folder / {"nats": "js", "redis": "appendonlydir"}[self.kind]


@pytest.fixture(params=["nats", "redis"])
def broker(request: pytest.FixtureRequest, host: Host) -> Iterator[Broker]:
    kind = str(request.param)
    with needed():
        server: Running = nats_servers.nats(host) if kind == "nats" else redis_servers.redis(host)
    yield Broker(kind, server)
    server.kill()


async def relayed(bus: EventBus, last: int, *, at_once: int = 7) -> int:
    """Sends 1 to `last` as a relay does: after each error it asks how far the broker has come. Returns the errors."""
    errors, sent = 0, 0
    while sent < last:
        try:
            sent = await bus.tail(NEWS, 0) or 0
            while sent < last:
                some = range(sent + 1, min(sent + at_once, last) + 1)
                await bus.publish(NEWS, 0, chain(*some, after=sent))
                sent = some[-1]
                await asyncio.sleep(0)
        except BusUnavailable:
            errors += 1
    return errors


async def followed(bus: EventBus, last: int, *, after: int = 0) -> tuple[list[int], int]:
    """Hears as an inbox does: a repeat is dropped, and what does not follow makes it ask again from behind what it has.
    Returns what it accepted, and the errors and holes that it met."""
    have, troubles, again = [after], 0, -1
    while have[-1] < last:
        try:
            hearing = await bus.subscribe(NEWS, 0, "shipping", after=again)
            while have[-1] < last:
                deliveries = await soon(hearing.receive(limit=5))
                for each in deliveries:
                    if each.message.number > have[-1]:
                        assert each.message.previous == have[-1], "a hole"
                        have.append(each.message.number)
                await hearing.acknowledge(deliveries)
        except BusUnavailable:
            troubles += 1
            again = have[-1]
    return have[1:], troubles


@pytest.mark.slow
async def test_all_arrives_though_the_broker_is_killed_again_and_again(broker: Broker) -> None:
    async with broker.opened() as sending, broker.opened() as hearing:
        publishing = asyncio.create_task(relayed(sending, 3000))
        following = asyncio.create_task(followed(hearing, 3000))
        for _ in range(3):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(broker.server.kill)
            await asyncio.to_thread(broker.server.start)
        await publishing
        accepted, _ = await following
        assert accepted == list(range(1, 3001))
        everything = await take(await hearing.subscribe(NEWS, 0, "billing"), 3000)
        assert numbers(everything) == list(range(1, 3001)), "and it is there once, in its order"


@pytest.mark.slow
async def test_all_arrives_though_connections_break_again_and_again(broker: Broker) -> None:
    with Proxy(broker.server.port) as wire:
        url = wire.through(broker.server.url)
        async with broker.opened(url) as sending, broker.opened(url) as hearing:
            publishing = asyncio.create_task(relayed(sending, 2000, at_once=20))
            following = asyncio.create_task(followed(hearing, 2000))
            for _ in range(12):
                await asyncio.sleep(0.02)
                await asyncio.to_thread(wire.cut)
            await publishing
            accepted, _ = await following
            assert accepted == list(range(1, 2001))
            everything = await take(await hearing.subscribe(NEWS, 0, "billing"), 2000)
            assert numbers(everything) == list(range(1, 2001))


class Forgetful(Proxy):
    """Loses the answer to the next message that contains the pattern, and its connection."""

    pattern = b""
    lost = 0

    def conversation(self) -> "Forgetting":
        return Forgetting(self)


class Forgetting:
    def __init__(self, wire: Forgetful) -> None:
        self.wire, self.is_next = wire, False

    def from_client(self, data: bytes) -> Passed:
        self.is_next = self.is_next or bool(self.wire.pattern and self.wire.pattern in data)
        return Passed(to_server=data)

    def from_server(self, data: bytes) -> Passed:
        if not self.is_next:
            return Passed(to_client=data)
        self.wire.pattern, self.wire.lost = b"", self.wire.lost + 1
        return Passed(cut=lambda: None)


async def test_a_confirmation_that_was_lost_doubles_nothing(broker: Broker) -> None:
    with Forgetful(broker.server.port) as wire:
        async with broker.opened(wire.through(broker.server.url)) as bus:
            await bus.publish(NEWS, 0, chain(1, 2))
            wire.pattern = b"event-4"
            try:
                await bus.publish(NEWS, 0, chain(3, 4, after=2))
            except BusUnavailable:
                await bus.publish(NEWS, 0, chain(3, 4, after=2))
            assert wire.lost == 1
            assert await bus.tail(NEWS, 0) == 4
            await bus.publish(NEWS, 0, chain(5, after=4))
            assert await exactly(bus, "shipping") == [1, 2, 3, 4, 5]


async def exactly(bus: EventBus, group: str) -> list[int]:
    """All that a new group hears, up to a last message that says so."""
    hearing, last, heard = await bus.subscribe(NEWS, 0, group), loose(), list[BusMessage]()
    await bus.publish(NEWS, 0, [last])
    async with asyncio.timeout(60):
        while not heard or heard[-1].id != last.id:
            heard += [each.message for each in await hearing.receive(limit=100)]
    await hearing.close()
    return numbers(heard[:-1])


@pytest.mark.slow
async def test_two_publishers_of_one_chain_double_nothing_and_leave_nothing_out(broker: Broker) -> None:
    async def others(bus: EventBus) -> None:
        for _ in range(60):
            await bus.publish(NEWS, 0, [loose()])

    async with broker.opened() as one, broker.opened() as two, broker.opened() as three:
        await asyncio.gather(relayed(one, 300), relayed(two, 300, at_once=5), others(three))
        assert [number for number in await exactly(one, "shipping") if number] == list(range(1, 301))


def forget_since(broker: Broker, copy: Path) -> None:
    """A power cut: the files are as they were when they were copied."""
    broker.server.kill()
    shutil.rmtree(broker.files)
    shutil.copytree(copy, broker.files, copy_function=shutil.copy2)
    for path in [broker.files, *broker.files.rglob("*")]:
        shutil.chown(path, broker.server.user or "root")
    broker.server.start()


@pytest.mark.slow
async def test_a_tail_that_was_confirmed_and_lost_is_sent_and_heard_again(broker: Broker, tmp_path: Path) -> None:
    async with broker.opened() as bus:
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        await relayed(bus, 50)
        await take(hearing, 50)
        await asyncio.to_thread(shutil.copytree, broker.files, tmp_path / "copy")
        await bus.publish(NEWS, 0, chain(*range(51, 61), after=50))
        assert len(await take(hearing, 10)) == 10
        await asyncio.to_thread(forget_since, broker, tmp_path / "copy")
        assert await bus.tail(NEWS, 0) == 50, "it is known how much is gone"
        await relayed(bus, 70)
        assert await exactly(bus, "billing") == list(range(1, 71))
        accepted, _ = await followed(bus, 70, after=60)
        assert accepted == list(range(61, 71)), "whoever had heard of the lost ones hears what came after them"


@pytest.mark.slow
async def test_what_was_lost_is_taken_again_from_a_publisher_who_remembers_that_it_was_there(
    broker: Broker, tmp_path: Path
) -> None:
    async with broker.opened() as bus:
        await bus.publish(NEWS, 0, chain(*range(1, 6)))
        await asyncio.to_thread(shutil.copytree, broker.files, tmp_path / "copy")
        await bus.publish(NEWS, 0, chain(*range(6, 11), after=5))
        await asyncio.to_thread(forget_since, broker, tmp_path / "copy")
        await bus.publish(NEWS, 0, chain(*range(6, 13), after=5))
        assert await exactly(bus, "shipping") == list(range(1, 13))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["the one who hears", "one who subscribes"])
async def test_messages_that_came_in_place_of_lost_ones_are_heard(broker: Broker, tmp_path: Path, who: str) -> None:
    def news(*words: str) -> list[BusMessage]:
        return [loose(id=word) for word in words]

    async with broker.opened() as bus:
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        await bus.publish(NEWS, 0, news("a", "b", "c"))
        await take(hearing, 3)
        await asyncio.to_thread(shutil.copytree, broker.files, tmp_path / "copy")
        await bus.publish(NEWS, 0, news("lost 1", "lost 2", "lost 3"))
        await take(hearing, 3)
        await asyncio.to_thread(forget_since, broker, tmp_path / "copy")
        new = [f"new {n}" for n in range(5)]
        await asyncio.sleep(0.05)  # the clock of the broker goes on
        async with broker.opened() as other:
            await other.publish(NEWS, 0, news(*new))
        if who == "one who subscribes":
            hearing = await bus.subscribe(NEWS, 0, "shipping")
        heard: list[str] = []
        while heard[-5:] != new:
            heard += [each.message.id for each in await soon(_again(hearing))]
        assert not [word for word in heard if word.startswith("lost")]


async def _again(hearing: BusSubscription) -> Any:
    try:
        return await hearing.receive(limit=10)
    except BusUnavailable:
        return await hearing.receive(limit=10)


@pytest.mark.slow
async def test_a_frozen_broker_is_told_of_in_time_and_serves_again_when_it_thaws(broker: Broker) -> None:
    async with broker.opened(answer_within=0.3, reconnect_within=0.2) as bus:
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        await bus.publish(NEWS, 0, chain(1))
        broker.server.freeze()
        last = 1

        async def publish() -> None:  # the signal may take a moment to reach it
            nonlocal last
            while True:
                await bus.publish(NEWS, 0, chain(last + 1, after=last))
                last += 1

        with pytest.raises(BusUnavailable):
            await asyncio.wait_for(publish(), 5)
        broker.server.thaw()
        await relayed(bus, last + 2)
        assert numbers(await take(hearing, last + 2)) == list(range(1, last + 3))


@pytest.mark.slow
async def test_a_hearer_waits_for_a_broker_that_starts_again_and_raises_if_it_does_not(broker: Broker) -> None:
    async with broker.opened() as bus:
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        waiting = asyncio.create_task(hearing.receive(limit=1))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(broker.server.kill)
        await asyncio.to_thread(broker.server.start)
        async with broker.opened() as other:
            await other.publish(NEWS, 0, chain(1))
        assert numbers([each.message for each in await soon(waiting)]) == [1]
        await asyncio.to_thread(broker.server.kill)
        with pytest.raises(BusUnavailable):
            await soon(hearing.receive(limit=1))


@pytest.mark.slow
async def test_closing_finishes_what_was_begun(broker: Broker) -> None:
    async with broker.opened() as bus:
        publishing = asyncio.create_task(bus.publish(NEWS, 0, chain(*range(1, 2001))))
        await asyncio.sleep(0.005)
        await bus.close()
        await publishing
        with pytest.raises(BusClosed):
            await bus.publish(NEWS, 0, chain(2001, after=2000))
        await bus.open()
        assert await bus.tail(NEWS, 0) == 2000


@pytest.mark.slow
async def test_the_examination_of_nats_looks_at_every_partition(host: Host) -> None:
    with needed():
        server = nats_servers.nats(host)
    bus = NatsBus(server.url)
    await bus.open()
    await bus.declare(NEWS)
    await bus.declare(Channel("many", 512))
    findings = await bus.examine()
    assert all(finding.ok for finding in findings)
    assert "514 partitions" in findings[-1].detail
    await bus.close()
    server.kill()


async def test_one_who_was_replaced_is_told_when_he_acknowledges(broker: Broker) -> None:
    async with broker.opened() as one, broker.opened() as two:
        await one.publish(NEWS, 0, chain(1, 2))
        early = await one.subscribe(NEWS, 0, "shipping")
        deliveries = await soon(early.receive(limit=1))
        late = await two.subscribe(NEWS, 0, "shipping")
        with pytest.raises(BusClosed):
            await early.acknowledge(deliveries)
        assert numbers(await take(late, 2)) == [1, 2]


@pytest.mark.slow
async def test_a_slow_hearer_holds_only_so_many(broker: Broker) -> None:
    async with broker.opened() as bus:
        hearing: Any = await bus.subscribe(NEWS, 0, "shipping")
        await bus.publish(NEWS, 0, [loose(data=b"x" * 5000) for _ in range(2000)])
        for _ in range(30):
            await soon(hearing.receive(limit=1))
            await asyncio.sleep(0.002)
        assert 0 < len(hearing._ready) <= 512


async def test_what_somebody_else_put_there_arrives_as_a_strangers(broker: Broker) -> None:
    async with broker.opened() as bus:
        await bus.publish(NEWS, 0, chain(1))
        if isinstance(broker.server, Nats):
            client = Client()
            await client.connect(broker.server.url)
            await client.publish("daicho.news.0.chain", b"hello")
            await client.publish("daicho.news.0.loose", b"hello", headers={"ce-id": "%", "ce-type": "x"})
            await client.flush()
            await client.close()
        else:
            assert isinstance(broker.server, Redis)
            for fields in (("data", "hello"), ("data", "hello", "ce_id", "1", "ce_type", "x")):
                broker.server.ask("XADD", "{daicho}:bus:news:0", "*", *fields)
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        heard: list[BusMessage] = []
        while len(heard) < 3:
            heard += [each.message for each in await soon(hearing.receive(limit=10))]
        assert [(each.type, each.data) for each in heard[1:]] == [("", b"hello")] * 2


async def test_a_wrong_password_is_told_at_once_and_not_shown(host: Host) -> None:
    with needed():
        servers = {
            "nats": nats_servers.nats(host, authorization="{ user: ann, password: opensesame }"),
            "redis": redis_servers.redis(host, requirepass="opensesame"),
        }
    for kind, server in servers.items():
        user = "ann" if kind == "nats" else ""
        bus = BUSES[kind](server.url.replace("//", f"//{user}:opensesame@"))
        await bus.open()
        await bus.close()
        with pytest.raises(BusRefused, match="let us in") as raised:
            await soon(BUSES[kind](server.url.replace("//", f"//{user}:swordfish@")).open())
        assert "swordfish" not in str(raised.value)
        server.kill()


async def test_nats_without_jetstream_is_refused(host: Host) -> None:
    with needed():
        server = nats_servers.nats(host, jetstream="disabled")
    with pytest.raises(BusRefused, match="-js"):
        await NatsBus(server.url).open()
    server.kill()


async def test_redis_that_writes_nothing_down_says_so(host: Host) -> None:
    with needed():
        server = redis_servers.redis(host, appendonly="no")
    bus = RedisBus(f"{server.url}?reconnect_within=0")
    await bus.open()
    assert not bus.abilities.keeps_on_disk
    assert [finding.what for finding in await bus.examine() if not finding.ok] == ["durability"]
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert [finding.what for finding in await bus.examine() if not finding.ok] == ["eviction", "durability"]
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(BusUnavailable, match="memory"):
        await bus.declare(NEWS)
    await bus.close()
    server.kill()


@pytest.mark.slow
async def test_redis_throws_away_only_what_every_group_has_acknowledged(host: Host) -> None:
    with needed():
        server = redis_servers.redis(host)
    bus = RedisBus(f"{server.url}?keep_messages=1000&prefix=p{next(places)}")
    await bus.open()
    await bus.declare(NEWS)
    quick, slow = await bus.subscribe(NEWS, 0, "quick"), await bus.subscribe(NEWS, 0, "slow")
    for start in range(1, 3001, 500):
        await bus.publish(NEWS, 0, chain(*range(start, start + 500), after=start - 1))
        await take(quick, 500)
    assert numbers(await take(slow, 3000)) == list(range(1, 3001))
    await bus.publish(NEWS, 0, chain(3001, after=3000))
    assert len(await exactly(bus, "late")) < 1000
    assert await bus.tail(NEWS, 0) == 3001
    await bus.close()
    server.kill()


async def test_nats_tells_the_tail_and_goes_on_though_the_oldest_are_kept_no_longer(host: Host) -> None:
    with needed():
        server = nats_servers.nats(host)
    bus = NatsBus(f"{server.url}?keep_messages=10")
    await bus.open()
    await bus.declare(NEWS)
    hearing = await bus.subscribe(NEWS, 0, "shipping")
    await bus.publish(NEWS, 0, chain(1, 2))
    await take(hearing, 2)
    await hearing.close()
    await bus.publish(NEWS, 0, chain(*range(3, 101), after=2))
    assert await bus.tail(NEWS, 0) == 100
    again = await bus.subscribe(NEWS, 0, "shipping")
    assert numbers(await take(again, 10)) == list(range(91, 101))
    await nothing_comes(again)
    await bus.close()
    server.kill()


async def test_redis_takes_nothing_that_follows_what_it_does_not_have(host: Host) -> None:
    with needed():
        server = redis_servers.redis(host)
    broker = Broker("redis", server)
    try:
        async with broker.opened() as bus:
            await bus.publish(NEWS, 0, chain(1, 2))
            with pytest.raises(BusUnavailable, match="does not have what these messages follow"):
                await bus.publish(NEWS, 0, chain(5, 6, after=4))
            assert await bus.tail(NEWS, 0) == 2
            await bus.publish(NEWS, 0, chain(3, 4, 5, 6, after=2))
            assert await exactly(bus, "shipping") == [1, 2, 3, 4, 5, 6]
    finally:
        server.kill()
