"""Values that the console shows as words have one in each language."""

from typing import get_args

import pytest

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
