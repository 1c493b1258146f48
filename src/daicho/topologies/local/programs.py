"""Where servers are on this machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from daicho.core.errors import MissingProgram

__all__ = ["find", "opensearch_home", "suitable_java", "user_for", "xkey"]

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/usr/sbin", "/sbin", "/usr/local/sbin")
"""Where distributions put servers besides $PATH."""
_MODULES = ("/usr/lib/*/varnish/vmods", "/usr/lib/varnish/vmods", "/usr/lib64/varnish/vmods")
_JAVAS = range(11, 24)
"""OpenSearch 2 asks for a security manager, which Java 24 no longer has."""


def find(program: str, package: str) -> Path:
    """The newest of that name. Raises MissingProgram, with what to install."""
    if in_path := shutil.which(program):
        return Path(in_path)
    elsewhere = [path / program for place in _PLACES for path in Path("/").glob(place[1:])]
    found = sorted((path for path in elsewhere if os.access(path, os.X_OK)), key=_version)
    if not found:
        raise MissingProgram(
            f"{program} is not installed",
            why=f"it is neither in $PATH nor in {', '.join(_PLACES)}",
            do=f"apt-get install {package}",
            program=program,
            package=package,
        )
    return found[-1]


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def xkey() -> None:
    """Raises MissingProgram if Varnish cannot purge by key here."""
    if not any(True for place in _MODULES for _ in Path("/").glob(f"{place[1:]}/libvmod_xkey.so")):
        raise MissingProgram(
            "Varnish has no module xkey here",
            why="purges by surrogate key need it",
            do="apt-get install varnish-modules",
            program="libvmod_xkey.so",
            package="varnish-modules",
        )


def opensearch_home() -> Path | None:
    """The folder of an OpenSearch that can be started here: of $OPENSEARCH_HOME, of a package, or of a cache."""
    named = os.environ.get("OPENSEARCH_HOME")
    caches = (Path("/var/cache/daicho"), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "daicho"))
    homes = [
        *([Path(named)] if named else []),
        Path("/usr/share/opensearch"),
        *(home for cache in caches for home in sorted(cache.glob("opensearch-2.*[0-9]"), reverse=True)),
    ]
    return next((home for home in homes if (home / "lib").is_dir()), None)


def suitable_java() -> Path | None:
    """A Java that OpenSearch runs on."""
    in_path = shutil.which("java")
    for path in [*([Path(in_path)] if in_path else []), *sorted(Path("/usr/lib/jvm").glob("*/bin/java"))]:
        said = subprocess.run([str(path), "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        if (version := re.search(r'version "(\d+)', said.stderr)) and int(version[1]) in _JAVAS:
            return path
    return None


def user_for(*names: str) -> str | None:
    """Who runs a server: we ourselves (None), unless we are root. PostgreSQL does not run as root, and nothing else
    that listens has to."""
    if os.geteuid():
        return None
    known = {line.partition(":")[0] for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines()}
    return next((name for name in (*names, "nobody") if name in known), None)
