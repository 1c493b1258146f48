"""What the pages show, works."""

from pathlib import Path

import pytest
from docs_pages import DOCS, RESTING, ROOT, RUNNING, TUTORIAL, Run, blocks_of, pages

RUNNABLE = [page for page in pages() if any(b.language in RUNNING and not b.excuse for b in blocks_of(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    Run(page, tmp_path)()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_are_run_or_excused(page: Path) -> None:
    odd = [b.place for b in blocks_of(page) if not b.excuse and b.language not in RUNNING | RESTING]
    assert odd == [], "name the language, or say `<!-- not run: why -->`"


def test_both_tutorials_show_the_same_code() -> None:
    english, japanese = (
        [(b.language, b.text) for b in blocks_of(page) if b.language in RUNNING]
        for page in (TUTORIAL, DOCS / "ja" / "tutorial.md")
    )
    assert english == japanese


def test_both_readmes_show_the_same_code() -> None:
    english, japanese = (
        [(b.language, b.text) for b in blocks_of(page) if b.language in RUNNING]
        for page in (ROOT / "README.md", ROOT / "README.ja.md")
    )
    assert english == japanese
