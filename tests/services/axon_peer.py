"""A small server of Axon Server's gRPC services for events: what the adapter, and Axon's own Java connector, talk to.

It is no Axon Server. It does what the published protocol and the published behaviour say of those services, no more:
one log per context, made when it is first named, in a file that is written through before anything is confirmed;
sequence numbers of aggregates without gaps; transactions; permits; access tokens; the error codes, in the status and in
the trailers. It knows no snapshots, commands, queries or clusters.

Run as a program: PORT FOLDER TOKEN PRIMARY. TOKEN may be empty; PRIMARY is the port of the node that clients shall use.
With a key.pem and a certificate.pem in the folder it speaks TLS.
"""

import asyncio
import bisect
import os
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from daicho.adapters.buses.axon.protocol import CALLS, MESSAGES, ROOT, Call, Field, classes

OURS = {
    "InstructionAck": {"instruction_id": Field(1, "string"), "success": Field(2, "bool")},
    "event.GetFirstTokenRequest": {},
    "event.GetTokenAtRequest": {"instant": Field(1, "int64")},
    "control.Heartbeat": {},
    "control.PlatformInboundInstruction": {
        "register": Field(1, "control.ClientIdentification", "request"),
        "heartbeat": Field(3, "control.Heartbeat", "request"),
        "ack": Field(4, "InstructionAck", "request"),
        "instruction_id": Field(5, "string"),
    },
    "control.PlatformOutboundInstruction": {
        "heartbeat": Field(10, "control.Heartbeat", "request"),
        "ack": Field(11, "InstructionAck", "request"),
        "instruction_id": Field(12, "string"),
    },
}
"""What a client may need, and ours does not."""
SERVED = {
    **CALLS,
    "control.PlatformService/OpenStream": Call(
        "control.PlatformInboundInstruction", "control.PlatformOutboundInstruction", asks_many=True, answers_many=True
    ),
    "event.EventStore/GetFirstToken": Call("event.GetFirstTokenRequest", "event.TrackingToken"),
    "event.EventStore/GetTokenAt": Call("event.GetTokenAtRequest", "event.TrackingToken"),
}
CLASSES = classes({**MESSAGES, **OURS})
LOSES_CONFIRMATION = "peer.loses.confirmation"
"""An event of this type is stored, and its publisher never hears so."""
MOST_EVENTS = 32_767
"""Of a transaction."""
LARGEST = 4 * 2**20
LENGTH = struct.Struct("!I")

Context = aio.ServicerContext[Any, Any]


def new(name: str, **fields: Any) -> Any:
    return CLASSES[name](**fields)


class Log:
    """The events of one context. Their tokens count from 0."""

    def __init__(self, path: Path) -> None:
        self.events: list[Any] = []
        self.aggregates: dict[str, list[int]] = {}
        """The tokens of each one's events, by sequence number."""
        self.grown = asyncio.Event()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._load(path.read_bytes())

    def _load(self, stored: bytes) -> None:
        """A transaction that is not there in full was never confirmed."""
        at = 0
        while at + LENGTH.size <= len(stored):
            end = at + LENGTH.size + LENGTH.unpack_from(stored, at)[0]
            if end > len(stored):
                break
            transaction, inside = stored[at + LENGTH.size : end], 0
            while inside < len(transaction):
                [size] = LENGTH.unpack_from(transaction, inside)
                inside += LENGTH.size + size
                self._add(CLASSES["event.Event"].FromString(transaction[inside - size : inside]))
            at = end
        os.ftruncate(self._file, at)

    def _add(self, event: Any) -> None:
        if event.aggregate_type:
            self.aggregates.setdefault(event.aggregate_identifier, []).append(len(self.events))
        self.events.append(event)

    def highest(self, aggregate: str) -> int:
        return len(self.aggregates.get(aggregate, ())) - 1

    def conflict(self, events: list[Any]) -> str | None:
        """Why they are not the next ones of their aggregates."""
        expected: dict[str, int] = {}
        for event in events:
            if not event.aggregate_type:
                continue
            name, number = event.aggregate_identifier, event.aggregate_sequence_number
            due = expected.get(name, self.highest(name) + 1)
            if number != due:
                return f"Invalid sequence number {number} for aggregate {name}, expected {due}"
            expected[name] = due + 1
        return None

    def append(self, events: list[Any]) -> None:
        each = (event.SerializeToString() for event in events)
        transaction = b"".join(LENGTH.pack(len(data)) + data for data in each)
        os.write(self._file, LENGTH.pack(len(transaction)) + transaction)
        for event in events:
            self._add(event)
        self.grown.set()
        self.grown = asyncio.Event()


