"""Inline views with several processes: as soon as an append is acknowledged, its row is there."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.inline_worker import Total, bank, totals
from tests.faults.test_postgres_skips import ROOT, running, told

PROCESSES, EACH = 4, 25


def deposit(url: str, folder: Path) -> Counter[str]:
    """Lets several processes work to the end, and returns what they were told: how many deposits on each account."""
    program = [sys.executable, "-m", "tests.faults.inline_worker", url]
    workers = [
        subprocess.Popen([*program, str(folder / f"w{n}"), f"p{n}", str(EACH)], cwd=ROOT) for n in range(PROCESSES)
    ]
    with running(workers):
        assert [worker.wait(120) for worker in workers] == [0] * PROCESSES
    return Counter(account for path in folder.glob("w*") for _, account, _, _ in told(path))


@pytest.mark.slow
async def test_an_inline_view_is_never_behind_its_own_append_whoever_else_writes(
    postgres_url: str, tmp_path: Path
) -> None:
    async with bank(postgres_url):
        pass  # the projection is known, and at the head, before anybody writes
    deposits = deposit(postgres_url, tmp_path)
    assert deposits.total() == PROCESSES * EACH * 4
    async with bank(postgres_url) as app:
        await app.settle()
        rows: list[Total] = await app.views[totals].find()
        assert {row.account: row.deposits for row in rows} == deposits
