"""Sites to show the console of: each a store with something in it, and a server. The tests walk there, and
`docs/images/make_images.py` takes pictures."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from daicho import App
from daicho.console.door import COOKIE
from daicho.core.stored import NewEvent
from daicho.http.security.keys import KeyFile
from daicho.ports.event_store import AppendRequest, StreamWrite
from tests.console.browser import PATIENCE
from tests.console.conftest import ShopConsole
from tests.console.plant import BookTrip, PayTrip, make
from tests.people_app import Buy, Register, people
from tests.serving import served

__all__ = ["Office", "cookie_of", "opened_office", "opened_plant"]

OLD = "018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e%02d"


@contextmanager
def opened_plant(folder: Path) -> Iterator[ShopConsole]:
    """Fourteen trips, of which two cannot be shown and two got no room; six are paid for."""
    store = f"sqlite:///{folder / 'plant.db'}?durability=relaxed"
    os.environ["PLANT_MENDED"] = str(folder / "mended")
    asyncio.run(_fill_plant(make(store)))
    with served("--console", "on", app="tests.console.plant:make", store=store) as server:
        yield ShopConsole(f"{server.url}/console", store)
    del os.environ["PLANT_MENDED"]


async def _fill_plant(app: App) -> None:
    async with app:
        for n in range(14):
            city = "Atlantis" if n in (3, 5) else "Kyoto"
            await app.send(BookTrip(trip_id=f"t-{n}", room=f"r-{n % 12}", city=city), actor="ada")
        await app.settle()
        for n in (0, 1, 2, 3, 4, 6):
            await app.send(PayTrip(trip_id=f"t-{n}"), actor="bob")
        await app.settle()


@dataclass(frozen=True)
class Office:
    url: str
    store: str
    keys: str
    key_file: Path
    cookie: str
    lock: Path
    """Of the shapes of events; not there at first."""

    def app(self) -> App:
        return people(self.store, self.keys)


@contextmanager
def opened_office(folder: Path) -> Iterator[Office]:
    """Six customers who bought something, for two tenants, and events of an old version, of an unknown one, and of a
    content that does not fit its class."""
    store, keys = f"sqlite:///{folder / 'people.db'}?durability=relaxed", f"sqlite:///{folder / 'keys.db'}"
    asyncio.run(_fill_office(people(store, keys)))
    file, lock = folder / "api-keys.json", folder / "events.lock.json"
    admin, _ = KeyFile(file).create("ada", now=datetime.now(UTC), scopes=("console:admin", "pii:read"))
    os.environ["PEOPLE_KEYS"] = keys
    try:
        arguments = ("--console", "on", "--keys", str(file), "--schema-lock", str(lock))
        with served(*arguments, app="tests.people_app:office", store=store) as server:
            url = f"{server.url}/console"
            yield Office(url, store, keys, file, cookie_of(url, admin), lock)
    finally:
        del os.environ["PEOPLE_KEYS"]


def cookie_of(url: str, key: str) -> str:
    """That of a new session."""
    form = httpx.post(f"{url}/login", data={"key": key, "next": "/console/"}, timeout=PATIENCE / 1000)
    return form.cookies[COOKIE]


async def _fill_office(app: App) -> None:
    names = ("Ann Archer", "Bob Baker", "Cleo Carter", "Dan Draper", "Eve Ember", "Finn Fisher")
    async with app:
        for n, name in enumerate(names, 1):
            mail = f"{name.split()[0].lower()}@example.org"
            tenant = "north" if n % 2 else "south"
            command = Register(customer_id=f"c-{n}", name=name, email=mail)
            await app.send(command, actor="clerk", tenant=tenant)
            bought = Buy(order_id=f"o-{n}", customer_id=f"c-{n}", note=f"ring for {name}")
            await app.send(bought, actor="till", tenant=tenant)
        await app.settle()
        old = _event(0, "customer.registered", 1, b'{"customer_id":"c-9","name":"Gus Gardener"}')
        lost = _event(1, "weather.changed", 3, b'{"degrees":21}')
        await app.storage.append([AppendRequest(writes=(StreamWrite(stream="customer-c-9", events=(old,)),))])
        await app.storage.append([AppendRequest(writes=(StreamWrite(stream="weather-1", events=(lost,)),))])
        odd = _event(2, "parcel.sent", 1, b'{"parcel_id":"p-1","grams":"heavy"}')
        await app.storage.append([AppendRequest(writes=(StreamWrite(stream="parcel-p-1", events=(odd,)),))])


def _event(n: int, name: str, version: int, data: bytes) -> NewEvent:
    return NewEvent(
        event_id=OLD % n,
        type=name,
        schema_version=version,
        data=data,
        occurred_at="2026-01-01T00:00:00.000000+00:00",
        correlation_id=OLD % (n + 50),
        causation_id=OLD % (n + 50),
    )
