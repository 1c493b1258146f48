"""The programs in examples/ run as they are, and can be run again."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_quickstart() -> None:
    for _ in range(2):
        run = subprocess.run([sys.executable, "examples/quickstart.py"], cwd=ROOT, capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")
    assert "confirmed: o-1" in run.stdout
    assert "rejected: o-2 only 1 left" in run.stdout
    assert "duplicate=True" in run.stdout
    assert "o-1 was pending and is confirmed" in run.stdout
    assert "stock of pens: 11" in run.stdout


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.shop", "demo", "--folder", str(tmp_path)]
    for _ in range(2):
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")
    for part in (
        "CreateOrder",
        "payment.captured",
        "rejected: not enough stock of lamp",
        "payment declined: 1290.00 is over the limit of 1000",
        "compensated: 2 of 2 desks",
        "duplicate=True",
        "cannot be cancelled",
        "115.00 given back",
        "o-3 at version 4, after order.reserved: reserved",
        'select * from orders"',
    ):
        assert part in run.stdout
    assert (tmp_path / "shop.db").exists()
