"""The AsyncAPI initiative's own parser, which says what is wrong with a document. It runs on Node.js."""

import fcntl
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.services.find import Unavailable, mode

VERSION = "3.6.6"
FOLDER = Path(tempfile.gettempdir(), f"daicho-asyncapi-{VERSION}")
_CHECK = """
const { Parser } = require('@asyncapi/parser');
let text = '';
process.stdin.on('data', part => text += part).on('end', async () => {
  const parser = new Parser(), all = [];
  for (const each of JSON.parse(text)) {
    const { document, diagnostics } = await parser.parse(each);
    const told = diagnostics.map(d => ({ severity: d.severity, code: d.code, message: d.message, path: d.path }));
    all.push({ understood: document !== undefined, diagnostics: told });
  }
  console.log(JSON.stringify(all));
});
"""


class AsyncApiParser:
    """Installed once a machine, from npm."""

    def __init__(self) -> None:
        if mode() == "off":
            raise Unavailable("DAICHO_SERVICES=off: tests use no Node.js")
        if not (shutil.which("node") and shutil.which("npm")):
            raise Unavailable("there is no Node.js with npm: apt-get install nodejs npm")
        FOLDER.mkdir(exist_ok=True)
        with open(FOLDER / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (FOLDER / "installed").exists():
                self._install()

    def _install(self) -> None:
        if mode() == "noinstall":
            raise Unavailable("@asyncapi/parser is not installed and DAICHO_SERVICES=noinstall")
        quiet = ("--silent", "--no-audit", "--no-fund", "--no-package-lock")
        done = subprocess.run(
            ["npm", "install", *quiet, f"@asyncapi/parser@{VERSION}"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            raise Unavailable(f"@asyncapi/parser cannot be installed: {(done.stderr or done.stdout)[-300:]}")
        (FOLDER / "installed").touch()

    def __call__(self, *documents: dict[str, Any]) -> list[dict[str, Any]]:
        """For each, `understood`, and `diagnostics` with a `severity`: 0 for an error, 1 for a warning."""
        given = json.dumps(documents)
        done = subprocess.run(
            ["node", "-e", _CHECK], cwd=FOLDER, input=given, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        told: list[dict[str, Any]] = json.loads(done.stdout)
        return told
