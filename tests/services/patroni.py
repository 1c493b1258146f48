"""PostgreSQL that fails over by itself: Patroni and etcd, and HAProxy in front, as deploy/patroni configures them."""

import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

import psycopg

from tests.services.find import program
from tests.services.guard import family, happens, send
from tests.services.running import Host, Running, free_port

DEPLOY = Path(__file__).parents[2] / "deploy" / "patroni"
PASSWORD = "p"


class Etcd(Running):
    """One server, which is a majority of one."""

    name = "etcd"

    def __init__(self, host: Host) -> None:
        self._program = program("etcd", package="etcd-server")
        super().__init__(host)
        self._peers = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        peers = f"http://127.0.0.1:{self._peers}"
        return [
            *(str(self._program), "--name=e", f"--data-dir={self.folder / 'data'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=e={peers}"),
        ]

    def is_ready(self) -> bool:
        return answers(f"{self.url}/health")


class Patroni(Running):
    """One node. It starts and stops a PostgreSQL server of its own."""

    name = "patroni"
    users: ClassVar[tuple[str, ...]] = ("postgres", "nobody")
    drops_at = signal.SIGTERM  # it stops its server then

    def __init__(self, host: Host, etcd: Etcd, name: str) -> None:
        self._program = program("patroni", package="patroni")
        programs = program("initdb", package="postgresql").resolve().parent
        super().__init__(host)
        self.label, self.rest = name, free_port()
        self.data = self.folder / "data"
        trusted = "".join(
            f"    - {line} trust\n"
            for line in ("local all all", "host all all 127.0.0.1/32", "host replication all 127.0.0.1/32")
        )
        text = (DEPLOY / "patroni.yml").read_text()
        text = text[: text.index("    - local all")] + trusted + text[text.index("\nwatchdog:") :]
        text = text.replace("mode: automatic", "mode: off").replace("    - data-checksums", "    - no-sync")
        text = text.replace("wal_level: logical", f"wal_level: logical\n        unix_socket_directories: {self.folder}")
        (self.folder / "patroni.yml").write_text(text)
        (self.folder / "patroni.yml").chmod(0o644)
        self._environment = {
            "NAME": name,
            "ETCD3_HOSTS": f"127.0.0.1:{etcd.port}",
            "RESTAPI_LISTEN": f"127.0.0.1:{self.rest}",
            "RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self.rest}",
            "POSTGRESQL_LISTEN": f"127.0.0.1:{self.port}",
            "POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.port}",
            "POSTGRESQL_DATA_DIR": str(self.data),
            "POSTGRESQL_BIN_DIR": str(programs),
            "POSTGRESQL_PGPASS": str(self.folder / "pgpass"),
            "SUPERUSER_USERNAME": "postgres",
            "REPLICATION_USERNAME": "replicator",
            "REWIND_USERNAME": "rewinder",
            **{f"{who}_PASSWORD": PASSWORD for who in ("SUPERUSER", "REPLICATION", "REWIND")},
        }

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        told = [f"PATRONI_{name}={value}" for name, value in self._environment.items()]
        return ["env", *told, str(self._program), str(self.folder / "patroni.yml")]

    def is_ready(self) -> bool:
        return self.is_primary or self.is_replica

    @property
    def is_primary(self) -> bool:
        return answers(f"http://127.0.0.1:{self.rest}/primary")

    @property
    def is_replica(self) -> bool:
        return answers(f"http://127.0.0.1:{self.rest}/sync")

    def kill_postgres(self) -> None:
        """kill -9 of the server alone: Patroni is left, and sees it."""
        send(signal.SIGKILL, self._postgres())

    def kill(self) -> None:
        """With its server, which is no child of it."""
        left = [pid for each in self._postgres() for pid in family(each)]
        super().kill()
        send(signal.SIGKILL, left)

    def _postgres(self) -> list[int]:
        path = self.data / "postmaster.pid"
        return [int(path.read_text().split()[0])] if path.exists() else []


class HAProxy(Running):
    """Leads to whichever node is the primary."""

    name = "haproxy"

    def __init__(self, host: Host, nodes: list[Patroni]) -> None:
        self._program = program("haproxy", package="haproxy")
        super().__init__(host)
        self._standbys = free_port()
        text = (DEPLOY / "haproxy.cfg").read_text()
        text = text.replace("bind *:5000", f"bind 127.0.0.1:{self.port}")
        text = text.replace("bind *:5001", f"bind 127.0.0.1:{self._standbys}")
        for n, node in enumerate(nodes, 1):
            text = text.replace(f"node{n}:5432 check port 8008", f"127.0.0.1:{node.port} check port {node.rest}")
        (self.folder / "haproxy.cfg").write_text(text)
        (self.folder / "haproxy.cfg").chmod(0o644)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        return [str(self._program), "-db", "-f", str(self.folder / "haproxy.cfg")]

    def is_ready(self) -> bool:
        """Until it has looked at them, it takes every node for the primary."""
        return all(takes_writes(self.url) for _ in range(6))


class Cluster:
    """Two nodes, the standby in step with the primary, behind HAProxy."""

    def __init__(self, host: Host) -> None:
        self.etcd = Etcd(host).start()
        first = Patroni(host, self.etcd, "node1").start(within=120)
        assert happens(lambda: first.is_primary, 120), first.log()
        second = Patroni(host, self.etcd, "node2").start(within=120)
        self.nodes = [first, second]
        self.in_step()
        self.haproxy = HAProxy(host, self.nodes).start()

    @property
    def url(self) -> str:
        return self.haproxy.url

    @property
    def primary(self) -> Patroni:
        return next(node for node in self.nodes if node.is_primary)

    def in_step(self) -> None:
        """Returns when one is the primary, and the other one has all that it acknowledges."""

        def ready() -> bool:
            return sorted((node.is_primary, node.is_replica) for node in self.nodes) == [(False, True), (True, False)]

        assert happens(ready, 180), "\n".join(node.log() for node in self.nodes)

    def end(self) -> None:
        for node in (self.haproxy, *self.nodes):
            node.stop()
        self.etcd.stop()


def takes_writes(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
    except psycopg.Error:
        return False


def answers(url: str) -> bool:
    """Whether it says 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
