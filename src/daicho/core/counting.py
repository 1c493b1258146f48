"""Numbers of things, in words."""

__all__ = ["many"]


def many(count: int, word: str) -> str:
    """`1 event`, `2,000 events`, `3 queries`."""
    if count == 1:
        return f"1 {word}"
    return f"{count:,} {word[:-1]}ies" if word.endswith("y") else f"{count:,} {word}s"
