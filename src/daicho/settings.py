"""Settings, and where each came from: `daicho.toml` or `[tool.daicho]` < environment < command line."""

import os
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from daicho.core.errors import ConfigurationError

__all__ = ["SERVER", "SETTINGS", "Settings", "told_settings"]

SERVER = (
    *("role", "host", "port", "uds", "workers", "insecure"),
    *("keys", "jwt-issuer", "jwt-audience", "jwt-keys", "jwt-secret-file", "jwt-algorithms", "jwt-tenant-claim"),
    *("rate", "rate-tenant", "rate-address", "most-under-way", "origins"),
    *("drain-within", "keep-alive", "headers-within", "late"),
    *("console", "console-payloads", "schema-lock"),
)
"""What `daicho run` may be told."""
SETTINGS = {
    "app": "DAICHO_APP",
    "store": "DAICHO_STORE",
    "read-from": "DAICHO_READ_FROM",
    "views": "DAICHO_VIEWS",
    "search": "DAICHO_SEARCH",
    "edge": "DAICHO_EDGE",
    **{name: f"DAICHO_{name.replace('-', '_').upper()}" for name in SERVER},
}

_PASSWORD = re.compile(r"(://[^/:@]*):[^/@]*@")


class Settings:
    """What this call of `daicho` was told. Files are read when something is first asked for."""

    def __init__(self) -> None:
        self.debug = False
        self._given: dict[str, str] = {}

    def give(self, name: str, value: Any) -> None:
        """Takes an option of the command line."""
        if name == "debug":
            self.debug = True
        else:
            self._given[name] = str(value)

    def get(self, name: str) -> str | None:
        """The setting; an empty one counts as not given, so that `--app ''` does without the app of the file."""
        return self.origin(name)[0] or None

    def environment(self) -> dict[str, str]:
        """What was given on the command line, as variables for a process that is begun from here."""
        return {SETTINGS[name]: value for name, value in self._given.items()}

    def origin(self, name: str) -> tuple[str | None, str]:
        """Value, and where it came from."""
        variable = SETTINGS[name]
        if name in self._given:
            return self._given[name], f"command line (--{name})"
        if variable in os.environ:
            return os.environ[variable], f"environment ({variable})"
        return self._files.get(name, (None, "not set"))

    @cached_property
    def _files(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for name, section in (("pyproject.toml", ("tool", "daicho")), ("daicho.toml", ())):
            table = _table(Path(name), section)
            for setting in SETTINGS:
                value = table.get(setting)
                if value is None:
                    continue
                if setting in SERVER and isinstance(value, (int, float)):
                    value = str(value).lower()  # true, 8000, 2.5
                if not isinstance(value, str):
                    raise ConfigurationError(f"`{setting}` in {name} is {value!r}", do="write it as a text in quotes")
                found[setting] = (value, f"file ({name}{' [tool.daicho]' if section else ''})")
        return found


def _table(path: Path, section: tuple[str, ...]) -> dict[str, Any]:
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", do="mend the file") from error
    for key in section:
        table = table.get(key, {})
    return cast("dict[str, Any]", table) if isinstance(table, dict) else {}


def told_settings(settings: Settings) -> list[tuple[str, str | None, str]]:
    """Name, value without passwords, and where it came from."""
    return [(name, _without_passwords(value), source) for name in SETTINGS for value, source in [settings.origin(name)]]


def _without_passwords(value: str | None) -> str | None:
    return _PASSWORD.sub(r"\1:***@", value) if value else value
