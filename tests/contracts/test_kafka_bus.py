"""Kafka keeps the contract of a bus, and its promises through kill -9, cuts and lost confirmations."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition, admin

from daicho.adapters.buses.kafka import KafkaBus, parse_url, topic_of
from daicho.core.errors import BadUrl, BusClosed, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusAbilities, Channel
from daicho.testing.contracts import EventBusContract
from daicho.testing.contracts.event_bus import chain, loose, numbers, take
from tests.contracts.chains import hear_all, publish_all
from tests.services.find import needed
from tests.services.guard import happens
from tests.services.kafka import Kafka
from tests.services.kafka import kafka as start
from tests.services.proxy import Conversation, Passed, Proxy
from tests.services.running import Host

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kafka")]

NEWS = Channel("news")
prefixes = (f"t{number}" for number in count(1))


class LosesAnswers(Proxy):
    """Carries messages to the broker, and is cut instead of bringing the confirmations."""

    is_losing = False

    def conversation(self) -> Conversation:
        return Losing(self)


class Losing:
    def __init__(self, wire: LosesAnswers) -> None:
        self.wire, self.is_next = wire, False

    def from_client(self, data: bytes) -> Passed:
        self.is_next = self.wire.is_losing and b"ce_specversion" in data
        return Passed(to_server=data)

    def from_server(self, data: bytes) -> Passed:
        if not self.is_next:
            return Passed(to_client=data)
        self.wire.is_losing = False
        return Passed(cut=lambda: None)


@pytest.fixture(scope="module")
def wire() -> Iterator[LosesAnswers]:
    """The way that clients are told to take: Kafka says itself where it is."""
    with LosesAnswers(0) as wire:
        yield wire


@pytest.fixture(scope="module")
def server(host: Host, wire: LosesAnswers) -> Iterator[Kafka]:
    """Shared: who breaks it mends it."""
    with needed():
        server = start(host, reached_at=wire.port)
    wire.target_port = server.port
    yield server
    server.stop()


@pytest.fixture(scope="module")
def administrator(server: Kafka) -> Any:
    """The cluster as any other program sees it."""
    untyped: Any = admin
    return untyped.AdminClient({"bootstrap.servers": server.servers, "log_level": 0})


class TestKafka(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)
    most_bytes = 1_000_000
    server: ClassVar[Kafka]
    prefix: ClassVar[str]

    @pytest.fixture(autouse=True)
    def place(self, server: Kafka) -> None:
        type(self).server, type(self).prefix = server, next(prefixes)

    def make(self, tmp_path: Path) -> KafkaBus:
        return KafkaBus(f"{self.server.url}?prefix={self.prefix}")

    def make_away(self, password: str) -> KafkaBus:
        return KafkaBus(f"kafka://ann:{password}@127.0.0.1:1?answer_within=2")


@asynccontextmanager
async def opened(url: str, prefix: str, **options: str) -> AsyncGenerator[KafkaBus, None]:
    told = "".join(f"&{name}={value}" for name, value in options.items())
    bus = KafkaBus(f"{url}?prefix={prefix}{told}")
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


# in trouble


async def test_kill_9_in_the_middle_of_publishing_and_hearing_loses_nothing(server: Kafka) -> None:
    prefix, last, killed = next(prefixes), 2000, False
    async with (
        opened(server.url, prefix, answer_within="3") as ours,
        opened(server.url, prefix, answer_within="3") as theirs,
    ):
        await ours.declare(NEWS)

        async def kill_once(at: int) -> None:
            nonlocal killed
            if at >= 800 and not killed:
                killed = True
                server.kill()
                with pytest.raises(BusUnavailable):
                    await ours.publish(NEWS, 0, chain(at + 1, after=at))
                server.start(within=120)

        hearing = asyncio.create_task(hear_all(theirs, NEWS, "shipping", last))
        await publish_all(ours, NEWS, last, kill_once)
        assert await asyncio.wait_for(hearing, 120) == list(range(1, last + 1))
        assert await ours.tail(NEWS, 0) == last


async def test_cuts_in_the_middle_of_publishing_and_hearing_lose_nothing(server: Kafka, wire: LosesAnswers) -> None:
    prefix, last = next(prefixes), 2000
    async with opened(server.url, prefix) as ours, opened(server.url, prefix) as theirs:
        await ours.declare(NEWS)

        async def cut_often(at: int) -> None:
            if at % 400 == 0:
                await asyncio.to_thread(wire.cut)

        hearing = asyncio.create_task(hear_all(theirs, NEWS, "shipping", last))
        await publish_all(ours, NEWS, last, cut_often)
        assert await asyncio.wait_for(hearing, 120) == list(range(1, last + 1))


async def test_a_message_whose_confirmation_was_lost_is_there_once(server: Kafka, wire: LosesAnswers) -> None:
    async with opened(server.url, next(prefixes)) as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1))
        wire.is_losing = True
        await bus.publish(NEWS, 0, chain(2, after=1))
        assert not wire.is_losing, "an answer was lost"
        await bus.publish(NEWS, 0, chain(3, after=2))
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        heard: list[int] = []
        while 3 not in heard:
            heard += numbers([each.message for each in await hearing.receive(limit=10)])
        assert heard == [1, 2, 3]


async def test_a_frozen_broker_is_told_of_in_time_and_serves_again_when_it_thaws(server: Kafka) -> None:
    async with opened(server.url, prefix := next(prefixes), answer_within="1") as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1))
        server.freeze()
        began = time.monotonic()
        try:
            with pytest.raises(BusUnavailable, match="does not answer"):
                await bus.publish(NEWS, 0, chain(2, after=1))
            with pytest.raises(BusUnavailable):
                await bus.tail(NEWS, 0)
            assert time.monotonic() - began < 6
        finally:
            server.thaw()
    # its own controller has given it up meanwhile: a partition without a leader is waited for
    async with opened(server.url, prefix, answer_within="30") as again:
        at = await again.tail(NEWS, 0)
        assert at in (1, 2)
        await again.publish(NEWS, 0, chain(2, 3, after=1))
        assert await again.tail(NEWS, 0) == 3


async def test_a_partition_without_a_leader_is_waited_for_and_the_others_are_heard(host: Host) -> None:
    first = start(host)
    second = start(host, beside=first)
    client: Any = admin.AdminClient({"bootstrap.servers": first.servers, "log_level": 0})
    two, topic = Channel("news", 2), topic_of("news", prefix := next(prefixes))

    def leaders() -> list[int]:
        return [
            partition.leader
            for _, partition in sorted(client.list_topics(topic, timeout=5).topics[topic].partitions.items())
        ]

    try:
        assert happens(lambda: len(client.list_topics(timeout=5).brokers) == 2, within=60)
        each_on_its_own: Any = {"num_partitions": 2, "replica_assignment": [[1], [2]]}
        client.create_topics([admin.NewTopic(topic, **each_on_its_own)])[topic].result(20)
        async with opened(first.url, prefix, answer_within="20") as bus:
            await bus.declare(two)
            for partition in (0, 1):
                await bus.publish(two, partition, chain(1))
        second.kill()
        assert happens(lambda: leaders() == [1, -1], within=60)
        async with opened(first.url, prefix, answer_within="3") as bus:
            assert await bus.tail(two, 0) == 1
            assert numbers(await take(await bus.subscribe(two, 0, "shipping"), 1)) == [1]
            with pytest.raises(BusUnavailable, match="does not answer"):
                await bus.tail(two, 1)
            with pytest.raises(BusUnavailable, match="does not answer"):
                await bus.subscribe(two, 1, "shipping")
        async with opened(first.url, prefix, answer_within="120") as bus:
            asked = asyncio.create_task(bus.tail(two, 1))
            await asyncio.sleep(0.5)
            assert not asked.done()
            second.start(within=120)
            assert await asked == 1
    finally:
        second.stop()
        first.stop()


async def test_a_deleted_topic_is_told_of_and_declared_again_begins_anew(server: Kafka, administrator: Any) -> None:
    async with opened(server.url, prefix := next(prefixes), answer_within="5") as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(*range(1, 6)))
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        await take(hearing, 5)
        await hearing.close()
        administrator.delete_topics([f"{prefix}.news"])[f"{prefix}.news"].result(10)
        with pytest.raises((BusRefused, BusUnavailable)):
            await bus.publish(NEWS, 0, chain(6, after=5))
        await bus.declare(NEWS)
        assert await bus.tail(NEWS, 0) == 0
        await bus.publish(NEWS, 0, chain(*range(1, 8)))
        assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 2))[-2:] in ([1, 2], [6, 7])


@pytest.mark.parametrize(
    "offset", [15, 3], ids=["the log is shorter than the place", "another message is before the place"]
)
async def test_an_end_that_was_lost_and_sent_again_elsewhere_hides_nothing_from_a_group(
    server: Kafka, offset: int
) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(*range(1, 8)))
        await (await bus.subscribe(NEWS, 0, "shipping")).close()
        group = Consumer({"bootstrap.servers": server.servers, "group.id": f"{prefix}.shipping", "log_level": 0})
        place = TopicPartition(f"{prefix}.news", 0, offset, '{"hearer":"before","number":5,"id":"event-5"}')
        await asyncio.to_thread(lambda: group.commit(offsets=[place], asynchronous=False))
        await asyncio.to_thread(group.close)
        assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 2)) == [6, 7]


async def test_whoever_subscribes_for_a_group_is_told_to_the_one_before(server: Kafka) -> None:
    prefix = next(prefixes)
    async with opened(server.url, prefix) as bus, opened(server.url, prefix) as other:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1, 2))
        first = await bus.subscribe(NEWS, 0, "shipping")
        early = await first.receive(limit=1)
        second = await other.subscribe(NEWS, 0, "shipping")
        with pytest.raises(BusClosed, match="another one"):
            await first.acknowledge(early)
        with pytest.raises(BusClosed, match="another one"):
            await first.receive(limit=1)
        assert numbers(await take(second, 2)) == [1, 2]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_id", b"1")],
        [("ce_specversion", b"1.0"), ("ce_specversion", b"1.0")],
        [("ce_id", None), ("\u00fc", b"\xff")],
    ],
)
async def test_what_others_write_into_a_topic_arrives_as_a_stranger(server: Kafka, headers: Any) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus:
        await bus.declare(NEWS)
        producer = Producer({"bootstrap.servers": server.servers, "log_level": 0})
        producer.produce(f"{prefix}.news", b"\xff?", partition=0, headers=headers)
        producer.produce(f"{prefix}.news", None, partition=0)
        assert await asyncio.to_thread(producer.flush, 10) == 0
        await bus.publish(NEWS, 0, chain(1))
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        heard: list[tuple[str, bytes, int]] = []
        while len(heard) < 3:
            heard += [
                (each.message.type, each.message.data, each.message.number) for each in await hearing.receive(limit=9)
            ]
        assert heard == [("", b"\xff?", 0), ("", b"", 0), ("tested", b'{"n":1}', 1)]
        assert await bus.tail(NEWS, 0) == 1


async def test_what_an_aborted_transaction_wrote_is_neither_heard_nor_the_tail(server: Kafka) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1))
        producer = Producer({"bootstrap.servers": server.servers, "transactional.id": prefix, "log_level": 0})

        def abort() -> None:
            producer.init_transactions(20)
            producer.begin_transaction()
            headers = {"ce_specversion": "1.0", "ce_id": "x", "ce_source": "x", "ce_type": "x", "ce_subject": "x"}
            place = {"ce_time": "2026-01-02T03:04:05Z", "ce_chainnumber": "9", "ce_chainprevious": "1"}
            producer.produce(f"{prefix}.news", b"never", partition=0, headers=headers | place)
            producer.flush(10)
            producer.abort_transaction(10)

        await asyncio.to_thread(abort)
        assert await bus.tail(NEWS, 0) == 1
        await bus.publish(NEWS, 0, chain(2, after=1))
        assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 2)) == [1, 2]


async def test_the_tail_is_found_far_behind_messages_of_no_chain(server: Kafka) -> None:
    async with opened(server.url, next(prefixes)) as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, [*chain(9), *(loose() for _ in range(900))])
        assert await bus.tail(NEWS, 0) == 9


async def test_a_tail_that_is_no_longer_kept_cannot_be_told(server: Kafka, administrator: Any) -> None:
    async with opened(server.url, prefix := next(prefixes)) as bus:
        await bus.declare(NEWS)
        await bus.publish(NEWS, 0, chain(1, 2))
        place = TopicPartition(f"{prefix}.news", 0, 2)
        await asyncio.to_thread(lambda: administrator.delete_records([place])[place].result(10))
        assert await bus.tail(NEWS, 0) is None
        await bus.publish(NEWS, 0, chain(3, after=2))
        assert await bus.tail(NEWS, 0) == 3
        assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 1)) == [3]


async def test_topics_are_made_to_keep_everything_or_as_the_url_says(server: Kafka, administrator: Any) -> None:
    untyped: Any = admin
    for options, expected in (({}, "-1"), ({"max_age": "3600"}, "3600000")):
        async with opened(server.url, prefix := next(prefixes), **options) as bus:
            await bus.declare(NEWS)
        which = untyped.ConfigResource(untyped.ConfigResource.Type.TOPIC, f"{prefix}.news")
        found = await asyncio.to_thread(lambda w=which: administrator.describe_configs([w])[w].result(10))
        assert found["retention.ms"].value == expected


# names and URLs


def test_channels_become_topics_that_kafka_can_tell_apart() -> None:
    assert topic_of("events.orders") == "events.orders"
    assert topic_of("a_b-c", "shop") == "shop.a-ub--c"


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:opensesame@localhost",
        "kafka://ann:opensesame@localhost/topic",
        "kafka://ann:opensesame@local host",
        "kafka://ann:opensesame@a,,b",
        "kafka://ann:opensesame@localhost?prefix={x}",
        "kafka://ann:opensesame@localhost?answer_within=0",
        "kafka://ann:opensesame@localhost?replication=some",
        "kafka://ann:opensesame@localhost?tls=yes&tls=no",
        "kafka://ann:opensesame@localhost?tls=perhaps",
        "kafka://ann:opensesame@localhost?colour=red",
        "kafka://ann:opensesame@localhost?tls=no&cafile=/x",
        "kafka://ann:opensesame@localhost?sasl=ROT13",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse_url(url)
    assert "opensesame" not in str(raised.value)


def test_a_url_says_everything_about_the_cluster() -> None:
    location = parse_url("kafka://ann:p%40ss@one,two:9093?prefix=shop&sasl=SCRAM-SHA-512&cafile=/ca.pem&replication=3")
    assert location.url == ("kafka://ann:***@one,two:9093?prefix=shop&sasl=SCRAM-SHA-512&cafile=/ca.pem&replication=3")
    assert location.client == {
        "bootstrap.servers": "one:9092,two:9093",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": "/ca.pem",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ann",
        "sasl.password": "p@ss",
    }
    assert (location.prefix, location.replication, location.max_age) == ("shop", 3, None)
    assert parse_url("kafka://").client == {
        "bootstrap.servers": "localhost:9092",
        "security.protocol": "PLAINTEXT",
    }