class Peer:
    def __init__(self, port: int, folder: Path, token: str | None, primary: int) -> None:
        self._port, self._folder, self._token, self._primary = port, folder, token, primary
        self._logs: dict[str, Log] = {}

    async def log(self, context: Context) -> Log:
        """Of the caller's context, if it may see it."""
        said = {str(name): str(value) for name, value in context.invocation_metadata() or ()}
        if self._token is not None:
            token = said.get("axoniq-access-token")
            if token is None:
                await refuse(context, grpc.StatusCode.PERMISSION_DENIED, "AXONIQ-1000", "Token missing")
            if token != self._token:
                await refuse(context, grpc.StatusCode.PERMISSION_DENIED, "AXONIQ-1001", "Invalid token")
        name = said.get("axoniq-context", "default")
        if name == "missing":
            await refuse(context, grpc.StatusCode.NOT_FOUND, "AXONIQ-1302", f"Context {name} not found")
        if name not in self._logs:
            self._logs[name] = Log(self._folder / f"{name}.events")
        return self._logs[name]

    # control.PlatformService

    async def get_platform_server(self, _: Any, context: Context) -> Any:
        await self.log(context)
        node = new(
            "control.NodeInfo", host_name="127.0.0.1", grpc_port=self._primary, node_name=f"peer-{self._primary}"
        )
        return new("control.PlatformInfo", primary=node, same_connection=self._primary == self._port)

    async def open_stream(self, instructions: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        await self.log(context)
        async for instruction in instructions:
            if instruction.WhichOneof("request") == "heartbeat":
                yield new("control.PlatformOutboundInstruction", heartbeat=new("control.Heartbeat"))
            if number := instruction.instruction_id:
                ack = new("InstructionAck", instruction_id=number, success=True)
                yield new("control.PlatformOutboundInstruction", ack=ack)

    # event.EventStore

    async def append_event(self, incoming: AsyncIterator[Any], context: Context) -> Any:
        log = await self.log(context)
        events = [event async for event in incoming]
        if len(events) >= MOST_EVENTS:
            text = f"Maximum number of events in transaction exceeded: {MOST_EVENTS}"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "AXONIQ-2002", text)
        if conflict := log.conflict(events):
            await refuse(context, grpc.StatusCode.OUT_OF_RANGE, "AXONIQ-2000", conflict)
        log.append(events)
        if any(event.payload.type == LOSES_CONFIRMATION for event in events):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        return new("event.Confirmation", success=True)

    async def list_aggregate_events(self, asked: Any, context: Context) -> AsyncIterator[Any]:
        log = await self.log(context)
        end = asked.max_sequence + 1 if asked.max_sequence > 0 else None
        for token in log.aggregates.get(asked.aggregate_id, [])[asked.initial_sequence : end]:
            yield log.events[token]

    async def list_events(self, asked: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        log = await self.log(context)
        first = await anext(aiter(asked))
        token, permits, more = first.tracking_token, first.number_of_permits, asyncio.Event()

        async def permit() -> None:
            nonlocal permits
            async for request in asked:
                permits += request.number_of_permits
                more.set()

        permitting = asyncio.create_task(permit())
        try:
            while True:
                grown = log.grown
                while permits and token < len(log.events):
                    yield new("event.EventWithToken", token=token, event=log.events[token])
                    token, permits = token + 1, permits - 1
                more.clear()
                waits = [asyncio.create_task(each.wait()) for each in ((grown,) if permits else ()) + (more,)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        finally:
            permitting.cancel()

    async def read_highest_sequence_nr(self, asked: Any, context: Context) -> Any:
        log = await self.log(context)
        return new("event.ReadHighestSequenceNrResponse", to_sequence_nr=log.highest(asked.aggregate_id))

    async def get_first_token(self, _: Any, context: Context) -> Any:
        await self.log(context)
        return new("event.TrackingToken", token=0)

    async def get_last_token(self, _: Any, context: Context) -> Any:
        return new("event.TrackingToken", token=len((await self.log(context)).events) - 1)

    async def get_token_at(self, asked: Any, context: Context) -> Any:
        times = [event.timestamp for event in (await self.log(context)).events]
        found = bisect.bisect_left(times, asked.instant)
        return new("event.TrackingToken", token=found if found < len(times) else -1)


async def refuse(context: Context, status: grpc.StatusCode, code: str, text: str) -> None:
    await context.abort(status, f"[{code}] {text}", (("axoniq-errorcode", code),))


def handlers(peer: Peer) -> list[grpc.GenericRpcHandler]:
    services: dict[str, dict[str, Any]] = {}
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    for name, call in SERVED.items():
        service, method = name.split("/")
        named = "".join("_" + letter.lower() if letter.isupper() else letter for letter in method).lstrip("_")
        services.setdefault(service, {})[method] = makers[call.asks_many, call.answers_many](
            getattr(peer, named),
            request_deserializer=CLASSES[call.asks].FromString,
            response_serializer=CLASSES[call.answers].SerializeToString,
        )
    return [grpc.method_handlers_generic_handler(f"{ROOT}.{service}", each) for service, each in services.items()]


OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),  # who asks more often whether we live is thrown out
]


async def serve(port: int, folder: Path, token: str | None, primary: int) -> None:
    server = aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(handlers(Peer(port, folder, token, primary)))
    if (key := folder / "key.pem").exists():
        pair = (key.read_bytes(), (folder / "certificate.pem").read_bytes())
        server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    _, port, folder, token, primary = sys.argv
    asyncio.run(serve(int(port), Path(folder), token or None, int(primary)))
