"""OpenSearch starts, is killed, and starts again with what it acknowledged."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.services.find import wanted
from tests.services.opensearch import OpenSearch
from tests.services.opensearch import opensearch as start
from tests.services.running import Host

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[OpenSearch]:
    with wanted():
        server = start(host)
    yield server
    server.stop()


def ask(server: OpenSearch, method: str, path: str, body: object = None) -> tuple[int, Any]:
    answer = httpx.request(method, server.http + path, json=body, timeout=30, trust_env=False)
    return answer.status_code, answer.json()


def test_it_refuses_the_older_of_two_versions(server: OpenSearch) -> None:
    place = "/versions/_doc/1?version_type=external&version="
    assert ask(server, "PUT", f"{place}3", {"status": "new"})[0] == 201
    assert ask(server, "PUT", f"{place}2", {"status": "old"})[0] == 409
    assert ask(server, "GET", "/versions/_doc/1")[1]["_source"] == {"status": "new"}


def test_killed_it_starts_again_with_what_it_acknowledged(server: OpenSearch) -> None:
    assert ask(server, "PUT", "/kept/_doc/1", {"text": "kept"})[0] == 201
    server.kill()
    with pytest.raises(httpx.ConnectError):
        ask(server, "GET", "/")
    server.start(within=120)
    assert ask(server, "GET", "/kept/_doc/1")[1]["_source"] == {"text": "kept"}
