"""Who did what, and when: every event, by whatever is known of it."""

from datetime import datetime
from typing import Any

from nicegui import ui

from daicho.console.parts import Column, Field, code, empty, filters, table, told
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.codec import decode_metadata
from daicho.core.stored import StoredEvent
from daicho.core.times import to_text
from daicho.ports.event_store import Selection

__all__ = ["SCREEN"]

_PAGE = 100

WORDS: Words = {
    "audit.title": ("Audit search", "監査検索"),
    "audit.about": (
        "Every event, newest first: who, what, when, and because of what.",
        "すべてのイベントを新しい順に：誰が・何を・いつ・何によって。",
    ),
    "audit.none": ("No event meets these conditions.", "条件に合うイベントはありません。"),
    "audit.actor": ("Who", "誰が"),
    "audit.type": ("What (type)", "何を（型）"),
    "audit.what": ("What", "何を"),
    "audit.stream": ("Stream", "ストリーム"),
    "audit.category": ("Category", "カテゴリー"),
    "audit.tenant": ("Tenant", "テナント"),
    "audit.correlation": ("Flow", "流れ"),
    "audit.since": ("From", "から"),
    "audit.until": ("Until", "まで"),
    "audit.when": ("When", "いつ"),
    "audit.recorded": ("Recorded", "記録"),
    "audit.position": ("Position", "位置"),
    "audit.why": ("Because of", "きっかけ"),
    "audit.time.bad": ("{text} is not a time.", "{text} は日時ではありません。"),
    "audit.same": ("The same on the command line", "コマンドラインでの同じ検索"),
}


async def build(place: Place) -> None:
    ui.label(place.t("audit.about")).classes("d-dim d-about")
    names = sorted(place.app.registry.classes)
    filters(
        place,
        [
            Field(name="actor", label=place.t("audit.actor")),
            Field(name="type", label=place.t("audit.type"), kind="select", options={name: name for name in names}),
            Field(name="stream", label=place.t("audit.stream")),
            Field(
                name="category",
                label=place.t("audit.category"),
                kind="select",
                options={name: name for name in sorted(place.app.model.categories)},
            ),
            Field(name="tenant", label=place.t("audit.tenant")),
            Field(name="correlation", label=place.t("audit.correlation")),
            Field(name="since", label=place.t("audit.since"), kind="date"),
            Field(name="until", label=place.t("audit.until"), kind="date"),
        ],
    )
    try:
        selection = _selection(place)
    except ValueError as error:
        told(place.t("audit.time.bad", text=str(error)), "bad")
        return
    page = await place.app.storage.read(selection, limit=_PAGE + 1)
    if not page:
        empty(place, place.t("audit.none"), fill="daicho get events --newest", icon="search_off")
    else:
        following = place.here(after=page[_PAGE].position + 1) if len(page) > _PAGE else None
        first = place.here(after=None) if place.query.get("after") else None
        rows = [_row(event) for event in page[:_PAGE]]
        table(place, "audit", _columns(place), rows, following=following, first=first)
    ui.label(place.t("audit.same")).classes("d-dim")
    code(_verb(place))


def _selection(place: Place) -> Selection:
    """Raises ValueError for what is no time."""
    asked = place.query
    before = asked.get("after", "")
    return Selection(
        actor=asked.get("actor") or None,
        types=(asked["type"],) if asked.get("type") else None,
        stream=asked.get("stream") or None,
        category=asked.get("category") or None,
        tenant=asked.get("tenant") or None,
        correlation_id=asked.get("correlation") or None,
        since=_moment(place, "since"),
        until=_moment(place, "until"),
        up_to=int(before) - 1 if before.isdecimal() else None,
        newest_first=True,
    )


def _moment(place: Place, name: str) -> str | None:
    text = place.query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(text) from None
    return to_text(moment if moment.tzinfo else moment.replace(tzinfo=place.zone))


def _columns(place: Place) -> list[Column]:
    return [
        Column(name="when", title=place.t("audit.when"), kind="time"),
        Column(
            name="who",
            title=place.t("audit.actor"),
            link=lambda row: row["who"] and place.here(actor=row["who"], after=None),
        ),
        Column(name="what", title=place.t("audit.what"), kind="badge", colour=lambda _: "event"),
        Column(
            name="stream",
            title=place.t("audit.stream"),
            kind="mono",
            link=lambda row: place.link("/streams/{stream}", stream=row["stream"]),
        ),
        Column(
            name="position",
            title=place.t("audit.position"),
            kind="number",
            link=lambda row: place.link("/events/{position}", position=row["position"]),
        ),
        Column(
            name="why",
            title=place.t("audit.why"),
            link=lambda row: place.link("/flow/{reference}", reference=row["correlation"]),
        ),
        Column(name="tenant", title=place.t("audit.tenant")),
        Column(name="recorded", title=place.t("audit.recorded"), kind="time"),
    ]


def _row(event: StoredEvent) -> dict[str, Any]:
    metadata = decode_metadata(event.metadata)
    command = metadata.get("command", "")
    handler = metadata.get("handler", "")
    return {
        "when": event.occurred_at,
        "who": event.actor or "",
        "what": event.type,
        "stream": event.stream,
        "position": event.position,
        "why": f"{command} ← {handler}" if handler else command or event.causation_id[:8],
        "correlation": event.correlation_id,
        "tenant": event.tenant or "",
        "recorded": event.recorded_at,
    }


def _verb(place: Place) -> str:
    said = [
        f"--{name} {value}"
        for name in ("actor", "type", "stream", "category", "tenant", "correlation", "since", "until")
        if (value := place.query.get(name))
    ]
    return " ".join(["daicho get events --newest", *said])


SCREEN = Screen(
    path="/audit",
    title="audit.title",
    group="govern",
    build=build,
    words=WORDS,
    needs="audit",
    icon="manage_search",
    keys="a",
)
