"""Errors as people and programs read them: what, why, what to do, the code, and the exit code."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, cast

import click

from daicho.core.errors import (
    BadAnswers,
    ConcurrencyError,
    ConfigurationError,
    DaichoError,
    DuplicateEventId,
    HistoryError,
    InvalidMessage,
    MeterUnavailable,
    NoSuchField,
    NotSearchable,
    StoreError,
    UnknownMessage,
    UnknownView,
    WiringError,
)

__all__ = ["exit_code", "tell", "wants_json"]

_USAGE = (
    BadAnswers,
    ConfigurationError,
    InvalidMessage,
    NoSuchField,
    NotSearchable,
    UnknownMessage,
    UnknownView,
    WiringError,
)
_CONFLICT = (ConcurrencyError, DuplicateEventId)
_UNREADABLE = (StoreError, HistoryError, MeterUnavailable)


def exit_code(error: type[BaseException]) -> int:
    """1 refused or found wanting, 2 usage, 3 store, 4 conflict."""
    for code, kinds in ((2, (*_USAGE, click.UsageError)), (4, _CONFLICT), (3, _UNREADABLE)):
        if issubclass(error, kinds):
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


def tell(error: BaseException, *, as_json: bool, debug: bool = False) -> None:
    """Prints the error on stderr, in the way that the output was asked for."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    told = _told(error)
    if as_json:
        click.echo(json.dumps({"version": 1, "status": "error", "error": told}, ensure_ascii=False), err=True)
        return
    code = f" {told['code']}" if told["code"] else ""
    click.echo(f"{_red('error')}{code}: {told['what']}", err=True)
    for label in ("why", "do"):
        if told[label]:
            click.echo(f"  {label}: {told[label]}", err=True)


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
    if isinstance(error, click.ClickException):
        what, do = error.format_message(), "see --help"
    else:
        what = f"{name}: {error}"
        do = "" if isinstance(error, OSError) else "this comes from the code of the app; --debug shows where"
    return {"code": "", "name": name, "what": what, "why": "", "do": do, "data": {}}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, cast("Sequence[object]", value)))
    return value is None or type(value) in (str, int, float, bool)


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else text
