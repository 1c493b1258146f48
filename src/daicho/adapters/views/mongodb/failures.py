"""Which of pymongo's errors pass by themselves, and what the others are called here."""

from collections.abc import Mapping
from typing import Any

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from daicho.core.errors import DaichoError, InvalidMessage, StoreClosed, StoreFailed, StoreFull, StoreUnavailable

__all__ = ["FAILURES", "is_passing", "only_duplicates", "translated"]

FAILURES = (PyMongoError, BSONError, OverflowError, UnicodeError)
"""What pymongo raises."""

DUPLICATE_KEY = 11000
_PASSING = {6, 7, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}
"""A member stops, loses touch, or is no longer the primary; or too few confirmed a write in time (64)."""
_FULL = {14031}
_UNFIT = {2, 10334, 17280, 17419, 17420}
"""A value that the server does not take, or a document or key that is too large."""
_UNWELCOME = {13, 18, 8000}


def _codes(error: BaseException) -> set[int]:
    """Of everything that is wrong."""
    if isinstance(error, BulkWriteError):
        details: Mapping[str, Any] = error.details or {}
        wrong = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
        return {each.get("code", 0) for each in wrong}
    return {error.code or 0} if isinstance(error, OperationFailure) else set()


def only_duplicates(error: BulkWriteError) -> bool:
    """Whether all that is wrong is that documents are there already."""
    return _codes(error) == {DUPLICATE_KEY}


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed in a moment. The driver has waited for a server long enough already."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    return isinstance(error, ConnectionFailure) or bool(_codes(error) & _PASSING)


def translated(error: BaseException, url: str) -> DaichoError:
    """Raise it from the error."""
    codes = _codes(error)
    if isinstance(error, ConnectionFailure) or codes & _PASSING:
        return StoreUnavailable(
            f"{url} does not answer", why=_brief(error), do="look whether the server runs and can be reached", url=url
        )
    if isinstance(error, DocumentTooLarge | BSONError | OverflowError | UnicodeError) or codes & _UNFIT:
        return InvalidMessage(
            "a row or key cannot be kept in MongoDB",
            why=_brief(error),
            do="integers have 64 bits, documents at most 16 MB, texts must be valid Unicode",
            path="$",
        )
    if isinstance(error, InvalidOperation):
        return StoreClosed(f"{url} is not open", why=_brief(error), do="open the store before using it")
    if codes & _FULL or "disk is full" in str(error):
        return StoreFull(f"{url} has no room left", why=_brief(error), do="make room on the server's disk", url=url)
    do = "read what the server says"
    if codes & _UNWELCOME:
        do = "look at user, password and authSource in the URL; the user needs the role readWrite on the database"
    elif isinstance(error, ConfigurationError):
        do = "use MongoDB 4.4 or newer" if "wire version" in str(error) else "look at the address in the URL"
    return StoreFailed(f"{url} refused", why=_brief(error), do=do, url=url)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}"
