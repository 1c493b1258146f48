"""PostgreSQL: a primary, and replicas that stream from it."""

import asyncio
import importlib
import signal
from pathlib import Path
from typing import Any

from daicho.core.errors import MissingExtra
from daicho.topologies.local.programs import find
from daicho.topologies.local.servers import Server

__all__ = ["Primary", "Replica", "connection", "psycopg"]

_SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 64MB
max_wal_size = 512MB
wal_level = replica
wal_log_hints = on
max_wal_senders = 20
max_replication_slots = 20
# a replica that is gone for good does not fill the disk
max_slot_wal_keep_size = 1GB
wal_retrieve_retry_interval = 200ms
hot_standby = on
log_min_messages = warning
"""


class Primary(Server):
    users = ("postgres",)
    stops_at = signal.SIGINT  # without waiting for clients
    drops_at = signal.SIGQUIT

    @classmethod
    def check(cls) -> None:
        find("initdb", "postgresql")
        psycopg()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def is_made(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    async def prepare(self) -> None:
        if self.is_made:
            return
        secret = self.file("password", self.place.password + "\n", 0o600)
        await self.process.run(
            *(str(_beside("initdb")), "--pgdata", str(self.data), "--username=daicho", f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            env=self.env(),
        )
        secret.unlink()
        _append(self.data / "postgresql.conf", _SETTINGS)

    def command(self) -> list[str]:
        return [str(_beside("postgres")), "-D", str(self.data), "-p", self.port]

    async def is_ready(self) -> bool:
        return await _asked(self._conninfo("postgres"), "select true")

    async def start(self) -> None:
        await super().start()
        connection = await psycopg().AsyncConnection.connect(self._conninfo("postgres"), autocommit=True)
        async with connection:
            found = await connection.execute("select from pg_database where datname = 'daicho'")
            if not await found.fetchone():
                await connection.execute("create database daicho")

    def _conninfo(self, database: str) -> str:
        return connection(self.address, self.place.password, database)


class Replica(Primary):
    @property
    def slot(self) -> str:
        return self.part.name.replace("-", "_")

    async def prepare(self) -> None:
        host, _, port = self.place.addresses["primary"].rpartition(":")
        if not self.is_made:
            await self.process.run(
                *(str(_beside("pg_basebackup")), "-h", host, "-p", port, "-U", "daicho", "-D", str(self.data)),
                *("-X", "stream", "-c", "fast", "-R", "-C", "-S", self.slot, "--no-sync", "--no-password"),
                env={**self.env(), "PGPASSWORD": self.place.password},
            )
        # the primary may have another port than the last time
        told = f"host={host} port={port} user=daicho password={self.place.password} application_name={self.slot}"
        _append(self.data / "postgresql.auto.conf", f"primary_conninfo = '{told}'\n")

    async def is_ready(self) -> bool:
        """Whether it streams, and answers."""
        question = "select status = 'streaming' from pg_stat_wal_receiver"
        return await _asked(self._conninfo("postgres"), question)

    async def start(self) -> None:
        await Server.start(self)


def connection(address: str, password: str, database: str = "daicho") -> str:
    host, _, port = address.rpartition(":")
    return f"host={host} port={port} user=daicho password={password} dbname={database} connect_timeout=3"


async def _asked(conninfo: str, question: str) -> bool:
    driver = psycopg()
    try:
        async with asyncio.timeout(5), await driver.AsyncConnection.connect(conninfo, autocommit=True) as opened:
            row = await (await opened.execute(question)).fetchone()
    except (driver.Error, TimeoutError, OSError):
        return False
    return bool(row and row[0])


def _append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def _beside(program: str) -> Path:
    """Of the same version as initdb: `postgres` is a wrapper or not in $PATH on Debian."""
    return find("initdb", "postgresql").resolve().parent / program


def psycopg() -> Any:
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise MissingExtra(
            "PostgreSQL needs an extra", why=str(error), do='pip install "daicho[postgres]"', extra="postgres"
        ) from error
