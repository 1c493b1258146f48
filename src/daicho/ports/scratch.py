"""A store in memory, for what can be made again from the register at any time."""

from typing import Protocol

from daicho.ports.storage import Storage

__all__ = ["Scratch"]


class Scratch(Storage, Protocol):
    def copy(self) -> "Scratch":
        """Another one, open, with what this one holds now. What is done to one is not seen in the other."""
        ...

    def size(self) -> int:
        """How many rows it holds, in all its tables."""
        ...
