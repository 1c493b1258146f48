"""Old events read as new ones: pure steps from one stored shape to the next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daicho.core.errors import WiringError
from daicho.core.signatures import describe, refuse_async

__all__ = ["Upcaster", "Upcasters", "upcast"]

Data = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Upcaster:
    """Turns the data of `type` at `version` into the data of `to_type` at `to_version`."""

    type: str
    version: int
    to_type: str
    to_version: int
    function: Callable[[Data], Data]


def upcast(
    type: str, version: int, *, to: tuple[str, int] | None = None
) -> Callable[[Callable[[Data], Data]], Upcaster]:
    """Declares a step: `@upcast("order.created", 1)` reads version 1 as version 2; `to=("order.placed", 1)` renames.

    The function takes and returns plain builtins (what JSON holds) and must be pure: it runs at every read.
    """

    def declare(function: Callable[[Data], Data]) -> Upcaster:
        refuse_async(function, "an upcaster")
        to_type, to_version = to or (type, version + 1)
        return Upcaster(type, version, to_type, to_version, function)

    return declare


class Upcasters:
    """The steps of one App, checked to lead somewhere and never in a circle."""

    def __init__(self, steps: "list[Upcaster]") -> None:
        self._steps: dict[tuple[str, int], Upcaster] = {}
        for step in steps:
            if other := self._steps.get((step.type, step.version)):
                raise WiringError(
                    f"two upcasters start at {step.type!r} version {step.version}",
                    why=f"{describe(other.function)} and {describe(step.function)}",
                    do="keep one",
                )
            self._steps[step.type, step.version] = step
        for start in self._steps:
            seen, at = {start}, start
            while at in self._steps:
                at = (self._steps[at].to_type, self._steps[at].to_version)
                if at in seen:
                    raise WiringError(f"upcasters lead from {start[0]!r} version {start[1]} back to where they were")
                seen.add(at)

    def starts(self) -> "list[tuple[str, int]]":
        return list(self._steps)

    def end_of(self, type: str, version: int) -> tuple[str, int]:
        """Where the chain from `type`, `version` ends; itself if no step starts there."""
        while step := self._steps.get((type, version)):
            type, version = step.to_type, step.to_version
        return type, version

    def run(self, type: str, version: int, data: Data) -> Data:
        while step := self._steps.get((type, version)):
            data = step.function(data)
            type, version = step.to_type, step.to_version
        return data
