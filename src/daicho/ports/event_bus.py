"""Outward, from service to service: what one publishes, others hear. Never the source of truth; the registers are.

    register of `orders`                 broker                          register of `shipping`
        │ relay, one per partition         │                                 │
        ├── tail(partition) ──────────────>│  how far it really has come     │
        ├── publish(messages) ────────────>│                                 │
        │<─ taken, as safely as it can ────┤──── receive ───────────────────>│  inbox: is `previous` what I have?
        │ checkpoint                       │<─── acknowledge ────────────────┤  recorded

The messages of one partition form a chain: each carries its own `number`, and the `number` of the one before it. So a
hearer can tell a message that comes again from one that is new, and a hole from an end, whatever the broker did to
them in between. A broker that repeats, reorders or forgets costs time, never truth.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from daicho.ports.storage import Finding

__all__ = ["BusAbilities", "BusMessage", "BusSubscription", "Channel", "Delivery", "EventBus"]


class Channel(msgspec.Struct, frozen=True, order=True):
    """A named road on the bus, cut by key into a power of two of partitions: a topic, an exchange, a subject."""

    name: str
    """Letters, digits, `_`, `-` and dots: `events.orders`, `commands.inventory`, `replies.orders`."""
    partitions: int = 1


class BusMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A CloudEvent 1.0, sent in binary mode: `data` is the body, everything else headers."""

    id: str
    """The same for ever, however often it is sent: of an event its event id, of a command its command id."""
    source: str
    """The service that says so."""
    type: str
    subject: str
    """Its key: whatever has the same subject stays in order. Of an event the stream, in the publisher's register."""
    time: str
    """ISO 8601, UTC."""
    data: bytes
    content_type: str = "application/json"
    number: int = 0
    """Its place in the chain of its channel and partition: of an event its position. 0: part of no chain."""
    previous: int = 0
    """The number of the message before it in the chain; 0 for the first."""
    extensions: Mapping[str, str] = {}
    """Further attributes, by names of lower-case letters and digits: `traceparent`, `correlationid`..."""


class Delivery(msgspec.Struct, frozen=True):
    """A message as it arrived."""

    message: BusMessage
    receipt: Any
    """What the adapter needs to acknowledge it."""


class BusAbilities(msgspec.Struct, frozen=True, kw_only=True):
    """What brokers differ in, as data."""

    tells_tail: bool
    """`tail` answers with a number."""
    keeps: bool
    """Messages stay after they were acknowledged, so that `after=0` hears them again."""
    keeps_on_disk: bool
    """What was confirmed survives a kill -9 of the broker."""


class BusSubscription(Protocol):
    """One hearer's place in one partition."""

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        """Waits for messages and returns up to `limit`, in the order in which the broker has them. Each comes at least
        once, and again after a reconnection if it was not acknowledged. One that is no CloudEvent of ours arrives with
        an empty `type`, and its body as `data`: the caller puts it aside. Given up (cancelled), it has taken nothing:
        the next call returns it. Raises BusUnavailable: the same subscription may be asked again, and if that fails,
        too, subscribe anew; BusClosed: it was closed, or another one hears for the group."""
        ...

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """They need not come again, and neither need what was received before them: a group has one place in a
        partition. Raises BusUnavailable: then some of them may; BusClosed: another one hears for the group."""
        ...

    async def close(self) -> None:
        """What was not acknowledged is for the next one who subscribes, at once. May be called twice."""
        ...


class EventBus(Protocol):
    """A broker. One object serves one App; its methods may be called side by side.

    Every failure is a BusError: BusUnavailable if the broker does not answer (nothing tells whether a message was
    taken: sending it again is harmless), BusRefused if it answers no, BusClosed.
    """

    @property
    def url(self) -> str:
        """Without the password."""
        ...

    @property
    def abilities(self) -> BusAbilities: ...

    @property
    def unbroken(self) -> object | None:
        """The same object as long as the broker cannot have started again: its connections do not survive that. None if
        nothing tells: then who has to know asks for the tail."""
        ...

    async def open(self) -> None:
        """Connects. Raises BadUrl, MissingExtra, BusUnavailable, BusRefused (too old a broker, wrong password)."""
        ...

    async def close(self) -> None:
        """Finishes what was begun. May be called twice."""
        ...

    async def declare(self, channel: Channel) -> None:
        """Makes the channel if it is not there: before anything else is done with it, by publishers and hearers alike.
        Raises BusRefused if it is there with other partitions."""
        ...

    async def tail(self, channel: Channel, partition: int) -> int | None:
        """The `number` of the last message of a chain that the partition holds or ever confirmed; 0 if none.
        None if this broker cannot tell (`abilities.tells_tail`)."""
        ...

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        """Returns when the broker has confirmed them all, as safely as it keeps anything, in this order. Their numbers
        ascend. Calls for one partition come one after another. Raises BusUnavailable: it may have taken any of them;
        BusRefused: one is no CloudEvent (`daicho.adapters.cloudevents`), and nothing was taken; or one is too large
        for the broker, which has taken none from there on."""
        ...

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> BusSubscription:
        """Hears one partition for a group, which has its place there for ever. Of all who subscribe for one group and
        partition the last one hears all that was not acknowledged; an earlier one, that was not closed, may hear the
        same or nothing, or raise BusClosed, and takes nothing from the last. `after`: -1 from the group's place, which
        is at first the oldest message that is kept; 0 or more from behind that number again, where `abilities.keeps`
        (elsewhere it changes nothing)."""
        ...

    async def examine(self) -> list[Finding]:
        """Looks at the health of the broker: version, durability, what waits."""
        ...

    def describe(self) -> dict[str, Any]:
        """What is behind the URL: broker, version, durability."""
        ...
