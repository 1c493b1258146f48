"""A topology that runs: begun in the order in which its parts need each other, ended in the other one."""

import asyncio
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from daicho.core.errors import ConfigurationError
from daicho.topologies.description import Kind, Part, Topology
from daicho.topologies.local.ports import free_port
from daicho.topologies.local.postgres import Primary, Replica
from daicho.topologies.local.servers import Balancer, Edge, Mongo, Place, Redis, Search, Server, Service

__all__ = ["SERVERS", "Up", "check"]

SERVERS: Mapping[Kind, type[Server]] = {
    "varnish": Edge,
    "haproxy": Balancer,
    "all": Service,
    "command": Service,
    "query": Service,
    "projector": Service,
    "primary": Primary,
    "replica": Replica,
    "redis": Redis,
    "mongodb": Mongo,
    "opensearch": Search,
}
_STOPPED_FIRST: Sequence[frozenset[Kind]] = (
    frozenset({"varnish"}),
    frozenset({"haproxy"}),
    frozenset({"all", "command", "query"}),
    frozenset({"projector"}),
    frozenset({"redis", "mongodb", "opensearch", "replica"}),
    frozenset({"primary"}),
)


def check(topology: Topology) -> None:
    """Raises MissingProgram and MissingExtra for what is not to be had here, before anything is begun."""
    for kind in topology.counts:
        SERVERS[kind].check()


class Up:
    """`async with Up(shape("10:1")) as up:` All parts are ready inside the block, and gone after it.

    folder  where it keeps its files, and finds them again; without it, in a temporary one that goes with it
    port    of the entrance; 0 takes a free one. All others are free ones

    Raises MissingProgram, MissingExtra, PartFailed, and ConfigurationError for a folder that cannot be used.
    """

    def __init__(self, topology: Topology, *, folder: Path | None = None, port: int = 0) -> None:
        self.topology = topology
        self._given, self._port = folder, port
        self._folder: Path | None = None
        self.servers: dict[str, Server] = {}
        self.seconds = 0.0
        """How long it took until all was ready."""

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"http://{self.place.addresses[self.topology.entrance]}"

    async def __aenter__(self) -> Self:
        begin = time.monotonic()
        check(self.topology)
        self._folder = self._made()
        try:
            self.place = self._placed(self._folder)
            self.servers = {part.name: SERVERS[part.kind](part, self.place) for part in self.topology.parts}
            ready = {name: asyncio.Event() for name in self.servers}
            async with asyncio.TaskGroup() as group:
                for server in self.servers.values():
                    group.create_task(self._begin(server, ready), name=f"up-{server.part.name}")
        except BaseExceptionGroup as errors:
            await self._end()
            raise errors.exceptions[0] from None
        except BaseException:
            await self._end()
            raise
        self.seconds = time.monotonic() - begin
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._end()

    async def _begin(self, server: Server, ready: Mapping[str, asyncio.Event]) -> None:
        for name in self._needed(server.part):
            await ready[name].wait()
        await server.start()
        ready[server.part.name].set()

    def _needed(self, part: Part) -> list[str]:
        """What must be ready before it begins: what it talks to, but for a cache that it tells what changed; and for
        queries, somebody who has made the tables."""
        topology = self.topology
        needed = [name for name in part.talks_to if topology.part(name).kind != "varnish"]
        return needed + ([each.name for each in topology.of("projector")] if part.kind == "query" else [])

    async def _end(self) -> None:
        """Those that are called first; then those that they call."""
        work = asyncio.create_task(self._stop_all(), name="up-end")
        cancelled = False
        while not work.done():  # a second Ctrl-C hastens nothing
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                cancelled = True
        work.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _stop_all(self) -> None:
        for kinds in _STOPPED_FIRST:
            await asyncio.gather(*(each.stop() for each in self.servers.values() if each.part.kind in kinds))
        if self._folder is not None and self._given is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _made(self) -> Path:
        try:
            if self._given is None:
                folder = Path(tempfile.mkdtemp(prefix="daicho-up-"))
            else:
                folder = self._given.resolve()
                folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o711)  # servers may run as users of their own
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self._given} cannot be used", why=str(error), do="name another: --dir"
            ) from error
        if os.geteuid() == 0 and any(not parent.stat().st_mode & 0o001 for parent in folder.parents):
            raise ConfigurationError(
                f"other users cannot enter {folder}",
                why="servers that do not run as root have their files there",
                do="name another folder: --dir",
            )
        return folder

    def _placed(self, folder: Path) -> Place:
        taken = {self._port} - {0}
        ports = {part.name: free_port(taken) for part in self.topology.parts}
        if self._port:
            ports[self.topology.entrance] = self._port
        addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        inside = addresses | {part.name: f"127.0.0.1:{free_port(taken)}" for part in self.topology.of("varnish")}
        return Place(self.topology, folder, addresses, inside, _secret(folder), Path.cwd())


def _secret(folder: Path) -> str:
    """The password of the inside: kept with what it opens."""
    path = folder / "secret.json"
    if path.exists():
        return str(json.loads(path.read_text(encoding="utf-8"))["password"])
    password = secrets.token_hex(16)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"password": password}, file)
    return password
