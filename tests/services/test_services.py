"""The helpers keep what they promise: servers answer, end with us, and break exactly as asked."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from _pytest.outcomes import Failed, Skipped

from daicho.adapters.stores.postgres import PostgresStorage
from tests.services import find, guard
from tests.services.find import StartFailed, Unavailable, needed, program
from tests.services.postgres import Postgres, drop_database, fresh_database, fresh_store, replica
from tests.services.postgres import postgres as start_postgres
from tests.services.postgres_proxy import PostgresProxy
from tests.services.running import Host

OWNER = """
import sys
from tests.services.postgres import postgres
from tests.services.running import Host

host = Host()
cluster = postgres(host)
if sys.argv[1] == "frozen":
    cluster.freeze()
print(cluster.pid, host.folder, flush=True)
sys.stdin.read()
"""

OBJECTS = """
SELECT 'column', attrelid::regclass::text || '.' || attname || ' ' || format_type(atttypid, atttypmod)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE attrelid >= 16384 AND relkind IN ('r', 'v', 'S')
UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname <> 'pg_catalog'
UNION ALL SELECT 'function', pg_get_functiondef(oid) FROM pg_proc WHERE oid >= 16384
ORDER BY 1, 2
"""
"""All that somebody made in a database."""


def query(url: str, text: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(text).fetchall()


def texts(url: str) -> list[Any]:
    return [text for (text,) in query(url, "SELECT text FROM note ORDER BY text")]


@pytest.fixture
def wire(postgres: Postgres) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def notes(empty_postgres_url: str) -> str:
    """URL of a database with an empty table `note (text)`."""
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("CREATE TABLE note (text text)")
    return empty_postgres_url


# servers


def test_a_fresh_database_is_empty_and_another_one_each_time(postgres: Postgres, empty_postgres_url: str) -> None:
    other = fresh_database(postgres)
    for url in (empty_postgres_url, other):
        assert query(url, "SELECT count(*) FROM pg_class WHERE oid >= 16384") == [(0,)]
        assert query(url, "SELECT to_regnamespace('daicho')") == [(None,)]
    assert query(empty_postgres_url, "SELECT current_database()") != query(other, "SELECT current_database()")


@pytest.mark.parametrize("schema", ["daicho", "accounting"])
def test_a_fresh_store_is_what_the_migrations_make_and_another_one_each_time(postgres: Postgres, schema: str) -> None:
    by_itself = fresh_database(postgres)
    asyncio.run(PostgresStorage(f"{by_itself}?schema={schema}", now=lambda: datetime.now(UTC)).migrate())
    one, other = fresh_store(postgres, schema=schema), fresh_store(postgres, schema=schema)
    assert query(one, OBJECTS) == query(other, OBJECTS) == query(by_itself, OBJECTS) != []
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE note (text text)")
    third = fresh_store(postgres, schema=schema)
    assert query(one, OBJECTS) != query(third, OBJECTS) == query(other, OBJECTS)
    for url in (by_itself, one, other, third):
        drop_database(postgres, url)


def test_the_cluster_speaks_utf_8_sorts_by_bytes_and_can_be_replicated(postgres_url: str) -> None:
    settings = ("server_encoding", "lc_collate", "wal_level")
    with psycopg.connect(postgres_url) as connection:
        shown = [connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0] for name in settings]
    assert shown == ["UTF8", "C", "logical"]


def test_through_pgbouncer_two_clients_share_one_connection(pgbouncer_url: str) -> None:
    with (
        psycopg.connect(pgbouncer_url, autocommit=True) as one,
        psycopg.connect(pgbouncer_url, autocommit=True) as two,
    ):
        pids = {connection.execute("SELECT pg_backend_pid()").fetchall()[0] for connection in (one, two)}
    assert len(pids) == 1


@pytest.mark.slow
def test_a_cluster_that_was_killed_starts_again_with_what_it_acknowledged(own_postgres: Postgres) -> None:
    with psycopg.connect(own_postgres.url) as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    own_postgres.kill()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        texts(own_postgres.url)
    own_postgres.start()
    assert texts(own_postgres.url) == ["kept"]
    own_postgres.stop()
    own_postgres.start()
    assert texts(own_postgres.url) == ["kept"]


def test_a_frozen_cluster_is_silent_until_it_thaws(own_postgres: Postgres) -> None:
    with contextlib.closing(psycopg.connect(own_postgres.url)) as connection:
        own_postgres.freeze()
        connection.pgconn.send_query(b"SELECT 1")
        assert select.select([connection], [], [], 0.05) == ([], [], [])
        own_postgres.thaw()
        assert select.select([connection], [], [], 10)[0]


@pytest.mark.slow
def test_a_replica_shows_what_it_received_unless_it_is_paused_until_it_is_promoted(own_postgres: Postgres) -> None:
    with psycopg.connect(own_postgres.url) as connection:
        connection.execute("CREATE TABLE note (text text)")
    standby = replica(own_postgres, slot=True)
    assert query(own_postgres.url, "SELECT slot_name, active FROM pg_replication_slots") == [(standby.label, True)]
    with standby.paused():
        with psycopg.connect(own_postgres.url) as connection:
            connection.execute("INSERT INTO note VALUES ('late')")
        assert texts(standby.url) == []
    standby.catches_up()
    assert texts(standby.url) == ["late"]
    standby.kill()
    standby.start()
    standby.streams()
    own_postgres.kill()
    standby.promote()
    with psycopg.connect(standby.url) as connection:
        connection.execute("INSERT INTO note VALUES ('new')")
    assert texts(standby.url) == ["late", "new"]
    standby.kill()


def test_a_server_that_cannot_start_is_an_error_that_shows_its_log(host: Host) -> None:
    with pytest.raises(StartFailed, match=r"not ready[^$]*max_connections"):
        start_postgres(host, max_connections="-1")


# missing servers


def test_a_missing_program_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("DAICHO_SERVICES", "auto")
    with pytest.raises(Unavailable, match=r"^xyzd is not installed and this is not root: apt-get install xyz$"):
        program("xyzd", package="xyz")
    monkeypatch.setenv("DAICHO_SERVICES", "noinstall")
    with pytest.raises(Unavailable, match=r"DAICHO_SERVICES=noinstall: apt-get install xyz$"):
        program("xyzd", package="xyz")
    monkeypatch.setenv("DAICHO_SERVICES", "off")
    with pytest.raises(Unavailable, match=r"^DAICHO_SERVICES=off: tests use no initdb$"):
        program("initdb", package="postgresql")
    monkeypatch.setenv("DAICHO_SERVICES", "sometimes")
    with pytest.raises(ValueError, match="must be one of auto, require, noinstall, off"):
        program("initdb", package="postgresql")


def test_servers_are_found_beside_the_path_the_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6", "18", "15"):
        there = tmp_path / version / "bin" / "xyzd"
        there.parent.mkdir(parents=True)
        there.touch(mode=0o755)
    monkeypatch.setenv("DAICHO_SERVICES", "noinstall")
    monkeypatch.setattr(find, "PLACES", (f"{tmp_path}/*/bin",))
    assert program("xyzd", package="xyz") == tmp_path / "18" / "bin" / "xyzd"


@pytest.mark.parametrize(
    ("mode", "outcome"), [("auto", Skipped), ("noinstall", Skipped), ("off", Skipped), ("require", Failed)]
)
def test_a_missing_server_skips_the_test_and_fails_it_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, mode: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("DAICHO_SERVICES", mode)
    with pytest.raises(outcome, match="no such server"), needed():
        raise Unavailable("no such server")


# the end


@pytest.fixture
def owner(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator["Owner"]:
    """A process with a cluster of its own, which it froze if the parameter says so."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(getattr(request, "param", "running"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        cluster, folder = process.stdout.readline().split()
        servers = guard.family(int(cluster))
        others = set(guard.family(process.pid)) - {process.pid, *servers}
        yield Owner(process, servers, others.pop(), Path(folder))
        process.kill()


