"""Answers, and what they depend on."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from daicho.core.surrogates import read_keys, whole_view
from daicho.read.queries import Reading, ViewState, is_kept

__all__ = ["Answered", "Noted"]

R = TypeVar("R")


class Answered(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """An answer, as a cache has to know it."""

    answer: R
    position: int
    """All views that it was read from had come at least so far. 0: nobody knows."""
    surrogate_keys: tuple[str, ...]
    """What it depends on: see `core/surrogates.py`. When one of them is purged, it is out of date."""


class Noted(Reading):
    """Remembers what was read."""

    def __init__(self, after: int, within: float, tenant: str | None, position: Callable[[ViewState], int]) -> None:
        super().__init__(after, asyncio.get_running_loop().time() + within, tenant)
        self._position = position
        self._positions: list[int] = []
        self._keys: set[str] = set()

    def restart(self, deadline: float, place: Callable[[ViewState], int] | None) -> None:
        super().restart(deadline, place)
        self._positions.clear()
        self._keys.clear()

    def uses(self, state: ViewState, keys: Iterable[str] | None, equals: Mapping[str, object] | None) -> None:
        super().uses(state, keys, equals)
        table = state.table
        self._keys.add(whole_view(table.name))
        self._keys |= read_keys(table.name, table.row_type.__index_fields__, keys, equals)
        if not is_kept(state):
            self._positions.append((self.place or self._position)(state))

    def answered(self, answer: R) -> Answered[R]:
        position = max(self.after, min(self._positions, default=0))
        return Answered(answer=answer, position=position, surrogate_keys=tuple(sorted(self._keys)))
