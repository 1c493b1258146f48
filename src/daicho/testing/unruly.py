"""A bus that misbehaves, on demand or by chance, as brokers and networks do.

bus = UnrulyBus(MemoryBus("memory:shop"))
bus.drop_confirmation(2)            # the next two publications are taken, and answered with an error
bus.away()                          # nobody answers, until bus.back()

bus = UnrulyBus(MemoryBus("memory:shop"), chance=0.1, seed=7)      # one of ten calls goes wrong, some way
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from daicho.core.errors import BusUnavailable, ConfigurationError
from daicho.ports.event_bus import BusAbilities, BusMessage, BusSubscription, Channel, Delivery, EventBus
from daicho.ports.storage import Finding

__all__ = ["Mischief", "UnrulyBus"]

Mischief: TypeAlias = Literal["repeat", "reorder", "drop confirmation", "drop", "tear", "cut"]
_WHEN_PUBLISHING: tuple[Mischief, ...] = ("repeat", "drop confirmation", "drop", "tear")
_WHEN_HEARING: tuple[Mischief, ...] = ("repeat", "reorder", "cut")


class UnrulyBus:
    """Fulfils `daicho.ports.event_bus.EventBus` over another one, within what the port allows, or worse.

    repeat             messages are taken twice, and what was heard before is heard again
    reorder            what is heard together comes in another order
    drop confirmation  messages are taken, and the publisher is told that the broker does not answer
    drop               nothing is taken, and the publisher is told so
    tear               the first few are taken, and the publisher is told that the broker does not answer
    cut                the connection of a subscription breaks: BusUnavailable, and it is of no use any more
    forget             what was confirmed last is gone, and every connection broken: a power cut (`forget`)
    away               nobody answers (`away`, `back`)

    With `chance`, each call goes wrong with that probability; of the kinds in `mischiefs`, by the numbers of `seed`.
    `done` counts what happened.
    """

    def __init__(
        self,
        inner: EventBus,
        *,
        chance: float = 0.0,
        seed: int = 0,
        mischiefs: Sequence[Mischief] = ("repeat", "reorder", "drop confirmation", "drop", "tear", "cut"),
    ) -> None:
        self.inner = inner
        self.chance = chance
        self.mischiefs: tuple[Mischief, ...] = tuple(mischiefs)
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._planned: Counter[Mischief] = Counter()
        self._gone = asyncio.Event()
        self._connection = 0

    # on demand

    def repeat(self, times: int = 1) -> None:
        self._planned["repeat"] += times

    def reorder(self, times: int = 1) -> None:
        self._planned["reorder"] += times

    def drop_confirmation(self, times: int = 1) -> None:
        self._planned["drop confirmation"] += times

    def drop(self, times: int = 1) -> None:
        self._planned["drop"] += times

    def tear(self, times: int = 1) -> None:
        self._planned["tear"] += times

    def cut(self, times: int = 1) -> None:
        """The next receptions fail."""
        self._planned["cut"] += times

    def forget(self, channel: Channel, partition: int, count: int) -> None:
        """Loses the last messages that were confirmed, and every connection. For buses that can `forget`: in memory."""
        lose = getattr(self.inner, "forget", None)
        if lose is None:
            raise ConfigurationError(f"{self.url} cannot forget on demand", do="wrap a MemoryBus")
        lose(channel, partition, count)
        self.done["forget"] += 1
        self._break()

    def away(self) -> None:
        self.done["away"] += 1
        self._gone.set()
        self._break()

    def back(self) -> None:
        self._gone = asyncio.Event()

    @property
    def is_away(self) -> bool:
        return self._gone.is_set()

    def calm(self) -> None:
        """No mischief any more, planned or by chance."""
        self._planned.clear()
        self.chance = 0.0
        if self.is_away:
            self.back()

    # the port

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def abilities(self) -> BusAbilities:
        return self.inner.abilities

    @property
    def unbroken(self) -> object | None:
        return None

    async def open(self) -> None:
        self._answer()
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def declare(self, channel: Channel) -> None:
        self._answer()
        await self.inner.declare(channel)

    async def tail(self, channel: Channel, partition: int) -> int | None:
        self._answer()
        return await self.inner.tail(channel, partition)

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        self._answer()
        mischief = self._pick(_WHEN_PUBLISHING)
        if mischief == "drop":
            raise _no_answer("nothing was taken")
        if mischief == "tear":
            await self.inner.publish(channel, partition, messages[: self._random.randrange(len(messages) + 1)])
            raise _no_answer("some of it was taken")
        await self.inner.publish(channel, partition, messages)
        if mischief == "repeat":
            await self.inner.publish(channel, partition, messages)
        if mischief == "drop confirmation" or self.is_away:
            raise _no_answer("all of it was taken")

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> BusSubscription:
        self._answer()
        return _UnrulySubscription(self, await self.inner.subscribe(channel, partition, group, after=after))

    async def examine(self) -> list[Finding]:
        self._answer()
        return await self.inner.examine()

    def describe(self) -> dict[str, Any]:
        return self.inner.describe()

    # what subscriptions need

    def _answer(self) -> None:
        if self.is_away:
            raise _no_answer("it is away")

    def _break(self) -> None:
        self._connection += 1

    def _pick(self, possible: Sequence[Mischief]) -> Mischief | None:
        for each in possible:
            if self._planned[each]:
                self._planned[each] -= 1
                self.done[each] += 1
                return each
        by_chance: list[Mischief] = [each for each in possible if each in self.mischiefs]
        if by_chance and self._random.random() < self.chance:
            chosen = self._random.choice(by_chance)
            self.done[chosen] += 1
            return chosen
        return None


class _UnrulySubscription:
    """Passes on to the inner one only acknowledgments without a hole before them: it hears in another order."""

    def __init__(self, bus: UnrulyBus, inner: BusSubscription) -> None:
        self._bus, self._inner = bus, inner
        self._connection = bus._connection  # pyright: ignore[reportPrivateUsage]
        self._held: list[Delivery] = []
        """What was received and not yet acknowledged within, in the order in which the broker has it."""
        self._acknowledged: set[int] = set()
        self._coming: asyncio.Future[Sequence[Delivery]] | None = None
        self._ready: list[Delivery] = []
        self._is_cut = False

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        self._check()
        mischief = self._bus._pick(_WHEN_HEARING)  # pyright: ignore[reportPrivateUsage]
        if mischief == "cut":
            self._is_cut = True
            self._check()
        if mischief == "repeat" and self._held:
            return self._held[:limit]
        found = await self._receive(limit)
        self._held += found
        if mischief == "reorder":
            self._bus._random.shuffle(found)  # pyright: ignore[reportPrivateUsage]
        return found

    async def _receive(self, limit: int) -> list[Delivery]:
        """What comes, unless the bus goes away meanwhile. What comes after this was given up is for the next call."""
        if self._ready:
            found, self._ready = self._ready[:limit], self._ready[limit:]
            return found
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._inner.receive(limit=limit))
            self._coming.add_done_callback(_seen)
        gone = asyncio.ensure_future(self._bus._gone.wait())  # pyright: ignore[reportPrivateUsage]
        try:
            await asyncio.wait((gone, self._coming), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        self._check()
        came, self._coming = self._coming, None
        self._ready += came.result()
        found, self._ready = self._ready[:limit], self._ready[limit:]
        return found

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        self._acknowledged.update(id(delivery) for delivery in deliveries)
        done = 0
        while done < len(self._held) and id(self._held[done]) in self._acknowledged:
            done += 1
        if done:
            await self._inner.acknowledge(self._held[:done])
            self._acknowledged.difference_update(map(id, self._held[:done]))
            del self._held[:done]

    async def close(self) -> None:
        await self._inner.close()
        if self._coming:
            await asyncio.wait((self._coming,))

    def _check(self) -> None:
        if self._is_cut or self._bus.is_away or self._connection != self._bus._connection:  # pyright: ignore[reportPrivateUsage]
            self._is_cut = True
            if self._coming:
                self._coming.cancel()
                self._coming = None
            raise _no_answer("the connection broke")


def _seen(done: asyncio.Future[Any]) -> None:
    """Whoever was cut off asks no more how it ended: its error is no news."""
    if not done.cancelled():
        done.exception()


def _no_answer(why: str) -> BusUnavailable:
    return BusUnavailable("the bus does not answer", why=why, do="try again later")
