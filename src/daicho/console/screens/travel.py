"""Time travel: the state of an aggregate after any of its events, what each changed, and what if one had not been."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from nicegui import events as gui
from nicegui import ui

from daicho.console.parts import anchor, badge, code, diff, empty, heading, link, panel, problem, told, tree
from daicho.console.parts.diff import diff_markup
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.behaviour import Behaviour
from daicho.core.errors import DaichoError
from daicho.core.personal import personal_fields
from daicho.core.state_fields import state_fields
from daicho.core.streams import category_of, id_of
from daicho.ports.event_store import Selection, StoredEvent

__all__ = ["ONE", "SCREEN", "what_if"]

_MOST = 2000
"""Events of one stream that are folded anew for a what-if."""
_RECENT = 300
WORDS: Words = {
    "travel.title": ("Time travel", "タイムトラベル"),
    "travel.one": ("Time travel", "タイムトラベル"),
    "travel.lead": (
        "Any state at any moment. Choose an aggregate that changed lately, or type the name of its stream.",
        "どの時点のどの状態でも。最近変わった集約を選ぶか、ストリーム名を入力してください。",
    ),
    "travel.stream": ("Stream, like order-o-1", "ストリーム名（例: order-o-1）"),
    "travel.go": ("Travel", "移動"),
    "travel.none": ("Nothing has happened yet.", "まだ何も起きていません。"),
    "travel.unknown": (
        "No aggregate of this app has such a stream.",
        "このストリームを持つ集約はありません。",
    ),
    "travel.version": ("After event {at} of {all}", "{all} 件中 {at} 件目のイベントの後"),
    "travel.beginning": ("Before the first event", "最初のイベントの前"),
    "travel.state": ("State", "状態"),
    "travel.back": ("One event back", "一つ前のイベントへ"),
    "travel.on": ("One event on", "一つ先のイベントへ"),
    "travel.changed": ("What this event changed", "このイベントによる変化"),
    "travel.play": ("Play", "再生"),
    "travel.compare": ("Compare two moments", "二つの時点を比べる"),
    "travel.from": ("After event", "イベント番号（前）"),
    "travel.to": ("and after event", "イベント番号（後）"),
    "travel.when": ("As it was then", "この日時の状態"),
    "travel.when.label": ("As far as it had occurred by", "この日時までに発生した分"),
    "travel.if": ("What if an event had not been?", "このイベントがなかったら？"),
    "travel.if.label": ("Leave out event", "除くイベント番号"),
    "travel.if.lead": (
        "The others are folded without it, in memory; nothing is recorded. Today's state, without and with it:",
        "他のイベントだけをメモリ上で畳み込みます。記録はされません。現在の状態との比較:",
    ),
    "travel.if.long": (
        "This stream has more than {n} events: too many for this.",
        "イベントが {n} 件を超えるため使えません。",
    ),
    "travel.if.fails": ("Without it, the rest cannot be applied", "これがないと残りを適用できません"),
    "travel.show": ("Show", "表示"),
}


async def build(place: Place) -> str | None:
    if typed := place.query.get("stream", "").strip():
        return place.link("/travel/{stream}", stream=typed)
    ui.label(place.t("travel.lead")).classes("d-lead")
    with ui.element("form").classes("d-filters").props('method="get"'):
        _field("stream", place.t("travel.stream"), "", "search")
        _submit(place.t("travel.go"))
    recent = await place.app.storage.read(Selection(newest_first=True), limit=_RECENT)
    known = place.app.model.categories
    names = list(dict.fromkeys(each.stream for each in recent if category_of(each.stream) in known))
    if not names:
        empty(place, place.t("travel.none"), fill="daicho send ...", icon="history")
        return None
    with ui.element("div").classes("d-cards"):
        for name in names[:40]:
            last = next(each for each in recent if each.stream == name)
            with anchor(target=place.link("/travel/{stream}", stream=name)).classes("d-card"):
                badge(category_of(name), "policy")
                ui.label(id_of(name)).classes("d-strong")
                ui.label(f"v{last.version} · {last.type}").classes("d-dim")
    return None


async def build_one(place: Place) -> None:
    name = place.params["stream"]
    behaviour = place.app.model.categories.get(category_of(name))
    version = await place.app.storage.stream_version(name)
    heading(f"{place.t('travel.one')}: {name}", 1)
    if behaviour is None or not version:
        empty(place, place.t("travel.unknown"), fill=f"daicho get events --stream {name}", icon="search_off")
        return
    if place.viewer.payloads == "none":
        told(place.t("payload.hidden"))
        return
    await _slider(place, behaviour, name, version)
    with ui.element("div").classes("d-two"):
        with panel(place.t("travel.compare")):
            await _compare(place, behaviour, name, version)
        with panel(place.t("travel.if")):
            await _without(place, behaviour, name, version)
    with panel(place.t("travel.when")):
        await _when(place, behaviour, name)
    code(f"daicho show {name} --at {_number(place, 'at', version)}")


async def _slider(place: Place, behaviour: Behaviour, name: str, version: int) -> None:
    at = min(_number(place, "at", version), version)
    with panel():
        said = ui.label().classes("d-strong").props('data-live="version"')
        with ui.element("div").classes("d-row").style("flex-wrap:nowrap"):
            back = _small("chevron_left", place.t("travel.back"))
            play = _small("play_arrow", place.t("travel.play"))
            on = _small("chevron_right", place.t("travel.on"))
            slider = ui.slider(min=0, max=version, value=at).props('aria-label="version"').style("flex:1;margin:0 14px")
        event_line = ui.element("div").classes("d-row")
    with ui.element("div").classes("d-two"):
        with panel(place.t("travel.changed")):
            changed = ui.html("").classes("d-diff")
        with panel(place.t("travel.state")):
            whole = ui.element("div")
    lock = asyncio.Lock()

    def here() -> int:
        return int(slider.value or 0)

    async def show(moment: int) -> None:
        async with lock:
            if here() != moment:
                return  # the slider has gone on meanwhile
            before, after, event = await asyncio.gather(
                _state(place, behaviour, name, max(moment - 1, 0)),
                _state(place, behaviour, name, moment),
                _event(place, name, moment),
            )
            key = "travel.version" if moment else "travel.beginning"
            said.set_text(place.t(key, at=moment, all=version))
            changed.set_content(diff_markup(place, before, after))
            whole.clear()
            with whole:
                tree(after)
            event_line.clear()
            if event is not None:
                with event_line:
                    badge(event.type, "event")
                    link(f"@{event.position}", place.link("/events/{position}", position=event.position))
                    ui.label(f"{place.time(event.recorded_at)} {event.actor or ''}").classes("d-dim")

    async def moved(change: gui.ValueChangeEventArguments[Any]) -> None:
        await show(int(change.value))

    slider.on_value_change(moved)
    back.on("click", lambda: slider.set_value(max(0, here() - 1)))
    on.on("click", lambda: slider.set_value(min(version, here() + 1)))

    def step() -> None:
        if here() >= version:
            timer.deactivate()
        else:
            slider.set_value(here() + 1)

    timer = ui.timer(0.7, step, active=False)

    def start() -> None:
        if here() >= version:
            slider.set_value(0)
        timer.activate()

    play.on("click", start)
    await show(at)


async def _compare(place: Place, behaviour: Behaviour, name: str, version: int) -> None:
    begin, end = _number(place, "a", max(version - 1, 0)), _number(place, "b", version)
    with ui.element("form").classes("d-filters").props('method="get"'):
        _field("a", place.t("travel.from"), str(begin), "number")
        _field("b", place.t("travel.to"), str(end), "number")
        _submit(place.t("travel.show"))
    before, after = await asyncio.gather(
        _state(place, behaviour, name, min(begin, version)), _state(place, behaviour, name, min(end, version))
    )
    diff(place, before, after)
    code(f"daicho show {name} --diff {begin}..{end}")


async def _without(place: Place, behaviour: Behaviour, name: str, version: int) -> None:
    if version > _MOST:
        told(place.t("travel.if.long", n=f"{_MOST:,}"))
        return
    left_out = _number(place, "without", 0)
    with ui.element("form").classes("d-filters").props('method="get"'):
        _field("without", place.t("travel.if.label"), str(left_out or version), "number")
        _submit(place.t("travel.show"))
    if not left_out:
        return
    ui.label(place.t("travel.if.lead")).classes("d-dim")
    stored = await place.app.storage.read(Selection(stream=name), limit=_MOST)
    try:
        now = _shown(place, behaviour, what_if(place, behaviour, name, stored, 0))
        then = _shown(place, behaviour, what_if(place, behaviour, name, stored, left_out))
    except DaichoError as error:
        told(place.t("travel.if.fails"), "warn")
        problem(place, error)
        return
    diff(place, now, then)


def what_if(place: Place, behaviour: Behaviour, name: str, stored: Sequence[StoredEvent], left_out: int) -> Any:
    """The state after all events but the one with that version. Raises CannotApply, UnreadableEvent."""
    decode = place.app.registry.decode
    wanted = [each for each in stored if each.version != left_out]
    events = [decode(each.type, each.schema_version, each.data, each.position) for each in wanted]
    return behaviour.fold(behaviour.fresh(), events, name)


async def _when(place: Place, behaviour: Behaviour, name: str) -> None:
    text = place.query.get("when", "")
    with ui.element("form").classes("d-filters").props('method="get"'):
        _field("when", place.t("travel.when.label"), text, "datetime-local")
        _submit(place.t("travel.show"))
    if not text:
        return
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=place.zone).astimezone(UTC)
    except ValueError:
        return
    tree(_shown(place, behaviour, await place.app.load(behaviour.part, id_of(name), at=moment)))


async def _state(place: Place, behaviour: Behaviour, name: str, at: int) -> Any:
    return _shown(place, behaviour, await place.app.load(behaviour.part, id_of(name), at=at))


def _shown(place: Place, behaviour: Behaviour, state: Any) -> Any:
    """As this viewer may see it. What is personal in an event stays so in the state that is made of it."""
    fields = msgspec.to_builtins(state_fields(state), enc_hook=str)
    if place.viewer.payloads == "full":
        return fields
    hidden = {name for event in behaviour.events for name in personal_fields(event)}
    return {name: "***" if name in hidden and value is not None else value for name, value in fields.items()}


async def _event(place: Place, name: str, version: int) -> StoredEvent | None:
    wanted = Selection(stream=name, after_version=version - 1, up_to_version=version)
    found = await place.app.storage.read(wanted, limit=1) if version else []
    return found[0] if found else None


def _number(place: Place, name: str, otherwise: int) -> int:
    text = place.query.get(name, "")
    return int(text) if text.isdecimal() else otherwise


def _small(icon: str, label: str) -> ui.element:
    button = ui.element("button").classes("d-button").props('type="button"')
    button.props["aria-label"] = button.props["title"] = label
    button.props["data-icon"] = icon
    with button:
        ui.icon(icon)
    return button


def _field(name: str, label: str, value: str, kind: str) -> None:
    with ui.element("label").classes("d-field"):
        ui.label(label)
        box = ui.element("input")
        box.props["name"], box.props["value"], box.props["type"], box.props["min"] = name, value, kind, 0


def _submit(label: str) -> None:
    with ui.element("button").classes("d-button d-primary").props('type="submit"'):
        ui.label(label)


SCREEN = Screen(
    path="/travel", title="travel.title", group="history", build=build, words=WORDS, icon="history", keys="h"
)
ONE = Screen(
    path="/travel/{stream}", title="travel.one", group="history", build=build_one, words=WORDS, under="/travel"
)
