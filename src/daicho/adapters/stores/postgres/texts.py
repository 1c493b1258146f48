"""Texts that must be kept whatever they hold."""

__all__ = ["storable"]


def storable(text: str | None) -> str | None:
    """What errors and refusals said, with replacement characters for what PostgreSQL cannot hold: NUL, surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
