"""What counts as a word, worked out by hand in English, Japanese and whatever else people write."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daicho import InvalidMessage, NotSearchable, Row
from daicho.core.words import Term, check_searchable, matches, terms, words, words_of

_CUT = [
    ("", []),
    ("  \t\n-- !? ", []),
    ("Tea", ["tea"]),
    ("Green tea, GREEN tea!", ["green", "tea", "green", "tea"]),
    ("it's snake_case, 3.14 & a-b", ["it", "s", "snake", "case", "3", "14", "a", "b"]),
    ("Straße", ["strasse"]),
    ("ＡＢＣ　①②", ["abc", "12"]),
    ("ﬁne", ["fine"]),
    ("Cafe\u0301 naïve", ["caf\u00e9", "na\u00efve"]),
    ("東京都", ["東京", "京都", "都"]),
    ("茶", ["茶"]),
    ("お茶、緑茶。", ["お茶", "茶", "緑茶", "茶"]),
    ("Tea in 東京都", ["tea", "in", "東京", "京都", "都"]),
    ("東京Tower2号", ["東京", "京", "tower2", "号"]),
    ("ｶﾒﾗ", ["カメ", "メラ", "ラ"]),
    ("ｶﾞ行", ["ガ行", "行"]),
    ("スーパー・カメラ", ["スー", "ーパ", "パー", "ー", "カメ", "メラ", "ラ"]),
    ("人々〆切", ["人々", "々〆", "〆切", "切"]),
    ("한국어 책", ["한국", "국어", "어", "책"]),
    ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
    ("שלום עולם", ["שלום", "עולם"]),
    ("a\x00b\ud800c", ["a", "b", "c"]),
    ("👍🏽 ok ❤️", ["ok"]),
    ("\u0301x", ["x"]),
    ("x" * 300, ["x" * 100]),
    ("あ\u3099い", ["あ\u3099い", "い"]),
]


@pytest.mark.parametrize(("text", "expected"), _CUT, ids=[ascii(text)[:30] for text, _ in _CUT])
def test_a_text_is_cut_into_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("", []),
        ("!?", []),
        ("tea", [Term("tea", True)]),
        ("Green te", [Term("green"), Term("te", True)]),
        ("tea tea tea", [Term("tea"), Term("tea", True)]),
        ("東京", [Term("東京")]),
        ("東京都", [Term("東京"), Term("京都")]),
        ("都", [Term("都", True)]),
        ("茶 tea", [Term("茶", True), Term("tea", True)]),
        ("tea 茶", [Term("tea"), Term("茶", True)]),
        ("tea 緑茶", [Term("tea"), Term("緑茶")]),
        ("x" * 300, [Term("x" * 100, True)]),
    ],
)
def test_a_question_is_cut_into_terms(question: str, expected: list[Term]) -> None:
    assert terms(question) == expected


@pytest.mark.parametrize(
    ("question", "text", "found"),
    [
        ("te", "Green Tea", True),
        ("gre tea", "Green Tea", False),
        ("tea green", "Green Tea", True),
        ("京都 te", "Tea in 東京都", True),
        ("都", "東京都", True),
        ("京", "東京都", True),
        ("東都", "東京都", False),
        ("東京都", "京都と東京", True),  # pairs need not stand together
        ("cafe", "café", False),
        ("CAFÉ", "cafe\u0301", True),
        ("ﾁｬ", "チャイ", True),
    ],
)
def test_a_text_is_found_if_all_terms_occur(question: str, text: str, found: bool) -> None:
    assert matches(terms(question), words(text)) is found


@given(st.text())
@example("東京都")
@example("İ")
@example("ŉ")
def test_every_text_with_a_word_is_found_by_itself(text: str) -> None:
    assert matches(terms(text), words(text))
    assert bool(terms(text)) == bool(words(text))


@given(st.text(min_size=1), st.text())
def test_words_hold_nothing_that_parts_words(text: str, more: str) -> None:
    for word in words(text + more):
        assert 1 <= len(word) <= 100
        assert not any(character.isspace() or character in "'\"\\&|!:*()_" for character in word)
        assert word.isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "Z"])), st.text(st.characters(categories=["L", "N", "P", "Z"])))
def test_texts_beside_each_other_keep_their_words(one: str, other: str) -> None:
    assert words(f"{one} {other}") == words(one) + words(other)


@given(st.text(alphabet="茶都京東カメあ한"), st.integers(0, 5), st.integers(1, 5))
def test_whatever_is_cut_out_of_a_run_finds_it(run: str, start: int, length: int) -> None:
    piece = run[start : start + length]
    assert matches(terms(piece), words(run))


class Book(Row, search=("title", "note")):
    isbn: str
    title: str
    note: str | None = None


class Plain(Row):
    title: str


def test_a_row_has_the_different_words_of_its_search_fields_each_cut_by_itself() -> None:
    book = Book(isbn="x-1", title="東", note="京 tea Tea")
    assert words_of(book) == ["東", "京", "tea"]
    assert words_of(Book(isbn="x-1", title="Tea")) == ["tea"]
    assert words_of(Plain(title="tea")) == []


def test_of_a_row_the_first_million_bytes_of_words_count() -> None:
    many = [f"w{n:06}" for n in range(150_000)]  # 7 bytes each
    assert words_of(Book(isbn="", title=" ".join(many))) == many[:142_857]


def test_a_question_of_more_than_200_words_is_refused() -> None:
    assert len(terms(" ".join(f"w{n % 199}" for n in range(995)))) == 200  # the last word counts again, as begun
    with pytest.raises(InvalidMessage, match="201 words are too many"):
        terms(" ".join(f"w{n}" for n in range(201)))


def test_only_rows_with_search_fields_are_searchable() -> None:
    check_searchable(Book)
    with pytest.raises(NotSearchable, match="rows of Plain cannot be searched"):
        check_searchable(Plain)
