"""Pages of a view: cursors that travel through the outside, and come back as they went or not at all."""

import string
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daicho import App, Crud, InvalidMessage, NoSuchField, PageOf, Query, Row, View, Views, query_handler
from daicho.adapters.stores.memory import MemoryStorage
from daicho.ports.view_store import Mark, TableSpec
from daicho.read.cursor import Question
from daicho.testing.contracts.base import HOSTILE
from tests.bank import BANK, Deposit, Open, balances


class Title(Row, index=("genre", "year")):
    isbn: str
    genre: str
    year: int | None
    price: Decimal = Decimal(0)


titles = Crud(Title, key="isbn")
_SHELF = [Title(isbn=f"i{n}", genre="np"[n % 2], year=[None, 1719, 1855][n % 3], price=Decimal(n)) for n in range(10)]


async def walk(view: View[Any], limit: int, **asked: Any) -> list[list[str]]:
    page = await view.page(limit=limit, **asked)
    seen = [[row.isbn for row in page.rows]]
    while page.cursor is not None:
        page = await view.page(limit=limit, cursor=page.cursor, **asked)
        seen.append([row.isbn for row in page.rows])
    return seen


async def test_a_cursor_leads_from_page_to_page_to_the_end(url: str) -> None:
    async with App(titles, store=url) as app:
        await app.crud(titles).put(*_SHELF)
        view = app.views[titles]
        assert await walk(view, 4) == [["i0", "i1", "i2", "i3"], ["i4", "i5", "i6", "i7"], ["i8", "i9"]]
        assert await walk(view, 5) == [["i0", "i1", "i2", "i3", "i4"], ["i5", "i6", "i7", "i8", "i9"]]
        assert await walk(view, 4, order_by="year", descending=True) == [
            ["i8", "i5", "i2", "i7"], ["i4", "i1", "i9", "i6"], ["i3", "i0"]
        ]  # fmt: skip
        assert await walk(view, 2, order_by="price", genre="p") == [["i1", "i3"], ["i5", "i7"], ["i9"]]
        assert await walk(view, 2, year=None, genre="n") == [["i0", "i6"]]
        assert await view.page(genre="q") == PageOf([], None)
        assert len((await view.page()).rows) == 10


async def test_the_last_page_is_known_to_be_the_last(url: str) -> None:
    async with App(titles, store=url) as app:
        await app.crud(titles).put(*_SHELF[:2])
        assert (await app.views[titles].page(limit=2)).cursor is None
        assert (await app.views[titles].page(limit=1)).cursor is not None


async def test_a_cursor_outlives_the_row_it_was_made_at_and_the_build(url: str) -> None:
    async with App(*BANK, store=url) as app:
        for account in "abcde":
            await app.settled(await app.send(Open(account=account)))
        first = await app.views[balances].page(limit=2, order_by="amount")
        assert [row.account for row in first.rows] == ["a", "b"]
        async for _ in app.rebuild("balances"):
            pass
        await app.settled(await app.send(Deposit(account="b", amount=5)))
        rest = await app.views[balances].page(limit=9, order_by="amount", cursor=first.cursor)
        assert [row.account for row in rest.rows] == ["c", "d", "e", "b"]


async def test_another_limit_may_be_asked_for_on_the_way(url: str) -> None:
    async with App(titles, store=url) as app:
        await app.crud(titles).put(*_SHELF)
        first = await app.views[titles].page(limit=1)
        assert [row.isbn for row in (await app.views[titles].page(limit=3, cursor=first.cursor)).rows] == [
            "i1", "i2", "i3"
        ]  # fmt: skip


async def test_a_cursor_of_another_question_is_refused(url: str) -> None:
    other = Crud(Title, key="isbn", name="other")
    async with App(titles, other, store=url) as app:
        await app.crud(titles).put(*_SHELF)
        await app.crud(other).put(*_SHELF)
        view = app.views[titles]
        cursor = (await view.page(limit=1, order_by="year", genre="n")).cursor
        assert (await view.page(limit=1, order_by="year", genre="n", cursor=cursor)).rows
        questions: list[dict[str, Any]] = [
            {"order_by": "year"},
            {"order_by": "year", "genre": "p"},
            {"order_by": "year", "genre": "n", "year": None},
            {"order_by": "price", "genre": "n"},
            {"genre": "n"},
            {"order_by": "year", "descending": True, "genre": "n"},
        ]
        for question in questions:
            with pytest.raises(InvalidMessage, match="does not belong to this question"):
                await view.page(limit=1, cursor=cursor, **question)
        with pytest.raises(InvalidMessage, match="does not belong to this question"):
            await app.views[other].page(limit=1, order_by="year", genre="n", cursor=cursor)


