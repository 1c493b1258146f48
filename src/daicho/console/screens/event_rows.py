"""Events as rows of a table: the same everywhere."""

import json
from typing import Any

from daicho.console.parts import Column, short
from daicho.console.screen import Place
from daicho.console.words import Words
from daicho.core.codec import decode_metadata
from daicho.ports.event_store import StoredEvent

__all__ = ["EVENT_WORDS", "event_columns", "event_row"]

EVENT_WORDS: Words = {
    "history.streams": ("Streams", "ストリーム"),
    "history.events": ("Events", "イベント"),
    "history.tail": ("Live", "ライブ"),
    "event.position": ("Position", "位置"),
    "event.stream": ("Stream", "ストリーム"),
    "event.version": ("Version", "版"),
    "event.type": ("Event", "イベント"),
    "event.recorded": ("Recorded", "記録日時"),
    "event.actor": ("By", "実行者"),
    "event.content": ("Content", "内容"),
    "event.cause": ("Because of", "きっかけ"),
}


def event_columns(place: Place, *, with_stream: bool = True, with_content: bool = True) -> list[Column]:
    found = [
        Column(
            name="position",
            title=place.t("event.position"),
            kind="number",
            link=lambda r: place.link("/events/{position}", position=r["position"]),
        ),
        Column(
            name="stream",
            title=place.t("event.stream"),
            kind="mono",
            link=lambda r: place.link("/streams/{stream}", stream=r["stream"]),
        ),
        Column(name="version", title=place.t("event.version"), kind="number"),
        Column(
            name="type",
            title=place.t("event.type"),
            kind="badge",
            colour=lambda _: "event",
            link=lambda r: place.link("/events/{position}", position=r["position"]),
        ),
        Column(name="recorded_at", title=place.t("event.recorded"), kind="time"),
        Column(name="actor", title=place.t("event.actor")),
        Column(name="cause", title=place.t("event.cause")),
        Column(name="content", title=place.t("event.content"), kind="mono"),
    ]
    left_out = {name for name, there in (("stream", with_stream), ("content", with_content)) if not there}
    return [column for column in found if column.name not in left_out]


def event_row(place: Place, event: StoredEvent, *, with_content: bool = True) -> dict[str, Any]:
    metadata = decode_metadata(event.metadata)
    handler, command = metadata.get("handler", ""), metadata.get("command", "")
    return {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "recorded_at": event.recorded_at,
        "actor": event.actor or "",
        "cause": f"{command} ← {handler}" if handler else command,
        "content": short(json.dumps(place.content(event), ensure_ascii=False), 110) if with_content else "",
    }
