"""The frame around all screens, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from daicho.console.screens import SCREENS
from daicho.console.words import SHELL
from tests.console.conftest import ShopConsole

pytestmark = pytest.mark.slow


def test_every_text_is_there_in_both_languages() -> None:
    for words in (SHELL, *(screen.words for screen in SCREENS)):
        for key, (english, japanese) in words.items():
            assert english, key
            assert japanese, key


def test_no_two_screens_have_a_path_or_a_key_in_common() -> None:
    assert len({screen.path for screen in SCREENS}) == len(SCREENS)
    keys = [screen.keys for screen in SCREENS if screen.keys]
    assert len(set(keys)) == len(keys)
    for screen in SCREENS:
        assert screen.title in screen.words


def test_the_overview_says_that_all_is_well(shop_console: ShopConsole, page: Page) -> None:
    page.goto(f"{shop_console.url}/?lang=en")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("Nothing needs attention.")).to_be_visible()
    page.goto(f"{shop_console.url}/?lang=ja")
    expect(page.get_by_role("heading", name="概要")).to_be_visible()
