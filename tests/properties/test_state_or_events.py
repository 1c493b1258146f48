"""An aggregate that keeps its state and one that keeps its events give the same answers, events and states."""

import asyncio
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daicho import App, DaichoError
from daicho.testing import VirtualClock
from tests.pricing import Drop, Price, product, values

SKUS = st.sampled_from(["a", "b", "名"])
COMMANDS = st.one_of(
    st.builds(Price, sku=SKUS, price=st.integers(-1, 3).map(Decimal), name=st.sampled_from(["", "x", "y"])),
    st.builds(Drop, sku=SKUS),
)
STEPS = st.tuples(COMMANDS, st.sampled_from([None, None, "k1", "k2"]), st.sampled_from([None, None, 0, 1, 2]))


async def lived(kind: Any, url: str, steps: list[Any], others: list[int]) -> list[Any]:
    """What a caller sees. `others`: after which steps the program begins anew, or its history is pruned."""
    part, told = product(kind), list[Any]()
    clock = VirtualClock()
    app = App(part, store=url, clock=clock, hot_aggregates=1)
    await app.start()
    for n, (command, key, expected) in enumerate(steps):
        try:
            receipt = await app.send(command, key=key, expected=expected)
            told.append((receipt.stream, receipt.version, receipt.position, receipt.events, receipt.duplicate))
        except DaichoError as error:
            told.append((type(error).__name__, error.what))
        if n in others:
            await app.stop()
            app = App(part, store=url, clock=clock, hot_aggregates=1)
            await app.start()
    for sku in ("a", "b", "名"):
        versions = await app.storage.stream_version(f"product-{sku}")
        told += [values(await app.load(part, sku, at=at)) for at in (*range(versions + 1), None)]
    told.append([(r.type, r.stream, r.version, r.event) async for r in app.events()])
    if kind == "state":
        rows = {row.stream: row.version for row in await app.storage.states("product")}
        assert rows == dict(await app.storage.streams("product"))
        before = {kept.identity: values(kept.state) async for kept in app.states(part)}
        await clock.advance(1)
        await app.prune(part, older_than=timedelta())
        await app.stop()
        app = App(part, store=url, clock=clock)
        await app.start()
        assert {kept.identity: values(kept.state) async for kept in app.states(part)} == before
    await app.stop()
    return told


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=20), st.lists(st.integers(0, 19), max_size=2))
def test_for_any_commands_both_kinds_are_the_same_to_whoever_uses_them(steps: list[Any], others: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        seen = [
            asyncio.run(lived(kind, f"sqlite:///{Path(folder) / kind}.db?durability=relaxed", steps, others))
            for kind in ("state", "events")
        ]
    assert seen[0] == seen[1]
