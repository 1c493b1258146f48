"""Where a server's program is, or why there is none and what would help."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import pytest

Mode: TypeAlias = Literal["auto", "require", "noinstall", "off"]

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/sbin", "/sbin")
"""Where Debian puts servers besides $PATH."""


class Unavailable(Exception):
    """This server cannot be had here. The message says why and names the cure."""


class StartFailed(Exception):
    """The server is here and did not start; its log is in the message. Always an error, never a skip."""


def mode() -> Mode:
    said = os.environ.get("DAICHO_SERVICES", "auto")
    if said not in get_args(Mode):
        raise ValueError(f"DAICHO_SERVICES={said}: must be one of {', '.join(get_args(Mode))}")
    return cast(Mode, said)


@contextlib.contextmanager
def needed() -> Generator[None, None, None]:
    """Around the start of a server in a fixture: without it the test is skipped, or fails where it is required."""
    try:
        yield
    except Unavailable as reason:
        if mode() == "require":
            pytest.fail(f"DAICHO_SERVICES=require, but {reason}", pytrace=False)
        pytest.skip(str(reason))


@contextlib.contextmanager
def wanted() -> Generator[None, None, None]:
    """The same for a server that not every machine can have: without it the test is skipped."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(str(reason))


def program(name: str, *, package: str) -> Path:
    """The program, installed from Debian's `package` if it is missing and we may."""
    if mode() == "off":
        raise Unavailable(f"DAICHO_SERVICES=off: tests use no {name}")
    found = _look_for(name)
    if not found:
        _install(name, package)
        found = _look_for(name)
    if not found:
        raise Unavailable(f"{package} is installed, but has no {name} in $PATH or {', '.join(PLACES)}")
    return found


def _look_for(name: str) -> Path | None:
    if in_path := shutil.which(name):
        return Path(in_path)
    elsewhere = (path for place in PLACES for path in sorted(Path("/").glob(place[1:]), key=_version, reverse=True))
    return next((path / name for path in elsewhere if os.access(path / name, os.X_OK)), None)


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _install(name: str, package: str) -> None:
    """One process at a time. The package lists are fetched only if the package is not to be had without."""
    cure = f"apt-get install {package}"
    if mode() == "noinstall":
        raise Unavailable(f"{name} is not installed and DAICHO_SERVICES=noinstall: {cure}")
    if not shutil.which("apt-get"):
        raise Unavailable(f"{name} is not installed and there is no apt-get: install {package} by hand")
    if os.geteuid():
        raise Unavailable(f"{name} is not installed and this is not root: {cure}")
    with open(Path(tempfile.gettempdir(), "daicho-apt.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _look_for(name):
            return
        install = ("install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", package)
        done = _apt_get(*install)
        if done.returncode:
            _apt_get("update")
            done = _apt_get(*install)
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise Unavailable(f"{name} is not installed and `{cure}` failed: {last}")


def _apt_get(*arguments: str) -> subprocess.CompletedProcess[str]:
    quietly = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # in runlevel 1 packages start no daemon
    return subprocess.run(
        ["apt-get", "--quiet", *arguments], env=os.environ | quietly, capture_output=True, text=True, timeout=600
    )
