"""`daicho migrate` on a real server, and everybody who meets tables that are not there, not theirs, or not allowed."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from daicho import ANY
from daicho.adapters.stores.postgres import PostgresStorage
from daicho.adapters.stores.postgres.schema import migrations
from daicho.cli import main
from daicho.core.errors import DaichoError, ForeignStore, StoreFailed, StoreOutdated
from daicho.ports.event_store import AppendRequest, NewEvent, Selection, StreamWrite
from tests.cli_app import PlaceOrder, make
from tests.services.find import needed, program
from tests.services.postgres import Postgres

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "postgresql.md"
EVERY = [migration.version for migration in migrations()]
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE", "CLI_APP_MENDED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def postgres_url(empty_postgres_url: str) -> str:
    """Here it is about what is not there yet."""
    return empty_postgres_url


def run(url: str, *args: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--store", url, "migrate", *args])
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result


def data_of(result: Result) -> Any:
    return json.loads(result.stdout)["data"]


def execute(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(text.encode()).fetchall()


def opened(url: str) -> PostgresStorage:
    """Opens the store once and closes it."""
    storage = PostgresStorage(url, now=lambda: datetime.now(UTC))

    async def once() -> None:
        try:
            await storage.open()
        finally:
            await storage.close()

    asyncio.run(once())
    return storage


def psql(url: str, text: str) -> "subprocess.CompletedProcess[str]":
    with needed():
        client = program("psql", package="postgresql-client")
    return subprocess.run([client, "-qX", url], input=text, capture_output=True, text=True, timeout=60, check=False)


def made(url: str, schema: str) -> list[str]:
    """Everything in the schema that somebody could have forgotten."""
    found = query(
        url,
        f"""
        select concat_ws(' ', 'column', table_name, column_name, data_type, column_default, is_nullable)
        from information_schema.columns where table_schema = '{schema}'
        union all select concat_ws(' ', 'index', indexdef) from pg_indexes where schemaname = '{schema}'
        union all select concat_ws(' ', 'function', proname, prosrc) from pg_proc
        where pronamespace = '{schema}'::regnamespace
        union all select concat_ws(' ', 'migration', version, name, sha256) from {schema}.daicho_migrations
        order by 1""",
    )
    return [re.sub(rf'"{schema}"\.|\b{schema}\.', "S.", text) for (text,) in found]


@pytest.fixture
def role(postgres: Postgres, postgres_url: str) -> Iterator[str]:
    """URL of the same database for a role that may do nothing yet."""
    name = f"plain_{postgres_url.rpartition('/')[2]}"
    execute(postgres.url, f"create role {name} login")
    yield postgres_url.replace("//postgres@", f"//{name}@")
    execute(postgres_url, f"drop owned by {name} cascade")
    execute(postgres.url, f"drop role {name}")


# -- up and status ----------------------------------------------------------------------------------------------------


def test_an_empty_database_lacks_all_and_then_has_all(postgres_url: str) -> None:
    lacking = data_of(run(postgres_url, "status", "-o", "json", exit_code=1))
    assert [(row["version"], row["state"], row["applied_at"]) for row in lacking] == [
        (version, "missing", None) for version in EVERY
    ]
    assert query(postgres_url, "select to_regnamespace('daicho') is null") == [(True,)]
    done = data_of(run(postgres_url, "up", "-o", "json"))
    assert [row["version"] for row in done] == EVERY
    assert all(row["applied_at"].endswith("+00:00") for row in done)
    assert data_of(run(postgres_url, "status", "-o", "json")) == done
    again = run(postgres_url, "up")
    assert (again.stdout, again.stderr) == ("", "nothing was missing\n")
    opened(f"{postgres_url}?migrate=never")


def test_never_forbids_what_happens_by_itself_only(postgres_url: str) -> None:
    url = f"{postgres_url}?migrate=never"
    with pytest.raises(StoreOutdated, match="daicho migrate up") as outdated:
        opened(url)
    assert outdated.value.data["missing"] == EVERY
    assert query(postgres_url, "select to_regnamespace('daicho') is null") == [(True,)]
    run(url, "up")
    opened(url)


def test_a_text_that_was_changed_since_is_told(postgres_url: str) -> None:
    run(postgres_url, "up")
    execute(postgres_url, "update daicho.daicho_migrations set sha256 = 'other' where version = 1")
    table = run(postgres_url, "status", exit_code=1).stdout
    assert re.search(r"^1 .* applied with another text", table, re.MULTILINE)
    run(postgres_url, "up")


def test_the_app_may_name_the_store(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAICHO_STORE", postgres_url)
    result = CliRunner().invoke(main, ["--app", "tests.cli_app:make", "migrate", "up", "-o", "jsonl"])
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["version"] for line in result.stdout.splitlines()] == EVERY


def test_no_store_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["migrate", "up"])
    assert result.exit_code == 2
    assert "no store was named" in result.stderr


@pytest.mark.parametrize("url", ["memory:", "sqlite:///shop.db"])
@pytest.mark.parametrize("verb", ["up", "status", "sql"])
def test_other_stores_have_nothing_to_migrate(url: str, verb: str) -> None:
    result = run(url, verb)
    assert (result.stdout, result.stderr.count("nothing to migrate")) == ("", 1)
    assert list(Path.cwd().iterdir()) == []


def test_a_schema_of_its_own_and_a_pooler_in_between(pgbouncer_url: str, postgres_url: str) -> None:
    run(f"{pgbouncer_url}?schema=accounting", "up")
    opened(f"{pgbouncer_url}?schema=accounting&migrate=never")
    assert query(postgres_url, "select to_regnamespace('daicho') is null") == [(True,)]
    assert data_of(run(f"{postgres_url}?schema=accounting", "status", "-o", "json"))


def test_a_server_that_is_not_there() -> None:
    result = run("postgresql://127.0.0.1:1/shop?reconnect_within=0", "status", "-o", "json", exit_code=3)
    assert json.loads(result.stderr)["error"]["code"] == "D212"


# -- SQL by hand ------------------------------------------------------------------------------------------------------


def test_the_printed_sql_makes_what_up_makes(postgres_url: str) -> None:
    script = run(f"{postgres_url}?schema=accounting", "sql").stdout
    done = psql(postgres_url, script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    run(postgres_url, "up")
    assert made(postgres_url, "accounting") == made(postgres_url, "daicho")
    opened(f"{postgres_url}?schema=accounting&migrate=never")
    again = psql(postgres_url, script)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_the_printed_sql_goes_on_where_a_database_stands(postgres_url: str) -> None:
    script = run(postgres_url, "sql").stdout
    first, mark, _ = script.partition("\n-- 2: ")
    assert mark
    assert psql(postgres_url, f"{first}\ncommit;").stderr == ""
    states = data_of(run(postgres_url, "status", "-o", "json", exit_code=1))
    assert [row["state"] for row in states[:2]] == ["applied", "missing"]
    assert psql(postgres_url, script).stderr == ""
    opened(f"{postgres_url}?migrate=never")


def test_the_printed_sql_leaves_nothing_behind_if_it_fails(postgres_url: str) -> None:
    execute(postgres_url, "create schema daicho; create table daicho.events (id int)")
    assert "already exists" in psql(postgres_url, run(postgres_url, "sql").stdout).stderr
    assert query(postgres_url, "select count(*) from pg_class where relnamespace = 'daicho'::regnamespace") == [(1,)]


# -- others on the database -------------------------------------------------------------------------------------------

STARTER = """
import asyncio, sys
from datetime import UTC, datetime
from daicho.adapters.stores.postgres import PostgresStorage

