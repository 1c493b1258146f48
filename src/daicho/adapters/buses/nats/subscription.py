"""Hearing one partition: a consumer that remembers nothing, from the place that the group has.

receive ──> ready? ──yes──> hand out
              │no
              ├─ no connection, no consumer, or a hole in its count ──> make a consumer behind the last one heard
              ├─ nothing asked for ──> ask for the next few hundred
              └─ wait: messages, the end of what was asked for, silence, the end of the connection
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from daicho.adapters.buses.nats.names import Road, group_token
from daicho.adapters.buses.nats.places import Place, Places, refusal, start_at
from daicho.adapters.buses.nats.wire import Line, Wire
from daicho.adapters.cloudevents import NATS, message_from, stranger
from daicho.core.errors import BusClosed, BusUnavailable
from daicho.ports.event_bus import Delivery

__all__ = ["NatsSubscription"]

_WINDOW = 512
"""Messages that are asked for at once."""
_BYTES = 8 * 1024 * 1024
_HEARTBEAT = 5.0
"""Seconds after which the server says that it has nothing; three times of that is silence."""
_ASKED_FOR = 60.0
"""Seconds after which what was asked for is asked for again."""
_IDLE = 300.0
"""Seconds that the server keeps a consumer which nobody asks."""


class NatsSubscription:
    def __init__(self, wire: Wire, road: Road, group: str, places: Places, place: Place) -> None:
        self._wire, self._road, self._group, self._places = wire, road, group, places
        self._token = place.token
        self._heard = place
        """The last message that was taken in."""
        self._acknowledged = place.seq
        self._ready: deque[Delivery] = deque()
        self._woken = asyncio.Event()
        self._consumer: _Consumer | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        restarts = 0
        while True:
            if self._is_closed:
                raise BusClosed(f"the subscription of {self._group} is closed", do="subscribe again")
            if self._ready:
                return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
            self._woken.clear()
            consumer = self._consumer
            if consumer is None or consumer.is_over:
                if restarts > 3:
                    raise BusUnavailable(
                        f"{self._road.channel.name} cannot be heard", why=consumer.why if consumer else ""
                    )
                restarts += 1
                await self._begin()
                continue
            if not consumer.is_asked:
                await consumer.ask()
            try:
                async with asyncio.timeout(3 * _HEARTBEAT):
                    await self._woken.wait()
            except TimeoutError:
                if not consumer.was_alive():
                    consumer.end("the server is silent")

    async def _begin(self) -> None:
        """Raises BusUnavailable, and BusClosed if another one hears for the group."""
        async with self._turn:
            if self._consumer and not self._consumer.is_over:
                return
            if self._consumer:
                await self._consumer.close()
                await self._places.check(self._token)
            line = await self._wire.line()
            consumer = _Consumer(line, self._road, self._group, self)
            start = await start_at(line, self._road, self._heard)
            await consumer.open(start)
            self._consumer = consumer

    def take(self, delivery: Delivery) -> None:
        """From the consumer."""
        self._ready.append(delivery)
        self._heard = delivery.receipt
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if self._is_closed:
            raise BusClosed(f"the subscription of {self._group} is closed", do="subscribe again")
        if not deliveries:
            return
        last: Place = max((delivery.receipt for delivery in deliveries), key=lambda place: place.seq)
        if last.seq == self._acknowledged:
            return
        await self._places.keep(msgspec.structs.replace(last, token=self._token))
        self._acknowledged = last.seq

    async def close(self) -> None:
        self._is_closed = True
        self._woken.set()
        if self._consumer:
            await self._consumer.close()


class _Consumer:
    """One consumer on one connection. Over once anything about it is in doubt."""

    def __init__(self, line: Line, road: Road, group: str, hearer: NatsSubscription) -> None:
        self._line, self._road, self._hearer = line, road, hearer
        self._name = f"{group_token(group)[:80]}-{token_hex(6)}"
        self._inbox = ""
        self._subscribed: Any = None
        self._watching: asyncio.Task[None] | None = None
        self._count = 0
        self._left = 0
        """Messages that were asked for and have not come."""
        self._is_over = False
        self._came = 0
        self._came_before = -1
        self.why = ""

    @property
    def is_over(self) -> bool:
        return self._is_over or self._line.lost.is_set()

    @property
    def is_asked(self) -> bool:
        return self._left > 0

    def was_alive(self) -> bool:
        """Whether anything came since this was last asked."""
        before, self._came_before = self._came_before, self._came
        return before != self._came

    def end(self, why: str) -> None:
        self._is_over, self.why = True, why
        self._hearer.wake()

    async def open(self, start: dict[str, object]) -> None:
        self._inbox, self._subscribed = await self._line.listen(self._heard)
        self._watching = asyncio.create_task(self._watch())
        config = {
            "name": self._name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(_IDLE * 10**9),
            **start,
        }
        stream = self._road.stream
        body = {"stream_name": stream, "config": config}
        answer = await self._line.ask(f"CONSUMER.CREATE.{stream}.{self._name}", body)
        if answer.error:
            await self.close()
            raise refusal(answer, f"{self._road.channel.name} cannot be heard")

    async def _watch(self) -> None:
        await self._line.lost.wait()
        self.end("the connection is gone")

    async def ask(self) -> None:
        wanted = {
            "batch": _WINDOW,
            "max_bytes": max(_BYTES, 2 * self._line.largest),
            "expires": int(_ASKED_FOR * 10**9),
            "idle_heartbeat": int(_HEARTBEAT * 10**9),
        }
        self._left = _WINDOW
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._road.stream}.{self._name}"
        try:
            await self._line.client.publish(subject, msgspec.json.encode(wanted), reply=self._inbox)
        except (OSError, NatsError) as error:
            self.end(str(error))

    async def close(self) -> None:
        self._is_over = True
        if self._watching:
            self._watching.cancel()
        if self._subscribed and not self._line.lost.is_set():
            with contextlib.suppress(OSError, NatsError):
                await self._subscribed.unsubscribe()
                await self._line.client.publish(f"$JS.API.CONSUMER.DELETE.{self._road.stream}.{self._name}", b"")

    async def _heard(self, message: Msg) -> None:
        self._came += 1
        if self._is_over:
            return
        headers: dict[str, str] = message.headers or {}
        if not message.reply:
            self._told(headers)
            return
        place, count = _place(message.reply)
        if count != self._count + 1:
            self.end(f"message {count} came after {self._count}")
            return
        self._count = count
        self._left -= 1
        known = message_from(headers, message.data, NATS) if headers else stranger(message.data)
        self._hearer.take(Delivery(known, place))

    def _told(self, headers: dict[str, str]) -> None:
        """404, 408: there is nothing, or no more time; 409: too many bytes, or the consumer is gone; 503: it is."""
        status, why = headers.get("Status"), headers.get("Description", "")
        if status == "100":
            if headers.get("Nats-Last-Consumer", str(self._count)) != str(self._count):
                self.end("a message was lost on its way")
        elif status in {"404", "408"} or (status == "409" and "maxbytes" in why.lower().replace(" ", "")):
            self._left = 0
            self._hearer.wake()
        else:
            self.end(f"{status} {why}")


def _place(reply: str) -> tuple[Place, int]:
    """From `$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.count.time.pending[.more]`."""
    words = reply.split(".")
    first = 5 if len(words) <= 9 else 7
    return Place(int(words[first]), int(words[first + 2])), int(words[first + 1])
