"""Our own peer in place of Axon Server, which is in no package registry, and the judge of both it and our adapter.

axon_peer.py says what the peer does. The judge is the publisher's own Java connector, from Maven Central; the first use
fetches it and compiles the judge in the user's cache folder; later ones start in a second.
"""

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import grpc

from daicho.adapters.buses.axon.protocol import CLASSES, ROOT
from tests.services import axon_peer
from tests.services.find import program
from tests.services.mongodb import COPY_DEPENDENCIES, built, run, tool
from tests.services.running import Host, Running, as_user

CONNECTOR = "2025.2.1"
_FROM = f"io.axoniq:axonserver-connector-java:{CONNECTOR}"
_SOURCE = Path(__file__).with_name("AxonJudge.java")
_POM = f"""\
<project><modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>tests</artifactId><version>1</version>
<dependencies><dependency><groupId>io.axoniq</groupId><artifactId>axonserver-connector-java</artifactId>
<version>{CONNECTOR}</version></dependency></dependencies></project>
"""


class AxonPeer(Running):
    """It keeps what it confirmed through kill -9, in one file per context."""

    name = "axon-peer"
    users = ("root",)
    """It runs in our own Python, which others may not read."""

    def __init__(self, host: Host, token: str, primary: int) -> None:
        super().__init__(host)
        self._token, self._primary = token, primary or self.port

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    def with_tls(self) -> Self:
        """It gets a certificate that it signed itself."""
        openssl = program("openssl", package="openssl")
        how = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=peer"]
        whose = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", self.certificate.name]
        run(self.folder, 30, str(openssl), "req", "-x509", *how, *whose)
        return self

    @property
    def url(self) -> str:
        """As a bus's, of the context `default`."""
        return f"axon://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        arguments = [str(self.port), str(self.folder), self._token, str(self._primary)]
        return [sys.executable, "-P", axon_peer.__file__, *arguments]

    def is_ready(self) -> bool:
        with socket.socket() as trial:  # first, because gRPC waits between its attempts
            if trial.connect_ex(("127.0.0.1", self.port)):
                return False
        asked = CLASSES["control.ClientIdentification"](client_id="test")
        with self._channel() as channel:
            call = channel.unary_unary(
                f"/{ROOT}.control.PlatformService/GetPlatformServer",
                request_serializer=CLASSES["control.ClientIdentification"].SerializeToString,
                response_deserializer=CLASSES["control.PlatformInfo"].FromString,
            )
            try:
                call(asked, timeout=5, metadata=[("axoniq-access-token", self._token)])
            except grpc.RpcError:
                return False
        return True

    def _channel(self) -> grpc.Channel:
        if not self.certificate.exists():
            return grpc.insecure_channel(f"127.0.0.1:{self.port}")
        known = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        return grpc.secure_channel(f"127.0.0.1:{self.port}", known)

    def forget(self, context: str, transactions: int) -> None:
        """Loses the last so many transactions, as a server that was cut off its power may. Not while it runs."""
        path = self.folder / f"{context}.events"
        stored, starts, at = path.read_bytes(), list[int](), 0
        while at < len(stored):
            starts.append(at)
            at += axon_peer.LENGTH.size + axon_peer.LENGTH.unpack_from(stored, at)[0]
        path.write_bytes(stored[: starts[-transactions]])


def axon(host: Host, *, token: str = "", primary: int = 0) -> AxonPeer:
    """A new one, ready and empty; with `primary` one that sends its clients on to that port."""
    return AxonPeer(host, token, primary).start()


class Judge:
    """The real Java connector, as a client of one context. It ends with the block."""

    def __init__(self, host: Host, port: int, context: str) -> None:
        home = built("axon-judge", f"{_FROM}:{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}", _build)
        folder = host.room("axon-judge", None)
        java = [tool("java", "apt-get install default-jre"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]
        command = [*java, "-cp", f"{home}:{home}/lib/*", "AxonJudge", str(port), context]
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                as_user(None, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def ask(self, what: str, **question: Any) -> Any:
        """Its answer. Raises JudgeRefused if the connector raised."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **question}) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        if "error" in said:
            raise JudgeRefused(said["error"], said["text"])
        return said["answer"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)  # the end of its standard input ends it


class JudgeRefused(Exception):
    """The connector raised: its category of errors, and the text."""


def _build(folder: Path) -> None:
    (folder / "pom.xml").write_text(_POM)
    maven, javac = tool("mvn", "apt-get install maven"), tool("javac", "apt-get install default-jdk")
    run(folder, 300, maven, "-q", "-B", COPY_DEPENDENCIES, "-DincludeScope=runtime", "-DoutputDirectory=lib")
    run(folder, 60, javac, "--release", "17", "-d", ".", "-cp", "lib/*", str(_SOURCE))
