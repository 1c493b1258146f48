"""PostgreSQL: whole clusters of a test's own, or a fresh database in a shared one, and streaming replicas.

primary = postgres(host)
url = fresh_database(primary)               # really empty
url = fresh_store(primary)                  # the tables of a store, and nothing in them
standby = replica(primary)                  # streaming when this returns; `slot=True` keeps the log for it
with standby.paused():                      # goes on receiving, shows nothing new: real lag
    ...
standby.catches_up()                        # until it shows all that the primary has committed
standby.freeze(); standby.thaw(); standby.kill(); standby.start(); standby.promote()
standby.at(url)                             # the URL of a database, there
"""

import asyncio
import signal
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import ClassVar

import psycopg
from psycopg import sql

from daicho.adapters.stores.postgres import PostgresStorage
from tests.services.find import StartFailed, program
from tests.services.guard import happens
from tests.services.running import Host, Running, as_user, through

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # nothing is left in /dev/shm after kill -9
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "logical",
    "wal_log_hints": "on",  # for pg_rewind
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "wal_retrieve_retry_interval": "100ms",
    "log_checkpoints": "off",
}

_numbers = count(1)


class Postgres(Running):
    """A cluster. Not durable, it keeps what it acknowledged through kill -9, but would not through a loss of power."""

    name = "postgres"
    users: ClassVar[tuple[str, ...]] = ("postgres", "nobody")
    stops_at = signal.SIGINT  # without waiting for clients
    drops_at = signal.SIGQUIT

    def __init__(self, host: Host, settings: dict[str, str]) -> None:
        self._programs = program("initdb", package="postgresql").resolve().parent
        self.migrated: dict[str, str] = {}
        """Schema -> name of a database that has a store there, to be copied."""
        super().__init__(host)
        self.data = self.folder / "data"
        self._fill(host)
        with open(self.data / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _fill(self, host: Host) -> None:
        """Makes the files of the cluster."""
        blank = host.folder / "blank-postgres"  # initdb takes half a second, a copy a tenth of that
        if not blank.exists():
            self._run(str(self._programs / "initdb"), "--pgdata=data", *_INITDB)
            self._run("cp", "-a", "data", "blank")
            (self.folder / "blank").rename(blank)
        else:
            self._run("cp", "-a", str(blank), "data")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        return [str(self._programs / "postgres"), "-D", str(self.data), "-p", str(self.port)]

    def is_ready(self) -> bool:
        return answers(self.url)

    def kill(self) -> None:
        segment = self._shared_memory()
        super().kill()
        if segment:  # otherwise it stays in the kernel until the next start, or for ever
            subprocess.run(["ipcrm", "--shmem-id", segment], stderr=subprocess.DEVNULL, check=False)

    def _shared_memory(self) -> str:
        """Id of the one segment that is not mapped memory; the last word of the seventh line in postmaster.pid."""
        path = self.data / "postmaster.pid"
        lines = path.read_text().splitlines() if path.exists() else []
        return lines[6].split()[-1] if len(lines) > 6 and lines[6].split() else ""

    def _run(self, *command: str) -> None:
        done = subprocess.run(as_user(self.user, *command), cwd=self.folder, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise StartFailed(f"{' '.join(command)}\n{done.stderr}")


class Replica(Postgres):
    """A streaming replica (hot standby) of another cluster. `primary`: whom it follows, or did."""

    name = "replica"

    def __init__(self, primary: Postgres, settings: dict[str, str], *, slot: bool) -> None:
        self.primary = primary
        self.label = f"replica{next(_numbers)}"
        """Its `application_name` on the primary, and the name of its slot."""
        self._slot = ["--create-slot", f"--slot={self.label}"] if slot else []
        super().__init__(primary.host, settings)

    def _fill(self, host: Host) -> None:
        origin = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name={self.label}"
        self._run(
            str(self._programs / "pg_basebackup"),
            *(f"--dbname={origin}", "--pgdata=data", "--wal-method=stream", "--checkpoint=fast"),
            *("--write-recovery-conf", "--no-sync", *self._slot),
        )
        with open(self.data / "postgresql.auto.conf", "a") as file:  # what is written last counts
            file.write(f"primary_conninfo = '{origin}'\n")

    def at(self, url: str) -> str:
        """The URL of one of the primary's databases, as it is here."""
        return through(url, self.port)

    def streams(self, *, within: float = 60) -> None:
        """Returns when the primary sends it what is written."""
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            asked = "select 1 from pg_stat_replication where application_name = %s and state = 'streaming'"
            came = happens(lambda: connection.execute(asked, (self.label,)).fetchone() is not None, within)
        assert came, f"{self.label} does not stream\n{self.log()}"

    def catches_up(self, *, within: float = 60) -> None:
        """Returns when it shows all that the primary had committed when this was called."""
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            [goal] = connection.execute("select pg_current_wal_flush_lsn()").fetchone() or ("",)
        with psycopg.connect(self.url, autocommit=True) as connection:
            asked = "select 1 where pg_last_wal_replay_lsn() >= %s::pg_lsn"
            came = happens(lambda: connection.execute(asked, (goal,)).fetchone() is not None, within)
        assert came, f"{self.label} does not come to {goal}\n{self.log()}"

    @contextmanager
    def paused(self) -> Generator[None]:
        """Inside, it goes on receiving and answering, and shows nothing new."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("select pg_wal_replay_pause()")
            asked = "select pg_get_wal_replay_pause_state()"
            came = happens(lambda: connection.execute(asked).fetchone() == ("paused",), 60)
            assert came, "replay goes on"
            try:
                yield
            finally:
                connection.execute("select pg_wal_replay_resume()")

    def promote(self) -> None:
        """Returns when it takes writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            assert connection.execute("select pg_promote(true, 60)").fetchone() == (True,), self.log()


def replica(primary: Postgres, *, slot: bool = False, **settings: str) -> Replica:
    """A new replica, streaming. Any of PostgreSQL's settings by name."""
    made = Replica(primary, settings, slot=slot).start()
    made.streams()
    return made


_INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")


def postgres(host: Host, *, durable: bool = False, **settings: str) -> Postgres:
    """A new cluster, ready. Any of PostgreSQL's settings by name."""
    return Postgres(host, SETTINGS | {"fsync": "on" if durable else "off"} | settings).start()


def fresh_database(cluster: Postgres) -> str:
    """URL of a new, empty database."""
    return _copy(cluster, "template0")


def fresh_store(cluster: Postgres, *, schema: str = "daicho") -> str:
    """URL of a new database with an empty store in that schema: all migrations ran, once for all who ask.

    A copy costs what an empty database costs, and a seventh of the migrations.
    """
    if schema not in cluster.migrated:
        made = fresh_database(cluster)
        store = PostgresStorage(f"{made}?schema={schema}", now=lambda: datetime.now(UTC))
        with ThreadPoolExecutor(1) as aside:  # who asks first may be in an event loop
            assert aside.submit(lambda: asyncio.run(store.migrate())).result(), "a store was there already"
        cluster.migrated[schema] = made.rpartition("/")[2]
    return _copy(cluster, cluster.migrated[schema])


def _copy(cluster: Postgres, template: str) -> str:
    name = f"t{next(_numbers)}"
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        old = connection.info.server_version < 150_000
        how = sql.SQL("" if old else "STRATEGY file_copy")  # a tenth of the time where fsync is off
        text = sql.SQL("CREATE DATABASE {} TEMPLATE {} {}")
        connection.execute(text.format(sql.Identifier(name), sql.Identifier(template), how))
    return f"{cluster.url.rpartition('/')[0]}/{name}"


def drop_database(cluster: Postgres, url: str) -> None:
    """With everybody who is still connected to it."""
    name = sql.Identifier(url.rpartition("/")[2])
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def answers(url: str) -> bool:
    """Whether somebody there lets us in."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
