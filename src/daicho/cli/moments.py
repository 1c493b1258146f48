"""Points in time and in history, as people type them."""

import re
from datetime import UTC, datetime, timedelta

import click

__all__ = ["moment", "point"]

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime:
    """`2026-01-31`, `2026-01-31T12:00+09:00`, or `90s`, `10m`, `2h`, `3d` ago. Without an offset it is UTC."""
    try:
        if ago := _AGO.match(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is not a time; write 2026-01-31, 2026-01-31T12:00+09:00, or 2h (ago)"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def point(text: str) -> int | datetime:
    """A version of a stream, or a position; or a time."""
    return int(text) if text.isdecimal() else moment(text)
