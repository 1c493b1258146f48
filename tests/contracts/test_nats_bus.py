"""NATS JetStream keeps the contract of a bus."""

from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from daicho.adapters.buses.nats import NatsBus
from daicho.ports.event_bus import BusAbilities
from daicho.testing.contracts import EventBusContract
from tests.services import nats as servers
from tests.services.find import needed
from tests.services.nats import Nats
from tests.services.running import Host, free_port

places = count(1)


@pytest.fixture(scope="session")
def nats(host: Host) -> Nats:
    """A server that tests share; not to be broken."""
    with needed():
        return servers.nats(host)


class TestNats(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)
    most_bytes = 1024 * 1024
    server: ClassVar[Nats]
    prefix: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _fresh(self, nats: Nats) -> None:
        type(self).server, type(self).prefix = nats, f"t{next(places)}"

    def make(self, tmp_path: Path) -> NatsBus:
        return NatsBus(f"{self.server.url}?prefix={self.prefix}")

    def make_away(self, password: str) -> NatsBus:
        return NatsBus(f"nats://ann:{password}@127.0.0.1:{free_port()}?reconnect_within=0.2")
