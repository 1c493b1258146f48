"""The business said no."""

from datetime import datetime
from typing import Any

from daicho.core.errors.root import DaichoError

__all__ = [
    "Full",
    "Rejected",
    "SubjectForgotten",
    "Taken",
]


class Rejected(DaichoError):
    """The business refused a command. Raise it in `decide` or a `@handle` method.

    It is an answer, not a bug: nothing is recorded, nothing is retried, and `str(error)` is the reason as you wrote it.
    Further keyword arguments travel along as `data`, for the caller to show.
    """

    code = "D100"


class SubjectForgotten(Rejected):
    """An event would hold personal data of a subject that was forgotten. Nothing was recorded."""

    code = "D850"


class Taken(Rejected):
    """A rule `unique(field)` refused a command: the stream `by` holds `value`, since `since`.

    With `until`, it gave the value up at `since` and may have it back until then; nobody else may.
    """

    code = "D101"

    def __init__(self, *, field: str, value: Any, by: str, since: datetime, until: datetime | None = None) -> None:
        what = f"{field} {value!r} is taken by {by}"
        if until is not None:
            what = f"{field} {value!r} is kept for {by} until {until.isoformat(timespec='seconds')}"
        super().__init__(what, field=field, value=value, by=by, since=since, until=until)
        self.field, self.value, self.by, self.since, self.until = field, value, by, since, until


class Full(Rejected):
    """A rule `capacity(field, limit=...)` refused a command: `taken` streams hold `value`, and `limit` may."""

    code = "D102"

    def __init__(self, *, field: str, value: Any, limit: int, taken: int) -> None:
        super().__init__(
            f"{field} {value!r} is full: {taken} of {limit} are taken",
            field=field,
            value=value,
            limit=limit,
            taken=taken,
        )
        self.field, self.value, self.limit, self.taken = field, value, limit, taken
