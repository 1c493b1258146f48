"""The programs in examples/ run as they are, and can be run again."""

import contextlib
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from examples.shop.tools import daicho, query, shown

ROOT = Path(__file__).parents[2]
SHOP = [sys.executable, "-m", "examples.shop"]


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


TOLD = (
    "CreateOrder",
    "payment.captured",
    "rejected: not enough stock of lamp",
    "payment declined: 1290.00 is over the limit of 1000",
    "compensated: 2 of 2 desks",
    "duplicate=True",
    "cannot be cancelled",
    "115.00 given back",
    "o-3 at version 4, after order.reserved: reserved",
)


def typed(output: str) -> list[list[str]]:
    """The commands that a program proposes, as a shell understands them."""
    return [shlex.split(line) for line in output.splitlines() if re.match(r"  \S*(daicho|psql|sqlite3) ", line)]


def done(command: list[str]) -> str:
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def rows_of(place: str, sql: str) -> list[Any]:
    """The first column, asked for without the programs that may not be installed here."""
    if ":" in place:
        with psycopg.connect(place) as there:
            return [row[0] for row in there.execute(sql.encode())]
    with contextlib.closing(sqlite3.connect(place)) as here:
        return [row[0] for row in here.execute(sql)]


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    command = [*SHOP, "demo", "--folder", str(tmp_path)]
    for _ in range(2):
        output = done(command)
    for part in (*TOLD, 'select * from orders"'):
        assert part in output
    assert (tmp_path / "shop.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_demo_in_a_store_of_the_users_choice(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """What it proposes to type then is true; and it does not touch what is there already."""
    db = str(tmp_path / "mine.db") if kind == "sqlite" else request.getfixturevalue("postgres_url")
    output = done([*SHOP, "demo", "--db", db])
    for part in TOLD:
        assert part in output
    looking, tracing, showing = typed(output)
    assert "payment.captured" in done(tracing)
    assert "pending" in done(showing)
    program, place, *rest = looking
    assert sorted(rows_of(place, rest[-1])) == ["o-1", "o-2", "o-3", "o-4", "o-5"]
    if found := shutil.which(program):
        assert "o-5" in done([found, place, *rest])
    again = subprocess.run([*SHOP, "demo", "--db", db], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1
    assert "already" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_run(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    db = str(tmp_path / "new" / "run.db") if kind == "sqlite" else request.getfixturevalue("postgres_url")
    output = done([*SHOP, "run", "--db", db, "--orders", "3", "--pause", "0.1"])
    assert output.count("order.created") == 3
    listing, _ = typed(output)
    assert "order_detail" in done(listing)


@pytest.mark.parametrize(
    ("store", "place", "looking", "listing"),
    [
        ("sqlite:///a/b.db", "a/b.db", 'sqlite3 a/b.db "select * from orders"', "sqlite:///a/b.db"),
        (
            "sqlite:////a/b.db?durability=relaxed",
            "/a/b.db",
            'sqlite3 /a/b.db "select * from orders"',
            "'sqlite:////a/b.db?durability=relaxed'",
        ),
        (
            "postgresql://me:secret@db/shop?pool=4&sslmode=require&schema=mine&pooler=none",
            "postgresql://me@db/shop?pool=4&sslmode=require&schema=mine&pooler=none",
            """psql 'postgresql://me@db/shop?sslmode=require' -c "select * from mine.orders\"""",
            "'postgresql://me@db/shop?pool=4&sslmode=require&schema=mine&pooler=none'",
        ),
        (
            "postgresql:///shop?password=secret&pool=4",
            "postgresql:///shop?pool=4",
            'psql postgresql:///shop -c "select * from daicho.orders"',
            "'postgresql:///shop?pool=4'",
        ),
    ],
)
def test_what_to_type_for_a_store(store: str, place: str, looking: str, listing: str) -> None:
    assert shown(store) == place
    assert query(store, "orders") == looking
    assert daicho(store, "projection list").endswith(f" --store {listing} projection list")


@pytest.mark.slow
def test_serve_answers_over_http_until_it_is_told_to_end(tmp_path: Path) -> None:
    command = [*SHOP, "serve", "--db", str(tmp_path / "shop.db"), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(found[1] for line in process.stderr if (found := re.search(r"(http://[\d.:]+)", line)))
            made = httpx.post(f"{address}/stock/pen/deliveries", json={"quantity": 3}, timeout=60)
            assert made.status_code == 201
            seen = {"Min-Position": made.headers["daicho-position"]}
            assert httpx.get(f"{address}/stock/pen", headers=seen, timeout=60).json()["on_hand"] == 3
        finally:
            process.terminate()
        assert process.wait(60) == 0
