"""Helm, for a look at the chart: from $PATH, or built by Go from its module, once."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.services.find import Unavailable, mode
from tests.services.opensearch import cache

VERSION = "3.19.0"


def helm() -> Path:
    """The program. Raises Unavailable. Building takes some minutes, so it is done where a machine is told to: with
    DAICHO_HELM=build, and then found by all."""
    if mode() == "off":
        raise Unavailable("DAICHO_SERVICES=off: tests use no helm")
    if in_path := shutil.which("helm"):
        return Path(in_path)
    built = cache() / f"helm-{VERSION}" / "helm"
    if built.exists():
        return built
    cure = f"go install helm.sh/helm/v3/cmd/helm@v{VERSION}"
    go = shutil.which("go") or ("/usr/local/go/bin/go" if Path("/usr/local/go/bin/go").exists() else None)
    if os.environ.get("DAICHO_HELM") != "build" or go is None:
        raise Unavailable(f"helm is not installed: DAICHO_HELM=build with Go, or {cure}")
    built.parent.parent.mkdir(parents=True, exist_ok=True)
    with open(built.parent.parent / "helm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            environment = {**os.environ, "GOBIN": str(built.parent)}
            done = subprocess.run(cure.replace("go", go, 1).split(), env=environment, capture_output=True, text=True)
            if done.returncode:
                raise Unavailable(f"`{cure}` failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return built
