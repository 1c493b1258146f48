"""RabbitMQ keeps the contract of a bus, and its promises through kill -9, cuts and lost confirmations."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import ClassVar

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelPreconditionFailed
from pamqp.commands import Basic

from daicho.adapters.buses.rabbitmq import RabbitBus, parse_url
from daicho.core.errors import BadUrl, BusClosed, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusAbilities, Channel
from daicho.testing.contracts import EventBusContract
from daicho.testing.contracts.event_bus import chain, loose, nothing_comes, numbers, take
from tests.contracts.chains import hear_all, publish_all
from tests.services.find import needed
from tests.services.proxy import Conversation, Passed, Proxy
from tests.services.rabbitmq import RabbitMQ
from tests.services.rabbitmq import rabbitmq as start
from tests.services.running import Host

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rabbitmq")]

NEWS = Channel("news")
prefixes = (f"t{number}" for number in count(1))


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[RabbitMQ]:
    """Shared: who breaks it mends it."""
    with needed():
        server = start(host)
    yield server
    server.stop()


class TestRabbitMQ(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)
    most_bytes = 2**20
    server: ClassVar[RabbitMQ]
    prefix: ClassVar[str]

    @pytest.fixture(autouse=True)
    def place(self, server: RabbitMQ) -> None:
        type(self).server, type(self).prefix = server, next(prefixes)

    def make(self, tmp_path: Path) -> RabbitBus:
        return RabbitBus(f"{self.server.url}?prefix={self.prefix}")

    def make_away(self, password: str) -> RabbitBus:
        return RabbitBus(f"amqp://ann:{password}@127.0.0.1:1/?answer_within=2")


@asynccontextmanager
async def opened(url: str, prefix: str, **options: str) -> AsyncGenerator[RabbitBus, None]:
    told = "".join(f"&{name}={value}" for name, value in options.items())
    bus = RabbitBus(f"{url}?prefix={prefix}{told}")
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def beside(server: RabbitMQ) -> AsyncGenerator[AbstractChannel, None]:
    """The broker as any other program sees it."""
    connection = await aiormq.connect(server.url)
    try:
        yield await connection.channel(publisher_confirms=True)
    finally:
        await connection.close()


# in trouble


async def test_kill_9_in_the_middle_of_publishing_and_hearing_loses_nothing(server: RabbitMQ) -> None:
    prefix, last, killed = next(prefixes), 800, False
    async with opened(server.url, prefix) as ours, opened(server.url, prefix) as theirs:
        await ours.declare(NEWS)

        async def kill_once(at: int) -> None:
            nonlocal killed
            if at >= 320 and not killed:
                killed = True
                server.settle()
                server.kill()
                server.start(within=120)

        hearing = asyncio.create_task(hear_all(theirs, NEWS, "shipping", last))
        failures = await publish_all(ours, NEWS, last, kill_once)
        assert failures > 0
        assert await asyncio.wait_for(hearing, 120) == list(range(1, last + 1))
        assert await ours.tail(NEWS, 0) == last


async def test_a_group_whose_place_answers_nothing_any_more_hears_again(
    server: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    """As the queue of a place does that was made just before its broker was killed."""
    prefix = next(prefixes)
    async with opened(server.url, prefix, answer_within="2") as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1, 2, 3))
        assert await hear_all(bus, NEWS, "shipping", 3) == [1, 2, 3]
        server.control("eval", f"sys:suspend('%2F_{prefix}.{NEWS.name}.0@shipping').")
        await bus.publish(NEWS, 0, chain(4, 5, after=3))
        assert await asyncio.wait_for(hear_all(bus, NEWS, "shipping", 5), 120) == [1, 2, 3, 4, 5]
        assert f"{prefix}.{NEWS.name}.0@shipping answered nothing" in caplog.text
        assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping", after=4), 1)) == [5]


async def test_cuts_in_the_middle_of_publishing_and_hearing_lose_nothing(server: RabbitMQ) -> None:
    prefix, last = next(prefixes), 480
    with Proxy(server.port) as wire:
        async with opened(wire.through(server.url), prefix) as ours, opened(wire.through(server.url), prefix) as theirs:
            await ours.declare(NEWS)

            cuts: list[asyncio.Task[None]] = []

            async def cut_often(at: int) -> None:
                if at % 160 == 0:
                    wire.pause()  # what is published next has no confirmation yet when it happens
                    cuts.append(asyncio.create_task(cut()))

            async def cut() -> None:
                await asyncio.sleep(0.1)
                await asyncio.to_thread(wire.cut)
                wire.resume()

            hearing = asyncio.create_task(hear_all(theirs, NEWS, "shipping", last))
            assert await publish_all(ours, NEWS, last, cut_often) > 0
            await asyncio.gather(*cuts)
            assert await asyncio.wait_for(hearing, 120) == list(range(1, last + 1))


class LosesAnswers(Proxy):
    """Carries messages to the broker, and is cut instead of bringing the confirmations."""

    is_losing = False

    def conversation(self) -> Conversation:
        return Losing(self)


class Losing:
    def __init__(self, wire: LosesAnswers) -> None:
        self.wire = wire

    def from_client(self, data: bytes) -> Passed:
        return Passed(to_server=data)

    def from_server(self, data: bytes) -> Passed:
        return Passed(cut=lambda: None) if self.wire.is_losing else Passed(to_client=data)


async def test_what_arrives_after_its_time_is_there_before_the_tail_is_told(server: RabbitMQ) -> None:
    with Proxy(server.port) as wire:
        async with opened(wire.through(server.url), next(prefixes), answer_within="1") as bus:
            await bus.declare(NEWS)
            await bus.publish(NEWS, 0, chain(1))
            line = bus.unbroken
            wire.pause()
            with pytest.raises(BusUnavailable, match="no answer within 1 s"):
                await bus.publish(NEWS, 0, chain(2, 3, after=1))
            wire.resume()
            assert await bus.tail(NEWS, 0) == 3
            assert line is bus.unbroken, "one question that was not answered in time does not end what others do"
            await bus.publish(NEWS, 0, chain(4, after=3))
            assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 4)) == [1, 2, 3, 4]


async def test_a_message_whose_confirmation_was_lost_is_found_at_the_tail(server: RabbitMQ) -> None:
    with LosesAnswers(server.port) as wire:
        async with opened(wire.through(server.url), next(prefixes)) as bus:
            await bus.declare(NEWS)
            await bus.publish(NEWS, 0, chain(1))
            wire.is_losing = True
            with pytest.raises(BusUnavailable):
                await bus.publish(NEWS, 0, chain(2, after=1))
            wire.is_losing = False
            assert await bus.tail(NEWS, 0) == 2
            await bus.publish(NEWS, 0, chain(2, 3, after=1))
            assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 3)) == [1, 2, 3]


async def test_a_frozen_broker_is_told_of_in_time_and_serves_again_when_it_thaws(server: RabbitMQ) -> None:
    async with opened(server.url, next(prefixes), answer_within="1") as bus:
        await bus.declare(NEWS)
        server.freeze()
        began = time.monotonic()
        try:
            with pytest.raises(BusUnavailable, match="does not answer"):
                await bus.publish(NEWS, 0, chain(1))
            assert time.monotonic() - began < 5
        finally:
            server.thaw()
        assert await bus.tail(NEWS, 0) in (0, 1)
        await bus.publish(NEWS, 0, chain(1))
        assert await bus.tail(NEWS, 0) == 1


async def test_a_wrong_password_is_told_at_once(server: RabbitMQ) -> None:
    with pytest.raises(BusRefused, match="let us in") as raised:
        await RabbitBus(server.url.replace("guest@", "swordfish@")).open()
    assert "swordfish" not in str(raised.value)


async def test_a_deleted_partition_is_told_of_and_declared_again_begins_anew(server: RabbitMQ) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus, beside(server) as other:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1, 2))
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        await take(hearing, 2)
        await other.queue_delete(f"{prefix}.news.0")
        with pytest.raises(BusRefused, match="no queue"):
            await bus.publish(NEWS, 0, chain(3, after=2))
        with pytest.raises(BusRefused, match="declare"):
            await bus.tail(NEWS, 0)
        with pytest.raises(BusRefused):
            await asyncio.wait_for(hearing.receive(limit=1), 60)
        await bus.declare(NEWS)
        assert await bus.tail(NEWS, 0) == 0
        await bus.publish(NEWS, 0, chain(1, 2, 3))
        assert numbers(await take(hearing, 1)) == [3]


async def test_an_end_that_was_lost_and_sent_again_elsewhere_hides_nothing_from_a_group(server: RabbitMQ) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus, beside(server) as other:
        await bus.declare(NEWS)
        for _ in range(3):  # the relay was not sure: the group's place is behind fifteen messages
            await bus.publish(NEWS, 0, chain(*range(1, 6)))
        hearing, heard = await bus.subscribe(NEWS, 0, "shipping"), 0
        while heard < 15:
            deliveries = await hearing.receive(limit=100)
            await hearing.acknowledge(deliveries)
            heard += len(deliveries)
        await hearing.close()
        await other.queue_delete(f"{prefix}.news.0")
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(*range(1, 8)))
        again = await bus.subscribe(NEWS, 0, "shipping")
        assert numbers(await take(again, 2)) == [6, 7]


async def test_whoever_subscribes_for_a_group_is_told_to_the_one_before(server: RabbitMQ) -> None:
    prefix = next(prefixes)
    async with opened(server.url, prefix) as bus, opened(server.url, prefix) as other:
        await bus.declare(NEWS)
        first = await bus.subscribe(NEWS, 0, "shipping")
        waiting = asyncio.create_task(first.receive(limit=1))
        elsewhere = await bus.subscribe(NEWS, 0, "billing")
        second = await other.subscribe(NEWS, 0, "shipping")
        with pytest.raises(BusClosed, match="another one"):
            await asyncio.wait_for(waiting, 60)
        await bus.publish(NEWS, 0, chain(1))
        assert numbers(await take(second, 1)) == numbers(await take(elsewhere, 1)) == [1]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cloudEvents_id": "1"},
        {"cloudEvents_specversion": "1.0", "cloudEvents_id": [1, {"a": None}]},
        {"daicho-mark": 7, "x-stream-offset": "no"},
        {"cloudEvents_\u00fc": bytearray(b"\xff"), "x": {"y": [True]}},
    ],
)
async def test_what_others_put_into_a_stream_arrives_as_a_stranger(
    server: RabbitMQ, headers: dict[str, object]
) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus, beside(server) as other:
        await bus.declare(NEWS)
        properties = Basic.Properties(headers=headers)  # type: ignore[arg-type]
        await other.basic_publish(b"\xff?", exchange=f"{prefix}.news", routing_key="0", properties=properties)
        await bus.publish(NEWS, 0, chain(1))
        [stranger, ours] = await take(await bus.subscribe(NEWS, 0, "shipping"), 2)
        assert (stranger.type, stranger.data, ours.number) == ("", b"\xff?", 1)
        assert await bus.tail(NEWS, 0) == 1


async def test_the_tail_is_found_far_behind_messages_of_no_chain(server: RabbitMQ) -> None:
    async with opened(server.url, next(prefixes)) as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, [*chain(9), *(loose() for _ in range(900))])
        assert await bus.tail(NEWS, 0) == 9


async def test_tails_that_were_asked_for_are_not_heard(server: RabbitMQ) -> None:
    async with opened(server.url, next(prefixes)) as bus:
        await bus.declare(NEWS)
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        for number in (1, 2, 3):
            await bus.tail(NEWS, 0)
            await bus.publish(NEWS, 0, chain(number, after=number - 1))
        assert numbers(await take(hearing, 3)) == [1, 2, 3]
        await nothing_comes(hearing)


async def test_streams_are_made_with_the_age_and_size_of_the_url(server: RabbitMQ) -> None:
    async with opened(server.url, prefix := next(prefixes), max_age="30D", max_bytes="2000000") as bus:
        await bus.declare(NEWS)
    asked = {"x-queue-type": "stream", "x-max-age": "30D", "x-max-length-bytes": 2_000_000}
    async with beside(server) as other:
        await other.queue_declare(f"{prefix}.news.0", durable=True, arguments=asked)  # the broker compares
        with pytest.raises(ChannelPreconditionFailed):
            await other.queue_declare(f"{prefix}.news.0", durable=True, arguments=asked | {"x-max-age": "31D"})


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:opensesame@localhost",
        "amqp://ann:opensesame@localhost/one/two",
        "amqp://ann:opensesame@localhost:70000",
        "amqp://ann:opensesame@localhost?prefix={x}",
        "amqp://ann:opensesame@localhost?prefix=amq",
        "amqp://ann:opensesame@localhost?answer_within=0",
        "amqp://ann:opensesame@localhost?max_age=3weeks",
        "amqp://ann:opensesame@localhost?max_age=1D&max_age=2D",
        "amqp://ann:opensesame@localhost?colour=red",
        "amqp://ann:opensesame@localhost?cafile=/x",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse_url(url)
    assert "opensesame" not in str(raised.value)


def test_a_url_says_everything_about_the_broker() -> None:
    location = parse_url("amqps://ann:p%40ss@mq.example/shop%2Feu?prefix=shop&cafile=/ca.pem&answer_within=5")
    assert location.url == "amqps://ann:***@mq.example/shop%2Feu?prefix=shop&cafile=/ca.pem&answer_within=5"
    assert location.address.startswith("amqps://ann:p%40ss@mq.example:5671/shop%2Feu?")
    assert "cafile=%2Fca.pem" in location.address
    assert (location.prefix, location.answer_within) == ("shop", 5)
    assert parse_url("amqp://").address.startswith("amqp://guest:guest@localhost:5672/?")
