"""Points in time and in history, as people type them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

__all__ = ["MOMENT", "POINT", "Moment", "Point"]

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType):
    """`2026-01-31`, `2026-01-31T12:00+09:00`, or `90s`, `10m`, `2h`, `3d` ago. Without an offset it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, datetime):
            return value
        if ago := _AGO.match(value):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write 2026-01-31, 2026-01-31T12:00+09:00 or 2h (ago)", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Point(Moment):
    """A version of a stream, or a time."""

    name = "version|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return int(value) if isinstance(value, str) and value.isdecimal() else super().convert(value, param, ctx)


MOMENT, POINT = Moment(), Point()
