"""The root of all errors, and those that have no family."""

from typing import Any, ClassVar

__all__ = [
    "DaichoError",
    "NotFound",
    "PartFailed",
    "SubjectHeld",
]


class DaichoError(Exception):
    """The root. Catch it to catch everything that Daicho itself raises."""

    code: ClassVar[str] = "D000"

    def __init__(self, what: str, *, why: str = "", do: str = "", **data: Any) -> None:
        self.what, self.why, self.do, self.data = what, why, do, data
        super().__init__("\n".join(part for part in (what, why and f"Why: {why}", do and f"Do: {do}") if part))


class PartFailed(DaichoError):
    """A part of a topology did not start in time, or ended by itself: `part`, and the end of its `log`."""

    code = "D822"


class SubjectHeld(DaichoError):
    """A legal hold stands against forgetting the subject. Nothing was destroyed."""

    code = "D852"

    @classmethod
    def by(cls, subject: str, reason: str, held_by: str) -> "SubjectHeld":
        return cls(
            f"{subject} must not be forgotten",
            why=f"held by {held_by}: {reason}",
            do=f"once that is over: `daicho personal release {subject}`",
            subject=subject,
            reason=reason,
            held_by=held_by,
        )


class NotFound(DaichoError):
    """A tool was asked about a stream, event, command, projection or type that is not there."""

    code = "D500"
