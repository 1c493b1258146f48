"""OpenSearch: one node with a small heap. It takes some five seconds to start: share it as long as you can.

The complete server comes from Maven Central, as a zip without a Java of its own, and is kept in a cache folder.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import httpx

from tests.services.find import StartFailed, Unavailable, mode, program
from tests.services.running import Host, Running

VERSION = "2.19.1"
ARTIFACT = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
SHA256 = "af7152d8b7f6f1cee09d47276b32b70479fe6dd8cdbb61213f84eb7f8098b261"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
JAVA_VERSIONS = range(11, 24)
"""It asks for a security manager, which Java 24 no longer has."""

SETTINGS = """\
cluster.name: {name}
node.name: {name}
discovery.type: single-node
network.host: 127.0.0.1
http.port: {port}
transport.port: {port_inside}-{port_inside_last}
path.data: {folder}/data
path.logs: {folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
action.auto_create_index: true
"""

JVM = (
    "-Xms384m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Djava.security.manager=allow",
    "-Dfile.encoding=UTF-8",
    "-Djna.nosys=true",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
)


class OpenSearch(Running):
    """No security plugin. What it acknowledged survives kill -9: each request is written through."""

    name = "opensearch"

    def __init__(self, host: Host) -> None:
        self._java = java()
        home = installed()
        super().__init__(host)
        self._home = home
        configuration = self.folder / "config"
        shutil.copytree(home / "config", configuration)
        inside = self.port + 12_000  # it takes the first free one of some
        (configuration / "opensearch.yml").write_text(
            SETTINGS.format(
                name=self.name,
                port=self.port,
                port_inside=inside,
                port_inside_last=inside + 50,
                folder=self.folder,
            )
        )
        for path in (configuration, *configuration.rglob("*")):
            if self.user:
                shutil.chown(path, self.user)
            path.chmod(0o755 if path.is_dir() else 0o644)

    @property
    def url(self) -> str:
        """As a read store's."""
        return f"opensearch://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            str(self._java),
            *JVM,
            f"-Djava.io.tmpdir={self.folder}",
            f"-Dopensearch.path.home={self._home}",
            f"-Dopensearch.path.conf={self.folder / 'config'}",
            "-Dopensearch.distribution.type=zip",
            "-Dopensearch.bundled_jdk=false",
            "-cp",
            f"{self._home}/lib/*",
            "org.opensearch.bootstrap.OpenSearch",
        ]

    def is_ready(self) -> bool:
        """Whether every shard that it had before is back, too."""
        try:
            health = httpx.get(f"{self.http}/_cluster/health", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return health.status_code == 200 and health.json()["status"] in ("yellow", "green")


def opensearch(host: Host) -> OpenSearch:
    """A new node, ready and empty."""
    return OpenSearch(host).start(within=120)


def java(what: str = "OpenSearch", version: str = VERSION, versions: range = JAVA_VERSIONS) -> Path:
    """A Java that runs this version, the one in $PATH first."""
    tried = [program("java", package="default-jre-headless"), *sorted(Path("/usr/lib/jvm").glob("*/bin/java"))]
    for path in tried:
        said = subprocess.run([str(path), "-version"], capture_output=True, text=True, timeout=30).stderr
        if (found := re.search(r'version "(\d+)', said)) and int(found[1]) in versions:
            return path
    raise Unavailable(
        f"{what} {version} needs a Java from {versions[0]} to {versions[-1]}: apt-get install "
        "openjdk-17-jre-headless or openjdk-21-jre-headless"
    )


def installed() -> Path:
    """The folder of the unpacked server, fetched by Maven if it is missing and we may. One process at a time."""
    folder = cache() / f"opensearch-{VERSION}"
    if folder.exists():
        return folder
    cure = f"mvn {MAVEN_COPY} -Dartifact={ARTIFACT}"
    if mode() == "noinstall":
        raise Unavailable(f"{folder} is missing and DAICHO_SERVICES=noinstall: {cure}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch(folder, cure)
    return folder


def cache() -> Path:
    """Where servers stay that are in no package of Debian's: outside the repository. Root's own folders are closed to
    the user who runs the server."""
    if not os.geteuid():
        return Path("/var/cache/daicho")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "daicho"


def _fetch(folder: Path, cure: str) -> None:
    maven = program("mvn", package="maven")
    fetched = folder.with_suffix(".fetched")
    shutil.rmtree(fetched, ignore_errors=True)
    done = subprocess.run(
        [str(maven), "-q", "-B", "-C", MAVEN_COPY, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={fetched}"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        last = (done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Unavailable(f"OpenSearch is not there and `{cure}` failed: {last}")
    package = fetched / f"opensearch-{VERSION}.zip"
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if found != SHA256:
        raise StartFailed(f"{package} is not the one that was expected: its SHA-256 is {found}, not {SHA256}")
    with zipfile.ZipFile(package) as packed:
        packed.extractall(fetched)
    unpacked = fetched / f"opensearch-{VERSION}"
    for path in (folder.parent, unpacked, *unpacked.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    unpacked.rename(folder)
    shutil.rmtree(fetched)
