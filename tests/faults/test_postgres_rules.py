"""Numbers without gaps and seats that are filled exactly, with many writers in several processes."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from tests.faults.rules_worker import INVOICES, PROCESSES, REGISTRANTS, SEATS, WANTED, WRITERS
from tests.faults.test_postgres_skips import ROOT, running


def answers(url: str, folder: Path) -> Counter[str]:
    program = [sys.executable, "-m", "tests.faults.rules_worker", url]
    workers = [subprocess.Popen([*program, str(folder / f"w{n}"), str(n)], cwd=ROOT) for n in range(PROCESSES)]
    with running(workers):
        assert [worker.wait(240) for worker in workers] == [0] * PROCESSES
    return Counter(line for path in folder.glob("w*") for line in path.read_text().splitlines())


@pytest.mark.slow
def test_fifty_writers_number_invoices_without_a_gap_and_two_hundred_registrants_fill_every_seat(
    postgres_url: str, tmp_path: Path
) -> None:
    told = answers(postgres_url, tmp_path)
    numbers = list(range(1, WRITERS * INVOICES + 1))
    assert sorted(int(line.split()[1]) for line in told.elements() if line.startswith("invoice")) == numbers
    assert (told["seated"], told["full"]) == (SEATS, REGISTRANTS * WANTED - SEATS)
    with psycopg.connect(postgres_url) as connection:
        query = "select (data->>'invoice')::int from daicho.events where type = 'invoice.issued' order by position"
        assert [number for (number,) in connection.execute(query)] == numbers
        taken = connection.execute("select count(*) from daicho.events where type = 'registration.reserved'").fetchone()
        assert taken == (SEATS,)
