"""Each topology as a whole, under the load that it is for: `make campaign`."""

import asyncio
import os
import signal
from typing import get_args

import pytest

from daicho.load import SHOP, Figures, Plan
from daicho.load.driving import drive
from daicho.load.plan import Ratio as Reads
from daicho.load.plan import Request
from daicho.topologies import Ratio
from tests.services.find import needed
from tests.upped import upped

SHELF = Plan(
    reads=[Request.of("GET /products/{key}"), Request.of("GET /products?limit=10")],
    writes=[Request.of('PUT /products/{key} {"name": "A thing", "price": "2.50"}')],
    keys=200,
)


@pytest.mark.campaign
@pytest.mark.parametrize("ratio", get_args(Ratio))
def test_it_is_up_within_a_minute_and_no_answer_is_older_than_its_token(ratio: str) -> None:
    options = () if ratio in ("crud", "1:1") else ("--query-services", "3")
    app, plan = ("examples.shop.shelf:app", SHELF) if ratio == "crud" else ("examples.shop.app:app", SHOP)
    plan = Plan(reads=plan.reads, writes=plan.writes, counts=plan.counts, keys=200)
    with needed(), upped("1:1" if ratio == "crud" else ratio, *options, app=app) as running:
        assert running.told["seconds"] < 60
        reads = Reads.of("1:1" if ratio == "crud" else ratio)
        figures: Figures = asyncio.run(drive(running.url, plan, reads, seconds=10, connections=8))
        last = running.end()
    print(ratio, figures)
    assert figures.failed == 0, figures.errors
    assert figures.stale == 0
    assert figures.reads > 0
    assert figures.writes > 0
    if ratio != "crud":
        assert figures.with_token > 0
    if ratio == "100:1":
        assert figures.hit_rate > 0.5
        assert last["edge"]["purged"] > 0
    assert running.alive == []


@pytest.mark.campaign
def test_no_read_fails_while_one_query_service_is_drained_and_another_dies() -> None:
    plan = Plan(reads=SHOP.reads, writes=SHOP.writes, counts=SHOP.counts, keys=50)
    with needed(), upped("10:1", "--query-services", "3") as running:

        async def disturbed() -> Figures:
            work = asyncio.create_task(drive(running.url, plan, Reads.of("1:0"), seconds=12, connections=8))
            await asyncio.sleep(6)  # in the middle of it, whenever that is
            assert running.balancer("set server queries/query-1 state drain").strip() == ""
            os.kill(running.parts["query-2"]["pid"], signal.SIGKILL)
            return await work

        figures = asyncio.run(disturbed())
        last = {part["part"]: part for part in running.end()["parts"]}
    print(figures)
    assert figures.failed == 0, figures.errors
    assert figures.reads > 0
    assert last["query-1"]["state"] == "drained"
    assert last["query-2"]["state"] == "ended -9"
    assert last["query-3"]["state"] == "ready"
    assert last["query-3"]["requests"] > last["query-1"]["requests"]
