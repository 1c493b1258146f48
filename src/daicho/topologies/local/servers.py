"""How each kind of part is started here, and how one sees that it is ready. An open port is not enough."""

import os
import pwd
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from daicho.core.errors import MissingProgram
from daicho.topologies.description import Part, Topology
from daicho.topologies.edge import vcl
from daicho.topologies.haproxy import haproxy
from daicho.topologies.local.asking import answers, redis_answers
from daicho.topologies.local.process import Process
from daicho.topologies.local.programs import find, opensearch_home, suitable_java, user_for, xkey

__all__ = ["Balancer", "Edge", "Mongo", "Place", "Redis", "Search", "Server", "Service"]


@dataclass(frozen=True)
class Place:
    """Where a topology is on this machine."""

    topology: Topology
    folder: Path
    addresses: Mapping[str, str]
    """Host and port of each part, by name."""
    inside: Mapping[str, str]
    """The same as parts see each other: for the edge cache, where it takes purges."""
    password: str
    code: Path
    """Folder that the App is imported from."""

    def told(self, text: str) -> str:
        """A setting, with names made into addresses."""
        return text.format_map({**self.inside, "login": f"daicho:{self.password}", "password": self.password})


class Server(ABC):
    """One part, as a process."""

    users: ClassVar[tuple[str, ...]] = ()
    """Who runs it if we are root, before `nobody`."""
    stops_at: ClassVar[signal.Signals] = signal.SIGTERM
    drops_at: ClassVar[signal.Signals] = signal.SIGKILL
    within: ClassVar[float] = 120.0
    """Seconds that it may take to be ready."""
    ends_within: ClassVar[float] = 10.0

    def __init__(self, part: Part, place: Place) -> None:
        self.part, self.place = part, place
        self.address = place.addresses[part.name]
        self.port = self.address.rpartition(":")[2]
        self.process = Process(
            part.name, place.folder / part.name, user=user_for(*self.users) if self.lowers else None,
            drops_at=self.drops_at,
        )  # fmt: skip

    lowers: ClassVar[bool] = True
    """Whether it is run by somebody else if we are root."""

    @property
    def folder(self) -> Path:
        return self.process.folder

    @classmethod
    def check(cls) -> None:
        """Raises MissingProgram, before anything is started."""
        return

    async def prepare(self) -> None:
        """What has to be done before it can start."""
        return

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    async def is_ready(self) -> bool: ...

    def env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    async def start(self) -> None:
        """Returns when it is ready. Raises PartFailed."""
        await self.prepare()
        self.process.start(self.command(), env=self.env(), cwd=self.cwd)
        await self.process.ready(self.is_ready, within=self.within)

    @property
    def cwd(self) -> Path:
        return self.folder

    async def stop(self) -> None:
        await self.process.stop(self.stops_at, within=self.ends_within)

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        if self.process.user is not None:
            os.chown(path, _uid(self.process.user), -1)
        path.chmod(mode)
        return path


class Service(Server):
    """`daicho run`: with the environment that we have, but for what the topology says."""

    lowers = False
    ends_within = 40.0

    def command(self) -> list[str]:
        return [sys.executable, "-m", "daicho.cli", "run", self.part.kind]

    def env(self) -> dict[str, str]:
        host, _, port = self.address.rpartition(":")
        told = {name: self.place.told(text) for name, text in self.part.settings.items()}
        told |= {"app": self.place.topology.app, "host": host, "port": port, "workers": "1", "uds": ""}
        ours = {f"DAICHO_{name.upper().replace('-', '_')}": value for name, value in told.items() if value}
        return {**{name: value for name, value in os.environ.items() if name != "DAICHO_UDS"}, **ours}

    @property
    def cwd(self) -> Path:
        return self.place.code

    async def is_ready(self) -> bool:
        return await answers(self.address, "/readyz")


class Balancer(Server):
    stops_at = signal.SIGUSR1  # lets those in that are in, and nobody else
    ends_within = 5.0

    @classmethod
    def check(cls) -> None:
        find("haproxy", "haproxy")

    async def prepare(self) -> None:
        place = self.place
        self.file("haproxy.cfg", haproxy(place.topology, place.addresses, bind=self.address, stats="unix@stats"))

    def command(self) -> list[str]:
        return [str(find("haproxy", "haproxy")), "-db", "-f", "haproxy.cfg"]

    async def is_ready(self) -> bool:
        """Whether it has found somebody behind it who is."""
        return await answers(self.address, "/readyz")