async def run():
    storage = PostgresStorage(sys.argv[1], now=lambda: datetime.now(UTC))
    print("ready", flush=True)
    sys.stdin.readline()
    await storage.open()
    await storage.close()

asyncio.run(run())
"""


@pytest.mark.slow
def test_processes_that_start_on_an_empty_database_at_the_same_instant(postgres_url: str) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, postgres_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("\n")
        starter.stdin.flush()
    for starter in starters:
        starter.communicate(timeout=60)
    assert [starter.returncode for starter in starters] == [0] * 3
    assert query(postgres_url, "select version from daicho.daicho_migrations order by 1") == [(v,) for v in EVERY]


def test_connections_that_migrate_at_the_same_instant_share_the_work(postgres_url: str) -> None:
    async def race() -> list[Any]:
        stores = [PostgresStorage(postgres_url, now=lambda: datetime.now(UTC)) for _ in range(6)]
        return await asyncio.gather(*[store.migrate() for store in stores])

    done = [[state.version for state in states] for states in asyncio.run(race())]
    assert sorted(done) == [[]] * 5 + [EVERY]


def test_a_newer_database_is_left_alone(postgres_url: str) -> None:
    run(postgres_url, "up")
    execute(postgres_url, "insert into daicho.daicho_migrations (version, name, sha256) values (9999, 'later', '')")
    with pytest.raises(ForeignStore, match="newer Daicho"):
        opened(postgres_url)
    for verb in ("up", "status"):
        assert "D208" in run(postgres_url, verb, exit_code=3).stderr


def test_a_schema_of_another_program_is_left_untouched(postgres_url: str) -> None:
    execute(postgres_url, "create schema shop; create table shop.events (id int); insert into shop.events values (7)")
    url = f"{postgres_url}?schema=shop"
    with pytest.raises(ForeignStore, match="belongs to another program"):
        opened(url)
    for verb in ("up", "status"):
        assert "another program" in run(url, verb, exit_code=3).stderr
    assert query(postgres_url, "select relname::text from pg_class where relnamespace = 'shop'::regnamespace") == [
        ("events",)
    ]
    assert query(postgres_url, "select * from shop.events") == [(7,)]


# -- rights -----------------------------------------------------------------------------------------------------------


def rights(number: int, role_url: str) -> str:
    """What the page tells to grant, to this role."""
    blocks = re.findall(r"^```sql\n(grant .+?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    name = role_url.partition("//")[2].partition("@")[0]
    return re.sub(r"\bto \w+;", f"to {name};", blocks[number])


def appended(url: str) -> int:
    """How many events there are, after one was added."""
    event = NewEvent(
        event_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11",
        type="tested",
        schema_version=1,
        data=b"{}",
        occurred_at="2026-01-02T03:04:05.000000+00:00",
        correlation_id="c",
        causation_id="c",
        tags=("a:1",),
    )

    async def once() -> int:
        storage = PostgresStorage(url, now=lambda: datetime.now(UTC))
        await storage.open()
        try:
            [answer] = await storage.append([AppendRequest(writes=(StreamWrite(stream="s-1", events=(event,)),))])
            if isinstance(answer, Exception):
                raise answer
            return len(await storage.read(Selection(), limit=10))
        finally:
            await storage.close()

    return asyncio.run(once())


@pytest.mark.parametrize("grants", ["", "create schema daicho", "schema", "tables"])
def test_a_role_without_rights_is_told_so(postgres_url: str, role: str, grants: str) -> None:
    name = role.partition("//")[2].partition("@")[0]
    if grants == "create schema daicho":
        execute(postgres_url, grants)
    elif grants:
        run(postgres_url, "up")
        if grants == "tables":
            execute(postgres_url, f"grant usage on schema daicho to {name}")
    with pytest.raises(StoreFailed, match="this user may not do that") as refused:
        opened(role)
    assert "permission denied" in refused.value.why
    assert "docs/howto/postgresql.md" in refused.value.do
    told = run(role, "up", exit_code=3).stderr
    assert "this user may not do that" in told
    assert "Traceback" not in told


def test_the_rights_on_the_page_suffice_for_an_app(postgres_url: str, role: str) -> None:
    run(postgres_url, "up")
    execute(postgres_url, rights(0, role))
    assert appended(f"{role}?migrate=never") == 1

    app = make()
    app.url = f"{role}?migrate=never"

    async def shop() -> None:
        async with app:
            await app.settle()

    with pytest.raises(StoreFailed, match="may not do that"):  # its projections need tables
        asyncio.run(shop())
    execute(postgres_url, rights(1, role))
    asyncio.run(shop())
    with psycopg.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("delete from daicho.events")


def test_the_rights_on_the_page_suffice_to_look(postgres_url: str, role: str) -> None:
    appended(postgres_url)
    execute(postgres_url, rights(2, role))
    for words in (["get", "events"], ["tail"]):
        result = CliRunner().invoke(main, ["--store", role, *words])
        assert result.exit_code == 0, (result.output, result.exception)
    examined = json.loads(CliRunner().invoke(main, ["--store", role, "doctor", "-o", "json"]).stdout)
    assert [f["what"] for f in examined["data"]["findings"] if not f["ok"]] == ["durability"]  # tests do without
    with pytest.raises(DaichoError, match="may not do that"):
        appended(role)


# -- what else the page says ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dump_restored_elsewhere_goes_on(postgres: Postgres, postgres_url: str) -> None:
    app, elsewhere = make(), f"{postgres_url}_copy"
    order = PlaceOrder(order_id="o1", sku="pen", quantity=2)

    async def place(url: str) -> int:
        app.url = url
        async with app:
            receipt = await app.send(order, expected=ANY)
            await app.settle()
            return int(receipt.position or 0)

    first = asyncio.run(place(postgres_url))
    with needed():
        dump, restore = (program(name, package="postgresql-client") for name in ("pg_dump", "pg_restore"))
    subprocess.run(
        [dump, "--schema=daicho", "--format=custom", "--file=all.dump", postgres_url], check=True, timeout=60
    )
    execute(postgres.url, f"create database {elsewhere.rpartition('/')[2]} template template0")
    try:
        subprocess.run([restore, "--exit-on-error", f"--dbname={elsewhere}", "all.dump"], check=True, timeout=60)
        order = PlaceOrder(order_id="o2", sku="pen", quantity=2)
        assert asyncio.run(place(f"{elsewhere}?migrate=never")) > first
        with psycopg.connect(elsewhere) as connection:
            connection.execute("set search_path to daicho")
            for statement in _statements("select position"):
                shown = statement.replace("shelf", "orders").replace("book.acquired", "order.placed")
                assert connection.execute(shown.encode()).fetchall(), statement
    finally:
        execute(postgres.url, f"drop database {elsewhere.rpartition('/')[2]} with (force)")


def _statements(beginning: str) -> list[str]:
    [block] = re.findall(rf"^```sql\n({beginning}.+?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [statement for statement in block.split(";") if statement.strip()]
