"""What the pages show, works."""

from pathlib import Path

import pytest
from docs_pages import DOCS, RESTING, ROOT, RUNNING, Run, blocks_of, code_of, english_of, headings_of, names_of, pages

TOLD_AGAIN = {page: english for page in pages() if (english := english_of(page))}
JAPANESE = DOCS / "ja"
OWN_CODE = {JAPANESE / "advise.md"}  # answers in Japanese: what it shows runs by itself
RUNNABLE = [
    page
    for page in pages()
    if any(language in RUNNING for language, _ in code_of(page)) and (page not in TOLD_AGAIN or page in OWN_CODE)
]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    Run(page, tmp_path)()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_are_run_or_excused(page: Path) -> None:
    odd = [b.place for b in blocks_of(page) if not b.excuse and b.language not in RUNNING | RESTING]
    assert odd == [], "name the language, or say `<!-- not run: why -->`"


@pytest.mark.parametrize("page", sorted(TOLD_AGAIN.keys() - OWN_CODE), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_told_again_shows_the_code_that_runs_in_english(page: Path) -> None:
    assert code_of(page) == code_of(TOLD_AGAIN[page]), "bring it up to date, or name the page in OWN_CODE"


@pytest.mark.parametrize("page", sorted(TOLD_AGAIN), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_told_again_leaves_out_no_name_and_no_section(page: Path) -> None:
    english = TOLD_AGAIN[page]
    assert sorted(names_of(english) - names_of(page)) == [], "the English page tells of these; tell of them here, too"
    if english.name != "index.md":
        assert headings_of(page) == headings_of(english)


def test_a_page_with_code_of_its_own_needs_to_be_run() -> None:
    assert [page.name for page in sorted(OWN_CODE) if code_of(page) == code_of(TOLD_AGAIN[page])] == []


def test_every_japanese_page_names_its_english_one() -> None:
    assert [page.name for page in sorted(JAPANESE.rglob("*.md")) if page not in TOLD_AGAIN] == []
