"""The retail import against figures by plain csv and Decimal: no event sourcing involved in those."""

import asyncio
import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from daicho import KeyReused
from examples.shop.app import shop
from examples.shop.retail.document import COLUMNS, Share, documents
from examples.shop.retail.feeding import Fed, feed
from examples.shop.retail.figures import astray, figures
from examples.shop.retail.importing import Outcome, import_retail
from examples.shop.retail.printing import as_json

ROOT = Path(__file__).parents[2]
UK, FR = "United Kingdom", "France"
EXTRACT = [
    # a sale with a repeated line, and a product that comes twice at two prices
    ("536365", "85123A", "WHITE HANGING HEART", "6.0", "2010-12-01 08:26:00", "2.55", "17850.0", UK),
    ("536365", "71053", "WHITE METAL LANTERN", "6.0", "2010-12-01 08:26:00", "3.39", "17850.0", UK),
    ("536365", "71053", "WHITE METAL LANTERN", "6.0", "2010-12-01 08:26:00", "3.39", "17850.0", UK),
    ("536365", "85123A", "HEART", "2.0", "2010-12-01 08:26:00", "2.1", "17850.0", UK),
    # the same line again, but a minute later: not a repetition
    ("536365", "71053", "WHITE METAL LANTERN", "6.0", "2010-12-01 08:27:00", "3.39", "17850.0", UK),
    # written off: no customer, no price, no name
    ("536589", "21777", "", "-10.0", "2010-12-01 16:50:00", "0.0", "", UK),
    # two documents entered at the same time
    ("542806", "48194", "DOORMAT HEARTS", "1.0", "2011-02-01 11:19:00", "7.95", "12836.0", FR),
    ("C542805", "71053", "WHITE METAL LANTERN", "-1.0", "2011-02-01 11:19:00", "3.39", "17850.0", UK),
    ("542806", "BANK CHARGES", "Bank Charges", "1.0", "2011-02-01 11:20:00", "0.001", "12836.0", FR),
    # a return of something that the file never sold, by nobody, to nowhere in particular
    ("C536379", "D", "Discount", "-1.0", "2011-03-01 09:41:00", "27.50", "", "Unspecified"),
    # the books corrected, up and down
    ("A563185", "B", "Adjust bad debt", "1.0", "2011-08-12 14:50:00", "11062.06", "", UK),
    ("A563186", "B", "Adjust bad debt", "1.0", "2011-08-12 14:51:00", "-11062.06", "", UK),
    # lower case is another product; a sale to nobody
    ("581587", "85123a", "white hanging heart", "144.0", "2011-12-09 12:50:00", "0.85", "", FR),
]