async def test_what_is_no_cursor_of_ours_is_refused(url: str) -> None:
    async with App(titles, store=url) as app:
        await app.crud(titles).put(*_SHELF)
        view = app.views[titles]
        cursor = (await view.page(limit=1)).cursor
        assert cursor is not None
        for n, letter in enumerate(cursor):
            altered = cursor[:n] + ("A" if letter != "A" else "B") + cursor[n + 1 :]
            for wrong in (altered, cursor[:n], cursor[n + 1 :]):
                with pytest.raises(InvalidMessage, match="does not belong"):
                    await view.page(cursor=wrong)
        for wrong in (*HOSTILE, "", "====", cursor + "=", cursor + " ", cursor + "A", f"\n{cursor}", "A" * 100_000):
            with pytest.raises(InvalidMessage, match="does not belong"):
                await view.page(cursor=wrong)


async def test_a_page_of_no_rows_and_a_field_that_is_not_there_are_refused(url: str) -> None:
    async with App(titles, store=url) as app:
        for limit in (0, -1):
            with pytest.raises(InvalidMessage, match="no room"):
                await app.views[titles].page(limit=limit)
        with pytest.raises(NoSuchField):
            await app.views[titles].page(order_by="colour")
        with pytest.raises(NoSuchField):
            await app.views[titles].page(colour="red")


class Colour(Enum):
    RED = "r"


class Everything(Row):
    text: str
    maybe: str | None
    number: int
    exact: Decimal
    rough: float
    yes: bool
    moment: datetime
    naive: datetime
    day: date
    hour: time
    id: UUID
    colour: Colour
    raw: bytes
    labels: dict[str, int]


_FULL = Everything(
    text="注文 ?&=/+",
    maybe=None,
    number=-(2**63),
    exact=Decimal("-1.10E+3"),
    rough=float("inf"),
    yes=True,
    moment=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    naive=datetime(2026, 1, 2, 3, 4, 5, 678901),
    day=date(2026, 1, 2),
    hour=time(3, 4, 5, 678901),
    id=uuid4(),
    colour=Colour.RED,
    raw=b"\x00\xff",
    labels={"b": 1, "a": 2},
)


@pytest.mark.parametrize("field", Everything.__struct_fields__)
def test_every_kind_of_value_comes_back_from_a_cursor_that_fits_into_a_url(field: str) -> None:
    question = Question(TableSpec("everything", 1, Everything), field, False, {field: getattr(_FULL, field)})
    cursor = question.cursor("k", _FULL)
    assert question.mark(cursor) == Mark("k", getattr(_FULL, field))
    assert type(question.mark(cursor).value) is type(getattr(_FULL, field))
    assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1), st.text())
def test_no_text_passes_for_a_cursor(key: str, year: int, wrong: str) -> None:
    question = Question(TableSpec("titles", 1, Title), "year", False, {})
    assert question.mark(question.cursor(key, Title(isbn=key, genre="n", year=year))) == Mark(key, year)
    with pytest.raises(InvalidMessage):
        question.mark(wrong)


def test_what_no_cursor_can_hold_is_said() -> None:
    question = Question(TableSpec("titles", 1, Title), "year", False, {})
    with pytest.raises(InvalidMessage, match="cannot be paged"):
        question.cursor("k", Title(isbn="k", genre="n", year=2**70))


class Accounts(Query[list[str]]):
    pass


async def test_who_waits_for_a_position_reads_what_the_store_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("settle", "find", "page", "get", "count"):
        called = getattr(MemoryStorage, name)

        async def noted(
            self: Any, table: TableSpec, *args: Any, _do: Any = called, _as: str = name, **more: Any
        ) -> Any:
            calls.append(f"{_as} {table.name}")
            return await _do(self, table, *args, **more)

        monkeypatch.setattr(MemoryStorage, name, noted)

    @query_handler
    async def accounts(query: Accounts, views: Views) -> list[str]:
        return [row.account for row in (await views[balances].page()).rows]

    async with App(*BANK, accounts, store="memory:") as app:
        receipt = await app.send(Open(account="a"))
        await app.settled(receipt)
        calls.clear()
        assert await app.ask(Accounts()) == ["a"]
        assert calls == ["page balances"]
        calls.clear()
        assert await app.ask(Accounts(), after=receipt) == ["a"]
        assert calls == ["settle balances", "page balances"]
