"""What the console says, in English and Japanese. Each text is a pair, so that neither language can lack one."""

from collections.abc import Mapping
from typing import TypeAlias

from daicho.console.words.shell import SHELL

__all__ = ["LANGUAGES", "SHELL", "Words", "say"]

Words: TypeAlias = Mapping[str, tuple[str, str]]
"""By key: English, Japanese. Figures in braces are filled in: `("{n} events", "イベント {n} 件")`."""
LANGUAGES: Mapping[str, str] = {"en": "English", "ja": "日本語"}


def say(key: str, language: str, words: Words, values: Mapping[str, object]) -> str:
    """A text of a screen's own words, or of the shell's. A key that neither has is a fault of the screen: it is shown
    as it is, and a test looks for it."""
    pair = words.get(key) or SHELL.get(key)
    if pair is None:
        return key
    text = pair[1] if language == "ja" else pair[0]
    return text.format(**values) if values else text