@dataclass
class Owner:
    process: subprocess.Popen[str]
    servers: list[int]
    guard: int
    folder: Path

    @property
    def left(self) -> list[int]:
        return [pid for pid in (*self.servers, self.guard) if guard.is_alive(pid)]


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["running", "frozen"], indirect=True)
def test_nothing_is_left_after_kill_9_of_the_owner(owner: Owner) -> None:
    assert len(owner.left) > 3
    owner.process.kill()
    assert guard.happens(lambda: not owner.left and not owner.folder.exists(), within=10)


@pytest.mark.slow
def test_no_process_is_left_after_kill_9_of_guard_and_owner_and_no_file_after_the_next_run(owner: Owner) -> None:
    os.kill(owner.guard, signal.SIGKILL)
    owner.process.kill()
    assert guard.happens(lambda: not owner.left, within=10)
    with Host():
        assert not owner.folder.exists()


# the wire


def add(connection: psycopg.Connection, text: str, *, prepare: bool = False) -> None:
    connection.execute("INSERT INTO note VALUES (%s)", [text], prepare=prepare)


def test_a_commit_is_carried_out_though_its_acknowledgement_is_lost(wire: PostgresProxy, notes: str) -> None:
    with psycopg.connect(wire.through(notes)) as connection:
        add(connection, "before")
        connection.commit()
        lost = wire.cut_after_commit_before_ack()
        add(connection, "unsure")
        assert not lost.sprung
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        lost.wait()
    assert texts(notes) == ["before", "unsure"]


