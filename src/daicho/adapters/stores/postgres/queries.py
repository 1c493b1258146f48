"""The fixed statements, by name. They are written for a schema called `daicho`; another one is put in its place."""

import re
from functools import lru_cache
from pathlib import Path

__all__ = ["Queries", "in_schema", "queries_for"]

_FOLDER = Path(__file__).parent
_SCHEMA = re.compile(r"\bdaicho\.")


def in_schema(text: str, schema: str) -> str:
    """The SQL text with its tables and functions looked for in `schema`, whatever the search path is."""
    return _SCHEMA.sub(f'"{schema}".', text)


def _bare(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()


class Queries:
    def __init__(self, schema: str) -> None:
        files = sorted(_FOLDER.glob("*.sql"))
        text = in_schema("\n".join(file.read_text(encoding="utf-8") for file in files), schema)
        parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
        self._texts = {name.strip(): _bare(body) for name, _, body in parts}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]


@lru_cache(16)
def queries_for(schema: str) -> Queries:
    return Queries(schema)
