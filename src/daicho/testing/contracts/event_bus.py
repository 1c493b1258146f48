"""The contract of `daicho.ports.event_bus.EventBus`: nothing confirmed is missing, and nothing is out of order.

class TestMyBus(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)

    def make(self, tmp_path):
        return MyBus(f"my://127.0.0.1:1234?prefix={tmp_path.name}")

    def make_away(self, password):
        return MyBus(f"my://user:{password}@127.0.0.1:1")
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daicho.core.errors import BusClosed, BusError, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusAbilities, BusMessage, BusSubscription, Channel, EventBus
from daicho.testing.contracts.base import HOSTILE, fresh_id, soon

__all__ = ["EventBusContract", "chain", "loose", "numbers", "take"]

ORDERS = Channel("events.orders", 4)
A_WORD = "opensesame"


def loose(type: str = "tested", **attributes: Any) -> BusMessage:
    """A message that is part of no chain, with an id of its own."""
    given: dict[str, Any] = {
        "id": fresh_id(),
        "source": "orders",
        "subject": "order-1",
        "time": "2026-01-02T03:04:05.000001+00:00",
        "data": b'{"n":1}',
    }
    return BusMessage(type=type, **{**given, **attributes})


def chain(*places: int, after: int = 0) -> list[BusMessage]:
    """Messages with these numbers, each following the one before."""
    before = (after, *places)
    return [loose(number=n, previous=p, id=f"event-{n}") for p, n in zip(before, places, strict=False)]


def numbers(messages: Sequence[BusMessage]) -> list[int]:
    return [message.number for message in messages]


async def take(subscription: BusSubscription, count: int, *, acknowledge: bool = True) -> list[BusMessage]:
    """The next so many messages, with repeats left out, as far as they can be told."""
    heard: dict[str, BusMessage] = {}
    async with asyncio.timeout(20):
        while len(heard) < count:
            deliveries = await subscription.receive(limit=count - len(heard))
            for delivery in deliveries:
                heard.setdefault(delivery.message.id, delivery.message)
            if acknowledge:
                await subscription.acknowledge(deliveries)
    return list(heard.values())


_METHODS: dict[str, Callable[[EventBus], Awaitable[object]]] = {
    "declare": lambda bus: bus.declare(ORDERS),
    "tail": lambda bus: bus.tail(ORDERS, 0),
    "publish": lambda bus: bus.publish(ORDERS, 0, chain(1)),
    "subscribe": lambda bus: bus.subscribe(ORDERS, 0, "shipping"),
    "examine": lambda bus: bus.examine(),
}


@pytest.mark.daicho
class EventBusContract:
    """Derive a test class, say how to make your bus, and everything here runs on it."""

    abilities: ClassVar[BusAbilities]
    """What your bus says of itself once it is open; the tests that apply follow from it."""
    most_bytes: ClassVar[int | None] = None
    """Of data that is taken; one byte more than twice of it is refused. None: there is no limit worth a test."""
    patience: ClassVar[float] = 15.0
    """Seconds after which a broker that does not answer must have been told of."""

    def make(self, tmp_path: Path) -> EventBus:
        """A bus, not yet opened. Every call with the same `tmp_path` leads to the same place, empty at first."""
        raise NotImplementedError(f"{type(self).__name__} has to say how to make its bus: override `make`")

    def make_away(self, password: str) -> EventBus | None:
        """A bus at an address where no broker listens, with a URL that contains the password. None: it needs none."""
        raise NotImplementedError(f"{type(self).__name__} has to say where no broker is: override `make_away`")

    @pytest.fixture
    def bus(self, daicho_loop: asyncio.Runner, tmp_path: Path) -> Iterator[EventBus]:
        """An empty bus, opened in the loop that the test runs in, with a channel of four partitions."""
        made = self.make(tmp_path)
        daicho_loop.run(made.open())
        daicho_loop.run(made.declare(ORDERS))
        yield made
        daicho_loop.run(made.close())

    @pytest.fixture
    def other(self, daicho_loop: asyncio.Runner, tmp_path: Path, bus: EventBus) -> Iterator[EventBus]:
        """A second bus opened on the place of `bus`, as another process has it."""
        made = self.make(tmp_path)
        daicho_loop.run(made.open())
        yield made
        daicho_loop.run(made.close())

    # what it says of itself

    async def test_a_bus_has_the_abilities_that_are_declared(self, bus: EventBus) -> None:
        assert bus.abilities == self.abilities

    async def test_a_bus_that_is_well_says_so(self, bus: EventBus) -> None:
        findings = await bus.examine()
        assert findings
        assert all(finding.what and finding.detail for finding in findings)
        assert all(finding.do for finding in findings if not finding.ok)
        assert bus.describe()["broker"]
        assert "durability" in bus.describe()

    # what arrives

    async def test_a_message_arrives_as_it_was_sent(self, bus: EventBus) -> None:
        sent = loose(
            "order.created",
            id="7b0c",
            source="orders",
            subject="order-o1",
            time="2026-01-02T03:04:05Z",
            data=b'{"sku":"pen"}',
            content_type="application/json",
            number=2**48 + 7,
            previous=5,
            extensions={"traceparent": "00-4bf92f35-00f067aa-01", "correlationid": "c1", "dataversion": "2"},
        )
        await bus.publish(ORDERS, 1, [sent])
        assert await take(await bus.subscribe(ORDERS, 1, "shipping"), 1) == [sent]

    async def test_any_text_arrives_as_it_is(self, bus: EventBus) -> None:
        sent = [
            loose(text, id=f"{n} {text}", source=text, subject=text, extensions={"note": text})
            for n, text in enumerate(HOSTILE)
        ]
        await bus.publish(ORDERS, 0, sent)
        assert await take(await bus.subscribe(ORDERS, 0, "shipping"), len(sent)) == sent

    async def test_any_bytes_arrive_as_they_are(self, bus: EventBus) -> None:
        bodies = [b"", b"\0", bytes(range(256)), b"\r\n\r\nNATS/1.0\r\n", b"\xff\xfe", b"x" * 100_000]
        sent = [loose(data=body, content_type="application/octet-stream; a=b") for body in bodies]
        await bus.publish(ORDERS, 0, sent)
        assert await take(await bus.subscribe(ORDERS, 0, "shipping"), len(sent)) == sent

    async def test_messages_arrive_in_the_order_in_which_they_were_published(self, bus: EventBus) -> None:
        sent = chain(*range(1, 701))
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        for start in (0, 1, 2, 100, 400):
            end = {0: 1, 1: 2, 2: 100, 100: 400, 400: 700}[start]
            await bus.publish(ORDERS, 0, sent[start:end])
        assert await take(hearing, 700) == sent

    async def test_nothing_is_published_of_nothing(self, bus: EventBus) -> None:
        await bus.publish(ORDERS, 0, [])
        assert await bus.tail(ORDERS, 0) in (0, None)

    async def test_messages_of_one_partition_are_not_heard_in_another(self, bus: EventBus) -> None:
        for partition in range(4):
            await bus.publish(ORDERS, partition, chain(10 + partition))
        for partition in range(4):
            hearing = await bus.subscribe(ORDERS, partition, "shipping")
            assert numbers(await take(hearing, 1)) == [10 + partition]
            await nothing_comes(hearing)

    async def test_channels_whose_names_are_alike_are_apart(self, bus: EventBus) -> None:
        channels = [Channel(name) for name in ("a.b", "a-b", "a_b", "A.b", "a.b.c", "ab", "a.b_0", "a_2e_b", "a--b")]
        for n, channel in enumerate(channels, 1):
            await bus.declare(channel)
            await bus.publish(channel, 0, chain(n))
        for n, channel in enumerate(channels, 1):
            hearing = await bus.subscribe(channel, 0, "shipping")
            assert numbers(await take(hearing, 1)) == [n]
            await nothing_comes(hearing)

    async def test_publishers_of_several_partitions_do_not_wait_for_each_other(self, bus: EventBus) -> None:
        sent = {partition: chain(*range(1, 101)) for partition in range(4)}
        await asyncio.gather(*(bus.publish(ORDERS, partition, each) for partition, each in sent.items()))
        for partition, each in sent.items():
            assert await take(await bus.subscribe(ORDERS, partition, "shipping"), 100) == each

    async def test_a_message_heard_by_one_bus_was_published_by_another(self, bus: EventBus, other: EventBus) -> None:
        hearing = await other.subscribe(ORDERS, 0, "shipping")
        waiting = asyncio.create_task(take(hearing, 1))
        await asyncio.sleep(0)
        await bus.publish(ORDERS, 0, chain(1))
        assert numbers(await waiting) == [1]

    async def test_chains_and_loose_messages_may_share_a_partition(self, bus: EventBus) -> None:
        sent = [loose(id="a"), *chain(3), loose(id="b"), loose(id="c"), *chain(9, after=3), loose(id="d")]
        for message in sent:
            await bus.publish(ORDERS, 0, [message])
        assert await take(await bus.subscribe(ORDERS, 0, "shipping"), 6) == sent

    # groups and their places

    async def test_every_group_hears_everything(self, bus: EventBus) -> None:
        await bus.publish(ORDERS, 0, chain(1, 2))
        for group in ("shipping", "billing", "a.b", "a-b", "a_b", "注文", "x" * 100, "*", "a>b c"):
            assert numbers(await take(await bus.subscribe(ORDERS, 0, group), 2)) == [1, 2]

    async def test_a_group_that_comes_late_hears_what_was_kept(self, bus: EventBus) -> None:
        first = await bus.subscribe(ORDERS, 0, "shipping")
        await bus.publish(ORDERS, 0, chain(1, 2))
        await take(first, 2)
        if self.abilities.keeps:
            assert numbers(await take(await bus.subscribe(ORDERS, 0, "billing"), 2)) == [1, 2]

    async def test_a_group_goes_on_where_it_acknowledged(self, bus: EventBus, other: EventBus) -> None:
        await bus.publish(ORDERS, 0, chain(1, 2, 3, 4))
        first = await bus.subscribe(ORDERS, 0, "shipping")
        assert numbers(await take(first, 2)) == [1, 2]
        await first.close()
        second = await other.subscribe(ORDERS, 0, "shipping")
        assert numbers(await take(second, 2)) == [3, 4]
        await second.close()
        await bus.publish(ORDERS, 0, chain(5, after=4))
        assert numbers(await take(await bus.subscribe(ORDERS, 0, "shipping"), 1)) == [5]

    async def test_what_was_not_acknowledged_comes_again_at_once_in_its_order(
        self, bus: EventBus, other: EventBus
    ) -> None:
        await bus.publish(ORDERS, 0, chain(1, 2, 3, 4))
        first = await bus.subscribe(ORDERS, 0, "shipping")
        [delivery, *_] = await soon(first.receive(limit=1))
        assert numbers(await take(first, 2, acknowledge=False)) == [2, 3]
        await first.acknowledge([delivery])
        await first.close()
        second = await other.subscribe(ORDERS, 0, "shipping")
        assert numbers(await take(second, 3)) == [2, 3, 4]

    async def test_the_last_who_subscribes_hears_all_that_was_not_acknowledged(
        self, bus: EventBus, other: EventBus
    ) -> None:
        first = await bus.subscribe(ORDERS, 0, "shipping")
        await bus.publish(ORDERS, 0, chain(1, 2, 3))
        await take(first, 1)
        await take(first, 1, acknowledge=False)
        hanging = asyncio.create_task(first.receive(limit=10))  # it was killed, or thinks that it still hears
        second = await other.subscribe(ORDERS, 0, "shipping")
        await bus.publish(ORDERS, 0, chain(4, 5, after=3))
        assert numbers(await take(second, 4)) == [2, 3, 4, 5]
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)

    async def test_acknowledgments_of_an_earlier_subscriber_take_nothing_from_the_last(
        self, bus: EventBus, other: EventBus
    ) -> None:
        await bus.publish(ORDERS, 0, chain(1, 2, 3))
        first = await bus.subscribe(ORDERS, 0, "shipping")
        early = await soon(first.receive(limit=1))
        second = await other.subscribe(ORDERS, 0, "shipping")
        assert numbers(await take(second, 2)) == [1, 2]
        with contextlib.suppress(BusError):  # it may be told, and need not be
            await first.acknowledge(early)
        await second.close()
        third = await bus.subscribe(ORDERS, 0, "shipping")
        assert numbers(await take(third, 1))[0] in (2, 3), "the place went on from 2, or back to 1 at the worst"

    async def test_a_place_may_be_chosen_where_messages_are_kept(self, bus: EventBus, other: EventBus) -> None:
        if not self.abilities.keeps:
            return
        await bus.publish(ORDERS, 0, chain(5, 7, 9))
        await take(await bus.subscribe(ORDERS, 0, "shipping"), 3)
        for after, due in ((0, [5, 7, 9]), (4, [5, 7, 9]), (5, [7, 9]), (6, [7, 9]), (8, [9])):
            hearing = await other.subscribe(ORDERS, 0, "shipping", after=after)
            assert numbers(await take(hearing, len(due), acknowledge=False)) == due
            await hearing.close()
        end = await other.subscribe(ORDERS, 0, "shipping", after=9)
        await nothing_comes(end)
        await bus.publish(ORDERS, 0, chain(12, after=9))
        assert numbers(await take(end, 1)) == [12]

    async def test_a_reception_that_was_given_up_took_nothing(self, bus: EventBus) -> None:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        for turn in range(8):
            waiting = asyncio.create_task(hearing.receive(limit=10))
            for _ in range(turn):
                await asyncio.sleep(0)
            publishing = asyncio.create_task(bus.publish(ORDERS, 0, chain(turn + 1, after=turn)))
            for _ in range(turn):
                await asyncio.sleep(0)
            waiting.cancel()
            [heard] = await asyncio.gather(waiting, return_exceptions=True)
            await publishing
            found = [] if isinstance(heard, BaseException) else numbers([each.message for each in heard])
            assert (found or numbers(await take(hearing, 1))) == [turn + 1]

    async def test_a_slow_hearer_gets_everything_in_pieces(self, bus: EventBus) -> None:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        sent = chain(*range(1, 401))
        publishing = asyncio.create_task(bus.publish(ORDERS, 0, sent))
        heard: list[BusMessage] = []
        while len(heard) < len(sent):
            deliveries = await soon(hearing.receive(limit=7))
            assert 1 <= len(deliveries) <= 7
            heard += [delivery.message for delivery in deliveries]
            await asyncio.sleep(0)
            await hearing.acknowledge(deliveries)
        await publishing
        assert heard == sent

    # the tail

    async def test_the_tail_is_the_number_of_the_last_message_of_a_chain(self, bus: EventBus, other: EventBus) -> None:
        if not self.abilities.tells_tail:
            assert await bus.tail(ORDERS, 0) is None
            return
        assert await bus.tail(ORDERS, 0) == 0
        await bus.publish(ORDERS, 0, chain(3, 7))
        await bus.publish(ORDERS, 1, chain(2**48 + 1))
        assert [await other.tail(ORDERS, partition) for partition in range(3)] == [7, 2**48 + 1, 0]
        await take(await bus.subscribe(ORDERS, 0, "shipping"), 2)
        assert await bus.tail(ORDERS, 0) == 7, "hearing changes nothing"

    async def test_messages_of_no_chain_do_not_hide_the_tail(self, bus: EventBus) -> None:
        if self.abilities.tells_tail:
            await bus.publish(ORDERS, 0, [*chain(3), *(loose() for _ in range(30))])
            assert await bus.tail(ORDERS, 0) == 3

    async def test_sending_again_is_harmless(self, bus: EventBus) -> None:
        sent = chain(*range(1, 6))
        await bus.publish(ORDERS, 0, sent[:3])
        await bus.publish(ORDERS, 0, sent[1:])
        assert await bus.tail(ORDERS, 0) in (5, None)
        assert await take(await bus.subscribe(ORDERS, 0, "shipping"), 5) == sent

    # channels

    async def test_a_channel_may_be_declared_by_everybody(self, bus: EventBus, other: EventBus) -> None:
        await bus.publish(ORDERS, 0, chain(1))
        await asyncio.gather(*(each.declare(ORDERS) for each in (bus, other, bus, other)))
        assert numbers(await take(await other.subscribe(ORDERS, 0, "shipping"), 1)) == [1]

    async def test_a_channel_cannot_be_cut_anew(self, bus: EventBus, other: EventBus) -> None:
        for partitions in (2, 8):
            with pytest.raises(BusRefused):
                await other.declare(Channel(ORDERS.name, partitions))
        await bus.declare(ORDERS)

    @pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "a/b", "a>b", "*", "注文", "a\n", "x" * 151, "a."])
    async def test_a_channel_of_an_impossible_name_is_refused(self, bus: EventBus, name: str) -> None:
        with pytest.raises(BusRefused):
            await bus.declare(Channel(name))

    async def test_a_channel_that_was_not_declared_is_refused(self, bus: EventBus) -> None:
        strange = Channel("events.nobody", 2)
        with pytest.raises(BusRefused):
            await bus.publish(strange, 0, chain(1))
        with pytest.raises(BusRefused):
            await bus.subscribe(strange, 0, "shipping")
        with pytest.raises(BusRefused):
            await bus.tail(strange, 0)

    async def test_a_partition_that_does_not_exist_is_refused(self, bus: EventBus) -> None:
        for partition in (-1, 4):
            with pytest.raises(BusRefused):
                await bus.publish(ORDERS, partition, chain(1))
            with pytest.raises(BusRefused):
                await bus.subscribe(ORDERS, partition, "shipping")

    # refusals

    @pytest.mark.parametrize(
        "wrong",
        [
            loose(id=""),
            loose(""),
            loose(time="yesterday"),
            loose(extensions={"Upper": "a"}),
            loose(extensions={"id": "another"}),
            loose(number=3, previous=3),
            loose(subject="x" * 40_000),
        ],
        ids=["no id", "no type", "no time", "a name in capitals", "a name that is taken", "no chain", "too long"],
    )
    async def test_what_is_no_cloudevent_is_refused_and_nothing_is_taken(
        self, bus: EventBus, wrong: BusMessage
    ) -> None:
        with pytest.raises(BusRefused):
            await bus.publish(ORDERS, 0, [*chain(1), wrong])
        await bus.publish(ORDERS, 0, chain(2))
        assert numbers(await take(await bus.subscribe(ORDERS, 0, "shipping"), 1)) == [2]

    async def test_a_message_that_is_too_large_is_refused_and_the_next_one_taken(self, bus: EventBus) -> None:
        if self.most_bytes is None:
            return
        await bus.publish(ORDERS, 0, [loose(id="fits", data=b"x" * (self.most_bytes - 10_000))])
        with pytest.raises(BusRefused):
            await bus.publish(ORDERS, 0, [loose(data=b"x" * (2 * self.most_bytes + 1))])
        await bus.publish(ORDERS, 0, [loose(id="next")])
        heard = await take(await bus.subscribe(ORDERS, 0, "shipping"), 2)
        assert [message.id for message in heard] == ["fits", "next"]

    # life

    async def test_a_bus_that_is_closed_says_so(self, bus: EventBus) -> None:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await bus.close()
        await bus.close()
        for method in _METHODS.values():
            with pytest.raises(BusClosed):
                await soon(method(bus))
        with pytest.raises(BusClosed):
            await soon(hearing.receive(limit=1))

    async def test_a_subscription_that_is_closed_says_so(self, bus: EventBus) -> None:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await hearing.close()
        await hearing.close()
        with pytest.raises(BusClosed):
            await soon(hearing.receive(limit=1))

    async def test_closing_ends_a_reception_that_waits(self, bus: EventBus) -> None:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        waiting = asyncio.create_task(hearing.receive(limit=1))
        for _ in range(5):
            await asyncio.sleep(0)
        await hearing.close()
        with pytest.raises(BusClosed):
            await soon(waiting)

    async def test_a_bus_may_be_opened_again(self, bus: EventBus) -> None:
        await bus.publish(ORDERS, 0, chain(1))
        await bus.close()
        await bus.open()
        assert await bus.tail(ORDERS, 0) in (1, None)
        assert numbers(await take(await bus.subscribe(ORDERS, 0, "shipping"), 1)) == [1]

    async def test_a_broker_that_is_away_is_told_of_without_the_password(self) -> None:
        bus = self.make_away(A_WORD)
        if bus is None:
            return
        assert A_WORD not in bus.url
        began = time.monotonic()
        with pytest.raises(BusUnavailable) as raised:
            await bus.open()
        assert time.monotonic() - began < self.patience
        assert A_WORD not in f"{raised.value} {raised.value.data}"
        await bus.close()


async def nothing_comes(subscription: BusSubscription) -> None:
    """For a moment. The reception is given up, which takes nothing."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            found = await subscription.receive(limit=10)
            raise AssertionError(f"{[each.message for each in found]} came")
