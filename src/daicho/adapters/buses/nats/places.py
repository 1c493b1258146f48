"""How far each group has come: one record for each group and partition, the last one of its subject.

    {"seq": 17, "time": 1795894018863427975, "token": "9f3c2a"}

A group has acknowledged up to `seq`, which the server stored at `time` (nanoseconds). Whoever subscribes writes its own
`token`. A record is only written over the one that its writer knows, so that he who was replaced is told.
"""

import asyncio
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import msgspec

from daicho.adapters.buses.nats.names import Road, places_stream
from daicho.adapters.buses.nats.wire import Answer, Line, Wire
from daicho.core.errors import BusClosed, BusRefused, BusUnavailable

__all__ = ["Place", "Places", "nanoseconds", "start_at"]

WRONG_SEQUENCE = 10071
_NO_MESSAGE = 10037
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(msgspec.Struct, frozen=True):
    seq: int = 0
    """Of the stream; 0: before everything."""
    time: int = 0
    token: str = ""


class Places:
    """The record of one group in one partition, as one subscription keeps it."""

    def __init__(self, wire: Wire, road: Road, group: str) -> None:
        self._wire, self._group = wire, group
        self._stream, self._subject = places_stream(road.prefix), road.place(group)
        self._known: int | None = None
        """The sequence of the record that is ours; None: it has to be looked up."""
        self._turn = asyncio.Lock()

    async def read(self) -> tuple[int, Place]:
        """The sequence of the record and what it says."""
        answer = await (await self._wire.line()).ask(f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._subject})
        if answer.error:
            if answer.error.err_code == _NO_MESSAGE:
                return 0, Place()
            raise BusRefused(f"the place of {self._group} cannot be read", why=answer.error.description)
        assert answer.message
        return answer.message["seq"], msgspec.json.decode(b64decode(answer.message.get("data", "")), type=Place)

    async def claim(self, over: int, place: Place) -> bool:
        """False: somebody else wrote a record meanwhile."""
        async with self._turn:
            self._known = await self._write(await self._wire.line(), over, place)
            return self._known is not None

    async def keep(self, place: Place) -> None:
        """Raises BusUnavailable, and BusClosed if the record is somebody else's."""
        async with self._turn:
            for _ in range(2):
                line = await self._wire.line()
                known, self._known = self._known, None
                if known is None:
                    known = await self._own(place.token)
                self._known = await self._write(line, known, place)
                if self._known is not None:
                    return
        raise BusUnavailable(f"the place of {self._group} was changed twice meanwhile", do="try again")

    async def check(self, token: str) -> None:
        """Raises BusClosed if the record is somebody else's."""
        async with self._turn:
            self._known = await self._own(token)

    async def _own(self, token: str) -> int:
        known, there = await self.read()
        if there.token != token:
            raise BusClosed(
                f"this subscription of {self._group} is over",
                why="another one hears for the group" if there.token else "the server lost the group's place",
                do="nothing, or subscribe again",
            )
        return known

    async def _write(self, line: Line, over: int, place: Place) -> int | None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(over)}
        [answer] = await line.answers([await line.begin(self._subject, msgspec.json.encode(place), headers)])
        if answer.error is None:
            return answer.seq
        if answer.error.err_code == WRONG_SEQUENCE:
            return None
        raise refusal(answer, f"the place of {self._group} cannot be kept")


def refusal(answer: Answer, what: str) -> BusUnavailable | BusRefused:
    assert answer.error
    why = answer.error.description or "nobody answers for the stream: it is gone, or elects a leader"
    if answer.error.code == 503:
        return BusUnavailable(what, why=why, do="wait, or declare the channel again")
    return BusRefused(what, why=why, do="look into the server's log", code=answer.error.err_code)


async def start_at(line: Line, road: Road, place: Place) -> dict[str, object]:
    """From where a consumer has to start to hear all that this place has not.

    Usually behind its sequence. If the stream has another message there, or has not come so far, the server lost what
    it had not brought to disk, and what came since has sequences of lost ones: then everything stored since that time
    is heard.
    """
    if not place.seq:
        return {"deliver_policy": "all"}
    answer = await line.ask(f"STREAM.MSG.GET.{road.stream}", {"seq": place.seq})
    behind: dict[str, object] = {"deliver_policy": "by_start_sequence", "opt_start_seq": place.seq + 1}
    if answer.message and nanoseconds(answer.message["time"]) == place.time:
        return behind
    if answer.error:
        if answer.error.err_code != _NO_MESSAGE:
            raise refusal(answer, f"{road.channel.name} cannot be heard")
        info = await line.ask(f"STREAM.INFO.{road.stream}")
        if info.state and place.seq <= info.state["last_seq"]:
            return behind  # it was kept no longer
    return {"deliver_policy": "by_start_time", "opt_start_time": _text(place.time)}


def nanoseconds(text: str) -> int:
    """Of `2026-11-28T19:26:58.865733251Z` since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = (datetime.fromisoformat(whole).replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0")[:9])


def _text(time: int) -> str:
    seconds, rest = divmod(time, 10**9)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