class Edge(Server):
    users = ("vcache",)

    @classmethod
    def check(cls) -> None:
        find("varnishd", "varnish")
        find("cc", "gcc")  # it compiles its configuration
        xkey()

    async def prepare(self) -> None:
        host, _, port = self.place.addresses["haproxy"].rpartition(":")
        self.file("daicho.vcl", vcl(host, port))

    def command(self) -> list[str]:
        return [
            *(str(find("varnishd", "varnish")), "-j", "none", "-F", "-n", str(self.folder / "work"), "-T", "none"),
            *("-a", f"public={self.address}", "-a", f"purge={self.place.inside[self.part.name]}"),
            *("-f", str(self.folder / "daicho.vcl"), "-s", "malloc,128m"),
            *("-p", "thread_pools=2", "-p", "thread_pool_min=25"),
        ]

    async def is_ready(self) -> bool:
        return await answers(self.address, "/readyz")


class Redis(Server):
    @classmethod
    def check(cls) -> None:
        find("redis-server", "redis-server")

    async def prepare(self) -> None:
        lines = (
            *("bind 127.0.0.1", f"port {self.port}", f'dir "{self.folder}"', "daemonize no", 'save ""'),
            *("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"),
            f"requirepass {self.place.password}",
        )
        self.file("redis.conf", "\n".join(lines) + "\n", 0o600)

    def command(self) -> list[str]:
        return [str(find("redis-server", "redis-server")), "redis.conf"]

    async def is_ready(self) -> bool:
        return await redis_answers(self.address, self.place.password)


class Mongo(Server):
    users = ("mongodb",)

    @classmethod
    def check(cls) -> None:
        find("mongod", "mongodb-org-server")

    def command(self) -> list[str]:
        program = find("mongod", "mongodb-org-server")
        return [str(program), "--bind_ip", "127.0.0.1", "--port", self.port, "--dbpath", str(self.folder)]

    async def is_ready(self) -> bool:
        """It answers HTTP, with a word about it."""
        return await answers(self.address, "/")


_SETTINGS = """\
cluster.name: daicho
node.name: opensearch
discovery.type: single-node
network.host: 127.0.0.1
http.port: {port}
transport.port: {inside}-{inside_last}
path.data: {folder}/data
path.logs: {folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
"""
_JVM = (
    *("-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-Djava.awt.headless=true", "-Djava.security.manager=allow", "-Dfile.encoding=UTF-8", "-Djna.nosys=true"),
    *("-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true"),
)


class Search(Server):
    """OpenSearch 2, without security: it listens to this machine alone."""

    users = ("opensearch",)
    ends_within = 15.0

    @classmethod
    def check(cls) -> None:
        if opensearch_home() is None or suitable_java() is None:
            raise MissingProgram(
                "there is no OpenSearch here that could be started",
                why="neither $OPENSEARCH_HOME nor /usr/share/opensearch has one, or there is no Java from 11 to 23",
                do="unpack OpenSearch 2 and set OPENSEARCH_HOME, or go without: --no-opensearch",
                program="opensearch",
                package="openjdk-17-jre-headless",
            )

    async def prepare(self) -> None:
        home, _ = self._found()
        inside = int(self.port) + 12_000  # it takes the first free one of some
        config = self.folder / "config"
        config.mkdir(mode=0o755, exist_ok=True)
        for path in sorted((home / "config").glob("*")):
            if path.is_file() and path.name != "opensearch.yml":
                self.file(f"config/{path.name}", path.read_text(encoding="utf-8"))
        self.file(
            "config/opensearch.yml",
            _SETTINGS.format(port=self.port, inside=inside, inside_last=inside + 50, folder=self.folder),
        )
        if self.process.user is not None:
            os.chown(config, _uid(self.process.user), -1)

    def command(self) -> list[str]:
        home, java = self._found()
        return [
            str(java),
            *_JVM,
            f"-Djava.io.tmpdir={self.folder}",
            f"-Dopensearch.path.home={home}",
            f"-Dopensearch.path.conf={self.folder / 'config'}",
            "-Dopensearch.distribution.type=zip",
            "-Dopensearch.bundled_jdk=false",
            *("-cp", f"{home}/lib/*", "org.opensearch.bootstrap.OpenSearch"),
        ]

    async def is_ready(self) -> bool:
        return await answers(self.address, "/_cluster/health?wait_for_status=yellow&timeout=1s")

    def _found(self) -> tuple[Path, Path]:
        self.check()
        home, java = opensearch_home(), suitable_java()
        assert home is not None
        assert java is not None
        return home, java


def _uid(user: str) -> int:
    return pwd.getpwnam(user).pw_uid
