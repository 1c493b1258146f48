"""A wire between a client and a server that can be held, slowed and cut."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tests.services import running

T = TypeVar("T")

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing sends a reset, as a network that gave up does."""


@dataclass
class Passed:
    """What becomes of some bytes that came by."""

    to_server: bytes = b""
    to_client: bytes = b""
    cut: Callable[[], None] | None = None
    """The connection ends here; and whom to tell."""


class Conversation(Protocol):
    """What passes on one connection."""

    def from_client(self, data: bytes, /) -> Passed: ...

    def from_server(self, data: bytes, /) -> Passed: ...


class Unread:
    """Any protocol: all passes."""

    def from_client(self, data: bytes, /) -> Passed:
        return Passed(to_server=data)

    def from_server(self, data: bytes, /) -> Passed:
        return Passed(to_client=data)


class Proxy:
    """Forwards a port of its own to another, on loopback, from a thread of its own.

    Faults hold for all connections, open and new, until they are taken back. Any thread may call.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = running.free_port()
        self.delay = 0.0
        """Seconds that data waits, each way."""
        self._connections: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)
        self._thread.start()
        self.accept()

    def through(self, url: str) -> str:
        """The URL of the server, by way of this wire."""
        return running.through(url, self.port)

    def pause(self) -> None:
        """Nothing passes, not even the end of a connection. Nothing is lost either."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def resume(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.set)

    def cut(self) -> None:
        """Resets every open connection, on both sides; new ones are welcome."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Nobody listens any more. Open connections stay."""
        self._do(self._refuse())

    def accept(self) -> None:
        self._do(self._accept())

    def close(self) -> None:
        self.refuse()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def conversation(self) -> Conversation:
        """For a new connection."""
        return Unread()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _accept(self) -> None:
        if not self._listening:
            self._listening = await asyncio.start_server(self._welcome, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._listening:
            for each in self._listening.sockets:
                self._loop.remove_reader(each.fileno())
            await asyncio.sleep(0)  # asyncio has no place any more for what it took in before, once it is closed
            self._listening.close()
            self._listening = None

    async def _cut(self) -> None:
        while cutting := list(self._connections):
            for connection in cutting:
                connection.cancel()
            await asyncio.wait(cutting)
        await asyncio.sleep(0)  # the sockets close in the next round of the loop

    async def _end(self) -> None:
        """Also of connections that were taken in just before nobody listened any more."""
        await self._cut()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=0.1)
            await self._cut()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._loop.create_task(self._connect(reader, writer))
        self._connections.add(connection)

        def ended(_: asyncio.Task[None]) -> None:
            self._connections.discard(connection)
            if not writer.is_closing():
                _reset(writer)  # it was cut before it had begun

        connection.add_done_callback(ended)

    async def _connect(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        ends = [client]
        pumps: list[asyncio.Task[bool]] = []
        ended_well = False
        try:
            from_server, server = await asyncio.open_connection("127.0.0.1", self.target_port)
            ends.append(server)
            talk = self.conversation()
            pumps.append(asyncio.create_task(self._pump(from_client, talk.from_client, client, server)))
            pumps.append(asyncio.create_task(self._pump(from_server, talk.from_server, client, server)))
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            ended_well = all(pump.result() for pump in done)
        except ConnectionError:
            pass  # there is no server: to the client this looks like a network that fails
        finally:
            for pump in pumps:
                pump.cancel()
            for end in ends:
                end.close() if ended_well else _reset(end)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        passing: Callable[[bytes], Passed],
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> bool:
        """Until one end closes. Whether it did so in good order."""
        try:
            while True:
                data = await source.read(2**16)
                await self._flowing.wait()
                if not data:
                    return True
                if self.delay:
                    await asyncio.sleep(self.delay)
                passed = passing(data)
                client.write(passed.to_client)
                server.write(passed.to_server)
                await client.drain()
                await server.drain()
                if passed.cut:
                    _reset(client)
                    _reset(server)
                    passed.cut()
                    return False
        except ConnectionError:
            return False


def _reset(end: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.transport.abort()