def written(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def oracle(rows: Iterable[Sequence[str]]) -> dict[str, Any]:
    """As data/make_oracle.py does it."""
    total, lines, nobody = Decimal(0), 0, 0
    invoices: set[str] = set()
    country: dict[str, Decimal] = defaultdict(Decimal)
    month: dict[str, Decimal] = defaultdict(Decimal)
    product: dict[str, list[Any]] = defaultdict(lambda: [0, 0, Decimal(0)])
    customers: Counter[str] = Counter()
    seen: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        invoice, sku, _, quantity_text, at, price, customer, where = row
        quantity = int(float(quantity_text))
        amount = quantity * Decimal(price)
        lines += 1
        total += amount
        invoices.add(invoice)
        country[where] += amount
        month[at[:7]] += amount
        product[sku][0] += 1
        product[sku][1] += quantity
        product[sku][2] += amount
        if customer:
            customers[customer] += 1
        else:
            nobody += 1
        seen[tuple(row)] += 1
    return {
        "lines": lines,
        "invoices": len(invoices),
        "cancellation_invoices": sum(i.startswith("C") for i in invoices),
        "bad_debt_invoices": sum(i.startswith("A") for i in invoices),
        "total": str(total),
        "customers": len(customers),
        "lines_without_customer": nobody,
        "exact_duplicate_lines": sum(n - 1 for n in seen.values()),
        "products": len(product),
        "most_lines_of_one_customer": list(customers.most_common(1)[0]),
        "total_by_country": {k: str(v) for k, v in sorted(country.items())},
        "total_by_month": {k: str(v) for k, v in sorted(month.items())},
        "by_product": {k: {"lines": v[0], "quantity": v[1], "total": str(v[2])} for k, v in sorted(product.items())},
    }


def told(outcome: Outcome) -> dict[str, Any]:
    assert outcome.astray == {}
    found: dict[str, Any] = json.loads(as_json(outcome.figures))
    return found


def imported(path: Path, store: str, at_once: int = 4, processes: int = 1) -> Outcome:
    return asyncio.run(import_retail(path, store, at_once=at_once, processes=processes))


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh store that several processes may open."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.mark.parametrize("name", ["retail.csv", "retail.csv.gz"])
def test_the_views_say_what_plain_arithmetic_says(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, EXTRACT)
    assert told(imported(path, "memory:")) == oracle(EXTRACT)
    assert told(imported(path, f"sqlite:///{tmp_path / 'shop.db'}")) == oracle(EXTRACT)


def test_importing_again_changes_nothing(tmp_path: Path, shared: str) -> None:
    path = written(tmp_path / "retail.csv", EXTRACT)
    first, again = imported(path, shared), imported(path, shared)
    assert told(first) == oracle(EXTRACT)
    assert told(again) == told(first)
    assert (again.cost.documents, again.cost.skipped) == (0, first.cost.documents)


def test_a_longer_file_adds_what_is_new(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    assert told(imported(written(tmp_path / "half.csv", EXTRACT[:6]), store)) == oracle(EXTRACT[:6])
    assert told(imported(written(tmp_path / "whole.csv", EXTRACT), store)) == oracle(EXTRACT)


def test_an_invoice_that_comes_back_with_other_lines_is_an_error(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    imported(written(tmp_path / "retail.csv", EXTRACT), store)
    changed = (*EXTRACT[5][:3], "-11.0", *EXTRACT[5][4:])
    longer = written(tmp_path / "longer.csv", [*EXTRACT[:5], changed, EXTRACT[5], *EXTRACT[6:]])
    with pytest.raises(KeyReused):
        imported(longer, store)
    other_total = written(tmp_path / "other.csv", [(*EXTRACT[0][:5], "9.99", *EXTRACT[0][6:]), *EXTRACT[1:]])
    with pytest.raises(KeyReused):
        imported(other_total, store)


def test_everything_happened_when_the_file_says(tmp_path: Path) -> None:
    path = written(tmp_path / "retail.csv", EXTRACT)

    async def story() -> None:
        async with shop("memory:") as app:
            await feed(app, documents(path), Fed())
            dates = {recorded.occurred_at.isoformat()[:16] async for recorded in app.events(category="inventory")}
            assert dates == {
                "2010-12-01T08:26",
                "2010-12-01T16:50",
                "2011-02-01T11:19",
                "2011-03-01T09:41",
                "2011-08-12T14:50",
                "2011-08-12T14:51",
                "2011-12-09T12:50",
            }
            movements = [recorded async for recorded in app.events(category="inventory")]
            assert len(movements) == len(EXTRACT)
            assert {recorded.actor for recorded in movements} == {"retail"}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([("1", "a", "A", "1.5", "2010-12-01 08:26:00", "1.0", "", UK)], "line 2: 1.5 is not a whole number"),
        ([("1", "a", "A", "1.0", "2010-12-01 08:26:00", "1.0", "")], "line 2 has 7 columns, not 8"),
        (
            [
                ("1", "a", "A", "1.0", "2010-12-01 08:26:00", "1.0", "", UK),
                ("1", "a", "A", "1.0", "2010-12-01 08:26:00", "1.0", "", FR),
            ],
            "line 3: invoice 1 belongs to two customers or countries",
        ),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(
    tmp_path: Path, rows: list[Sequence[str]], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(documents(written(tmp_path / "bad.csv", rows)))


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="begins with"):
        list(documents(path))


def many(documents_wanted: int) -> list[Sequence[str]]:
    """A longer file in the same format: four lines to a document, 50 products."""
    return [
        (
            f"{'C' if n % 7 == 0 else ''}{500000 + n}",
            f"sku{(n * 4 + k) % 50}",
            "THING",
            f"{-1.0 if n % 7 == 0 else float(1 + k)}",
            f"2011-{1 + n % 12:02}-01 09:{n % 60:02}:00",
            "1.25",
            "1.0" if n % 5 == 0 else f"{n % 10}.0" if n % 3 else "",
            UK,
        )
        for n in range(documents_wanted)
        for k in range(4)
    ]


@pytest.mark.slow
def test_killed_by_force_and_run_again_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    rows, database = many(1500), tmp_path / "shop.db"
    path = written(tmp_path / "retail.csv", rows)
    command = [sys.executable, "-m", "examples.shop", "retail", str(path), "--db", str(database), "--json"]
    killed = 0
    for size in (200_000, 600_000, 1_200_000):  # bytes written so far: a moment that needs no clock
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and weight(database) < size:
            time.sleep(0.005)  # another process: there is nothing to await
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            killed += 1
        run.wait()
    assert killed, "the import was over before it could be killed; make the file longer"
    last = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(last.stdout) == oracle(rows)


@pytest.mark.slow
def test_four_processes_share_an_import(tmp_path: Path, shared: str) -> None:
    rows = many(300)
    path = written(tmp_path / "retail.csv", rows)
    outcome = imported(path, shared, at_once=32, processes=4)
    assert told(outcome) == oracle(rows)
    assert (outcome.cost.documents, outcome.cost.lines, outcome.cost.skipped) == (300, 1200, 0)

    async def written_down() -> list[tuple[str, str]]:
        async with shop(shared) as app:
            return [(recorded.event_id, recorded.stream) async for recorded in app.events()]

    events = asyncio.run(written_down())
    assert len({event_id for event_id, _ in events}) == len(events) == 300 + 1200
    assert len({stream for _, stream in events if stream.startswith("invoice-")}) == 300

    again = imported(path, shared, at_once=32, processes=4)
    assert told(again) == told(outcome)
    assert (again.cost.documents, again.cost.skipped) == (0, 300)


@pytest.mark.slow
def test_when_one_of_four_is_killed_the_others_go_on_and_the_next_run_does_the_rest(
    tmp_path: Path, postgres_url: str
) -> None:
    rows = many(1000)
    path = written(tmp_path / "retail.csv", rows)
    command = [sys.executable, "-m", "examples.shop", "retail", str(path), "--db", postgres_url, "--json"]
    command += ["--processes", "4", "--concurrency", "32"]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while run.poll() is None and recorded_in(connection) < 500:
            time.sleep(0.01)
        owner = connection.execute(
            "select owner from daicho.daicho_checkpoints where processor = 'reaction:book_past_movements'"
        ).fetchone()
    assert owner is not None
    number = int(owner[0].rsplit(":", 3)[1])
    assert is_share(number, run.pid)
    os.kill(number, signal.SIGKILL)
    output, complaint = run.communicate(timeout=120)
    assert (run.returncode, output) == (1, "")
    assert re.search(r"Error: process [1-4] of 4 was killed by signal 9; what was imported stays", complaint), complaint
    last = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(last.stdout) == oracle(rows)
    assert re.search(r"documents\s+had\s+been\s+imported\s+before", last.stderr)


@pytest.mark.slow
def test_what_one_of_four_complains_about_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    imported(written(tmp_path / "retail.csv", EXTRACT), store)
    other = written(tmp_path / "other.csv", [(*EXTRACT[0][:5], "9.99", *EXTRACT[0][6:]), *EXTRACT[1:]])
    with pytest.raises(ValueError, match=r"^process [1-4] of 4 gave up, as it says itself; what was imported stays"):
        imported(other, store, processes=4)
    assert "Error: the key '536365' was used before" in capfd.readouterr().err


def recorded_in(connection: psycopg.Connection[Any]) -> int:
    try:
        [count] = connection.execute("select count(*) from daicho.events").fetchone() or (0,)
    except psycopg.errors.UndefinedTable:
        return 0
    return int(count)


def is_share(number: int, parent: int) -> bool:
    """Whether that process was started by `parent` to do a share of the work."""
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True)
    return str(number) in found.stdout.split()


def test_the_shares_make_up_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "retail.csv", many(400))
    whole = [document.command.invoice for document in documents(path)]
    shares = [list(documents(path, share=Share(number=number, of=4))) for number in (1, 2, 3, 4)]
    assert sorted(whole) == sorted(document.command.invoice for share in shares for document in share)
    assert all(50 < len(share) < 150 for share in shares)
    assert [document for document in documents(path) if Share(number=2, of=4).has(document.command.invoice)] == shares[
        1
    ]


def test_what_is_in_the_memory_of_one_process_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="processes cannot share"):
        imported(written(tmp_path / "retail.csv", EXTRACT), "memory:", processes=4)


def weight(database: Path) -> int:
    return sum(path.stat().st_size for path in database.parent.glob("shop.db*"))


@pytest.mark.retail
@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 4])
def test_the_whole_file(shared: str, processes: int) -> None:
    """DAICHO_RETAIL names the file; oracle.json is expected beside it."""
    given = os.environ.get("DAICHO_RETAIL")
    if not given:
        pytest.skip("DAICHO_RETAIL is not set to the Online Retail file")
    path = Path(given)
    outcome = imported(path, shared, at_once=128, processes=processes)
    assert told(outcome) == json.loads((path.parent / "oracle.json").read_text())
    assert outcome.cost.peak_mib < 500


def test_figures_of_an_empty_shop() -> None:
    async def story() -> None:
        async with shop("memory:") as app:
            found = await figures(app)
            assert (found.lines, found.total, found.most_lines_of_one_customer) == (0, "0", None)
            assert await astray(app, found) == {}

    asyncio.run(story())
