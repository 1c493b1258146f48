"""What verbs print: rows and records, as a table, JSON, JSON lines or CSV."""

import csv
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from unicodedata import east_asian_width

import click

from daicho.core.plain import json_text, plain

__all__ = ["Rows", "envelope", "is_terminal", "output_option", "paint", "print_done", "print_record", "text_of"]

F = TypeVar("F", bound=Callable[..., Any])
_STORED_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d{3})?)(?:\d{3})?(?:\+00:00|Z)\Z")


def output_option(function: F) -> F:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "jsonl", "csv"]),
        default="table",
        show_default=True,
        help="How to print.",
    )(function)


def is_terminal() -> bool:
    return sys.stdout.isatty()


def paint(text: str, **style: Any) -> str:
    """Coloured on a terminal, unless NO_COLOR (no-color.org) is set."""
    return click.style(text, **style) if is_terminal() and not os.environ.get("NO_COLOR") else text


def envelope(data: Any, **further: Any) -> None:
    """Prints `{"version": 1, "status": "ok", "data": ...}`: on one line unless a person looks."""
    click.echo(json_text({"version": 1, "status": "ok", "data": data, **further}, indent=is_terminal()))


def text_of(value: Any) -> str:
    """One cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str):
        shorter = _STORED_TIME.match(value)
        return f"{shorter[1]} {shorter[2]}Z" if shorter else value
    if isinstance(value, list) and all(isinstance(item, str) for item in cast("Sequence[Any]", value)):
        return ", ".join(cast("Sequence[str]", value))
    return json_text(value) if value or value == 0 else ""


class Rows:
    """A list of like things. JSON lines and CSV are printed as they come, the others at the end."""

    def __init__(self, output: str, columns: Sequence[str], *, limit: int = 0) -> None:
        """`columns` are those of the table; the other forms hold every field. `limit` 0: none."""
        self._output, self._columns, self._limit = output, columns, limit
        self._rows: list[Mapping[str, Any]] = []
        self._writer: Callable[[Iterable[Any]], Any] | None = None
        self.count, self.more = 0, False

    def add(self, row: Mapping[str, Any]) -> bool:
        """False if the limit was reached before: this row is left out, and no more are needed."""
        if self._limit and self.count == self._limit:
            self.more = True
            return False
        self.count += 1
        if self._output == "jsonl":
            click.echo(json_text(row))
        elif self._output == "csv":
            self._csv(row)
        else:
            self._rows.append(row)
        return True

    def _csv(self, row: Mapping[str, Any]) -> None:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if self.count == 1:
            writer.writerow(row)
        writer.writerow(json_text(v) if isinstance(v, dict | list) else v for v in row.values())
        click.echo(buffer.getvalue(), nl=False)

    def end(self, nothing: str = "nothing found") -> None:
        if self._output == "json":
            envelope(self._rows, **({"more": True} if self.more else {}))
        elif self._output == "table":
            if self._rows:
                print_table(self._columns, self._rows)
            else:
                click.echo(nothing, err=True)
        if self.more and self._output != "json":
            click.echo(f"the first {self.count}; more with --limit (0: all)", err=True)


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """With rich on a terminal; elsewhere aligned lines, however long they get: nothing is ever cut."""
    cells = [[text_of(row.get(column)) for column in columns] for row in rows]
    shown = [n for n in range(len(columns)) if any(line[n] for line in cells)] or [0]
    heads = [columns[n] for n in shown]
    cells = [[line[n] for n in shown] for line in cells]
    if not (is_terminal() and importlib.import_module("daicho.cli.terminal").print_table(heads, cells)):
        click.echo("\n".join(aligned([heads, *cells])))


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(_padded, line, widths)).rstrip() for line in lines]


def _width(text: str) -> int:
    """In columns of a terminal: characters of East Asian scripts take two."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def print_record(output: str, record: Mapping[str, Any]) -> None:
    """One thing with named fields; lists of things within it become tables."""
    if output == "json":
        envelope(record)
    elif output == "jsonl":
        click.echo(json_text(record))
    elif output == "csv":
        rows = Rows("csv", ())
        for name, value in record.items():
            rows.add({"field": name, "value": value})
    else:
        click.echo("\n".join(record_lines(plain(record))))


def print_done(output: str, sentence: str, record: Mapping[str, Any], *, err: bool = False) -> None:
    """What was done: a sentence for people, on standard error with `err`, and fields for programs."""
    if output == "table":
        click.echo(sentence, err=err)
    else:
        print_record(output, record)


def record_lines(record: Mapping[str, Any], indent: str = "") -> list[str]:
    width = max((len(name) for name, value in record.items() if not _is_block(value)), default=0)
    lines: list[str] = []
    for name, value in record.items():
        if not _is_block(value):
            if value not in (None, [], {}):
                lines += [f"{indent}{paint(name.ljust(width), dim=True)}  {text_of(value)}".rstrip()]
            continue
        lines.append(f"{indent}{paint(name, bold=True)}")
        if isinstance(value, dict):
            lines += record_lines(cast("dict[str, Any]", value), f"{indent}  ")
            continue
        items = cast("Sequence[Any]", value)
        if all(isinstance(item, dict) for item in items):
            keys = list(dict.fromkeys(key for item in items for key in item))
            cells = [[text_of(item.get(key)) for key in keys] for item in items]
            lines += [f"{indent}  {line}" for line in aligned([keys, *cells])]
        else:
            lines += [f"{indent}  {text_of(item)}" for item in items]
    return lines


def _is_block(value: Any) -> bool:
    if not isinstance(value, dict | list) or not value:
        return False
    return isinstance(value, dict) or any(isinstance(item, dict) for item in cast("Sequence[Any]", value))
