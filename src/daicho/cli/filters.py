"""Which events: the options that `get`, `tail` and `export` share, and reading what they select."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any

import click

from daicho.cli.moments import moment
from daicho.cli.opening import Look
from daicho.core.errors import NotFound
from daicho.core.streams import category_of
from daicho.core.times import to_text
from daicho.ports.event_store import Selection, StoredEvent

__all__ = ["Filters", "filter_options", "no_such_stream", "selected"]


@dataclass(frozen=True, kw_only=True)
class Filters:
    category: str | None = None
    stream: str | None = None
    type: tuple[str, ...] = ()
    correlation: str | None = None
    actor: str | None = None
    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0

    @property
    def patterns(self) -> tuple[str, ...]:
        """Types, if one of them is a pattern: the store finds only whole names."""
        return self.type if any(set("*?[") & set(name) for name in self.type) else ()

    def selection(self, *, newest_first: bool = False, after: int | None = None, up_to: int | None = None) -> Selection:
        return Selection(
            category=self.category,
            stream=self.stream,
            types=None if self.patterns or not self.type else self.type,
            correlation_id=self.correlation,
            actor=self.actor,
            tenant=self.tenant,
            since=to_text(self.since) if self.since else None,
            until=to_text(self.until) if self.until else None,
            after=self.after if after is None else after,
            up_to=up_to,
            newest_first=newest_first,
        )

    def takes(self, event: StoredEvent) -> bool:
        """Whether it meets the patterns; the store has seen to the rest."""
        return not self.patterns or any(fnmatchcase(event.type, pattern) for pattern in self.patterns)


_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--category", metavar="NAME", help="Streams of this category."),
    click.option("--stream", metavar="NAME", help="One stream."),
    click.option("--type", multiple=True, metavar="GLOB", help="Stored type, e.g. order.created or 'order.*'."),
    click.option("--correlation", metavar="ID", help="One flow."),
    click.option("--actor", metavar="NAME", help="Who asked."),
    click.option("--tenant", metavar="NAME"),
    click.option("--since", type=moment, help="Occurred at or after: 2026-01-31T12:00Z, or 2h (ago)."),
    click.option("--until", type=moment, help="Occurred at or before."),
    click.option("--after", type=click.IntRange(min=0), default=0, metavar="POSITION", help="Behind this position."),
)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options and gives the function `wanted: Filters`."""

    @wraps(function)
    def with_filters(*args: Any, **kwargs: Any) -> Any:
        wanted = Filters(**{name: kwargs.pop(name) for name in Filters.__dataclass_fields__})
        return function(*args, wanted=wanted, **kwargs)

    decorated: Callable[..., Any] = with_filters
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


async def selected(
    look: Look, wanted: Filters, *, newest_first: bool = False, up_to: int | None = None
) -> AsyncIterator[StoredEvent]:
    """The events, in order. Raises NotFound for a stream that has none."""
    if wanted.stream is not None and not await look.storage.stream_version(wanted.stream):
        raise await no_such_stream(look, wanted.stream)
    async for event in look.history.stored(wanted.selection(newest_first=newest_first, up_to=up_to)):
        if wanted.takes(event):
            yield event


async def no_such_stream(look: Look, name: str) -> NotFound:
    """The error, with streams that look alike."""
    known = [found for found, _ in await look.storage.streams(category_of(name), limit=1000)]
    known = known or [found for found, _ in await look.storage.streams(None, limit=1000)]
    similar = get_close_matches(name, known, n=3, cutoff=0.6)
    return NotFound(
        f"there is no stream {name!r}",
        why=f"in {look.storage.url}",
        do=f"did you mean {' or '.join(similar)}?" if similar else "`daicho get streams` lists those there are",
        similar=similar,
    )
