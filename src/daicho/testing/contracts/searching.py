"""Search: rows are found by the words that they have now, the same in every store."""

import pytest

from daicho.core.errors import NoSuchField, NotSearchable
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.testing.contracts.base import HOSTILE, Contract
from daicho.testing.contracts.orders import ORDERS, filled, put

__all__ = ["SearchingContract"]


class Book(Row, search=("title", "note")):
    title: str
    note: str | None = None
    isbn: str = ""
    year: int = 2026


BOOKS = TableSpec("books", 1, Book)


class BookByTitle(Row, search=("title",)):
    title: str
    note: str | None = None
    isbn: str = ""
    year: int = 2026


class PlainBook(Row):
    title: str
    note: str | None = None
    isbn: str = ""
    year: int = 2026


_SHELF: dict[str, Row] = {
    "b-1": Book(title="The Green Tea Handbook", note="harvest, roasting", isbn="roof"),
    "b-2": Book(title="Teapots of the world", note=None, year=1999),
    "b-3": Book(title="東京都のお茶", note="煎茶と緑茶"),
    "b-4": Book(title="カメラ入門", note="Tea ceremony photographs", year=1999),
    "b-5": Book(title="naïve café", note="it's 100% snake_case"),
    "b-6": Book(title="नमस्ते दुनिया", note=""),
    "b-7": Book(title="", note="x" * 300),
}
_FOUND: list[tuple[str, str]] = [
    ("tea", "1 2 4"),
    ("TEA", "1 2 4"),
    ("ＴＥＡ", "1 2 4"),
    ("tea green", "1"),
    ("tea gre", "1"),
    ("gre tea", ""),
    ("tea harv", "1"),
    ("roof", ""),
    ("handbook the tea", "1"),
    ("tea photographs カメラ", "4"),
    ("東京", "3"),
    ("京都", "3"),
    ("東都", ""),
    ("茶", "3"),
    ("緑", "3"),
    ("煎茶", "3"),
    ("緑茶 東京都", "3"),
    ("ｶﾒﾗ", "4"),
    ("ラ", "4"),
    ("naive", ""),
    ("nai\u0308ve", "5"),
    ("CAFÉ", "5"),
    ("cafe", ""),
    ("it's", "5"),
    ("100%", "5"),
    ("snake", "5"),
    ("snake_case", "5"),
    ("case snake", "5"),
    ("नम", "6"),
    ("नमस्ते", "6"),
    ("स्ते", ""),
    ("x" * 300, "7"),
    ("x" * 99, "7"),
    ("y", ""),
    ("", ""),
    (" \t\n", ""),
    ("*", ""),
    ("%", ""),
    ("_", ""),
    ("tea*", "1 2 4"),
    ('"tea"', "1 2 4"),
    ('tea" OR "naïve', ""),
    ("tea OR naïve", ""),
    ("NOT tea", ""),
    ("title:tea", ""),
    ("tea & !green", "1"),
    ("'; drop table books; --", ""),
    ("tea\x00green", "1"),
    ("\\tea", "1 2 4"),
    ("(tea", "1 2 4"),
    ("[t]ea", ""),
    ("tea~2", ""),
]
"""Questions, and which books they find."""


