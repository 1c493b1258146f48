"""`daicho advise`, from each of its sources: a running service, a database, a log, a store, a file, and a person."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from click.testing import CliRunner, Result

from daicho.cli import main
from tests.services import postgres as clusters
from tests.services.find import needed
from tests.services.guard import happens
from tests.services.running import Host
from tests.serving import served

Advise = Callable[..., Result]


@pytest.fixture
def advise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Advise:
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C")

    def run(*args: str, exit_code: int = 0, stdin: bytes | str | None = None) -> Result:
        result = CliRunner().invoke(main, ["advise", *args], input=stdin)
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result

    return run


def told(result: Result) -> dict[str, Any]:
    answer = json.loads(result.stdout)
    assert answer["status"] == "ok"
    return {each["entity"]: each for each in answer["data"]["entities"]} | {"": answer["data"]}


def test_the_shop_of_the_specification(advise: Advise) -> None:
    found = told(advise("product", "--reads", "100000", "--writes", "1000", "-o", "json"))
    assert (found["product"]["approach"], found["product"]["must"], found[""]["topology"]) == ("edge", True, "100:1")
    text = advise("product", "--reads", "100000", "--writes", "1000").stdout
    assert text.startswith("product: CQRS + CDN/cache (a must); topology 100:1; event sourcing: not needed\n")
    assert "100:1 and above: CQRS is a must" in text
    japanese = advise("product", "--reads", "100000", "--writes", "1000", "--language", "ja").stdout
    assert "CQRS は必須" in japanese


def test_a_file_of_answers(advise: Advise, tmp_path: Path) -> None:
    (tmp_path / "answers.toml").write_text(
        """
        [all]
        performance = "under 100 ms"
        [entities.order]
        reads = 12000
        writes = 1000
        views = "several"
        use_case = "orders"
        [entities.country]
        ratio = 1
        performance = "ordinary"
        use_case = "master data"
        """
    )
    found = told(advise("--answers", "answers.toml", "-o", "json"))
    assert (found["order"]["approach"], found["order"]["event_sourcing"]) == ("full", "recommended")
    assert found["order"]["answers"]["performance"] == "under 100 ms"
    assert (found["country"]["approach"], found["country"]["event_sourcing"]) == ("crud", "not needed")
    rows = [json.loads(line) for line in advise("--answers", "answers.toml", "-o", "jsonl").stdout.splitlines()]
    assert [(row["entity"], row["topology"]) for row in rows] == [("order", "10:1"), ("country", "crud")]
    assert "entity,reads,writes" in advise("--answers", "answers.toml", "-o", "csv").stdout


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "[entities.order]\nviews = 'many'", "$.entities[...].views"),
        ("a.toml", "[entities.order]\nreads = nan", "`reads` is nan"),
        ("a.toml", "[entities.order]\nspeed = 1", "unknown field"),
        ("a.toml", "[entities", "cannot be understood"),
        ("a.json", "[]", "Expected `object`"),
        ("a.json", '{"paths": {"orders": "order"}}', "no rule"),
        ("missing.toml", None, "cannot be understood"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_fault(
    advise: Advise, tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    result = advise("--answers", name, exit_code=2)
    assert "D831" in result.stderr
    assert says in result.stderr


def test_a_person_is_asked_the_seven_criteria_and_the_use_case(advise: Advise) -> None:
    answers = ["product", "100,000", "1000", "several", "2", "u", "1", "simple", "", "master", ""]
    result = advise(stdin="\n".join(answers) + "\n", exit_code=0)
    assert "product: CQRS + CDN/cache (a must)" in result.stdout
    for question in ("reads a minute", "writes a minute", "Views", "Scaling", "Performance", "consistency", "Domain"):
        assert question in result.stderr
    assert "Audit" in result.stderr
    assert "most like" in result.stderr


def test_a_wrong_answer_is_asked_again_and_nobody_to_ask_is_told(advise: Advise) -> None:
    answers = ["thing", "many", "50", "-3", "10", "maybe", "one", "", "", "", "", "", "", ""]
    assert "thing: staged CQRS" in advise(stdin="\n".join(answers) + "\n").stdout
    assert "D832" in advise(stdin="", exit_code=1).stderr


def test_from_a_running_service(advise: Advise, tmp_path: Path) -> None:
    """Nine queries for each command that recorded something; what was refused does not count."""
    with served("--store", f"sqlite:///{tmp_path / 'app.db'}", app="tests.cli_app:make") as service:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            for n in range(2):
                order = {"order_id": f"o{n}", "sku": "pen", "quantity": 1}
                client.post("/commands/PlaceOrder", json=order).raise_for_status()
                assert client.post("/commands/PlaceOrder", json=order).status_code in (200, 409)
            for _ in range(18):
                client.get("/queries/CountOrders").raise_for_status()

            def is_at_rest() -> bool:
                """Stock is reserved by an event handler, when it comes to it."""
                seen = client.get("/look-to-book").json()["aggregates"]
                return {each["aggregate"]: each["writes"] for each in seen} == {"order": 2, "stock": 2}

            assert happens(is_at_rest, within=30)
        found = told(advise("--url", service.url, "-o", "json"))
        assert (found["order"]["ratio"], found["order"]["approach"]) == (9, "staged")
        live = advise("--url", service.url, "--for", "0.1", exit_code=1)
        assert "nothing was read or written" in live.stderr
    gone = advise("--url", service.url, exit_code=3)
    assert "D833" in gone.stderr
    assert "no address" in advise("--url", "file:///etc/passwd", exit_code=2).stderr


def test_from_the_statements_of_postgresql(advise: Advise, host: Host) -> None:
    with needed():
        cluster = clusters.postgres(host, shared_preload_libraries="pg_stat_statements")
    try:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            assert "CREATE EXTENSION" in advise("--statements", cluster.url, exit_code=3).stderr
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute("CREATE TABLE orders (id int PRIMARY KEY, state text)")
            connection.execute('CREATE TABLE "Country" (code text)')
            connection.execute("SELECT pg_stat_statements_reset()")
            for n in range(12):
                connection.execute("INSERT INTO orders VALUES (%s, 'new') ON CONFLICT DO NOTHING", [n % 4])
            for n in range(8):
                connection.execute("UPDATE orders SET state = 'paid' WHERE id = %s", [n])
            for n in range(140):
                connection.execute("SELECT * FROM orders WHERE id = %s", [n])
            for _ in range(60):
                connection.execute('SELECT o.*, c.code FROM orders o, "Country" c')
        found = told(advise("--statements", cluster.url, "-o", "json"))
    finally:
        cluster.kill()
    assert (found["orders"]["ratio"], found["orders"]["approach"]) == (10, "full")  # 200 : 20
    assert (found["Country"]["ratio"], found["Country"]["band"]) == (None, "unwritten")
    assert found["orders"]["answers"]["reads"] > 0
    assert "D833" in advise("--statements", cluster.url, exit_code=3).stderr


def test_from_logs_with_the_routes_of_an_app_and_the_writes_of_its_store(advise: Advise, tmp_path: Path) -> None:
    line = '1.1.1.1 - - [10/Oct/2026:13:{m:02}:00 +0000] "{what} HTTP/1.1" 200 1 "-" "-"\n'
    whats = ["GET /orders/o-1"] * 11 + ["POST /orders", "GET /style.css"]
    (tmp_path / "access.log").write_text("".join(line.format(m=m, what=what) for m in range(10) for what in whats))
    log = ("--log", "access.log", "--app", "examples.shop.app:app")
    found = told(advise(*log, "-o", "json"))
    assert (found["order"]["ratio"], found["order"]["approach"], found["order"]["use_case"]) == (11, "full", "orders")
    assert "10 of no entity" in advise(*log).stdout
    ruled = told(advise("--log", "access.log", "--path", "POST /orders=order:read", "-o", "json"))
    assert ruled["order"]["answers"]["writes"] is None or ruled["order"]["answers"]["writes"] == 0
    piped = told(advise("--log", "-", "-o", "json", stdin=(tmp_path / "access.log").read_text()))
    assert piped["orders"]["ratio"] == 11


def test_the_advised_topology_is_written_with_as_many_instances_as_the_load_needs(
    advise: Advise, tmp_path: Path
) -> None:
    (tmp_path / "capacity.json").write_text('{"capacity": {"query": 100, "utilisation": 0.5}}')
    load = ("order", "--reads", "12000", "--writes", "600")  # 200 a second: 4 query services of 100, half busy
    advise(*load, "--capacity", "capacity.json", "--write", "compose", "out")
    text = (tmp_path / "out" / "10-1.yaml").read_text()
    assert "query-4:" in text
    assert "query-5:" not in text
    advise(*load, "--write", "helm", "chart")
    assert (tmp_path / "chart" / "Chart.yaml").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"query": 0}', "more than 0"),
        ('{"utilisation": 1.5}', "between 0 and 1"),
        ("{", "read"),
        ('{"x": 1}', "unknown"),
    ],
)
def test_a_capacity_that_cannot_be_is_refused(advise: Advise, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "capacity.json").write_text(text)
    assert says in advise("x", "--ratio", "1", "--capacity", "capacity.json", exit_code=2).stderr
