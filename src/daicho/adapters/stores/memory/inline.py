"""What an inline projection does inside an append: kept on the side until the append stands."""

from collections.abc import Sequence
from typing import Any

from daicho.adapters.stores.memory.contents import Contents
from daicho.adapters.stores.memory.rows import decode, encode, opened
from daicho.core.messages import replace

__all__ = ["MemoryInline"]


class MemoryInline:
    """Fulfils `InlineTransaction`. `apply` makes it true; forgetting the object undoes it."""

    def __init__(self, contents: Contents, at: str) -> None:
        self._contents, self._at = contents, at
        self._rows: dict[tuple[str, int], dict[str, bytes | None]] = {}
        self._positions: dict[str, int] = {}

    def checkpoint(self, processor: str) -> int | None:
        if processor in self._positions:
            return self._positions[processor]
        stored = self._contents.checkpoints.get(processor)
        return None if stored is None else stored.position

    def has_parked(self, processor: str) -> bool:
        letters = self._contents.letters.values()
        return any(letter.processor == processor and letter.state in ("parked", "retry") for letter in letters)

    def rows(self, table: Any, keys: Sequence[str]) -> dict[str, Any]:
        seen = {**opened(self._contents, table).rows, **self._rows.get((table.name, table.generation), {})}
        return {key: decode(table, data) for key in keys if (data := seen.get(key)) is not None}

    def write(self, table: Any, upserts: dict[str, Any], deletes: Sequence[str]) -> None:
        opened(self._contents, table)
        written = self._rows.setdefault((table.name, table.generation), {})
        written.update({key: encode(row) for key, row in upserts.items()})
        written.update(dict.fromkeys(deletes))

    def advance(self, processor: str, position: int) -> None:
        self._positions[processor] = position

    def apply(self) -> None:
        for place, written in self._rows.items():
            rows = self._contents.tables[place].rows
            for key, data in written.items():
                if data is None:
                    rows.pop(key, None)
                else:
                    rows[key] = data
        for processor, position in self._positions.items():
            if stored := self._contents.checkpoints.get(processor):
                moved = replace(stored, position=position, updated_at=self._at)
                self._contents.checkpoints[processor] = moved
