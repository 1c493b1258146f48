"""Axon Server as a bus, on our own peer of it: the contract, and what becomes of it when things break."""

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from daicho.adapters.buses.axon import AxonBus, listening, parse_url
from daicho.core.errors import BadUrl, BusClosed, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusAbilities, BusMessage, BusSubscription
from daicho.testing import at_rest
from daicho.testing.contracts import EventBusContract
from daicho.testing.contracts.base import soon
from daicho.testing.contracts.event_bus import ORDERS, chain, loose, nothing_comes, numbers, take
from tests.services import axon as servers
from tests.services.axon import AxonPeer
from tests.services.axon_peer import LOSES_CONFIRMATION
from tests.services.find import needed
from tests.services.proxy import Proxy
from tests.services.running import Host, free_port
from tests.trade import Order, PlaceOrder, Receive, Sold, Stock, inventory, orders, sold

contexts = count(1)


@pytest.fixture(scope="session")
def peer(host: Host) -> AxonPeer:
    """A server that tests share; not to be broken."""
    with needed():
        return servers.axon(host)


@pytest.fixture
def own_peer(host: Host) -> Iterator[AxonPeer]:
    """A server of the test's own, to be broken at will."""
    with needed():
        server = servers.axon(host)
    yield server
    server.kill()


class TestAxonBus(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)
    most_bytes = 4 * 2**20
    place: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _fresh(self, peer: AxonPeer) -> None:
        type(self).place = f"{peer.url}/t{next(contexts)}"

    def make(self, tmp_path: Path) -> AxonBus:
        return AxonBus(self.place)

    def make_away(self, password: str) -> AxonBus:
        return AxonBus(f"axon://:{password}@127.0.0.1:{free_port()}")


class Opened:
    """A bus, opened for the length of a block."""

    def __init__(self, url: str) -> None:
        self.bus = AxonBus(url)

    async def __aenter__(self) -> AxonBus:
        await self.bus.open()
        await self.bus.declare(ORDERS)
        return self.bus

    async def __aexit__(self, *_: object) -> None:
        await self.bus.close()


