"""Values that the console shows as words have one in each language."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import get_args

import click
import pytest

from daicho.cli import main
from daicho.console import screens
from daicho.console.screens import processes
from daicho.console.words import SHELL
from daicho.core.instance import StepState
from daicho.core.process_events import Trigger

READERS = ("live", "catching up", "waiting", "paused", "failing", "stopped")
LETTERS = ("parked", "retry", "retried", "skipped")
COMMANDS = ("pending", "done", "rejected", "failed")
SERVERS = ("primary", "standby", "down", "unknown")
INSTANCES = ("waiting", "running", "compensating", "compensated", "done")


@pytest.mark.parametrize("value", [*READERS, *LETTERS, *COMMANDS, *SERVERS, *get_args(StepState), "open", "repairing"])
def test_every_state_has_a_word_in_each_language(value: str) -> None:
    english, japanese = SHELL[f"state.{value}"]
    assert english == value
    assert not japanese.isascii()


@pytest.mark.parametrize("value", [*get_args(Trigger), *INSTANCES])
def test_whatever_moves_a_process_has_a_word_in_each_language(value: str) -> None:
    english, japanese = processes.WORDS[f"processes.{value}"]
    assert english
    assert not japanese.isascii()


def test_no_word_has_backticks_for_a_page_shows_them_as_they_are() -> None:
    modules = [import_module(f"{screens.__name__}.{each.name}") for each in iter_modules(screens.__path__)]
    words = {**SHELL, **{key: text for module in modules for key, text in getattr(module, "WORDS", {}).items()}}
    assert [key for key, texts in words.items() if "`" in "".join(texts)] == []


def lines_of_daicho() -> Iterator[tuple[str, ...]]:
    """The words behind `daicho` in whatever the console shows, as far as they are letters."""
    for path in Path(processes.__file__).parents[1].rglob("*.py"):
        for line in re.findall(r"[\"'`]daicho ([a-z][a-z -]*)", path.read_text(encoding="utf-8")):
            yield tuple(line.split())


def test_every_line_that_the_console_shows_is_one_of_the_command_line() -> None:
    lines = set(lines_of_daicho())
    assert {("schema", "verify"), ("dlq", "retry"), ("sql",)} <= {line[:2] for line in lines}
    for line in lines:
        verb = main.get_command(click.Context(main), line[0])
        assert verb is not None, line
        if isinstance(verb, click.Group) and len(line) > 1:
            assert verb.get_command(click.Context(verb), line[1]) is not None, line
