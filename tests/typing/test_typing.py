"""Both type checkers agree with `api.py`, at their strictest."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = Path(__file__).with_name("api.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["mypy", "--strict", "--warn-unused-ignores"], ["pyright", "--warnings"]], ids=["mypy", "pyright"]
)
def test_a_type_checker_knows_what_comes_out(command: list[str]) -> None:
    program, *options = command
    done = subprocess.run(
        [sys.executable, "-m", program, *options, str(API)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_can_be_imported() -> None:
    compile(API.read_text(), str(API), "exec")
