"""What our adapter and our peer say is what the publisher of Axon Server's protocol understands by it: its own Java
connector is a client of the peer, and reads and writes the same partitions."""

import base64
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from daicho.adapters.buses.axon import AxonBus
from daicho.adapters.buses.axon.protocol import MESSAGES
from daicho.ports.event_bus import BusMessage, Channel
from daicho.testing.contracts.event_bus import chain, loose, numbers, take
from tests.services.axon import AxonPeer, Judge, JudgeRefused, axon
from tests.services.axon_peer import OURS
from tests.services.find import needed, wanted
from tests.services.running import Host

pytestmark = pytest.mark.xdist_group("axon")

ORDERS = Channel("events.orders", 4)
CONTEXT = "judged"
MOMENT = 1767323045000
"""2026-01-02T03:04:05Z in milliseconds."""
aggregates = (f"basket-{n}" for n in count(1))


@pytest.fixture(scope="module")
def judged(host: Host) -> AxonPeer:
    with needed():
        return axon(host)


@pytest.fixture(scope="module")
def judge(host: Host, judged: AxonPeer) -> Iterator[Judge]:
    with wanted():
        judge = Judge(host, judged.port, CONTEXT)
    with judge:
        assert judge.ask("connected")
        yield judge


class Opened:
    """A bus on the judge's context, for the length of a block."""

    def __init__(self, server: AxonPeer) -> None:
        self._bus = AxonBus(f"{server.url}/{CONTEXT}")

    async def __aenter__(self) -> AxonBus:
        await self._bus.open()
        await self._bus.declare(ORDERS)
        return self._bus

    async def __aexit__(self, *_: object) -> None:
        await self._bus.close()


def event(aggregate: str, sequence: int, **more: Any) -> dict[str, Any]:
    """As the judge wants it to append, and shows it."""
    given = {
        "id": f"{aggregate}-{sequence}",
        "aggregate": aggregate,
        "aggregateType": "basket",
        "timestamp": MOMENT,
    }
    body = {"type": "basket.filled", "revision": "", "data": base64.b64encode(b"{}").decode()}
    return {**given, **body, "sequence": sequence, "texts": {}, "numbers": {}, **more}


# the protocol


def test_every_field_that_we_use_is_the_publishers(judge: Judge) -> None:
    for message, fields in {**MESSAGES, **OURS}.items():
        theirs = judge.ask("fields", message=message)
        ours = {name: f"{field.number} {field.kind} {field.shape}" for name, field in fields.items()}
        theirs = {name: said.replace(" one map", " map") for name, said in theirs.items()}
        assert ours.items() <= theirs.items(), message


# the peer


def test_what_the_connector_appends_it_reads_again(judge: Judge) -> None:
    name = next(aggregates)
    sent = [event(name, n, texts={"who": "ann", "注": "文"}, numbers={"n": -n}, revision="2") for n in range(7)]
    assert judge.ask("append", events=sent)
    assert judge.ask("aggregate", aggregate=name, **{"from": 0}) == sent
    assert judge.ask("aggregate", aggregate=name, **{"from": 5}) == sent[5:]
    assert judge.ask("highest", aggregate=name) == 6
    assert judge.ask("highest", aggregate="nobody") == -1


def test_the_connector_streams_more_events_than_it_first_permits(judge: Judge) -> None:
    before, name = judge.ask("last"), next(aggregates)
    sent = [event(name, n) for n in range(40)]
    assert judge.ask("append", events=sent)
    assert judge.ask("last") == before + 40
    heard = judge.ask("stream", after=before, count=40)
    assert heard == [{"token": before + n + 1, "event": each} for n, each in enumerate(sent)]
    assert judge.ask("first") == -1, "from behind it, the stream begins with the oldest event"
    [oldest] = judge.ask("stream", after=-1, count=1)
    assert oldest["token"] == 0


def test_the_connector_is_told_of_a_sequence_that_is_taken_and_nothing_is_stored(judge: Judge) -> None:
    name = next(aggregates)
    assert judge.ask("append", events=[event(name, 0)])
    for wrong in (
        [event(name, 0)],
        [event(name, 2)],
        [event(name, 1), event(name, 1)],
        [event(name, 1), event(name, 3)],
    ):
        with pytest.raises(JudgeRefused) as raised:
            judge.ask("append", events=wrong)
        assert raised.value.args[0] == "INVALID_EVENT_SEQUENCE"
    assert judge.ask("highest", aggregate=name) == 0


