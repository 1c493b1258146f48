"""The log, newest first, with filters."""

from datetime import UTC, datetime
from typing import Any

from daicho.console.parts import Field, code, empty, filters, table
from daicho.console.screen import Place, Screen
from daicho.console.screens.event_rows import EVENT_WORDS, event_columns, event_row
from daicho.console.screens.streams import history_tabs
from daicho.console.words import Words
from daicho.core.times import to_text
from daicho.ports.event_store import Selection

__all__ = ["SCREEN"]

_PAGE = 50
WORDS: Words = {
    **EVENT_WORDS,
    "events.title": ("Streams and events", "ストリームとイベント"),
    "events.category": ("Category", "カテゴリ"),
    "events.correlation": ("Correlation id", "相関ID"),
    "events.since": ("Occurred since", "発生（から）"),
    "events.until": ("until", "（まで）"),
    "events.none": ("No event meets this.", "条件に合うイベントはありません。"),
}


async def build(place: Place) -> None:
    history_tabs(place, "events")
    model = place.app.model
    filters(
        place,
        [
            Field(
                name="category",
                label=place.t("events.category"),
                kind="select",
                options={name: name for name in sorted(model.categories)},
            ),
            Field(
                name="type",
                label=place.t("event.type"),
                kind="select",
                options={name: name for name in sorted(place.app.registry.classes)},
            ),
            Field(name="actor", label=place.t("event.actor")),
            Field(name="correlation", label=place.t("events.correlation")),
            Field(name="since", label=place.t("events.since"), kind="date"),
            Field(name="until", label=place.t("events.until"), kind="date"),
        ],
    )
    query = place.query
    before = int(query["after"]) if query.get("after", "").isdecimal() else None
    kind = query.get("type")
    wanted = Selection(
        category=query.get("category") or None,
        types=(kind,) if kind else None,
        actor=query.get("actor") or None,
        correlation_id=query.get("correlation") or None,
        since=_moment(place, query.get("since")),
        until=_moment(place, query.get("until")),
        up_to=before - 1 if before else None,
        newest_first=True,
    )
    found = await place.app.storage.read(wanted, limit=_PAGE)
    if not found:
        is_filtered = any(query.get(name) for name in ("category", "type", "actor", "correlation", "since", "until"))
        empty(place, place.t("events.none"), fill="" if is_filtered else "daicho send ...", icon="search_off")
        return
    following: str | None = place.here(after=found[-1].position) if len(found) == _PAGE else None
    first = place.here(after=None) if before else None
    rows: list[dict[str, Any]] = [event_row(place, event) for event in found]
    table(place, "events", event_columns(place), rows, following=following, first=first)
    options = {"category": "--category", "type": "--type", "actor": "--actor", "correlation": "--correlation"}
    given = " ".join(f"{option} {query[name]}" for name, option in options.items() if query.get(name))
    code(f"daicho get events --newest {given}".strip())


def _moment(place: Place, text: str | None) -> str | None:
    """What a date field of a browser says, in the zone of whoever looks."""
    if not text:
        return None
    try:
        return to_text(datetime.fromisoformat(text).replace(tzinfo=place.zone).astimezone(UTC))
    except ValueError:
        return None


SCREEN = Screen(path="/events", title="events.title", group="history", build=build, words=WORDS, under="/streams")
