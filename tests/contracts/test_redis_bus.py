"""Redis Streams keep the contract of a bus."""

from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from daicho.adapters.buses.redis import RedisBus
from daicho.ports.event_bus import BusAbilities
from daicho.testing.contracts import EventBusContract
from tests.services import redis as servers
from tests.services.find import needed
from tests.services.redis import Redis
from tests.services.running import Host, free_port

places = count(1)


@pytest.fixture(scope="session")
def redis(host: Host) -> Redis:
    """A server that tests share; not to be broken."""
    with needed():
        return servers.redis(host)


class TestRedis(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)
    most_bytes = 1024 * 1024
    server: ClassVar[Redis]
    prefix: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _fresh(self, redis: Redis) -> None:
        type(self).server, type(self).prefix = redis, f"t{next(places)}"

    def make(self, tmp_path: Path) -> RedisBus:
        return RedisBus(f"{self.server.url}?prefix={self.prefix}")

    def make_away(self, password: str) -> RedisBus:
        return RedisBus(f"redis://:{password}@127.0.0.1:{free_port()}/0?reconnect_within=0.2")