# the adapter


async def test_what_we_publish_the_connector_reads(judge: Judge, judged: AxonPeer) -> None:
    first = BusMessage(
        id="7b0c",
        source="orders",
        type="order.created",
        subject="order-o1",
        time="2026-01-02T03:04:05Z",
        data=b'{"sku":"pen"}',
        number=2**48 + 7,
        previous=5,
        extensions={"dataversion": "2", "correlationid": "c1"},
    )
    before = judge.ask("last")
    async with Opened(judged) as bus:
        await bus.publish(ORDERS, 1, [first, loose(id="b")])
    [one, two] = judge.ask("aggregate", aggregate="daicho:events.orders/1", **{"from": 0})
    assert one == {
        "id": "7b0c",
        "aggregate": "daicho:events.orders/1",
        "sequence": 0,
        "aggregateType": "events.orders",
        "timestamp": MOMENT,
        "type": "order.created",
        "revision": "2",
        "data": base64.b64encode(b'{"sku":"pen"}').decode(),
        "texts": {
            "ce_specversion": "1.0",
            "ce_id": "7b0c",
            "ce_source": "orders",
            "ce_type": "order.created",
            "ce_subject": "order-o1",
            "ce_time": "2026-01-02T03:04:05Z",
            "ce_datacontenttype": "application/json",
            "ce_chainnumber": str(2**48 + 7),
            "ce_chainprevious": "5",
            "ce_dataversion": "2",
            "ce_correlationid": "c1",
        },
        "numbers": {"daicho_chain": 2**48 + 7},
    }
    assert (two["sequence"], two["numbers"]) == (1, {"daicho_chain": 2**48 + 7})
    streamed = judge.ask("stream", after=before, count=judge.ask("last") - before)
    assert [each["event"] for each in streamed if each["event"]["aggregateType"] == "events.orders"] == [one, two]


async def test_what_the_connector_appends_to_a_partition_we_hear(judge: Judge, judged: AxonPeer) -> None:
    texts = {"specversion": "1.0", "id": "e-8", "source": "billing", "type": "invoice.sent", "subject": "i-1"}
    texts |= {"time": "2026-01-02T03:04:05Z", "chainnumber": "8", "chainprevious": "3", "dataversion": "1"}
    async with Opened(judged) as bus:
        await bus.publish(ORDERS, 2, chain(3))
        hearing = await bus.subscribe(ORDERS, 2, "shipping")
        assert numbers(await take(hearing, 1)) == [3]
        theirs = event(
            "daicho:events.orders/2",
            1,
            aggregateType="events.orders",
            type="invoice.sent",
            data=base64.b64encode(b'{"total":7}').decode(),
            texts={f"ce_{name}": value for name, value in texts.items()},
            numbers={"daicho_chain": 8},
        )
        assert judge.ask("append", events=[theirs, event("daicho:events.orders/2", 2, aggregateType="events.orders")])
        [heard, stranger] = [delivery.message for delivery in await hearing.receive(limit=10)]
        assert heard == BusMessage(
            id="e-8",
            source="billing",
            type="invoice.sent",
            subject="i-1",
            time="2026-01-02T03:04:05Z",
            data=b'{"total":7}',
            number=8,
            previous=3,
            extensions={"dataversion": "1"},
        )
        assert (stranger.type, stranger.data) == ("", b"{}"), "no message of ours; the caller puts it aside"
        assert await bus.tail(ORDERS, 2) == 8, "a stranger does not hide the tail"
        await bus.publish(ORDERS, 2, chain(8, 9, after=3))
        assert numbers(await take(hearing, 1)) == [9]
        again = await bus.subscribe(ORDERS, 2, "shipping", after=3)
        assert numbers([d.message for d in await again.receive(limit=10)]) == [8, 0, 9]


async def test_a_partition_that_the_connector_appended_to_is_published_to_behind_that(
    judge: Judge, judged: AxonPeer
) -> None:
    async with Opened(judged) as bus:
        await bus.publish(ORDERS, 3, chain(1))
        assert judge.ask("append", events=[event("daicho:events.orders/3", 1, aggregateType="events.orders")])
        await bus.publish(ORDERS, 3, chain(1, 2))
    there = judge.ask("aggregate", aggregate="daicho:events.orders/3", **{"from": 0})
    assert [each["texts"].get("ce_chainnumber") for each in there] == ["1", None, "2"]
