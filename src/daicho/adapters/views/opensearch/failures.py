"""What the engine and the way to it may say, as Daicho's errors."""

from collections.abc import Sequence

import msgspec

from daicho.core.errors import (
    InvalidMessage,
    MessageError,
    NoSuchTable,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreUnavailable,
)

__all__ = ["Refusal", "is_passing", "refusal_in", "translated"]

_PASSING = {429, 502, 503, 504}
_UNFIT = ("mapper", "parsing", "document", "illegal_argument", "max_bytes", "x_content")


class Refusal(msgspec.Struct, frozen=True):
    """Why a request, or one row of it, was refused."""

    type: str = ""
    reason: str | None = None
    root_cause: "Sequence[Refusal]" = ()

    def __str__(self) -> str:
        causes = (cause for cause in self.root_cause if cause.reason != self.reason)
        said = [self.type, self.reason, *(f"{cause.type}: {cause.reason}" for cause in causes)]
        return ": ".join(part for part in said if part) or "it gave no reason"

    @property
    def has_no_room(self) -> bool:
        return "flood-stage" in (self.reason or "") or "read-only / allow delete" in (self.reason or "")


class _Refused(msgspec.Struct):
    error: Refusal | str = ""


def refusal_in(data: bytes) -> Refusal:
    """From the body of an answer."""
    try:
        error = msgspec.json.decode(data, type=_Refused).error
    except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy's page
        error = data[:200].decode(errors="replace")
    return error if isinstance(error, Refusal) else Refusal(reason=error)


def is_passing(status: int, refusal: Refusal) -> bool:
    """Whether the same request may go through in a moment: overload, a shard that is on its way back."""
    return status in _PASSING and not refusal.has_no_room


def translated(url: str, status: int, refusal: Refusal) -> StoreError | MessageError:
    """The error to raise."""
    why = f"{refusal} ({status})"
    if refusal.has_no_room:
        return StoreFull(f"{url} has no room left", why=why, do="free space on the engine's disks")
    if status in _PASSING:
        return StoreUnavailable(f"{url} is overloaded or not ready", why=why, do="look at the health of the cluster")
    if status in (401, 403):
        return StoreFailed(
            f"{url}: this user may not do that", why=why, do="check user and password, and what the user may do"
        )
    if refusal.type == "index_not_found_exception":
        do = "read the generation that is live, or call `open_table` first"
        return NoSuchTable(f"{url} does not have the table", why=why, do=do)
    if status == 413 or (status == 400 and refusal.type.startswith(_UNFIT)):
        return InvalidMessage(
            f"{url} cannot store one of the rows", why=why, do="make the row smaller, or check its texts and numbers"
        )
    return StoreFailed(f"{url} refused", why=why, do="look into the engine's log")