async def published(bus: AxonBus, *messages: BusMessage) -> None:
    """Again and again until it is confirmed, as a relay does."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await bus.publish(ORDERS, 0, messages)
            except BusUnavailable:
                await asyncio.sleep(0.01)


async def heard(hearing: BusSubscription, count: int) -> list[int]:
    """As an inbox does: what is known already is acknowledged and left out."""
    found: list[int] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            try:
                deliveries = await hearing.receive(limit=50)
                found += [n for n in numbers([d.message for d in deliveries]) if n > (found[-1] if found else 0)]
                await hearing.acknowledge(deliveries)
            except BusUnavailable:
                await asyncio.sleep(0.01)
    return found


# when it breaks


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_while_the_server_is_killed_and_started_again(own_peer: AxonPeer) -> None:
    count = 400
    async with Opened(own_peer.url) as out, Opened(own_peer.url) as into:
        hearing = asyncio.create_task(heard(await into.subscribe(ORDERS, 0, "shipping"), count))

        async def publish() -> None:
            for start in range(0, count, 20):
                await published(out, *chain(*range(start + 1, start + 21), after=start))

        publishing = asyncio.create_task(publish())
        for due in (100, 250):
            async with asyncio.timeout(20):
                await reached(out, due)
            await asyncio.to_thread(own_peer.kill)
            await asyncio.sleep(0.02)
            await asyncio.to_thread(own_peer.start)
        await publishing
        assert await hearing == list(range(1, count + 1))
    async with Opened(own_peer.url) as later:  # the others may have yet to find out that the server went
        stored = await take(await later.subscribe(ORDERS, 0, "audit"), count)
        assert numbers(stored) == list(range(1, count + 1)), "the log itself has each once, in order"


async def reached(bus: AxonBus, number: int) -> int:
    """The tail, once it is there."""
    while True:
        try:
            if (tail := await bus.tail(ORDERS, 0) or 0) >= number:
                return tail
        except BusUnavailable:
            await asyncio.sleep(0.01)


async def test_a_connection_that_is_cut_costs_nothing(peer: AxonPeer) -> None:
    with Proxy(peer.port) as wire:
        async with Opened(f"{wire.through(peer.url)}/t{next(contexts)}") as bus:
            hearing = await bus.subscribe(ORDERS, 0, "shipping")
            waiting = asyncio.create_task(heard(hearing, 2))
            await published(bus, *chain(1))
            await asyncio.to_thread(wire.cut)
            await published(bus, *chain(2, after=1))
            assert await waiting == [1, 2]


@pytest.mark.slow
async def test_a_hearer_that_sleeps_learns_that_the_server_is_gone(own_peer: AxonPeer) -> None:
    async with Opened(own_peer.url) as bus:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await nothing_comes(hearing)
        sleeping = asyncio.create_task(hearing.receive(limit=1))
        await asyncio.sleep(0)
        await asyncio.to_thread(own_peer.kill)
        with pytest.raises(BusUnavailable):
            await soon(sleeping)
        with pytest.raises(BusUnavailable):
            await soon(bus.publish(ORDERS, 0, chain(1)))
        await asyncio.to_thread(own_peer.start)
        await published(bus, *chain(1))
        assert await heard(hearing, 1) == [1]


@pytest.mark.slow
async def test_what_was_not_acknowledged_before_the_server_went_comes_again(own_peer: AxonPeer) -> None:
    async with Opened(own_peer.url) as bus:
        await bus.publish(ORDERS, 0, chain(1, 2, 3))
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await take(hearing, 1)
        assert numbers(await take(hearing, 2, acknowledge=False)) == [2, 3]
        await asyncio.to_thread(own_peer.kill)
        with pytest.raises(BusUnavailable):
            await soon(hearing.receive(limit=5))
        await asyncio.to_thread(own_peer.start)
        assert await heard(hearing, 2) == [2, 3]


@pytest.mark.slow
async def test_a_call_whose_connection_is_given_up_is_no_cancelled_task(own_peer: AxonPeer) -> None:
    async with Opened(f"{own_peer.url}?within=20") as bus:
        own_peer.freeze()
        publishing = asyncio.create_task(bus.publish(ORDERS, 0, chain(1)))
        await asyncio.sleep(0.05)
        bus._wire._leave(0)
        with pytest.raises(BusUnavailable, match="the connection was closed"):
            await soon(publishing)
        own_peer.thaw()


async def test_more_is_heard_than_the_server_may_send_before_it_is_asked(
    peer: AxonPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_PERMITS", 4)
    async with Opened(f"{peer.url}/t{next(contexts)}") as bus:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        for number in range(1, 13):
            hearing_on = asyncio.create_task(take(hearing, 1))
            await asyncio.sleep(0)
            await bus.publish(ORDERS, 0, chain(number, after=number - 1))
            assert numbers(await soon(hearing_on)) == [number]


@pytest.mark.slow
async def test_a_server_that_does_not_answer_is_told_of_in_time(own_peer: AxonPeer) -> None:
    async with Opened(f"{own_peer.url}?within=0.3") as bus:
        await bus.publish(ORDERS, 0, chain(1))
        own_peer.freeze()
        began = time.monotonic()
        with pytest.raises(BusUnavailable, match="does not answer"):
            await bus.publish(ORDERS, 0, chain(2, after=1))
        assert time.monotonic() - began < 3
        own_peer.thaw()
        await published(bus, *chain(2, after=1))
        assert numbers(await take(await bus.subscribe(ORDERS, 0, "shipping"), 2)) == [1, 2]


@pytest.mark.slow
async def test_a_hearer_that_sleeps_learns_that_the_server_went_silent(own_peer: AxonPeer) -> None:
    async with Opened(f"{own_peer.url}?within=0.5") as bus:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await nothing_comes(hearing)
        sleeping = asyncio.create_task(hearing.receive(limit=1))
        await asyncio.sleep(0.2)  # so long that it has found nothing and asks no more
        own_peer.freeze()
        with pytest.raises(BusUnavailable):
            await soon(sleeping)
        own_peer.thaw()


async def test_a_message_whose_confirmation_was_lost_is_not_stored_twice(peer: AxonPeer) -> None:
    async with Opened(f"{peer.url}/t{next(contexts)}") as bus:
        lost = loose(LOSES_CONFIRMATION, number=2, previous=1)
        await bus.publish(ORDERS, 0, chain(1))
        with pytest.raises(BusUnavailable):
            await bus.publish(ORDERS, 0, [lost])
        await bus.publish(ORDERS, 0, [lost, *chain(3, after=2)])
        assert numbers(await take(await bus.subscribe(ORDERS, 0, "shipping"), 3)) == [1, 2, 3]
        [before, *_] = [f.detail for f in await bus.examine() if f.what == "Axon Server"]
        assert ", 6 events" in before, "declared, 3 messages, claimed, heard"


async def test_a_publisher_that_thinks_it_is_the_only_one_neither_doubles_nor_overtakes(peer: AxonPeer) -> None:
    url = f"{peer.url}/t{next(contexts)}"
    async with Opened(url) as old, Opened(url) as new:
        await old.publish(ORDERS, 0, chain(1, 2))
        await new.publish(ORDERS, 0, chain(3, 4, 5, after=2))
        await old.publish(ORDERS, 0, chain(3, 4, after=2))  # it knows nothing of the new one
        await asyncio.gather(
            old.publish(ORDERS, 0, chain(*range(6, 40), after=5)), new.publish(ORDERS, 0, chain(*range(6, 50), after=5))
        )
        assert numbers(await take(await new.subscribe(ORDERS, 0, "shipping"), 49)) == list(range(1, 50))


@pytest.mark.slow
async def test_a_server_that_lost_the_end_of_its_log_is_told_again_what_it_forgot(own_peer: AxonPeer) -> None:
    async with Opened(own_peer.url) as bus:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        for number in range(1, 6):
            await bus.publish(ORDERS, 0, chain(number, after=number - 1))
            assert await heard(hearing, 1) == [number]
        await asyncio.to_thread(own_peer.kill)
        own_peer.forget("default", 4)  # messages 4 and 5, and the notes that they were heard
        await asyncio.to_thread(own_peer.start)
        assert await reached(bus, 1) == 3
        hearing_on = asyncio.create_task(heard(hearing, 3))
        await published(bus, loose(id="other", number=4, previous=3), *chain(5, 6, after=4))
        assert await hearing_on == [4, 5, 6], "a place behind what was lost does not skip what came instead"


@pytest.mark.slow
async def test_an_acknowledgment_of_what_the_server_lost_does_not_reach_what_came_instead(own_peer: AxonPeer) -> None:
    async with Opened(own_peer.url) as bus:
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await nothing_comes(hearing)
        for number in range(1, 6):
            await bus.publish(ORDERS, 0, chain(number, after=number - 1))
        early = await hearing.receive(limit=5)
        await asyncio.to_thread(own_peer.kill)
        own_peer.forget("default", 2)
        await asyncio.to_thread(own_peer.start)
        await reached(bus, 1)
        await hearing.acknowledge(early)
        with pytest.raises(BusUnavailable):
            await soon(hearing.receive(limit=1))
        await bus.publish(ORDERS, 0, [loose(id=f"other-{n}", number=n, previous=n - 1) for n in (4, 5)])
        again = await take(hearing, 5)
        assert [message.id for message in again][3:] == ["other-4", "other-5"]


async def test_a_hearer_is_told_that_another_took_its_place(peer: AxonPeer) -> None:
    url = f"{peer.url}/t{next(contexts)}"
    async with Opened(url) as one, Opened(url) as two:
        await one.publish(ORDERS, 0, chain(1, 2))
        first = await one.subscribe(ORDERS, 0, "shipping")
        early = await first.receive(limit=2)
        sleeping = asyncio.create_task(first.receive(limit=1))
        second = await two.subscribe(ORDERS, 0, "shipping")
        with pytest.raises(BusClosed, match="another one hears"):
            await soon(sleeping)
        with pytest.raises(BusClosed):
            await first.acknowledge(early)
        assert numbers(await take(second, 2)) == [1, 2]


async def test_an_acknowledgment_by_one_who_was_replaced_meanwhile_is_refused_by_the_server(peer: AxonPeer) -> None:
    url = f"{peer.url}/t{next(contexts)}"
    async with Opened(url) as one, Opened(url) as two:
        await one.publish(ORDERS, 0, chain(1, 2))
        first = await one.subscribe(ORDERS, 0, "shipping")
        early = await first.receive(limit=2)
        await first.acknowledge(early[:1])
        first._listening.remove(first.place, first._claimed)  # the news does not reach it
        second = await two.subscribe(ORDERS, 0, "shipping")
        with pytest.raises(BusClosed, match="another one hears"):
            await first.acknowledge(early)
        assert numbers(await take(second, 1)) == [2]


@pytest.mark.slow
async def test_messages_of_many_transactions_arrive_and_none_is_taken_if_one_cannot_be(peer: AxonPeer) -> None:
    async with Opened(f"{peer.url}/t{next(contexts)}") as bus:
        many = chain(*range(1, 2501))
        with pytest.raises(BusRefused):
            await bus.publish(ORDERS, 0, [*many, loose("")])
        assert await bus.tail(ORDERS, 0) == 0
        await bus.publish(ORDERS, 0, many)
        assert await take(await bus.subscribe(ORDERS, 0, "shipping"), 2500) == many


# who may


@pytest.mark.slow
async def test_a_wrong_token_is_told_at_once(host: Host) -> None:
    with needed():
        server = servers.axon(host, token="opensesame")
    async with Opened(server.url.replace("//", "//:opensesame@")) as bus:
        assert await bus.tail(ORDERS, 0) == 0
    for url, code in ((server.url, "AXONIQ-1000"), (server.url.replace("//", "//:swordfish@"), "AXONIQ-1001")):
        bus = AxonBus(url)
        with pytest.raises(BusRefused, match="let us in") as raised:
            await bus.open()
        assert code in str(raised.value)
        assert "swordfish" not in f"{raised.value} {bus.url}"
        await bus.close()
    server.kill()


@pytest.mark.slow
async def test_over_tls_the_server_has_to_be_the_right_one(host: Host) -> None:
    with needed():
        server = AxonPeer(host, "opensesame", 0).with_tls().start()
    url = f"axons://:opensesame@127.0.0.1:{server.port}"
    async with Opened(f"{url}?ca_file={server.certificate}") as bus:
        await bus.publish(ORDERS, 0, chain(1))
        assert numbers(await take(await bus.subscribe(ORDERS, 0, "shipping"), 1)) == [1]
    for other in (f"{url}?within=2", url.replace("axons", "axon") + "?within=2"):
        bus = AxonBus(other)
        with pytest.raises(BusUnavailable):
            await bus.open()
        await bus.close()
    with pytest.raises(BadUrl, match="cannot be read"):
        await AxonBus(f"{url}?ca_file=/nowhere.pem").open()
    server.kill()


async def test_a_context_that_is_not_there_is_told_of(peer: AxonPeer) -> None:
    with pytest.raises(BusRefused, match="no such context"):
        await AxonBus(f"{peer.url}/missing").open()


async def test_the_first_node_that_answers_is_asked(peer: AxonPeer) -> None:
    away = f"127.0.0.1:{free_port()}"
    async with Opened(f"axon://{away},127.0.0.1:{peer.port}/t{next(contexts)}") as bus:
        assert await bus.tail(ORDERS, 0) == 0
        assert bus.describe()["node"] == f"peer-{peer.port}"


async def test_the_node_that_serves_the_context_is_used(host: Host, peer: AxonPeer) -> None:
    with needed():
        other = servers.axon(host, primary=peer.port)
    context = f"t{next(contexts)}"
    async with Opened(f"{other.url}/{context}") as bus, Opened(f"{peer.url}/{context}") as direct:
        await bus.publish(ORDERS, 0, chain(1))
        assert await direct.tail(ORDERS, 0) == 1
    other.kill()


@pytest.mark.slow
async def test_a_node_that_is_gone_is_left_for_the_next_one(host: Host, peer: AxonPeer) -> None:
    with needed():
        first = servers.axon(host)
    async with Opened(f"axon://127.0.0.1:{first.port},127.0.0.1:{peer.port}/t{next(contexts)}") as bus:
        await bus.publish(ORDERS, 0, chain(1))
        await asyncio.to_thread(first.kill)
        await published(bus, *chain(1))
        assert bus.describe()["node"] == f"peer-{peer.port}"


async def test_a_limit_of_ours_spares_the_server_what_it_would_refuse(peer: AxonPeer) -> None:
    async with Opened(f"{peer.url}/t{next(contexts)}?largest=2048") as bus:
        with pytest.raises(BusRefused, match="2,048 are the most"):
            await bus.publish(ORDERS, 0, [loose(data=b"x" * 2000)])
    async with Opened(f"{peer.url}/t{next(contexts)}?largest=100000000") as bus:
        with pytest.raises(BusRefused, match="max-message-size"):
            await bus.publish(ORDERS, 0, [loose(data=b"x" * 5_000_000)])
        await bus.publish(ORDERS, 0, chain(1))


async def test_the_examination_tells_who_has_something_to_hear(peer: AxonPeer) -> None:
    async with Opened(f"{peer.url}/t{next(contexts)}") as bus:
        await bus.publish(ORDERS, 0, chain(1, 2, 3))
        hearing = await bus.subscribe(ORDERS, 0, "shipping")
        await take(hearing, 1)
        said = {finding.what: finding.detail for finding in await bus.examine()}
        assert said["waiting"] == "2 for daicho:events.orders/0@shipping"
        assert "once a second" in said["durability"]


# its URL


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "axon://:opensesame@local host",
        "axon://:opensesame@localhost:70000",
        "axon://:opensesame@localhost:0",
        "axon://:opensesame@localhost,",
        "axon://ann:opensesame@localhost",
        "axon://:opensesame@localhost/a/b",
        "axon://:opensesame@localhost/a%20b",
        "axon://:opensesame@localhost?within=0",
        "axon://:opensesame@localhost?within=soon",
        "axon://:opensesame@localhost?within=1&within=2",
        "axon://:opensesame@localhost?colour=red",
        "axon://:opensesame@localhost?ca_file=/x",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_the_token(url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse_url(url)
    assert "opensesame" not in f"{raised.value} {raised.value.data}"


def test_a_url_says_everything_about_the_server() -> None:
    location = parse_url("axons://:p%40ss@a.example,b.example:9000/billing?within=2.5&largest=65536&ca_file=/ca.pem")
    assert (location.servers, location.context, location.token) == (
        ("a.example:8124", "b.example:9000"),
        "billing",
        "p@ss",
    )
    assert (location.tls, location.within, location.largest, location.ca_file) == (True, 2.5, 65536, "/ca.pem")
    assert location.url == ("axons://:***@a.example,b.example:9000/billing?within=2.5&largest=65536&ca_file=/ca.pem")
    assert (parse_url("axon://").servers, parse_url("axon://").context) == (("localhost:8124",), "default")


# services


@pytest.mark.slow
async def test_two_services_trade_over_it(peer: AxonPeer) -> None:
    bus = f"{peer.url}/t{next(contexts)}"
    async with orders("memory:", bus) as shop, inventory("memory:", bus) as depot:
        await depot.send(Receive(sku="tea", quantity=5))
        await shop.send(PlaceOrder(order="o-1", sku="tea", quantity=3))
        await shop.send(PlaceOrder(order="o-2", sku="tea", quantity=3))
        await at_rest(shop, depot)
        assert {(await shop.load(Order, o)).status for o in ("o-1", "o-2")} == {"confirmed", "refused"}
        assert (await depot.load(Stock, "tea")).left == 2
        assert await shop.views[sold].get("tea") == Sold(sku="tea", quantity=3)
