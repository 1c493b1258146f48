"""The fixed statements, by name, read once from `queries.sql` and `schema.sql`."""

from pathlib import Path

__all__ = ["SCHEMA", "statement"]

_FOLDER = Path(__file__).parent


def _bare(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()


def _named(text: str) -> dict[str, str]:
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name.strip(): _bare(body) for name, _, body in parts}


_STATEMENTS = _named((_FOLDER / "queries.sql").read_text(encoding="utf-8"))

SCHEMA = tuple(
    text for part in (_FOLDER / "schema.sql").read_text(encoding="utf-8").split("\n\n") if (text := _bare(part))
)


def statement(name: str) -> str:
    """The SQL text of a named statement. The same object every time, so that drivers find it prepared."""
    return _STATEMENTS[name]
