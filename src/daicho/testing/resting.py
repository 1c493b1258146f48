"""Waiting until several services have nothing left to do for each other."""

import asyncio

from daicho.app import App
from daicho.core.errors import BusError

__all__ = ["at_rest"]


async def at_rest(*apps: App, within: float = 30.0) -> None:
    """Returns when nothing is left to do in any of these running services, and nothing is under way between them.

    Every event that is for others was sent and, where they listen, taken in; every posted command was answered; every
    processor is at the head. Of services that are not named here nothing is known. Raises TimeoutError, which says what
    is left.
    """
    deadline = asyncio.get_running_loop().time() + within
    before: list[int] = []
    while True:
        left = max(0.1, deadline - asyncio.get_running_loop().time())
        heads = list[int]()
        for app in apps:
            await app.settle(within=left)
            heads.append(await app.storage.head())
        waits = [f"{app.name}: {each}" for app in apps for each in await _left(app)]
        if not waits and heads == before:
            return
        before = [] if waits else heads
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not at rest after {within:g} s: {'; '.join(waits) or 'something still happens'}")
        await asyncio.sleep(0.005)


async def _left(app: App) -> list[str]:
    found = [f"{each.name} is pending" for each in await app.storage.pending(limit=3)]
    lags = [each for each in await app.lag() if each.processor.startswith("relay:")]
    found += [f"{each.processor} is {each.events_behind} events behind" for each in lags if each.events_behind]
    if app.has_bus:
        try:
            states = await app.bus_status()
        except BusError as error:
            return [*found, error.what]
        for state in states:
            if state.direction == "in" and (state.tail or 0) > state.here:
                found.append(f"{state.channel}/{state.partition} is at {state.here} of {state.tail}")
    return found
