"""Points in time as stored text: ISO 8601, UTC, microseconds, so that text order is time order."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import cast

import msgspec

from daicho.core.errors import InvalidMessage

__all__ = ["from_text", "text_of", "to_text"]

from_text = datetime.fromisoformat
_encode = msgspec.json.Encoder().encode  # three times as fast as `isoformat`; leaves out a fraction of 0, and writes Z
_WITH_FRACTION = len('"2011-12-09T12:50:00.000001Z"')


def text_of(moment: datetime) -> str:
    """`2011-12-09T12:50:00.000000+00:00`. Raises InvalidMessage for a naive datetime, which could mean any moment, and
    for anything else that is none."""
    zone = getattr(moment, "tzinfo", None)
    if zone is not UTC:
        if not isinstance(cast("object", moment), datetime):
            raise InvalidMessage(
                f"{moment!r} is no moment",
                why="times are datetimes with a time zone",
                do="write datetime(..., tzinfo=UTC), or datetime.fromisoformat(text) for a text that names its zone",
                path="occurred_at",
            )
        if zone is None:
            raise InvalidMessage(
                f"{moment!r} has no time zone",
                why="a naive time means a different moment on every machine",
                do="write datetime(..., tzinfo=UTC), or the zone it was taken in",
                path="occurred_at",
            )
        moment = moment.astimezone(UTC)
    if type(moment) is not datetime:  # a library's own kind
        return moment.isoformat(timespec="microseconds")
    text = _encode(moment)
    if len(text) == _WITH_FRACTION:
        return f"{text[1:27].decode()}+00:00"
    return f"{text[1:20].decode()}.{moment.microsecond:06d}+00:00"


to_text = lru_cache(1024)(text_of)
"""The same for moments that come again: the events of one command, and of what it causes, mostly share theirs."""
