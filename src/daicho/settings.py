"""Settings, and where each came from: `daicho.toml` or `[tool.daicho]` < environment < command line."""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

from daicho.core.errors import ConfigurationError

__all__ = ["SERVER", "SETTINGS", "Settings", "UnknownSetting", "told_settings"]

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
_NO_SETTINGS = frozenset(
    f"DAICHO_{name}" for name in ("MASTER_KEY", "MASTER_KEY_FILE", "KEY", "CONTEXT", "IMAGE", "PASSWORD")
)
"""Variables that mean something to Daicho, or to the files that it writes, and are no settings."""


class UnknownSetting(NamedTuple):
    name: str
    where: str
    meant: str
    """The setting or variable with nearly that name. Empty: there is none."""

    @property
    def told(self) -> str:
        return f"unknown{self.meant and f': did you mean {self.meant}?'}"


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

    def check(self) -> None:
        """Raises ConfigurationError for what a file says and no setting is called. The environment is not only ours."""
        for unknown in self.unknown_in_files:
            meant = f"did you mean `{unknown.meant}`?" if unknown.meant else ""
            raise ConfigurationError(
                f"`{unknown.name}` in {unknown.where} is no setting",
                why="nothing reads it, and what it was meant to set keeps its default",
                do=meant or f"take it out; there are {', '.join(SETTINGS)}",
                setting=unknown.name,
            )

    @cached_property
    def unknown_in_files(self) -> list[UnknownSetting]:
        return [
            UnknownSetting(key, where, _near(key, SETTINGS))
            for where, table in self._tables.items()
            for key in table
            if key not in SETTINGS
        ]

    def unknown_in_environment(self) -> Iterator[UnknownSetting]:
        """Others may set variables that begin as ours do (Kubernetes for a service `daicho`): no error, but told."""
        known = {*SETTINGS.values(), *_NO_SETTINGS}
        for name in sorted(os.environ):
            if name.startswith("DAICHO_") and name not in known:
                near = _near(name.removeprefix("DAICHO_"), SETTINGS)
                yield UnknownSetting(name, "environment", SETTINGS[near] if near else "")

    @cached_property
    def _tables(self) -> dict[str, dict[str, Any]]:
        return {
            "pyproject.toml [tool.daicho]": _table(Path("pyproject.toml"), ("tool", "daicho")),
            "daicho.toml": _table(Path("daicho.toml"), ()),
        }

    @cached_property
    def _files(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for name, table in self._tables.items():
            for setting in SETTINGS:
                value = table.get(setting)
                if value is None:
                    continue
                if setting in SERVER and isinstance(value, (int, float)):
                    value = str(value).lower()  # true, 8000, 2.5
                if not isinstance(value, str):
                    raise ConfigurationError(f"`{setting}` in {name} is {value!r}", do="write it as a text in quotes")
                found[setting] = (value, f"file ({name})")
        return found


def _near(name: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(name.lower().replace("_", "-"), known, 1, cutoff=0.7)), "")


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
