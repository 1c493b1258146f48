"""The shop as services, each a process with a register of its own; a client with a ledger; and an auditor."""

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from examples.services import inventory, orders, payments

ROOT = Path(__file__).parents[2]
NAMES = ("orders", "inventory", "payments")
AT_ONCE = 64


class Ledger(msgspec.Struct):
    """What the client did, as it knows it itself."""

    stock: dict[str, int] = {}
    placed: dict[str, orders.PlaceOrder] = {}
    paid: dict[str, int] = {}


class Town:
    """Services that may be killed at any moment, and come back."""

    def __init__(self, folder: Path, bus: str) -> None:
        self.folder, self.bus = folder, bus
        self.ledger = Ledger()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ups = dict[str, int]()

    def database(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def store(self, name: str) -> str:
        return f"sqlite:///{self.database(name)}"

    def start(self, *names: str) -> None:
        for name in names:
            log = self.folder / f"{name}.log"
            with log.open("ab") as out:
                serve = [sys.executable, "-m", "examples.services", "serve", name]
                self._running[name] = subprocess.Popen(
                    [*serve, "--store", self.store(name), "--bus", self.bus],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        assert process.poll() is None, f"{name} ended by itself: {self.log(name)}"
        process.kill()
        process.wait()
        self._ups[name] = (self.folder / f"{name}.log").read_text().count(f"{name} is up\n")

    async def stop(self) -> None:
        """In good order, which a service knows once it is up."""
        await self.up()
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            assert process.wait(60) == 0, self.log(name)
        self._running.clear()

    async def up(self) -> None:
        await self.until(lambda: all(map(self._is_up, self._running)), "the services to be up")

    def _is_up(self, name: str) -> bool:
        killed_before = self._ups.get(name, 0)
        return (self.folder / f"{name}.log").read_text().count(f"{name} is up\n") > killed_before

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        return "\n".join((self.folder / f"{name}.log").read_text().splitlines()[-40:])

    # -- the client ---------------------------------------------------------------------------------------------------

    async def trade(self, count: int, seed: int, *, skus: int = 40) -> None:
        """Fills the shelves, too little of it; places orders and pays for them: most at once, some before they are
        placed, some when the money is not wanted any more, some never."""
        chance = random.Random(seed)
        tills = [
            module.service(self.store(name), self.bus)
            for name, module in zip(NAMES, (orders, inventory, payments), strict=True)
        ]
        async with contextlib.AsyncExitStack() as stack:
            for till in tills:
                await till.start(processors=False)
                stack.push_async_callback(till.stop)
            shop, shelves, bank = tills
            for number in range(skus):
                sku, quantity = f"sku-{number}", 3 * count // skus // 2
                await shelves.send(inventory.Receive(sku=sku, quantity=quantity))
                self.ledger.stock[sku] = quantity
            gate = asyncio.Semaphore(AT_ONCE)

            async def pay(order_id: str, cents: int) -> None:
                await bank.send(payments.ReceivePayment(order_id=order_id, cents=cents))
                self.ledger.paid[order_id] = cents

            async def buy(number: int, manner: float, sku: str, quantity: int, cents: int) -> None:
                async with gate:
                    order_id = f"o-{number}"
                    if manner < 0.05:
                        await pay(order_id, cents)
                    command = orders.PlaceOrder(order_id=order_id, sku=sku, quantity=quantity, cents=cents)
                    await shop.send(command)
                    self.ledger.placed[order_id] = command
                    if 0.05 <= manner < 0.9:
                        await pay(order_id, cents)

            late = list[tuple[str, int]]()
            buying = list[Any]()
            for number in range(count):
                manner, sku, quantity = chance.random(), f"sku-{chance.randrange(skus)}", chance.randint(1, 3)
                cents = 100 * quantity + number % 97
                buying.append(buy(number, manner, sku, quantity, cents))
                if manner >= 0.95:
                    late.append((f"o-{number}", cents))
            await asyncio.gather(*buying)
            await self.until(lambda: self.ended() == count, f"{count} orders to end")
            for order_id, cents in late:
                await pay(order_id, cents)
            await self.until(self.is_quiet, "everything to come to rest")

    async def until(self, reached: Any, what: str, within: float = 600.0) -> None:
        deadline = time.monotonic() + within
        while not reached():
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            assert not dead, self.log(dead[0])
            assert time.monotonic() < deadline, f"waited {within:g} s for {what}: {self.told()}"
            await asyncio.sleep(0.5)

    # -- the auditor: plain SQL on the files ---------------------------------------------------------------------------

    def rows(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        # by the same library that the client in this process has them open with
        connection = apsw.Connection(str(self.database(name)), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()

    def events(self, name: str, category: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Type and data of what the service itself recorded, in order."""
        for kind, data in self.rows(
            name, f"select type, data from events where stream glob '{category}-*' order by position"
        ):
            yield kind, msgspec.json.decode(data)

    def count(self, name: str, category: str, *types: str) -> int:
        listed = ", ".join(f"'{each}'" for each in types)
        sql = f"select count(*) from events where stream glob '{category}-*' and type in ({listed})"
        return int(self.rows(name, sql)[0][0])

    def ended(self) -> int:
        return self.count("orders", "order", "order.confirmed", "order.cancelled")

    def is_quiet(self) -> bool:
        """Nobody has anything to answer, and each payment and each reservation came to its end."""
        pending = sum(
            self.rows(name, "select count(*) from daicho_commands where state = 'pending'")[0][0] for name in NAMES
        )
        reserved = self.count("inventory", "shelf", "stock.reserved")
        let_go = self.count("inventory", "shelf", "stock.released", "stock.deducted")
        confirmed = self.count("orders", "order", "order.confirmed")
        refunded = self.count("payments", "payment", "payment.refunded")
        return not pending and reserved == let_go and len(self.ledger.paid) == confirmed + refunded

    def told(self) -> str:
        kinds = Counter(
            kind
            for name, category in (("orders", "order"), ("inventory", "shelf"), ("payments", "payment"))
            for kind, _ in self.events(name, category)
        )
        letters = [self.rows(name, "select processor, key, error from daicho_dead_letters limit 3") for name in NAMES]
        return f"{dict(kinds)}; parked: {letters}"

    def audit(self) -> dict[str, int]:
        """Every order ended one way, stock and money are all accounted for. Returns how many ended how."""
        ledger = self.ledger
        for name in NAMES:
            assert self.rows(name, "select processor, key, error from daicho_dead_letters") == []
            [[count, different]] = self.rows(name, "select count(*), count(distinct event_id) from events")
            assert count == different
        placed, outcome = dict[str, dict[str, Any]](), dict[str, str]()
        for kind, data in self.events("orders", "order"):
            if kind == "order.placed":
                assert data["order_id"] not in placed
                placed[data["order_id"]] = data
            else:
                assert data["order_id"] not in outcome, f"{data['order_id']} ended twice"
                outcome[data["order_id"]] = kind
        assert placed == {each: msgspec.to_builtins(command) for each, command in ledger.placed.items()}
        assert outcome.keys() == placed.keys()
        confirmed = {each for each, kind in outcome.items() if kind == "order.confirmed"}
        self._audit_stock(placed, confirmed)
        self._audit_money(confirmed)
        sold_out = sum(
            data["reason"] != "not paid in time"
            for kind, data in self.events("orders", "order")
            if kind == "order.cancelled"
        )
        return {
            "confirmed": len(confirmed),
            "rejected": sold_out,
            "compensated": len(outcome) - len(confirmed) - sold_out,
        }

    def _audit_stock(self, placed: dict[str, dict[str, Any]], confirmed: set[str]) -> None:
        free, held, gone = defaultdict[str, int](int), dict[str, tuple[str, int]](), Counter[str]()
        deducted = set[str]()
        for kind, data in self.events("inventory", "shelf"):
            sku, quantity = data["sku"], data["quantity"]
            if kind == "stock.received":
                free[sku] += quantity
            elif kind == "stock.reserved":
                assert data["order_id"] not in held
                assert quantity == placed[data["order_id"]]["quantity"]
                held[data["order_id"]] = (sku, quantity)
                free[sku] -= quantity
                assert free[sku] >= 0, f"{sku} was promised twice"
            else:
                assert held.pop(data["order_id"]) == (sku, quantity)
                if kind == "stock.released":
                    free[sku] += quantity
                else:
                    gone[sku] += quantity
                    deducted.add(data["order_id"])
        assert held == {}
        assert deducted == confirmed
        assert {sku: free[sku] + gone[sku] for sku in free} == self.ledger.stock

    def _audit_money(self, confirmed: set[str]) -> None:
        received, refunded = dict[str, int](), dict[str, int]()
        for kind, data in self.events("payments", "payment"):
            book = {"payment.received": received, "payment.refunded": refunded}.get(kind)
            if book is not None:
                assert data["order_id"] not in book
                book[data["order_id"]] = data["cents"]
        assert received == self.ledger.paid
        assert confirmed <= received.keys()
        assert refunded == {order_id: cents for order_id, cents in received.items() if order_id not in confirmed}


async def trouble(town: Town, broker: Any, seed: int, services: Sequence[str], pause: float, broker_every: int) -> int:
    """Kills a service, or now and then the broker, by force, and starts it again; until it is cancelled."""
    chance, kills = random.Random(seed), 0
    try:
        while True:
            await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)
            kills += 1
            if broker is not None and kills % broker_every == 0:
                await asyncio.to_thread(broker.kill)
                await asyncio.sleep(chance.uniform(0, 0.5))
                # not in a thread that ends: the server would end with it
                broker.start(within=180)
            else:
                name = chance.choice(services)
                town.kill(name)
                town.start(name)
    except asyncio.CancelledError:
        return kills