def test_a_prepared_statement_is_lost_where_it_is_carried_out_not_where_it_is_parsed(
    wire: PostgresProxy, notes: str
) -> None:
    with psycopg.connect(wire.through(notes), autocommit=True) as connection:
        add(connection, "prepared", prepare=True)
        lost = wire.cut_after_commit_before_ack(b"INSERT INTO note")
        with pytest.raises(psycopg.OperationalError):
            add(connection, "unsure", prepare=True)
        lost.wait()
    assert texts(notes) == ["prepared", "unsure"]


def test_answers_to_earlier_messages_arrive_before_the_cut(wire: PostgresProxy, notes: str) -> None:
    with psycopg.connect(wire.through(notes), autocommit=True) as connection:
        lost = wire.cut_after_commit_before_ack(b"second")
        first, second = connection.cursor(), connection.cursor()
        with contextlib.suppress(psycopg.OperationalError), connection.pipeline() as pipeline:
            first.execute("SELECT 'first'")
            pipeline.sync()
            second.execute("INSERT INTO note VALUES ('second')")
        assert lost.sprung
        assert first.fetchall() == [("first",)]
    assert texts(notes) == ["second"]


def test_a_message_that_is_cut_off_never_arrives(wire: PostgresProxy, notes: str) -> None:
    with psycopg.connect(wire.through(notes)) as connection:
        add(connection, "lost")
        cut = wire.cut_before(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        assert cut.sprung
    assert texts(notes) == []


def test_a_trap_holds_for_one_message(wire: PostgresProxy, notes: str) -> None:
    cut = wire.cut_before(b"INSERT")
    for text in ("first", "second"):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(wire.through(notes)) as connection:
            add(connection, text)
    assert cut.sprung
    assert texts(notes) == ["second"]


def test_the_wire_can_be_paused_cut_refused_and_slowed(wire: PostgresProxy, notes: str) -> None:
    with contextlib.closing(psycopg.connect(wire.through(notes))) as connection:
        wire.pause()
        connection.pgconn.send_query(b"SELECT 1")
        assert select.select([connection], [], [], 0.05) == ([], [], [])
        wire.resume()
        assert select.select([connection], [], [], 10)[0]
        wire.cut()
        assert select.select([connection], [], [], 10)[0]
    wire.refuse()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        texts(wire.through(notes))
    wire.accept()
    wire.delay = 0.005
    began = time.perf_counter()
    assert texts(wire.through(notes)) == []
    assert time.perf_counter() - began > 0.02


# who runs what


@pytest.mark.xdist_group("together")
def test_a_group_of_tests_is_known_to_whoever_shares_them_out(request: pytest.FixtureRequest) -> None:
    """Or four workers start four of what takes longest to start, and nothing else tells."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("only where tests are shared out: -n 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@together")
