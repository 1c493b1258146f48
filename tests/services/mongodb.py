"""Servers that speak MongoDB's protocol. MongoDB itself is in no package registry; these are built from theirs, once.

They stand in for it as far as they go: what they get wrong, tried with these versions, is said at each class. So they
are never required: without Go, or Maven and a JDK, tests on them are skipped, also in CI. The first use downloads and
builds into the user's cache folder; FerretDB takes a minute and a half of two cores, mongo-java-server seconds.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from abc import abstractmethod
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import ClassVar

import pymongo
from pymongo.errors import PyMongoError

from tests.services.find import Unavailable, mode
from tests.services.proxy import Conversation, Passed, Proxy
from tests.services.running import Host, Running

FERRETDB = "1.24.2"
JAVA_SERVER = "1.47.0"
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_numbers = count(1)

_FERRETDB_MAIN = """\
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	running, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := server.Run(running); err != nil {
		log.Fatal(err)
	}
}
"""

_JAVA_MAIN = """\
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import de.bwaldvogel.mongo.wire.message.MongoQuery;
import io.netty.channel.Channel;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Supplier;
import org.h2.mvstore.MVStore;

public class Main {
    // pymongo talks to nothing older than 4.4, and the server can do what we need of it
    static class Younger implements MongoVersion {
        public List<Integer> getVersionArray() { return List.of(4, 4, 0); }
        public int getWireVersion() { return 9; }
    }

    // a document and its place in the index are two writes: what is kept between them is damaged after a kill
    static class Whole extends H2Backend {
        private final ReentrantReadWriteLock commands = new ReentrantReadWriteLock(true);

        Whole(String file) {
            super(new MVStore.Builder().fileName(file).autoCommitDisabled().open());
        }

        void keep() {
            during(commands.writeLock(), () -> getMvStore().commit());
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            return during(commands.readLock(), () -> super.handleMessage(message));
        }

        @Override
        public Document handleCommand(Channel channel, String database, String command, Document query) {
            return during(commands.readLock(), () -> super.handleCommand(channel, database, command, query));
        }

        @Override
        public QueryResult handleQuery(MongoQuery query) {
            return during(commands.readLock(), () -> super.handleQuery(query));
        }

        private static <T> T during(Lock lock, Supplier<T> work) {
            lock.lock();
            try {
                return work.get();
            } finally {
                lock.unlock();
            }
        }
    }

