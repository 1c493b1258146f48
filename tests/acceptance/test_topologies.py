"""Whole topologies, as processes: who answers what, what the edge keeps, and that nothing stays behind."""

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.services.find import needed
from tests.services.guard import happens
from tests.upped import PATIENCE, Upped, upped

_LOOKED_AT = """
select coalesce(sum(coalesce(idx_scan, 0) + coalesce(seq_scan, 0)), 0) from pg_stat_user_tables
where schemaname = 'daicho' and relname like 'stock%'"""


@pytest.fixture
def replicated() -> Generator[Upped]:
    with needed(), upped("10:1", "--query-services", "1") as running:
        yield running


@pytest.fixture
def cached() -> Generator[Upped]:
    with needed(), upped("100:1", "--query-services", "1", "--no-opensearch") as running:
        yield running


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE, headers={"Accept": "application/json"})


def deliver(caller: httpx.Client, sku: str, quantity: int) -> str:
    """The token of the write."""
    answer = caller.post(f"/stock/{sku}/deliveries", json={"quantity": quantity})
    assert answer.status_code in (200, 201), answer.text
    return answer.headers["daicho-position"]


def met(condition: Callable[[], Any]) -> Any:
    """What it comes to, as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_commands_and_queries_go_to_services_of_their_own_and_all_die_with_the_one_that_began_them(
    replicated: Upped,
) -> None:
    kinds = [part["kind"] for part in replicated.parts.values()]
    assert sorted(kinds) == ["command", "haproxy", "primary", "projector", "query", "replica"]
    assert {part["state"] for part in replicated.parts.values()} == {"ready"}
    with client(replicated.url) as caller:
        for quantity in (3, 4):
            token = deliver(caller, "pen", quantity)
            # the very next read with the token has seen the write, though another service and a replica answer it
            fresh = caller.get("/stock/pen", headers={"Min-Position": token, "Prefer": f"wait={PATIENCE}"})
            assert fresh.status_code == 200, fresh.text
        assert fresh.json()["received"] == 7

        def looked_at() -> bool:
            """How often rows of the view were looked up on the replica; its statistics come a moment later."""
            assert caller.get("/stock/pen").json()["received"] == 7
            with psycopg.connect(replicated.database("replica-1")) as connection:
                row = connection.execute(_LOOKED_AT).fetchone()
            return bool(row and row[0])

        met(looked_at)
        posted = caller.post("/stock/pen/deliveries", json={"quantity": 1}, headers={"Prefer": "respond-async"})
        assert posted.status_code == 202, posted.text
        # what became of a command is asked of those who took it
        assert met(lambda: caller.get(posted.headers["location"]).json()["state"] == "done")
    for part, method, path in (("query-1", "POST", "/stock/pen/deliveries"), ("command-1", "GET", "/stock/pen")):
        with client(replicated.address(part)) as directly:
            assert directly.request(method, path).json()["code"] == "D705", "the balancer chose by the role"
    replicated.kill()
    assert happens(lambda: not replicated.alive, within=PATIENCE), replicated.alive


@pytest.mark.slow
def test_after_a_write_the_next_read_with_its_token_is_fresh_and_only_what_changed_leaves_the_edge(
    cached: Upped,
) -> None:
    skus = ("pen", "ink", "lamp")
    with client(cached.url) as caller:

        def look(sku: str, **headers: str) -> tuple[str, int]:
            answer = caller.get(f"/stock/{sku}", headers={"Prefer": f"wait={PATIENCE}", **headers})
            assert answer.status_code == 200, answer.text
            assert "s-maxage" not in answer.headers["cache-control"], "no cache further out is told of purges"
            return answer.headers["x-cache"], answer.json()["received"]

        def age(sku: str) -> int:
            """What was on its way while something was purged is kept for a second only."""
            return int(caller.get(f"/stock/{sku}").headers["age"])

        def settled() -> bool:
            with client(cached.address("projector")) as projector:
                text = projector.get("/metrics").text
            return "daicho_edge_keys_waiting 0.0" in text and "daicho_edge_keys_purged_total 0.0" not in text

        tokens = {sku: deliver(caller, sku, 5) for sku in skus}
        for sku, token in tokens.items():
            assert look(sku, **{"Min-Position": token})[1] == 5
        met(settled)
        met(lambda: min(age(sku) for sku in skus) >= 2)
        assert [look(sku) for sku in skus] == [("HIT", 5)] * 3

        token = deliver(caller, "pen", 2)
        assert look("pen", **{"Min-Position": token})[1] == 7
        # who has no token may see the old answer until the purge has come, and not after it
        met(lambda: look("pen")[1] == 7)
        assert [look(sku) for sku in ("ink", "lamp")] == [("HIT", 5)] * 2
        refused = caller.request("PURGE", "/", headers={"xkey-purge": "stock"})
        assert refused.status_code == 403, "purges are taken from the inside alone"
        assert look("ink") == ("HIT", 5)
    last = cached.end()
    edge = last["edge"]
    assert edge["purged"] >= 1
    assert edge["hits"] >= 6
    assert 0 < edge["hit_rate"] < 1
    assert cached.alive == []


def test_a_server_that_is_missing_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from daicho import MissingProgram
    from daicho.topologies.local import programs

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_PLACES", (f"{tmp_path}/nowhere",))
    with pytest.raises(MissingProgram, match="haproxy is not installed") as error:
        programs.find("haproxy", "haproxy")
    assert error.value.do == "apt-get install haproxy"
    assert error.value.data == {"program": "haproxy", "package": "haproxy"}