class SearchingContract(Contract):
    def _searches(self) -> None:
        if not self.capabilities.search:
            pytest.skip("this store does not claim to find rows by words")

    async def _shelved(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await put(store, _SHELF, table=BOOKS)

    async def test_a_store_without_search_says_so(self, store: ViewStore) -> None:
        if self.capabilities.search:
            pytest.skip("this store finds rows by words")
        with pytest.raises(NotSearchable):
            await store.open_table(BOOKS)
            await store.search(BOOKS, "tea", {}, limit=1)

    async def test_rows_without_search_fields_are_not_searchable(self, store: ViewStore) -> None:
        await filled(store)
        with pytest.raises(NotSearchable):
            await store.search(ORDERS, "gift", {}, limit=9)

    @pytest.mark.parametrize(("question", "books"), _FOUND, ids=[ascii(question)[:30] for question, _ in _FOUND])
    async def test_rows_are_found_by_their_words(self, store: ViewStore, question: str, books: str) -> None:
        await self._shelved(store)
        found = await store.search(BOOKS, question, {}, limit=20)
        expected = [_SHELF[f"b-{n}"] for n in books.split()]
        assert sorted(found, key=repr) == sorted(expected, key=repr)

    async def test_rows_with_the_same_words_come_by_key(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await put(store, {key: Book(title="Tea", isbn=key) for key in ("b", "ä", "a", "A", "10", "9")}, table=BOOKS)
        found = await store.search(BOOKS, "tea", {}, limit=9)
        assert [book.isbn for book in found] == ["10", "9", "A", "a", "b", "ä"]

    async def test_what_is_found_can_be_cut_into_pages(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        many: dict[str, Row] = {
            f"b-{n:02}": Book(title=f"tea {'and more ' * (n % 3)}{n}", isbn=f"{n}") for n in range(30)
        }
        await put(store, many, table=BOOKS)
        found = await store.search(BOOKS, "tea", {}, limit=100)
        assert sorted(found, key=repr) == sorted(many.values(), key=repr)
        parts = [await store.search(BOOKS, "tea", {}, limit=7, offset=n) for n in range(0, 35, 7)]
        assert [book for part in parts for book in part] == found
        assert await store.search(BOOKS, "tea", {}, limit=0) == []

    async def test_a_search_finds_only_rows_that_equal_what_was_asked_for(self, store: ViewStore) -> None:
        await self._shelved(store)
        found = await store.search(BOOKS, "tea", {"year": 1999}, limit=9)
        assert {book.title for book in found} == {"Teapots of the world", "カメラ入門"}
        assert await store.search(BOOKS, "tea", {"year": 1999, "note": None}, limit=9) == [_SHELF["b-2"]]
        assert await store.search(BOOKS, "tea", {"isbn": "'"}, limit=9) == []
        for field in ("colour", "", "_words", "_key", "title; --"):
            with pytest.raises(NoSuchField):
                await store.search(BOOKS, "tea", {field: 1}, limit=9)

    async def test_a_row_is_found_by_the_words_it_has_now(self, store: ViewStore) -> None:
        await self._shelved(store)

        async def years(question: str) -> list[int]:
            return [book.year for book in await store.search(BOOKS, question, {}, limit=9)]

        await put(store, {"b-1": Book(title="Coffee", year=1), "b-8": Book(title="Tea", year=8)}, "b-2", table=BOOKS)
        assert sorted(await years("tea")) == [8, 1999]
        assert await years("handbook") == await years("teapots") == []
        assert await years("coffee") == [1]
        await put(store, {"b-1": Book(title="Coffee", year=2)}, table=BOOKS)
        assert await years("coffee") == [2]
        await put(store, {"b-2": Book(title="teapots", year=3)}, "b-1", table=BOOKS)
        assert await years("coffee") == []
        assert await years("teapots") == [3]

    async def test_hostile_texts_are_found_by_themselves(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await put(store, {text: Book(title=text, isbn=text) for text in HOSTILE}, table=BOOKS)
        for text in HOSTILE:
            found = {book.isbn for book in await store.search(BOOKS, text, {}, limit=50)}
            assert text in found or (not any(character.isalnum() for character in text) and not found)

    async def test_tables_with_hostile_names_are_searched_apart(self, store: ViewStore) -> None:
        self._searches()
        tables = [TableSpec(f"b {text}", 1, Book) for text in HOSTILE]
        for n, table in enumerate(tables):
            await store.open_table(table)
            await put(store, {"b": Book(title="tea", year=n)}, table=table)
        for n, table in enumerate(tables):
            assert await store.search(table, "tea", {}, limit=9) == [Book(title="tea", year=n)]

    async def test_generations_are_searched_apart_and_a_dropped_one_leaves_no_words(self, store: ViewStore) -> None:
        await self._shelved(store)
        second = TableSpec("books", 2, Book)
        await store.open_table(second)
        await put(store, {"b-1": Book(title="Tea")}, table=second)
        assert await store.search(second, "tea", {}, limit=9) == [Book(title="Tea")]
        assert await store.search(BOOKS, "handbook", {}, limit=9) == [_SHELF["b-1"]]
        await store.drop_table(BOOKS)
        assert await store.search(second, "tea", {}, limit=9) == [Book(title="Tea")]
        await store.open_table(BOOKS)
        assert await store.search(BOOKS, "tea", {}, limit=9) == []

    async def test_which_fields_are_searched_belongs_to_the_shape(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await store.open_table(BOOKS)
        assert await store.shape_fits(BOOKS) is True
        for row_type in (BookByTitle, PlainBook):
            assert await store.shape_fits(TableSpec("books", 1, row_type)) is False
            assert await store.shape_fits(TableSpec("books", 2, row_type)) is True
