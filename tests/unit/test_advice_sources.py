"""Look-to-Book of tables from statements, and of a register."""

from collections import Counter

import pytest

from daicho import NothingMeasured
from daicho.advisor import Answers
from daicho.advisor.live import read_register
from daicho.advisor.sql import touched
from daicho.advisor.statements import Sample, usage_of
from daicho.advisor.usage import Usage, answers_of
from daicho.read.history import History
from tests.letters_app import WriteLetter, office


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("SELECT * FROM orders WHERE id = $1", {"orders": "read"}),
        (
            "select count(*) from only public.orders o, lines l where o.id = l.order_id",
            {"orders": "read", "lines": "read"},
        ),
        ('SELECT a FROM "Order Lines" JOIN shop."Orders" USING (id)', {"Order Lines": "read", "Orders": "read"}),
        ("SELECT * FROM a JOIN b ON a.x = b.x, c WHERE d = $1", {"a": "read", "b": "read", "c": "read"}),
        ("SELECT f(x, y), z FROM a ORDER BY x, y", {"a": "read"}),
        ("SELECT * FROM stock WHERE sku = $1 FOR UPDATE", {"stock": "read"}),
        ("SELECT * FROM stock WHERE sku = $1 FOR NO KEY UPDATE", {"stock": "read"}),
        ("INSERT INTO orders (id, a) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET a = $2", {"orders": "write"}),
        ("INSERT INTO archive SELECT * FROM orders", {"archive": "write", "orders": "read"}),
        ("UPDATE ONLY orders SET a = $1 FROM lines WHERE lines.id = orders.id", {"orders": "write", "lines": "read"}),
        ("UPDATE orders SET a = (SELECT max(b) FROM orders)", {"orders": "write"}),
        ("DELETE FROM orders USING old WHERE old.id = orders.id", {"orders": "write", "old": "read"}),
        ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = $1", {"t": "write", "s": "read"}),
        ("TRUNCATE TABLE orders", {"orders": "write"}),
        ("COPY orders (a) FROM STDIN", {"orders": "write"}),
        ("COPY orders TO STDOUT", {"orders": "read"}),
        ("COPY (SELECT * FROM orders) TO STDOUT", {"orders": "read"}),
        (
            "WITH n AS (INSERT INTO a VALUES ($1) RETURNING *) SELECT * FROM n JOIN b USING (id)",
            {"a": "write", "b": "read"},
        ),
        ("WITH RECURSIVE t(n) AS (SELECT $1 UNION SELECT n FROM t) SELECT n FROM t", {}),
        ("WITH x AS (SELECT * FROM a) UPDATE b SET c = x.c FROM x", {"b": "write", "a": "read"}),
        ("SELECT extract(year FROM created) FROM orders", {"orders": "read"}),
        ("SELECT a IS DISTINCT FROM b FROM orders", {"orders": "read"}),
        ("SELECT * FROM generate_series($1, $2) g, unnest($3) u", {}),
        ("SELECT * FROM pg_catalog.pg_class, information_schema.tables", {}),
        ("SELECT $1", {}),
        ("/* FROM a */ SELECT 'FROM b', $$FROM c$$, E'\\' FROM d' FROM e -- FROM f", {"e": "read"}),
        ("BEGIN", {}),
        ("SET search_path TO orders", {}),
        ("CREATE INDEX ON orders (a)", {}),
        ("", {}),
        ("SELECT * FROM", {}),
        ("INSERT INTO", {}),
        ("((((", {}),
    ],
)
def test_a_statement_is_understood_as_far_as_needed(query: str, tables: dict[str, str]) -> None:
    assert dict(touched(query)) == tables


def test_statements_are_counted_between_two_moments() -> None:
    orders, insert = (1, "SELECT * FROM orders"), (2, "INSERT INTO orders VALUES ($1)")
    before = Sample(Counter({orders: 100, insert: 7}), 1000.0)
    after = Sample(Counter({orders: 160, insert: 10, (3, "BEGIN"): 9, (0, "<insufficient privilege>"): 5}), 1060.0)
    usage = usage_of(after, before, 60)
    assert (usage.reads, usage.writes, usage.seconds, usage.ignored) == ({"orders": 60}, {"orders": 3}, 60, 14)
    assert answers_of([usage])["orders"] == Answers(reads=60, writes=3)
    assert usage_of(after, Sample(Counter(), None), 0).seconds == 1060
    with pytest.raises(NothingMeasured):
        usage_of(Sample(Counter({(3, "BEGIN"): 9}), 1.0), Sample(Counter(), None), 0)


async def test_a_register_tells_how_often_each_category_was_written() -> None:
    async with office() as app:
        for letter in ("a", "b", "c"):
            await app.send(WriteLetter(letter_id=letter, box="in"))
        await app.settle()
        usage = await read_register(History(app.storage, app.storage, app.registry), "here")
    assert (usage.writes, usage.reads) == ({"letter": 3}, {"letter": None})


async def test_an_empty_register_tells_nothing() -> None:
    async with office() as app:
        with pytest.raises(NothingMeasured):
            await read_register(History(app.storage, app.storage, app.registry), "here")


def test_what_was_told_goes_before_what_was_measured_and_sources_complete_each_other() -> None:
    register = Usage(source="register", reads={"order": None}, writes={"order": 60}, seconds=60)
    log = Usage(source="log", reads={"order": 1200}, writes={"order": 59}, seconds=60, keys={"order": 5}, peak=2)
    found = answers_of([register, log], {"order": Answers(writes=30, audit="history")})["order"]
    assert found == Answers(reads=1200, writes=30, audit="history", keys=5, peak=2)
    assert answers_of([register, log])["order"].writes == 60
    unclocked = Usage(source="meter", reads={"order": 50}, writes={"order": 5})
    assert answers_of([unclocked])["order"] == Answers(ratio=10)
