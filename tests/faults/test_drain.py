"""SIGTERM under load: what was accepted is finished and answered, and what was not was not begun."""

import asyncio
import signal
import socket
from pathlib import Path

import httpx
import pytest
import uvicorn

from daicho import App
from daicho.server import ServerSettings, serve
from examples.quickstart import FindOrders, shop
from tests.serving import Served, served

CALLERS = 16


class Ledger:
    """What a client knows of its orders."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        """Answered, as done or as taken for later."""
        self.refused: set[str] = set()
        """Turned away with an answer."""
        self.unanswered: set[str] = set()
        """Nothing came back."""


async def order(client: httpx.AsyncClient, caller: int, ledger: Ledger, enough: asyncio.Event, begun: int) -> None:
    """Orders until nobody answers any more."""
    number = 0
    while True:
        number += 1
        name = f"o-{caller}-{number}"
        headers = {"Prefer": "respond-async"} if number % 3 == 0 else {}
        try:
            answer = await client.post(
                "/commands/CreateOrder", json={"order_id": name, "sku": "pen", "quantity": 1}, headers=headers
            )
        except httpx.TransportError:
            ledger.unanswered.add(name)
            return
        (ledger.accepted if answer.status_code in (201, 202) else ledger.refused).add(name)
        if len(ledger.accepted) >= begun:
            enough.set()


async def under_load(server: Served, ledger: Ledger, begun: int) -> int:
    """Lets callers order, ends the server in the middle of it, and returns its exit code."""
    limits = httpx.Limits(max_connections=CALLERS)
    enough = asyncio.Event()
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30, trust_env=False) as client:
        callers = [asyncio.create_task(order(client, n, ledger, enough, begun)) for n in range(CALLERS)]
        await asyncio.wait_for(enough.wait(), 30)
        ended = await asyncio.to_thread(server.terminate)
        await asyncio.gather(*callers)
    return ended


async def recorded(app: App) -> dict[str, list[str]]:
    """Order -> types of its events."""
    found: dict[str, list[str]] = {}
    async for event in app.events(category="order"):
        found.setdefault(event.stream.removeprefix("order-"), []).append(event.type)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_accepted_order_is_lost_and_none_is_half_done(tmp_path: Path, workers: str) -> None:
    url, ledger = f"sqlite:///{tmp_path / 'shop.db'}", Ledger()
    with served("--store", url, "--workers", workers) as server:
        assert await under_load(server, ledger, begun=150) == 0, server.said
    assert len(ledger.accepted) >= 150
    assert ledger.refused == set()
    async with shop(url) as app:
        assert await app.storage.parked_counts() == {}
        await app.settle()
        found = await recorded(app)
        assert ledger.accepted - set(found) == set()
        assert set(found) - ledger.accepted == set(), "begun, and nobody was told"
        # each whole: created, and refused by the inventory, once each
        assert {tuple(types) for types in found.values()} == {("order.created", "order.rejected")}
        assert {row.order_id for row in await app.ask(FindOrders(status="rejected"))} == set(found)


@pytest.mark.slow
async def test_leases_are_given_back_so_that_the_next_process_goes_on_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with served("--store", url) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            body = {"order_id": "o-1", "sku": "pen", "quantity": 1}
            assert (await client.post("/orders", json=body)).status_code == 201
        assert server.terminate() == 0
    app = shop(url)
    await app.start(processors=False)
    try:
        assert [c.processor for c in await app.storage.checkpoints() if c.owner] == []
    finally:
        await app.stop()


def test_a_signal_that_comes_before_the_server_listens_to_signals_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = uvicorn.Server.run

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        signal.raise_signal(signal.SIGTERM)
        begin(server, sockets)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    before = signal.getsignal(signal.SIGTERM)
    assert serve(lambda: shop("memory:"), ServerSettings(port=0)) == 0
    assert signal.getsignal(signal.SIGTERM) is before
