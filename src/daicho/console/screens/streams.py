"""All streams, by name, and one of them."""

import asyncio
from typing import Any

from nicegui import ui

from daicho.console.parts import Column, Field, anchor, badge, code, empty, filters, heading, table, tabs
from daicho.console.screen import Place, Screen
from daicho.console.screens.event_rows import EVENT_WORDS, event_columns, event_row
from daicho.console.words import Words
from daicho.core.streams import category_of
from daicho.ports.event_store import Selection, StoredEvent

__all__ = ["ONE", "SCREEN", "history_tabs"]

_PAGE = 50
WORDS: Words = {
    **EVENT_WORDS,
    "streams.title": ("Streams and events", "ストリームとイベント"),
    "streams.one": ("Stream", "ストリーム"),
    "streams.lead": (
        "One stream for each aggregate: everything that ever happened to it, in order.",
        "集約ごとに一本のストリーム。起きたことのすべてが順に残ります。",
    ),
    "streams.none": ("No stream is called so.", "該当するストリームはありません。"),
    "streams.category": ("Category", "カテゴリ"),
    "streams.from": ("Names from", "この名前から"),
    "streams.length": ("Events", "イベント数"),
    "streams.last": ("Last event", "最後のイベント"),
    "streams.when": ("Recorded", "記録日時"),
    "streams.actor": ("By", "実行者"),
    "streams.snapshot": ("Snapshot", "スナップショット"),
    "streams.travel": ("Travel through its history", "履歴をさかのぼる"),
    "streams.flow": ("Flow of its beginning", "始まりの流れ"),
}


def history_tabs(place: Place, here: str) -> None:
    """Three ways to look at the same log."""
    entries = {
        "streams": place.link("/streams"),
        "events": place.link("/events"),
        "tail": place.link("/tail"),
    }
    tabs([(place.t(f"history.{name}"), target, name == here) for name, target in entries.items()])


async def build(place: Place) -> None:
    history_tabs(place, "streams")
    categories = {name: name for name in sorted(place.app.model.categories)}
    filters(
        place,
        [
            Field(name="category", label=place.t("streams.category"), kind="select", options=categories),
            Field(name="from", label=place.t("streams.from")),
        ],
    )
    category, begin = place.query.get("category") or None, place.query.get("from", "")
    after = place.query.get("after") or (begin[:-1] + chr(ord(begin[-1]) - 1) + "\U0010ffff" if begin else "")
    found = await place.app.storage.streams(category, after=after, limit=_PAGE)
    if not found:
        fill = "daicho send CreateOrder --set order_id=o-1 ..." if not begin and not category else ""
        empty(place, place.t("streams.none"), fill=fill)
        return
    lasts = await asyncio.gather(*(_last(place, name) for name, _ in found))
    rows = [_row(name, version, last) for (name, version), last in zip(found, lasts, strict=True)]
    columns = [
        Column(name="stream", title=place.t("streams.one"), kind="mono", link=lambda r: _to(place, r)),
        Column(name="category", title=place.t("streams.category"), kind="badge", colour=lambda _: "policy"),
        Column(name="length", title=place.t("streams.length"), kind="number"),
        Column(name="last", title=place.t("streams.last"), kind="badge", colour=lambda _: "event"),
        Column(name="recorded_at", title=place.t("streams.when"), kind="time"),
        Column(name="actor", title=place.t("streams.actor")),
    ]
    following = place.here(after=found[-1][0]) if len(found) == _PAGE else None
    first = place.here(after=None) if place.query.get("after") else None
    table(place, "streams", columns, rows, following=following, first=first)


def _to(place: Place, row: Any) -> str:
    return place.link("/streams/{stream}", stream=row["stream"])


def _row(name: str, version: int, last: StoredEvent | None) -> dict[str, Any]:
    return {
        "stream": name,
        "category": category_of(name),
        "length": version,
        "last": last.type if last else "",
        "recorded_at": last.recorded_at if last else "",
        "actor": last.actor if last else "",
    }


async def _last(place: Place, stream: str) -> StoredEvent | None:
    found = await place.app.storage.read(Selection(stream=stream, newest_first=True), limit=1)
    return found[0] if found else None


async def build_one(place: Place) -> None:
    name = place.params["stream"]
    storage = place.app.storage
    version, snapshot = await asyncio.gather(storage.stream_version(name), storage.load_snapshot(name))
    with ui.element("div").classes("d-row"):
        heading(name, 1).style("margin:0")
        badge(category_of(name), "policy")
        ui.label(f"{version:,} {place.t('streams.length')}").classes("d-dim")
        if snapshot is not None:
            ui.label(f"{place.t('streams.snapshot')} v{snapshot.version}").classes("d-dim")
        ui.element("span").classes("d-space")
        if category_of(name) in place.app.model.categories:
            anchor(place.t("streams.travel"), place.link("/travel/{stream}", stream=name)).classes("d-button d-primary")
        anchor(place.t("streams.flow"), place.link("/flow/{reference}", reference=name)).classes("d-button")
    ui.element("div").style("height:12px")
    if not version:
        empty(place, place.t("streams.none"), icon="search_off")
        return
    before = _number(place.query.get("after"))
    wanted = Selection(stream=name, newest_first=True, up_to_version=before - 1 if before else None)
    events = await storage.read(wanted, limit=_PAGE)
    following = place.here(after=events[-1].version) if events and events[-1].version > 1 else None
    first = place.here(after=None) if before else None
    rows = [event_row(place, each, with_content=True) for each in events]
    table(place, name, event_columns(place, with_stream=False), rows, following=following, first=first)
    code(f"daicho get events --stream {name}")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


SCREEN = Screen(
    path="/streams", title="streams.title", group="history", build=build, words=WORDS, icon="view_stream", keys="s"
)
ONE = Screen(
    path="/streams/{stream}", title="streams.one", group="history", build=build_one, words=WORDS, under="/streams"
)
