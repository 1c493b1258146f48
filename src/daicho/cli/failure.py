"""Errors as people and programs read them: what, why, what to do, the code, and the exit code."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import IO, Any, cast

import click

from daicho.core.errors import (
    ConcurrencyError,
    ConfigurationError,
    DaichoError,
    DuplicateEventId,
    HistoryError,
    InvalidMessage,
    NoSuchField,
    StoreError,
    UnknownMessage,
    UnknownView,
    WiringError,
)

__all__ = ["Failure", "NotFound", "exit_code", "usage_failure", "wants_json"]

_USAGE = (ConfigurationError, InvalidMessage, NoSuchField, UnknownMessage, UnknownView, WiringError)
_CONFLICT = (ConcurrencyError, DuplicateEventId)
_UNREADABLE = (StoreError, HistoryError)


class NotFound(DaichoError):
    """The command line was asked about a stream, event, command, projection or type that is not there."""

    code = "D500"


def exit_code(error: BaseException) -> int:
    """1 refused or found wanting, 2 usage, 3 store, 4 conflict."""
    for code, kinds in ((2, _USAGE), (4, _CONFLICT), (3, _UNREADABLE)):
        if isinstance(error, kinds):
            return code
    return 1


def wants_json(args: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON; looked up before they are parsed, for errors in them."""
    for n, argument in enumerate(args):
        name, _, value = argument.partition("=") if argument.startswith("--") else (argument[:2], "", argument[2:])
        if name in ("-o", "--output"):
            value = value or (args[n + 1] if n + 1 < len(args) else "")
            return value in ("json", "jsonl")
    return False


class Failure(click.ClickException):
    """Ends the program with an error told in the way that the output was asked for."""

    def __init__(self, error: BaseException, *, as_json: bool, debug: bool = False) -> None:
        super().__init__(str(error))
        self.error, self._json, self._debug = error, as_json, debug
        self.exit_code = exit_code(error)

    def show(self, file: IO[Any] | None = None) -> None:
        if self._debug:
            click.echo("".join(traceback.format_exception(self.error)), err=True, nl=False)
        told = _told(self.error)
        if self._json:
            click.echo(json.dumps({"version": 1, "status": "error", "error": told}, ensure_ascii=False), err=True)
            return
        click.echo(f"{_red('error')}{f' {told['code']}' if told['code'] else ''}: {told['what']}", err=True)
        for label, key in (("why", "why"), ("do", "do")):
            if told[key]:
                click.echo(f"  {label}: {told[key]}", err=True)


def usage_failure(error: click.UsageError) -> click.ClickException:
    """A usage error, for programs."""
    shown = Failure(ConfigurationError(error.format_message(), do="see --help"), as_json=True)
    shown.exit_code = error.exit_code
    return shown


def _told(error: BaseException) -> dict[str, Any]:
    name = type(error).__name__
    if isinstance(error, DaichoError):
        return {
            "code": error.code,
            "name": name,
            "what": error.what,
            "why": error.why,
            "do": error.do,
            "data": {key: value for key, value in error.data.items() if _is_plain(value)},
        }
    do = "" if isinstance(error, OSError) else "this comes from the code of the app; --debug shows where"
    return {"code": "", "name": name, "what": f"{name}: {error}", "why": "", "do": do, "data": {}}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, cast("Sequence[object]", value)))
    return value is None or type(value) in (str, int, float, bool)


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else text
