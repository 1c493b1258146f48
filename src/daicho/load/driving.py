"""Processes of load, side by side."""

import asyncio
import contextlib
import sys

import msgspec

from daicho.core.errors import ServerFailed
from daicho.load.caller import Orders
from daicho.load.figures import Counted, Figures
from daicho.load.plan import Plan, Ratio

__all__ = ["drive"]


async def drive(
    url: str,
    plan: Plan,
    ratio: Ratio,
    *,
    seconds: float,
    connections: int = 32,
    rate: float | None = None,
    processes: int = 1,
    warm: float = 1.0,
    fill: bool = True,
) -> Figures:
    """Drives load against a URL from processes of its own, and sums up. `rate`: requests a second in all; None: as fast
    as answers come. `fill`: each key is written once before the beginning, so that there is something to be read.
    Raises ServerFailed if a process of load ends otherwise than it should."""
    share = [connections // processes + (n < connections % processes) for n in range(processes)]
    orders = [
        Orders(
            url=url,
            plan=plan,
            ratio=ratio,
            connections=count,
            seconds=seconds,
            rate=rate * count / connections if rate else None,
            warm=warm,
            fill=(number, len(share)) if fill else None,
            seed=number,
        )
        for number, count in enumerate(share)
        if count
    ]
    return Figures.of(await asyncio.gather(*(_process(each) for each in orders)))


async def _process(orders: Orders) -> Counted:
    work = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "daicho.load.caller"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await work.communicate(msgspec.json.encode(orders))
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            work.kill()
        await work.wait()
        raise
    if work.returncode:
        last = (complained.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise ServerFailed("a process of load ended before its time", why=last, do="see whether the server is there")
    return msgspec.json.decode(said, type=Counted)
