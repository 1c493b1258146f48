"""The way to the server: which node, one connection, and calls with a deadline."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc import aio

from daicho.adapters.buses.axon.failures import translated, unanswered
from daicho.adapters.buses.axon.location import Location
from daicho.adapters.buses.axon.protocol import CALLS, CLASSES, ROOT, Message, new
from daicho.core.errors import BadUrl, BusClosed, BusUnavailable

__all__ = ["Wire"]

T = TypeVar("T")

COMPONENT = "daicho"
_LARGEST_ANSWER = 64 * 2**20
_GRACE = 5.0
"""Seconds that calls on a connection that is being replaced may still take."""
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_ANSWER),
    ("grpc.http2.max_pings_without_data", 0),  # as many as it takes: who listens says nothing for hours
    ("grpc.use_local_subchannel_pool", 1),  # a new connection waits for no other one's pause
    ("grpc.enable_retries", 0),
)
_LEAST_PING = 2.0
"""Seconds between two looks whether a silent server lives. It does not like more than one a second."""


class Wire:
    """A call that finds the connection broken fails, and the next one makes a new one, by way of the node that the
    servers name for the context."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self.client = f"{COMPONENT}-{uuid.uuid4().hex[:12]}"
        self._headers = [("axoniq-context", location.context)]
        if location.token:
            self._headers.append(("axoniq-access-token", location.token))
        pause, patience = round(1000 * max(location.within, _LEAST_PING)), round(1000 * location.within)
        pings = {"keepalive_time_ms": pause, "keepalive_timeout_ms": patience, "http2.ping_timeout_ms": patience}
        self._options = (*_OPTIONS, *((f"grpc.{name}", value) for name, value in pings.items()))
        self._channel: aio.Channel | None = None
        self._connecting = asyncio.Lock()
        self._authorities: bytes | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_open = False
        self.node = ""
        """Its name, or where it is."""

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        """Raises BusUnavailable, BusRefused, BadUrl."""
        self._authorities = _read(self._location)
        self._is_open = True
        try:
            await self._connected()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """When calls that are under way have got their answers, or waited too long for them."""
        self._is_open = False
        self._leave(self._location.within)
        while leaving := list(self._leaving):
            await asyncio.wait(leaving)

    async def ask(self, name: str, request: Message) -> Message:
        """One question, one answer. Raises BusUnavailable, BusRefused, BusClosed, InvalidSequence."""
        return await self._calling(lambda channel: self._method(channel, name)(request, **self._how()))

    async def tell(self, name: str, messages: Iterable[Message]) -> Message:
        """Many messages, one answer to all of them."""
        return await self._calling(lambda channel: self._method(channel, name)(iter(messages), **self._how()))

    async def list(self, name: str, request: Message, limit: int) -> Sequence[Message]:
        """Up to so many answers."""

        async def listing(channel: aio.Channel) -> Sequence[Message]:
            call = self._method(channel, name)(request, **self._how())
            found: list[Message] = []
            try:
                async for each in call:
                    found.append(each)
                    if len(found) == limit:
                        break
            finally:
                call.cancel()
            return found

        return await self._calling(listing)

    async def converse(self, name: str, first: Message, hear: Callable[[Message, Any], Awaitable[None]]) -> None:
        """Says the first thing, and hears answers until the server ends it: that is BusUnavailable, too. `hear` is
        given each answer, and what to say more by."""

        async def conversation(channel: aio.Channel) -> None:
            call = self._method(channel, name)(metadata=self._headers)
            try:
                await call.write(first)
                while (answer := await call.read()) is not aio.EOF:
                    await hear(answer, call.write)
            finally:
                call.cancel()

        await self._calling(conversation)
        raise unanswered(self.url, "it ended a stream of events that has no end")

    async def _calling(self, call: Callable[[aio.Channel], Awaitable[T]]) -> T:
        channel = await self._connected()
        try:
            return await self._translating(call(channel))
        except BusUnavailable:
            if self._channel is channel:
                self._leave(_GRACE)
            raise

    async def _translating(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except aio.AioRpcError as error:
            raise translated(error, self.url) from error
        except (asyncio.InvalidStateError, aio.UsageError) as error:  # said into a call that ended meanwhile
            raise unanswered(self.url, str(error) or "the call ended") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            raise unanswered(self.url, "the connection was closed") from error  # nobody cancelled us: gRPC did the call

    def _how(self) -> dict[str, Any]:
        return {"metadata": self._headers, "timeout": self._location.within}

    def _method(self, channel: aio.Channel, name: str) -> Any:
        call = CALLS[name]
        kinds = {
            (False, False): channel.unary_unary,
            (True, False): channel.stream_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }
        return kinds[call.asks_many, call.answers_many](
            f"/{ROOT}.{name}",
            request_serializer=CLASSES[call.asks].SerializeToString,
            response_deserializer=CLASSES[call.answers].FromString,
        )

    # connecting

    async def _connected(self) -> aio.Channel:
        async with self._connecting:
            if self._is_open and self._channel is None:
                self._channel = await self._connect()
                if not self._is_open:
                    self._leave(0)
            if self._channel is None:
                raise BusClosed(f"{self.url} is not open", why="it was closed, or never opened", do="open it")
            return self._channel

    async def _connect(self) -> aio.Channel:
        """The first server that answers says which node serves the context; often it does itself."""
        for server in self._location.servers:
            channel = self._new_channel(server)
            try:
                info = await self._introduce(channel)
                node = f"{info.primary.host_name}:{info.primary.grpc_port}"
                self.node = info.primary.node_name or server
                if info.same_connection or not info.primary.host_name or node == server:
                    return channel
            except BusUnavailable:
                await channel.close()
                if server == self._location.servers[-1]:
                    raise
                continue
            except BaseException:
                await channel.close()
                raise
            await channel.close()
            return self._new_channel(node)
        raise AssertionError("a location names a server")

    async def _introduce(self, channel: aio.Channel) -> Message:
        us = new("control.ClientIdentification", client_id=self.client, component_name=COMPONENT)
        asked = self._method(channel, "control.PlatformService/GetPlatformServer")(us, **self._how())
        return await self._translating(asked)

    def _new_channel(self, server: str) -> aio.Channel:
        if not self._location.tls:
            return aio.insecure_channel(server, options=self._options)
        return aio.secure_channel(server, grpc.ssl_channel_credentials(self._authorities), options=self._options)

    def _leave(self, grace: float) -> None:
        if self._channel:
            leaving = asyncio.get_running_loop().create_task(self._channel.close(grace))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            self._channel = None


def _read(location: Location) -> bytes | None:
    if location.ca_file is None:
        return None
    try:
        return Path(location.ca_file).read_bytes()
    except OSError as error:
        raise BadUrl(
            f"{location.url!r} names certificates that cannot be read",
            why=str(error),
            do="write the path of a PEM file as ca_file, or leave it out",
            url=location.url,
        ) from error
