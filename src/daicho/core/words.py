"""What a search finds by: the words of a text, the same in every store.

Letters, digits and the marks on them make a word, after NFKC and case folding; everything else parts words. In Han,
kana and Hangul, blanks do not tell the words apart: a run of them is cut into overlapping pairs, and its last character
also stands alone, so that a single character is found wherever it stands.

    words("Tea in 東京都")  ->  tea  in  東京  京都  都

A question is cut the same way. Its last word may be only begun, unless it is of those scripts; a single character of
them finds every pair that begins with it. So "京都 te" finds the text above, and so does "都".

A row is found if all words of the question occur in its `search` fields, in any order; pairs need not stand together.
Of what is found, the rows with the fewest different words come first. A question without a word finds nothing. Of a
word, the first 100 characters count, and of a row, the first million bytes of different words.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from daicho.core.errors import InvalidMessage, NotSearchable
from daicho.core.messages import Row

__all__ = ["Term", "check_searchable", "matches", "terms", "words", "words_of"]

LONGEST = 100
"""Characters of a word that count."""
LARGEST = 1_000_000
"""Bytes of the different words of a row that count, in UTF-8: PostgreSQL damages what is larger, and says nothing."""
MOST = 200
"""Different words in a question."""

_PARTS, _LETTER, _PAIRED, _MARK = range(4)
_WITHOUT_BLANKS = ("CJK ", "HIRAGANA ", "KATAKANA ", "KATAKANA-HIRAGANA ", "HANGUL ", "IDEOGRAPHIC ")
_PLAIN = re.compile("[0-9a-z]+")


class Term(msgspec.Struct, frozen=True):
    """One word of a question."""

    text: str
    begun: bool = False
    """Whether words that begin with it will do."""


class _Kinds(dict[str, int]):
    """Of characters, as they are met."""

    def __missing__(self, character: str) -> int:
        category = unicodedata.category(character)[0]
        kind = {"L": _LETTER, "N": _LETTER, "M": _MARK}.get(category, _PARTS)
        if kind == _LETTER and unicodedata.name(character, "").startswith(_WITHOUT_BLANKS):
            kind = _PAIRED
        self[character] = kind
        return kind


_kinds = _Kinds()


def words(text: str) -> list[str]:
    """All words of a stored text, in its order; those that occur again come again."""
    if text.isascii():
        return [word[:LONGEST] for word in _PLAIN.findall(text.lower())]
    found: list[str] = []
    for kind, run in _runs(text):
        if kind == _PAIRED:
            found += (_cut(run[n : n + 2]) for n in range(len(run)))
        else:
            found.append(_cut(run))
    return found


def words_of(row: Row) -> list[str]:
    """The different words in the `search` fields of a row, as far as they count."""
    texts: Iterable[Any] = (getattr(row, name) for name in row.__search_fields__)
    found = list(dict.fromkeys(word for text in texts if text for word in words(text)))
    if len(found) * LONGEST * 4 > LARGEST:
        sizes = accumulate(len(word.encode()) for word in found)
        return [word for word, size in zip(found, sizes, strict=True) if size <= LARGEST]
    return found


def terms(text: str) -> list[Term]:
    """The different words of a question, in its order. Raises InvalidMessage if it is a book."""
    runs = list(_runs(text))
    found: list[Term] = []
    for n, (kind, run) in enumerate(runs, 1):
        if kind == _LETTER:
            found.append(Term(_cut(run), begun=n == len(runs)))
        elif len(run) == 1:
            found.append(Term(_cut(run), begun=True))
        else:
            found += (Term(_cut(run[m : m + 2])) for m in range(len(run) - 1))
    if len(different := list(dict.fromkeys(found))) > MOST:
        raise InvalidMessage(
            f"{len(different)} words are too many to search for", do=f"search for {MOST} words at most", path="text"
        )
    return different


def matches(asked: Iterable[Term], stored: Iterable[str]) -> bool:
    """Whether a row with these words is found: what stores with an index of their own find without looking at it."""
    there = set(stored)
    return all(
        term.text in there or (term.begun and any(word.startswith(term.text) for word in there)) for term in asked
    )


def check_searchable(row_type: type[Row]) -> None:
    """Raises NotSearchable if the class names no fields to search."""
    if not row_type.__search_fields__:
        raise NotSearchable(
            f"rows of {row_type.__name__} cannot be searched",
            why="the class names no fields to search",
            do=f'name them: `class {row_type.__name__}(Row, search=("title", ...))`',
            row=row_type.__name__,
        )


def _runs(text: str) -> Iterator[tuple[int, list[str]]]:
    """(kind, characters with their marks)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    now, run = _PARTS, list[str]()
    for character in folded:
        kind = _kinds[character]
        if kind == _MARK:
            if run:
                run[-1] += character
        elif kind == now:
            if run:
                run.append(character)
        else:
            if run:
                yield now, run
            now, run = kind, [character] if kind != _PARTS else []
    if run:
        yield now, run


def _cut(run: Sequence[str]) -> str:
    return "".join(run)[:LONGEST]
