"""Who sleeps until there is news: one live stream of the context's events wakes them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from daicho.adapters.buses.axon.protocol import Message, new
from daicho.adapters.buses.axon.wire import COMPONENT, Wire
from daicho.core.errors import BusError

__all__ = ["Listening"]

Sleeper: TypeAlias = Callable[[Message | None], None]
"""Is told each new event of its aggregate; None: the stream broke, and it may have missed some."""

_LAST = "event.EventStore/GetLastToken"
_STREAM = "event.EventStore/ListEvents"
_PERMITS = 2000
"""Events that the server may send before it has to be told that we keep up."""


class Listening:
    """All subscriptions of a bus share it. It says only *that* an aggregate has grown: what with, its reader asks."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sleepers: dict[str, set[Sleeper]] = {}
        self._starting = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._failure: BusError | None = None
        self._heard = 0

    def add(self, aggregate: str, sleeper: Sleeper) -> None:
        self._sleepers.setdefault(aggregate, set()).add(sleeper)

    def remove(self, aggregate: str, sleeper: Sleeper) -> None:
        sleepers = self._sleepers.get(aggregate, set())
        sleepers.discard(sleeper)
        if not sleepers:
            self._sleepers.pop(aggregate, None)

    async def ready(self) -> None:
        """When this returns, whatever is appended from now on wakes those who sleep on it. Raises BusUnavailable,
        BusRefused, also for a stream that broke meanwhile: once, and next time it is begun anew."""
        async with self._starting:
            failure, self._failure = self._failure, None
            if failure:
                raise failure
            if self._running is None:
                token = (await self._wire.ask(_LAST, new("event.GetLastTokenRequest"))).token
                self._heard = 0
                self._running = asyncio.create_task(self._listen(token + 1), name=f"listening to {self._wire.url}")

    async def close(self) -> None:
        if running := self._running:
            running.cancel()
            await asyncio.wait([running])

    async def _listen(self, token: int) -> None:
        first = self._request(tracking_token=token)
        try:
            await self._wire.converse(_STREAM, first, self._hear)
        except BusError as error:
            self._failure = error
        finally:
            self._running = None
            for sleeper in [each for sleepers in self._sleepers.values() for each in sleepers]:
                sleeper(None)

    async def _hear(self, answer: Message, say: Callable[[Message], Awaitable[Any]]) -> None:
        for sleeper in list(self._sleepers.get(answer.event.aggregate_identifier, ())):
            sleeper(answer.event)
        self._heard += 1
        if self._heard % (_PERMITS // 2) == 0:
            await say(self._request(number_of_permits=_PERMITS // 2))

    def _request(self, **fields: int) -> Message:
        who = {"client_id": self._wire.client, "component_name": COMPONENT, "processor": "daicho bus"}
        return new("event.GetEventsRequest", **{"number_of_permits": _PERMITS, **fields}, **who)
