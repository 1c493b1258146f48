"""Conditional appends from several processes: each one that went through had seen all that its condition is about."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import psycopg
import pytest

from tests.faults.test_postgres_skips import ROOT, prepare, running

LOCKS = "perform pg_advisory_xact_lock(each.key)"
DAWDLE = """
create function daicho.dawdle() returns trigger language plpgsql as 'begin perform pg_sleep(0.003); return null; end';
create trigger dawdle after insert on daicho.events for each statement execute function daicho.dawdle()"""
"""Between looking and committing: on a busy machine, processes would hardly ever be there at once by themselves."""


def decide(url: str, folder: Path, *, processes: int, each: int) -> None:
    courses = str(max(30, processes * each // 200))  # so that a decision does not read more and more
    program = [sys.executable, "-m", "tests.faults.boundary_worker", url]
    workers = [
        subprocess.Popen([*program, str(folder / f"w{n}"), f"s{n}", str(each), courses], cwd=ROOT)
        for n in range(processes)
    ]
    with running(workers):
        assert [worker.wait(3600) for worker in workers] == [0] * processes


def violations(url: str, folder: Path) -> tuple[int, int]:
    """(accepted, of which wrong): an append is wrong if an event that meets its criteria stands before it, and it had
    not seen that."""
    by_tag: dict[str, set[int]] = defaultdict(set)
    by_type: dict[str, set[int]] = defaultdict(set)
    with psycopg.connect(url) as connection:
        for position, type_, tags in connection.execute("select position, type, tags from daicho.events"):
            by_type[type_].add(position)
            for tag in tags or ():
                by_tag[tag].add(position)
    everything = set().union(*by_type.values())
    accepted = wrong = 0
    for path in folder.glob("w*"):
        for line in path.read_text().splitlines():
            position, items, seen = json.loads(line)
            accepted += 1
            met: set[int] = set()
            for types, tags in items:
                found = set().union(*(by_type[t] for t in types)) if types else everything
                for tag in tags:
                    found = found & by_tag[tag]
                met |= found
            wrong += {p for p in met if p < position} != set(seen)
    return accepted, wrong


@pytest.mark.slow
async def test_a_decision_that_went_through_had_seen_everything_it_depends_on(
    postgres_url: str, tmp_path: Path
) -> None:
    await prepare(postgres_url)
    decide(postgres_url, tmp_path, processes=3, each=200)
    accepted, wrong = violations(postgres_url, tmp_path)
    assert accepted >= 600
    assert wrong == 0


@pytest.mark.slow
async def test_without_the_locks_some_had_not(postgres_url: str, tmp_path: Path) -> None:
    await prepare(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        [text] = connection.execute("select pg_get_functiondef('daicho.append'::regproc)").fetchone() or [""]
        assert LOCKS in text
        connection.execute(text.replace(LOCKS, "null").encode())
        connection.execute(DAWDLE)
    wrong = 0
    for n in range(3):
        folder = tmp_path / str(n)
        folder.mkdir()
        decide(postgres_url, folder, processes=3, each=200)
        wrong += violations(postgres_url, folder)[1]
        if wrong:
            break
    assert wrong


@pytest.mark.campaign
async def test_a_hundred_thousand_decisions_from_eight_processes(postgres_url: str, tmp_path: Path) -> None:
    await prepare(postgres_url)
    count = int(os.environ.get("DAICHO_DECISIONS", "100000"))
    decide(postgres_url, tmp_path, processes=8, each=count // 8)
    accepted, wrong = violations(postgres_url, tmp_path)
    print(f"\n{accepted} conditional appends went through, {wrong} of them wrong")
    assert accepted >= count
    assert wrong == 0
