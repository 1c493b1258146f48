"""Publishing: every message of a chain says which one it must follow, so that the server itself keeps the order.

Many are under way at once. The first names the sequence that it follows, which is that of the end of the stream, and
each of the others also the id of the one before it: a sequence alone would let one pass behind somebody else's message
that came in place of its predecessor. So after one that was refused all are. What the stream has is not sent again.
"""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from secrets import token_hex

import msgspec

from daicho.adapters.buses.nats.names import Road
from daicho.adapters.buses.nats.places import WRONG_SEQUENCE, refusal
from daicho.adapters.buses.nats.wire import Answer, Line, Wire
from daicho.adapters.cloudevents import NATS, headers_of
from daicho.core.errors import BusClosed, BusRefused, BusUnavailable
from daicho.ports.event_bus import BusMessage

__all__ = ["Publisher", "last_number", "number_in"]

_NO_MESSAGE = 10037
_WRONG_ID = 10070
_AT_ONCE = 512
"""Messages under way."""
_BYTES_AT_ONCE = 4 * 1024 * 1024
_ATTEMPTS = 20
"""Others may publish to the same partition meanwhile, as often as that."""


class Prepared(msgspec.Struct, frozen=True):
    number: int
    id: str
    headers: dict[str, str]
    data: bytes


class _End(msgspec.Struct, frozen=True):
    """Of a stream, as it was seen on one connection."""

    line: Line
    seq: int
    number: int


class Publisher:
    """Of one partition. Calls take turns."""

    def __init__(self, wire: Wire, road: Road) -> None:
        self._wire, self._road = wire, road
        self._end: _End | None = None
        self._doubted = ""
        """The id of which the server said that it has it."""
        self._is_finished = False
        self._turn = asyncio.Lock()

    async def finish(self) -> None:
        """Returns when nothing is under way. From then on it takes nothing."""
        async with self._turn:
            self._is_finished = True

    def _check(self) -> None:
        if self._is_finished:
            raise BusClosed(f"the bus of {self._road.channel.name} was closed", do="open the bus first")

    async def tail(self) -> int:
        async with self._turn:
            self._check()
            self._end = None
            line = await self._wire.line()
            return await last_number(line, self._road)

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        left: Sequence[Prepared] = [
            Prepared(each.number, each.id, headers_of(each, NATS), each.data) for each in messages
        ]  # before anything is sent
        async with self._turn:
            self._check()
            self._check_sizes(left, (await self._wire.line()).largest)
            is_chain = any(each.number for each in left)
            for _ in range(_ATTEMPTS):
                line = await self._wire.line()
                left = await (self._in_order(line, left) if is_chain else self._loosely(line, left))
                if not left:
                    return
        raise BusUnavailable(
            f"{self._road.channel.name} has too many publishers",
            why=f"others came between {_ATTEMPTS} times",
            do="try again; give chains a channel of their own",
        )

    def _check_sizes(self, messages: Sequence[Prepared], most: int) -> None:
        for each in messages:
            size = len(each.data) + sum(len(name) + len(value) + 4 for name, value in each.headers.items()) + 200
            if size > most:
                raise BusRefused(
                    f"message {each.id!r} is too large for {self._road.channel.name}",
                    why=f"it has {size:,} bytes with its headers, and {most:,} are the server's limit",
                    do="raise max_payload of the server, or send less",
                )

    async def _in_order(self, line: Line, messages: Sequence[Prepared]) -> Sequence[Prepared]:
        """What is still to be sent after somebody came between."""
        end, self._end = self._end, None
        if end is None or end.line is not line:
            end = await _end_of(line, self._road)
        left = [each for each in messages if not each.number or each.number > end.number]
        while left:
            some = _some(left)
            asked: list[asyncio.Future[Answer]] = []
            before = ""
            for each in some:
                subject = self._road.chain if each.number else self._road.loose
                name = each.headers["ce-id"] if each.number else token_hex(16)  # a loose one may be sent again
                guards = {"Nats-Msg-Id": name, "Nats-Expected-Last-Sequence": str(end.seq + len(asked))}
                if before:
                    guards["Nats-Expected-Last-Msg-Id"] = before
                asked.append(await line.begin(subject, each.data, each.headers | guards))
                before = name
            answers = await line.answers(asked)
            taken = _taken(answers)
            left = left[taken:]
            if taken < len(some):
                self._refused(answers[taken], some[taken])
                return left
            numbers = [each.number for each in some if each.number]
            end = _End(line, end.seq + taken, numbers[-1] if numbers else end.number)
        self._end = end
        return left

    async def _loosely(self, line: Line, messages: Sequence[Prepared]) -> Sequence[Prepared]:
        self._end = None
        left = messages
        while left:
            some = _some(left)
            asked = [await line.begin(self._road.loose, each.data, each.headers) for each in some]
            for each, answer in zip(some, await line.answers(asked), strict=True):
                if answer.error:
                    self._refused(answer, each)
            left = left[len(some) :]
        return left

    def _refused(self, answer: Answer, message: Prepared) -> None:
        """Raises, unless it was because somebody came between, perhaps with the same message."""
        if answer.error is None:
            doubted, self._doubted = self._doubted, message.id
            if doubted != message.id:
                return
            raise BusRefused(
                f"{self._road.channel.name} has a message of the id {message.id!r} with another number",
                why="ids are the same for ever, and so are numbers",
                do="wait two minutes, after which the server does not look at ids any more",
            )
        if answer.error.err_code not in (WRONG_SEQUENCE, _WRONG_ID):
            raise refusal(answer, f"{self._road.channel.name} did not take message {message.id!r}")


def _some(messages: Sequence[Prepared]) -> Sequence[Prepared]:
    """The first few, at least one."""
    size = 0
    for count, each in enumerate(messages[:_AT_ONCE]):
        size += len(each.data)
        if size > _BYTES_AT_ONCE and count:
            return messages[:count]
    return messages[:_AT_ONCE]


def _taken(answers: Sequence[Answer]) -> int:
    """How many of the first ones."""
    return next((n for n, answer in enumerate(answers) if answer.error or answer.duplicate), len(answers))


async def _end_of(line: Line, road: Road) -> _End:
    """Of one moment: a message of a chain that came between the two questions has a larger sequence."""
    for _ in range(_ATTEMPTS):
        info = await line.ask(f"STREAM.INFO.{road.stream}")
        if info.error:
            raise refusal(info, f"{road.channel.name} is not there")
        seq = int(info.state["last_seq"]) if info.state else 0
        answer = await _last(line, road)
        if not answer.message or answer.message["seq"] <= seq:
            return _End(line, seq, number_in(answer))
    raise BusUnavailable(f"{road.channel.name} has too many publishers", do="try again")


async def last_number(line: Line, road: Road) -> int:
    """Of the last message of a chain. Raises BusRefused if there is no such channel."""
    return number_in(await _last(line, road))


async def _last(line: Line, road: Road) -> Answer:
    answer = await line.ask(f"STREAM.MSG.GET.{road.stream}", {"last_by_subj": road.chain})
    if answer.error and answer.error.err_code != _NO_MESSAGE:
        raise refusal(answer, f"{road.channel.name} is not there")
    return answer


def number_in(answer: Answer) -> int:
    """Of a stored message; 0 if there is none, or if somebody else wrote it."""
    if not answer.message:
        return 0
    for line in b64decode(answer.message.get("hdrs", "")).split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"ce-chainnumber" and value.strip().isdigit():
            return int(value)
    return 0