    public static void main(String[] arguments) {
        Whole backend = new Whole(arguments[1]);
        backend.version(new Younger());
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown));
        Executors.newSingleThreadScheduledExecutor().scheduleWithFixedDelay(backend::keep, 1, 1, TimeUnit.SECONDS);
    }
}
"""

_JAVA_FROM = f"de.bwaldvogel:mongo-java-server-h2-backend:{JAVA_SERVER}"
_POM = f"""\
<project><modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>tests</artifactId><version>1</version>
<dependencies><dependency><groupId>de.bwaldvogel</groupId><artifactId>mongo-java-server-h2-backend</artifactId>
<version>{JAVA_SERVER}</version></dependency></dependencies></project>
"""


class MongoServer(Running):
    """What both have in common."""

    from_registry: ClassVar[str]

    def __init__(self, host: Host) -> None:
        program = built(self.name, self.from_registry, self.build)
        self._program = host.folder / f"program-{self.name}"  # whoever runs it may not look into our home
        if not self._program.exists():
            shutil.copytree(program, self._program)
            for path in (self._program, *self._program.rglob("*")):
                path.chmod(0o755)
        super().__init__(host)
        self.data = self.folder / "data"
        self.data.mkdir()
        if self.user:
            shutil.chown(self.data, self.user)

    @staticmethod
    @abstractmethod
    def build(folder: Path) -> None:
        """Fills the empty folder with the program. Raises Unavailable."""

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def is_ready(self) -> bool:
        try:
            with pymongo.MongoClient[dict[str, object]](self.url, serverSelectionTimeoutMS=1000) as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True


class FerretDB(MongoServer):
    """MongoDB's protocol on SQLite files. It keeps what it acknowledged through kill -9.

    Wrong: a document is looked for and updated in two steps, without a lock, so that of two guarded updates or
    `findAndModify` at once both may win (a quarter of the races tried); an unordered bulk of updates stops at its first
    error, with an answer that pymongo cannot read; no infinities, no arrays in arrays, no sign on -0.0. Slow: whatever
    asks for more than `_id` alone reads the whole collection, and `$in` always does. It takes documents over 16 MB.
    """

    name = "ferretdb"
    from_registry = f"github.com/FerretDB/FerretDB@v{FERRETDB}"

    @staticmethod
    def build(folder: Path) -> None:
        go = tool("go", "https://go.dev/dl")
        (folder / "main.go").write_text(_FERRETDB_MAIN)
        run(folder, 10, go, "mod", "init", "tests")
        run(folder, 60, go, "get", f"github.com/FerretDB/FerretDB/ferretdb@v{FERRETDB}")
        run(folder, 110, go, "build", "-trimpath", "-o", "ferretdb", ".")

    def command(self) -> list[str]:
        return [str(self._program / "ferretdb"), f"127.0.0.1:{self.port}", str(self.data)]


class JavaServer(MongoServer):
    """mongo-java-server on an H2 file, written once a second and between commands (see Main): kill -9 takes the last
    second along, whole.

    Wrong: texts are ordered by UTF-16 and not by code points; there is no command `hello`, and it says that it is too
    old for pymongo unless told otherwise (see Main); instead of refusing a document over 16 MB it hangs up. Slow: only
    a question by `_id` alone uses that index.
    """

    name = "mongo-java-server"
    from_registry = f"{_JAVA_FROM}:{hashlib.sha256(_JAVA_MAIN.encode()).hexdigest()[:12]}"

    @staticmethod
    def build(folder: Path) -> None:
        maven, javac = tool("mvn", "apt-get install maven"), tool("javac", "apt-get install default-jdk")
        (folder / "pom.xml").write_text(_POM)
        (folder / "Main.java").write_text(_JAVA_MAIN)
        run(folder, 110, maven, "-q", "-B", COPY_DEPENDENCIES, "-DincludeScope=runtime", "-DoutputDirectory=lib")
        run(folder, 60, javac, "--release", "17", "-cp", "lib/*", "Main.java")

    def command(self) -> list[str]:
        path = f"{self._program}:{self._program}/lib/*"
        java = tool("java", "apt-get install default-jre")
        return [java, "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", path, "Main", str(self.port), f"{self.data}/file"]


class LosesAnswers(Proxy):
    """A wire that carries messages with a pattern to the server, and is cut instead of bringing back the answer.

    The pattern is what stands in the message: `insert`, `update`, `findAndModify`. Cuts `times` times.
    """

    def __init__(self, target_port: int, pattern: bytes, times: int = 1) -> None:
        self.pattern, self.left = pattern, times
        super().__init__(target_port)

    def conversation(self) -> Conversation:
        return _Losing(self)


class _Losing:
    def __init__(self, wire: LosesAnswers) -> None:
        self._wire = wire
        self._asked = False

    def from_client(self, data: bytes, /) -> Passed:
        self._asked = self._asked or self._wire.pattern + b"\0" in data
        return Passed(to_server=data)

    def from_server(self, data: bytes, /) -> Passed:
        if self._asked and self._wire.left:
            self._wire.left -= 1
            return Passed(cut=lambda: None)
        self._asked = False
        return Passed(to_client=data)


def fresh_database(server: MongoServer) -> str:
    """URL of a new, empty database."""
    return f"{server.url}t{next(_numbers)}"


def drop_database(url: str) -> None:
    with pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=2000) as client:
        client.drop_database(url.rpartition("/")[2])


def cache_folder() -> Path:
    """Where programs that were built stay for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "daicho-tests"


def built(name: str, source: str, build: Callable[[Path], None]) -> Path:
    """The folder with the program; built, by one process at a time, if that was not done before. `source` is its name
    there: of another version, another one."""
    if mode() == "off":
        raise Unavailable(f"DAICHO_SERVICES=off: tests use no {name}")
    folder = cache_folder() / source.replace("/", "-").replace(":", "-")
    if folder.exists():
        return folder
    if mode() == "noinstall":
        raise Unavailable(f"{name} was not built yet and DAICHO_SERVICES=noinstall: allow it once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            trial = folder.with_name(f"{folder.name}.unfinished")
            shutil.rmtree(trial, ignore_errors=True)
            trial.mkdir()
            build(trial)
            trial.rename(folder)
    return folder


def tool(name: str, cure: str) -> str:
    if not (found := shutil.which(name)):
        raise Unavailable(f"there is no {name} to build or run it with: {cure}")
    return found


def run(folder: Path, within: float, *command: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=within)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`{' '.join(command)}` took longer than {within:g} seconds") from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise Unavailable(f"`{' '.join(command)}` failed: {last[0]}")
