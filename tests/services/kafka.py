"""Apache Kafka: one node that is broker and controller, and a second broker where a test wants one. A node takes three
seconds to start: share it as long as you can.

Its jars come from Maven Central and are kept in a cache folder.
"""

import base64
import fcntl
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.find import StartFailed, Unavailable, mode, program
from tests.services.opensearch import cache, java
from tests.services.running import Host, Running, as_user, free_port

VERSION = "4.1.0"
LOG4J = "2.24.3"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAVA_VERSIONS = range(17, 26)

POM = f"""\
<project><modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>tests</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>
<version>{LOG4J}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>{LOG4J}</version></dependency>
</dependencies></project>
"""

LOGGING = """\
rootLogger.level=error
rootLogger.appenderRefs=o
rootLogger.appenderRef.o.ref=O
appender.o.type=Console
appender.o.name=O
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=%p %m%n
"""

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "1500",  # a killed one may register again only when the session is over
    "broker.heartbeat.interval.ms": "300",
    "log.cleaner.dedupe.buffer.size": str(2**22),
}
JVM = ("-Xms256m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class Kafka(Running):
    """No security. What it acknowledged survives kill -9, in the kernel's hands; a loss of power would take some."""

    name = "kafka"

    def __init__(
        self, host: Host, settings: Mapping[str, str], reached_at: int | None = None, beside: "Kafka | None" = None
    ) -> None:
        self._java = java("Kafka", VERSION, JAVA_VERSIONS)
        self._jars = installed()
        super().__init__(host)
        self.controller = beside.controller if beside else free_port()
        self.cluster = beside.cluster if beside else f"A{base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]}"
        ours, theirs = f"PLAINTEXT://127.0.0.1:{self.port}", f"CONTROLLER://127.0.0.1:{self.controller}"
        told = {
            **SETTINGS,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "listeners": ours if beside else f"{ours},{theirs}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{reached_at or self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            **({"process.roles": "broker", "node.id": "2"} if beside else {}),
            **settings,
        }
        self._settings = self._file("server.properties", "".join(f"{name}={value}\n" for name, value in told.items()))
        self._logging = self._file("log4j2.properties", LOGGING)
        format_it = self._run("kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", str(self._settings))
        done = subprocess.run(
            as_user(self.user, *format_it), cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise StartFailed(f"Kafka cannot format its folder: {done.stdout}{done.stderr}")

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return self._run("kafka.Kafka", str(self._settings))

    def is_ready(self) -> bool:
        """Whether it is the leader of itself and answers."""
        try:
            client = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _run(self, program: str, *words: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._logging}"
        return [str(self._java), *JVM, logging, "-cp", f"{self._jars}/*", program, *words]

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path


def kafka(host: Host, *, reached_at: int | None = None, beside: Kafka | None = None, **settings: str) -> Kafka:
    """A new node, ready and empty; clients are told to reach it at that port, if one is given. Beside another one it
    is the second broker of its cluster. Any of Kafka's settings by name, with underscores for dots."""
    given = {name.replace("_", "."): value for name, value in settings.items()}
    return Kafka(host, given, reached_at, beside).start(within=120)


def installed() -> Path:
    """The folder of the jars, fetched by Maven if they are missing and we may. One process at a time."""
    folder = cache() / f"kafka-{VERSION}"
    if mode() == "off":
        raise Unavailable("DAICHO_SERVICES=off: tests use no Kafka")
    if folder.exists():
        return folder
    if mode() == "noinstall":
        raise Unavailable(f"{folder} is missing and DAICHO_SERVICES=noinstall: allow it once, or mvn {MAVEN_COPY}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "kafka.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    maven = program("mvn", package="maven")
    fetched = folder.with_suffix(".fetched")
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir()
    (fetched / "pom.xml").write_text(POM)
    done = subprocess.run(
        [str(maven), "-q", "-B", "-C", MAVEN_COPY, "-DincludeScope=runtime", f"-DoutputDirectory={fetched}/jars"],
        cwd=fetched,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        last = (done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Unavailable(f"Kafka's jars are not there and `mvn {MAVEN_COPY}` failed: {last}")
    jars = fetched / "jars"
    for path in (folder.parent, jars, *jars.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    jars.rename(folder)
    shutil.rmtree(fetched)
