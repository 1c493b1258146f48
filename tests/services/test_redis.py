"""A Redis of a test's own keeps what it acknowledged, goes silent and comes back as asked."""

from collections.abc import Iterator

import pytest

from tests.services.find import needed
from tests.services.redis import Redis
from tests.services.redis import redis as start_redis
from tests.services.running import Host


@pytest.fixture(params=["everysec", "always"])
def server(request: pytest.FixtureRequest, host: Host) -> Iterator[Redis]:
    with needed():
        server = start_redis(host, appendfsync=request.param)
    yield server
    server.kill()


def test_what_was_acknowledged_is_there_after_kill_9(server: Redis) -> None:
    assert server.ask("SET", "note", "注文") == "+OK"
    server.kill()
    with pytest.raises(OSError, match="refused"):
        server.ask("PING")
    server.start()
    assert server.ask("GET", "note") == "注文"


def test_what_was_acknowledged_is_there_after_a_stop_in_good_order(server: Redis) -> None:
    server.ask("SET", "note", "kept")
    server.stop()
    assert server.start().ask("GET", "note") == "kept"


def test_a_frozen_server_is_connected_and_silent_until_it_thaws(server: Redis) -> None:
    server.freeze()
    with pytest.raises(TimeoutError):
        server.ask("PING", within=0.1)
    server.thaw()
    assert server.ask("PING") == "+PONG"


def test_settings_are_given_by_name(host: Host) -> None:
    with needed():
        server = start_redis(host, maxmemory="64mb", maxmemory_policy="allkeys-lru", requirepass="opensesame")
    assert "maxmemory_policy:allkeys-lru" in server.ask("INFO", "memory")
    server.kill()
