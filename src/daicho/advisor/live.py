"""Look-to-Book of running services, from `/look-to-book`; and of a register: how often each category was written."""

import asyncio
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from daicho.advisor.usage import Usage
from daicho.core.errors import BadAnswers, MeterUnavailable, NothingMeasured
from daicho.core.times import from_text
from daicho.ports.event_store import Selection
from daicho.read.history import History

__all__ = ["read_meters", "read_register"]

_MOST = 4 * 1024 * 1024


class _Aggregate(msgspec.Struct):
    aggregate: str
    reads: int
    writes: int


class _Answer(msgspec.Struct):
    aggregates: list[_Aggregate]


async def read_meters(urls: Sequence[str], *, seconds: float = 0, token: str | None = None) -> Usage:
    """The sum of all processes: each counts for itself, so name every one of them.

    Since they began, which gives a ratio; with `seconds`, in that time from now on, which gives rates as well. Raises
    BadAnswers for what is no URL, MeterUnavailable, NothingMeasured.
    """
    before = await _sum(urls, token) if seconds else (Counter[str](), Counter[str]())
    if seconds:
        await asyncio.sleep(seconds)
    reads, writes = await _sum(urls, token)
    if any(after[name] < was[name] for after, was in zip((reads, writes), before, strict=True) for name in was):
        raise MeterUnavailable(
            "a service began anew while it was measured", why="its counters are lower than before", do="measure again"
        )
    reads.subtract(before[0])
    writes.subtract(before[1])
    if not any(reads.values()) and not any(writes.values()):
        raise NothingMeasured(
            f"{', '.join(urls)}: nothing was read or written",
            why=f"within {seconds:g} s" if seconds else "since the services began",
            do="measure for longer, or while they are used",
        )
    return Usage(
        source=", ".join(urls),
        reads=dict(reads),
        writes=dict(writes),
        seconds=seconds or None,
        notes=() if seconds else ("since the services began",),
    )


async def _sum(urls: Sequence[str], token: str | None) -> tuple[Counter[str], Counter[str]]:
    reads, writes = Counter[str](), Counter[str]()
    for answer in await asyncio.gather(*(asyncio.to_thread(_fetch, url, token) for url in urls)):
        for each in answer.aggregates:
            reads[each.aggregate] += each.reads
            writes[each.aggregate] += each.writes
    return reads, writes


def _fetch(url: str, token: str | None) -> _Answer:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadAnswers(f"{url!r} is no address of a service", do="write http://host:port")
    where = url if parts.path.endswith("/look-to-book") else f"{url.rstrip('/')}/look-to-book"
    request = urllib.request.Request(where, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return msgspec.json.decode(answer.read(_MOST), type=_Answer)
    except urllib.error.HTTPError as error:
        error.close()
        do = (
            "give a token with the scope metrics:read" if error.code in (401, 403) else "name the address of daicho run"
        )
        raise MeterUnavailable(f"{where} answers {error.code}", do=do, status=error.code) from error
    except (OSError, msgspec.DecodeError, ValueError) as error:
        do = "see that `daicho run` serves there"
        raise MeterUnavailable(f"{where} does not tell Look-to-Book", why=str(error), do=do) from error


async def read_register(history: History, source: str) -> Usage:
    """How often each category was written: commands that recorded something, in all the register. Reads leave no trace
    in it. Raises NothingMeasured."""
    writes: Counter[str] = Counter()
    last = ""
    first_at = last_at = ""
    async for event in history.stored(Selection()):
        cause = event.causation_id or event.event_id
        last_at, first_at = event.recorded_at, first_at or event.recorded_at
        if (this := f"{event.stream} {cause}") != last:
            writes[event.stream.partition("-")[0]] += 1
            last = this
    if not writes:
        raise NothingMeasured(f"{source}: nothing was written", do="name the store that is in use")
    seconds = (from_text(last_at) - from_text(first_at)).total_seconds()
    return Usage(source=source, reads=dict.fromkeys(writes), writes=dict(writes), seconds=seconds or None)
