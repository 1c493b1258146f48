"""Callers over bare sockets: as little work for a request as there can be, so that what is measured is the server.

`python -m daicho.load.caller` reads its orders as JSON from standard input and prints what it counted.
"""

import asyncio
import random
import sys
import time
from collections.abc import Mapping
from itertools import accumulate
from urllib.parse import urlsplit

import msgspec

from daicho.load.figures import Counted
from daicho.load.plan import Plan, Ratio

__all__ = ["Orders", "call"]

_PATIENCE = 30.0
_SKEW = 0.8
"""Zipf's exponent: a few things are looked at much, as in a shop."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """For one process."""

    url: str
    plan: Plan
    ratio: Ratio
    connections: int
    seconds: float
    rate: float | None = None
    """Requests a second, all connections together; None: as fast as answers come."""
    fill: tuple[int, int] | None = None
    """Before the beginning, each key is written once: those of this process, the n-th of m."""
    warm: float = 0.0
    """Seconds at the beginning that are not counted."""
    seed: int = 0
    most: int | None = None
    """Requests after which it ends, however much time there is."""


async def call(orders: Orders) -> Counted:
    counted = Counted()
    shared = _Shared(orders, counted)
    if orders.fill is not None:
        await asyncio.gather(*(_Caller(shared, number).fill() for number in range(orders.connections)))
    shared.begin()
    await asyncio.gather(*(_Caller(shared, number).run() for number in range(orders.connections)))
    counted.seconds = time.perf_counter() - shared.warm
    return counted


class _Shared:
    """What callers of one process have in common: when it ends, and what is known of each key."""

    def __init__(self, orders: Orders, counted: Counted) -> None:
        self.orders, self.counted = orders, counted
        parts = urlsplit(orders.url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.warm = self.until = float("inf")
        keys = orders.plan.keys
        self.keys = [f"sku-{n}" for n in range(keys)]
        self.weights = list(accumulate((n + 1) ** -_SKEW for n in range(keys)))
        self.known: dict[str, tuple[int, int]] = {}
        """By key: the position of the last write that was acknowledged here, and how many were."""
        self.decode = msgspec.json.Decoder().decode
        self._asked = 0
        number, of = orders.fill or (0, 1)
        self.unfilled = self.keys[number::of] if orders.fill else []

    def may_ask(self) -> bool:
        self._asked += 1
        return self.orders.most is None or self._asked <= self.orders.most

    def begin(self) -> None:
        self.warm = time.perf_counter() + self.orders.warm
        self.until = self.warm + self.orders.seconds


class _Caller:
    """One connection, one request at a time."""

    def __init__(self, shared: _Shared, number: int) -> None:
        self._shared, self._number = shared, number
        self._random = random.Random(shared.orders.seed * 10_007 + number)  # noqa: S311 - a load, repeatable
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def fill(self) -> None:
        try:
            while self._shared.unfilled:
                await self._write(self._shared.unfilled.pop(), time.perf_counter())
        finally:
            self._hang_up()

    async def run(self) -> None:
        shared, orders = self._shared, self._shared.orders
        ratio = orders.ratio
        share = ratio.writes / (ratio.reads + ratio.writes)
        pause = orders.connections / orders.rate if orders.rate else 0.0
        due = time.perf_counter() + pause * self._random.random()
        try:
            while time.perf_counter() < shared.until and shared.may_ask():
                if pause:
                    if (wait := due - time.perf_counter()) > 0:
                        await asyncio.sleep(wait)
                    due += pause
                (key,) = self._random.choices(shared.keys, cum_weights=shared.weights)
                writes = self._random.random() < share
                try:
                    # with a rate, a request counts from when it was due: who waits behind a slow one waits, too
                    begin = due - pause if pause else time.perf_counter()
                    async with asyncio.timeout(_PATIENCE):
                        await (self._write(key, begin) if writes else self._read(key, begin))
                except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                    self._note(type(error).__name__)
                    self._hang_up()
        finally:
            self._hang_up()

    async def _write(self, key: str, begin: float) -> None:
        shared = self._shared
        request = self._random.choice(shared.orders.plan.writes)
        status, headers, _ = await self._exchange(request.raw(shared.host, key))
        self._count(shared.counted.writes, begin, status)
        if status < 300 and (position := int(headers.get(b"daicho-position", b"0"))):
            known, times = shared.known.get(key, (0, 0))
            shared.known[key] = (max(known, position), times + 1)

    async def _read(self, key: str, begin: float) -> None:
        shared, plan = self._shared, self._shared.orders.plan
        which = self._random.randrange(len(plan.reads))
        known, times = shared.known.get(key, (0, 0))
        asks = bool(known) and self._random.randrange(plan.every) == 0
        token = f"Min-Position: {known}\r\n" if asks else ""
        status, headers, body = await self._exchange(plan.reads[which].raw(shared.host, key, token))
        counts = self._count(shared.counted.reads, begin, status, or_404=True)
        if not counts:
            return
        shared.counted.hits += headers.get(b"x-cache") == b"HIT"
        if asks:
            shared.counted.with_token += 1
            if status == 503:
                shared.counted.refused += 1
            elif self._is_stale(status, headers, body, known, times if which == 0 else 0):
                shared.counted.stale += 1

    def _is_stale(self, status: int, headers: Mapping[bytes, bytes], body: bytes, known: int, times: int) -> bool:
        """By what the answer says of itself, and by what is in it."""
        if status == 404 or int(headers.get(b"daicho-position", b"0")) < known:
            return True
        field = self._shared.orders.plan.counts
        if field is None or not times:
            return False
        return int(self._shared.decode(body).get(field, 0)) < times

    def _count(self, waits: list[float], begin: float, status: int, *, or_404: bool = False) -> bool:
        """Whether it counts: after the beginning."""
        now = time.perf_counter()
        if now < self._shared.warm:
            return False
        if status < 300 or (or_404 and status == 404):
            waits.append(now - begin)
        else:
            self._note(str(status))
        return True

    def _note(self, what: str) -> None:
        if time.perf_counter() >= self._shared.warm:
            counted = self._shared.counted
            counted.failed += 1
            counted.errors[what] = counted.errors.get(what, 0) + 1

    async def _exchange(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._shared.host, self._shared.port)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        headers: dict[bytes, bytes] = {}
        for line in lines:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        body = b""
        if b"content-length" in headers:
            body = await self._reader.readexactly(int(headers[b"content-length"]))
        elif headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = await self._chunks(self._reader)
        if headers.get(b"connection", b"").lower() == b"close":
            self._hang_up()
        return int(first[9:12]), headers, body

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while size := int((await reader.readline()).partition(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
        return body

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


if __name__ == "__main__":
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(call(told))))
