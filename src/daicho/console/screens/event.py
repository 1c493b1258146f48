"""One event: what it says, as it is stored and as it is read; who, when, why; and as code to take away."""

import json
import shlex

import msgspec
from nicegui import ui

from daicho.console.copies import as_curl, as_pytest, as_python
from daicho.console.parts import anchor, badge, code, copy_button, empty, facts, heading, link, panel, problem, tree
from daicho.console.screen import Place, Screen
from daicho.console.screens.event_rows import EVENT_WORDS
from daicho.console.words import Words
from daicho.core.codec import decode_metadata
from daicho.core.errors import DaichoError
from daicho.ports.event_store import Selection, StoredEvent

__all__ = ["SCREEN"]

_BEFORE = 50
WORDS: Words = {
    **EVENT_WORDS,
    "event.title": ("Event", "イベント"),
    "event.none": ("There is no event at this position.", "この位置にイベントはありません。"),
    "event.raw": ("As stored (version {version})", "保存のまま（スキーマ版 {version}）"),
    "event.upcast": ("As read today (version {version})", "現在の読み方（スキーマ版 {version}）"),
    "event.who": ("Who, when, why", "誰が・いつ・なぜ"),
    "event.id": ("Event id", "イベントID"),
    "event.occurred": ("Occurred", "発生日時"),
    "event.tenant": ("Tenant", "テナント"),
    "event.command": ("Command", "コマンド"),
    "event.handler": ("Sent by the event handler", "送ったイベントハンドラー"),
    "event.because": ("Because of the event", "もとのイベント"),
    "event.correlation": ("Flow", "流れ"),
    "event.tags": ("Tags", "タグ"),
    "event.metadata": ("Metadata", "メタデータ"),
    "event.led": ("What it led to", "ここから起きたこと"),
    "event.led.none": ("Nothing yet.", "まだ何も起きていません。"),
    "event.take": ("Take it away", "持ち出す"),
    "event.previous": ("Previous in stream", "ストリームの前へ"),
    "event.next": ("Next in stream", "ストリームの次へ"),
    "event.then": ("The state after it", "この時点の状態"),
}


async def build(place: Place) -> None:
    at = int(place.params["position"]) if place.params["position"].isdecimal() else 0
    found = await place.app.storage.read(Selection(after=at - 1, up_to=at), limit=1) if at else []
    if not found:
        empty(place, place.t("event.none"), fill="daicho get events --newest", icon="search_off")
        return
    event = found[0]
    metadata = decode_metadata(event.metadata)
    await _head(place, event)
    with ui.element("div").classes("d-two"):
        with panel(place.t("event.raw", version=event.schema_version)):
            tree(place.content(event))
        cls = place.app.registry.classes.get(event.type)
        with panel(place.t("event.upcast", version=cls.__schema_version__ if cls else "?")):
            try:
                tree(place.upcast(event))
            except DaichoError as error:
                problem(place, error)
    with ui.element("div").classes("d-two"):
        with panel(place.t("event.who")):
            await _who(place, event, metadata)
        with panel(place.t("event.led")):
            await _led(place, event)
    await _take(place, event, metadata)


async def _head(place: Place, event: StoredEvent) -> None:
    with ui.element("div").classes("d-row").style("margin-bottom:14px"):
        heading(event.type, 1).style("margin:0")
        badge(f"@{event.position:,}", "event")
        link(f"{event.stream} v{event.version}", place.link("/streams/{stream}", stream=event.stream))
        ui.element("span").classes("d-space")
        for step, name, icon in ((-1, "event.previous", "chevron_left"), (1, "event.next", "chevron_right")):
            version = event.version + step
            near = Selection(stream=event.stream, after_version=version - 1, up_to_version=version)
            found = await place.app.storage.read(near, limit=1) if version > 0 else []
            if found:
                target = place.link("/events/{position}", position=found[0].position)
                with anchor(target=target).classes("d-button").props(f'title="{place.t(name)}"'):
                    ui.icon(icon)
        if event.stream.partition("-")[0] in place.app.model.categories:
            target = place.link("/travel/{stream}", stream=event.stream, at=event.version)
            anchor(place.t("event.then"), target).classes("d-button d-primary")


async def _who(place: Place, event: StoredEvent, metadata: dict[str, str]) -> None:
    cause = metadata.get("cause")
    causes = await place.app.storage.read(Selection(event_id=cause), limit=1) if cause else []
    target = place.link("/flow/{reference}", reference=event.correlation_id)
    facts(
        [
            (place.t("event.actor"), event.actor or "–"),
            (place.t("event.occurred"), place.time(event.occurred_at)),
            (place.t("event.recorded"), place.time(event.recorded_at)),
            (place.t("event.tenant"), event.tenant or "–"),
            (place.t("event.command"), lambda: badge(metadata.get("command", "?"), "command")),
            (place.t("event.handler"), metadata.get("handler", "–")),
            (place.t("event.because"), (lambda: _to(place, causes[0])) if causes else "–"),
            (place.t("event.correlation"), lambda: link(event.correlation_id, target)),
            (place.t("event.id"), event.event_id),
            (place.t("event.tags"), ", ".join(event.tags) if place.viewer.payloads == "full" and event.tags else "–"),
            (place.t("event.metadata"), json.dumps(metadata, ensure_ascii=False)),
        ]
    )


def _to(place: Place, event: StoredEvent) -> None:
    link(f"{event.type}  {event.stream} v{event.version}", place.link("/events/{position}", position=event.position))


async def _led(place: Place, event: StoredEvent) -> None:
    flow = await place.app.storage.read(Selection(correlation_id=event.correlation_id), limit=500)
    led = [each for each in flow if decode_metadata(each.metadata).get("cause") == event.event_id]
    with ui.element("div").classes("d-stack"):
        for each in led:
            with ui.element("div").classes("d-row"):
                badge(decode_metadata(each.metadata).get("command", "?"), "command")
                ui.label("→").classes("d-dim")
                _to(place, each)
        if not led:
            ui.label(place.t("event.led.none")).classes("d-dim")


async def _take(place: Place, event: StoredEvent, metadata: dict[str, str]) -> None:
    with panel(place.t("event.take")):
        if place.viewer.payloads != "full":
            ui.label(place.t("payload.hidden")).classes("d-dim")
            return
        wanted = Selection(stream=event.stream, up_to_version=event.version - 1, newest_first=True)
        before = await place.app.storage.read(wanted, limit=_BEFORE) if event.version > 1 else []
        note = next((n for n in place.app.journal.commands if n.command_id == event.causation_id), None)
        command = note.command if note is not None else None
        base = str(ui.context.client.request.base_url).removesuffix("/").removesuffix("/console")
        texts = [
            ("curl", as_curl(event, base)),
            ("Python", as_python(event)),
            (
                "pytest",
                as_pytest(place.app, event, before[::-1], metadata.get("command"), command),
            ),
            ("daicho", f"daicho describe event {shlex.quote(event.event_id)}"),
            ("JSON", msgspec.json.format(msgspec.json.encode(place.content(event)), indent=2).decode()),
        ]
        with ui.element("div").classes("d-row"):
            for name, text in texts:
                copy_button(name, text)
        for name, text in texts[:3]:
            with ui.element("details").style("margin-top:8px"):
                with ui.element("summary"):
                    ui.label(name).style("display:inline")
                code(text)


SCREEN = Screen(
    path="/events/{position}", title="event.title", group="history", build=build, words=WORDS, under="/streams"
)
