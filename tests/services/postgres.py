"""PostgreSQL: whole clusters of a test's own, or a fresh database in a shared one."""

import signal
import subprocess
from itertools import count
from typing import ClassVar

import psycopg
from psycopg import sql

from tests.services.find import StartFailed, program
from tests.services.running import Host, Running, as_user

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
        super().__init__(host)
        self.data = self.folder / "data"
        blank = host.folder / "blank-postgres"  # initdb takes half a second, a copy a tenth of that
        if not blank.exists():
            self._run(str(self._programs / "initdb"), "--pgdata=data", *_INITDB)
            self._run("cp", "-a", "data", "blank")
            (self.folder / "blank").rename(blank)
        else:
            self._run("cp", "-a", str(blank), "data")
        with open(self.data / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

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


_INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")


def postgres(host: Host, *, durable: bool = False, **settings: str) -> Postgres:
    """A new cluster, ready. Any of PostgreSQL's settings by name."""
    return Postgres(host, SETTINGS | {"fsync": "on" if durable else "off"} | settings).start()


def fresh_database(cluster: Postgres) -> str:
    """URL of a new, empty database."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        old = connection.info.server_version < 150_000
        how = sql.SQL("" if old else "STRATEGY file_copy")  # a tenth of the time where fsync is off
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(sql.Identifier(name), how))
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
