"""One flow: everything that one request led to, as a diagram, a tree and bars; and what is missing."""

from datetime import datetime
from html import escape
from typing import Any

from nicegui import ui

from daicho.console.flows import Sight, diagram, sights, since, story_of, walk
from daicho.console.parts import (
    Column,
    anchor,
    badge,
    code,
    copy_button,
    empty,
    heading,
    html,
    panel,
    table,
    tabs,
    told,
)
from daicho.console.parts.text import badge_html
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.codec import decode_metadata
from daicho.ports.event_store import Selection
from daicho.read.history import Trace, TraceNode

__all__ = ["ONE", "SCREEN"]

_RECENT = 400
_WAITING = ("expected", "pending", "parked")
WORDS: Words = {
    "flow.title": ("Flows", "流れ"),
    "flow.one": ("Flow", "流れ"),
    "flow.lead": (
        "What one request led to, in all parts of the system. The latest:",
        "一つの要求から、システム全体で起きたこと。最近のもの:",
    ),
    "flow.none": ("Nothing has happened yet.", "まだ何も起きていません。"),
    "flow.unknown": ("No event, command or flow has this id.", "このIDのイベント・コマンド・流れはありません。"),
    "flow.began": ("Began", "開始"),
    "flow.with": ("Began with", "最初のコマンド"),
    "flow.by": ("By", "実行者"),
    "flow.streams": ("Streams", "ストリーム"),
    "flow.events": ("Events", "イベント"),
    "flow.commands": ("commands", "コマンド"),
    "flow.happened": ("events", "イベント"),
    "flow.lasted": ("ms", "ミリ秒"),
    "flow.sequence": ("Sequence", "シーケンス図"),
    "flow.tree": ("Tree", "木"),
    "flow.bars": ("Time", "時間"),
    "flow.legend": (
        "Ten components are lines; the other two, commands and events, are what goes between them.",
        "十の構成要素が縦線、残りの二つ（コマンドとイベント）がその間を行き来します。",
    ),
    "flow.missing": ("Missing steps", "足りない段階"),
    "flow.missing.none": (
        "No step is missing: everything that was to follow has happened.",
        "足りない段階はありません。",
    ),
    "flow.missing.parked": ("{what} is parked: {reason}", "{what} は退避中: {reason}"),
    "flow.missing.waits": ("{what} has not happened yet: {reason}", "{what} はまだ起きていません: {reason}"),
    "flow.refused": ("{what} was {outcome}: {reason}", "{what} は {outcome}: {reason}"),
    "flow.sights": ("What readers see", "読み取り側からの見え方"),
    "flow.sights.seen": ("{view} shows it", "{view} に反映済み"),
    "flow.sights.behind": ("{view} has not seen {n} of its events", "{view} は {n} 件が未反映"),
    "flow.sights.parked": ("{view} has parked {n} of its events", "{view} は {n} 件を退避中"),
}


async def build(place: Place) -> None:
    ui.label(place.t("flow.lead")).classes("d-lead")
    recent = await place.app.storage.read(Selection(newest_first=True), limit=_RECENT)
    flows: dict[str, dict[str, Any]] = {}
    for event in recent:
        metadata = decode_metadata(event.metadata)
        flow = flows.setdefault(event.correlation_id, {"flow": event.correlation_id, "streams": set(), "events": 0})
        flow["streams"].add(event.stream)
        flow["events"] += 1
        flow["began"], flow["by"] = event.recorded_at, event.actor or ""
        if "handler" not in metadata:
            flow["with"] = metadata.get("command", "")
    if not flows:
        empty(place, place.t("flow.none"), fill="daicho send ...", icon="account_tree")
        return
    rows = [{**flow, "streams": ", ".join(sorted(flow["streams"])[:6])} for flow in flows.values()]
    columns = [
        Column(name="flow", title=place.t("flow.one"), kind="mono", link=lambda r: _to(place, r["flow"])),
        Column(name="began", title=place.t("flow.began"), kind="time"),
        Column(name="with", title=place.t("flow.with"), kind="badge", colour=lambda _: "command"),
        Column(name="by", title=place.t("flow.by")),
        Column(name="events", title=place.t("flow.events"), kind="number"),
        Column(name="streams", title=place.t("flow.streams"), kind="mono"),
    ]
    table(place, "flows", columns, rows[:60])


def _to(place: Place, reference: str) -> str:
    return place.link("/flow/{reference}", reference=reference)


async def build_one(place: Place) -> None:
    reference = place.params["reference"]
    trace = await story_of(place.app, reference)
    if trace is None:
        heading(place.t("flow.one"), 1)
        empty(place, place.t("flow.unknown"), fill="daicho get events --newest", icon="search_off")
        return
    views = await sights(place.app, trace)
    with ui.element("div").classes("d-row").style("margin-bottom:12px"):
        heading(place.t("flow.one"), 1).style("margin:0")
        ui.label(trace.correlation_id).classes("d-mono")
        ui.label(
            f"{trace.commands} {place.t('flow.commands')} · {trace.events} {place.t('flow.happened')} · "
            f"{trace.seconds * 1000:,.1f} {place.t('flow.lasted')}"
        ).classes("d-dim")
    _missing(place, trace)
    shown = place.query.get("as", "sequence")
    tabs(
        [(place.t(f"flow.{kind}"), place.here(**{"as": kind}), kind == shown) for kind in ("sequence", "tree", "bars")]
    )
    if shown == "tree":
        with panel():
            html(f'<div class="d-flow">{_tree(place, trace.roots, _start(trace))}</div>')
    elif shown == "bars":
        with panel():
            html(_bars(place, trace))
    else:
        text = diagram(trace, views)
        with panel():
            ui.label(place.t("flow.legend")).classes("d-dim")
            config = {"securityLevel": "strict", "sequence": {"useMaxWidth": True, "mirrorActors": True}}
            ui.mermaid(text, config=config).classes("d-mermaid")
            copy_button("Mermaid", text)
    _views(place, views)
    code(f"daicho trace {trace.correlation_id}")


def _missing(place: Place, trace: Trace) -> None:
    """What did not happen, and what was refused: usually the answer to the question that brought somebody here."""
    found = [(node, cause) for node, _, cause in walk(trace.roots) if node.outcome != "done"]
    for node, _ in found:
        what = f"{node.name} ({node.handler})" if node.handler else node.name
        if node.outcome == "parked":
            text, kind = place.t("flow.missing.parked", what=what, reason=node.reason or ""), "bad"
        elif node.outcome in _WAITING:
            text, kind = place.t("flow.missing.waits", what=what, reason=node.reason or node.outcome), "warn"
        else:
            text = place.t("flow.refused", what=what, outcome=node.outcome, reason=node.reason or "")
            kind = "warn" if node.outcome == "rejected" else "bad"
        with told(text, kind):
            if node.outcome == "parked" and place.has("/parked"):
                anchor("→", place.link("/parked")).classes("d-link")
    if not any(node.outcome in _WAITING for node, _ in found):
        told(place.t("flow.missing.none"), "good")


def _views(place: Place, views: list[Sight]) -> None:
    if not views:
        return
    with panel(place.t("flow.sights")), ui.element("div").classes("d-row"):
        for each in views:
            if each.parked:
                badge(place.t("flow.sights.parked", view=each.view, n=each.parked), "bad")
            elif each.behind:
                badge(place.t("flow.sights.behind", view=each.view, n=each.behind), "warn")
            else:
                badge(f"✓ {place.t('flow.sights.seen', view=each.view)}", "view")


def _start(trace: Trace) -> datetime | None:
    return min((datetime.fromisoformat(n.at) for n, _, _ in walk(trace.roots) if n.at), default=None)


def _tree(place: Place, nodes: list[TraceNode], start: datetime | None) -> str:
    lines: list[str] = []
    for node in nodes:
        ms = since(node.at, start)
        when = f'<span class="d-dim">+{ms:,.1f} ms</span>' if ms is not None else ""
        lines.append(f"<li>{_label(place, node)} {when}{_tree(place, node.children, start)}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _label(place: Place, node: TraceNode) -> str:
    if node.kind == "event":
        event = place.link("/events/{position}", position=node.position)
        stream = place.link("/streams/{stream}", stream=node.stream)
        return (
            f'<a href="{escape(event)}">{badge_html(node.name, "event")}</a> '
            f'<a class="d-link d-mono" href="{escape(stream)}">{escape(node.stream or "")}</a> v{node.version}'
        )
    kind = "external" if node.kind == "timer" else "command"
    text = badge_html(node.name, kind if node.outcome == "done" else "bad" if node.outcome != "expected" else "warn")
    if node.handler:
        text = f"{badge_html(node.handler, 'policy')} → {text}"
    elif node.actor:
        text += f' <span class="d-dim">{escape(node.actor)}</span>'
    if node.outcome != "done":
        text += f" <b>{escape(node.outcome)}</b> {escape(node.reason or '')}"
    return text


def _bars(place: Place, trace: Trace) -> str:
    """One bar a step: from what led to it, until it was recorded."""
    start = _start(trace)
    whole = max(trace.seconds * 1000, 0.001)
    rows: list[str] = []
    for node, depth, cause in walk(trace.roots):
        end = since(node.at, start)
        if end is None:
            continue
        begin = since(cause.at, start) if cause is not None and cause.at else 0.0
        begin = min(begin if begin is not None else 0.0, end)
        left, width = 100 * begin / whole, max(0.4, 100 * (end - begin) / whole)
        colour = "event" if node.kind == "event" else "command" if node.outcome == "done" else "bad"
        rows.append(
            f'<div class="d-bar"><div class="d-barname" style="padding-left:{depth * 12}px">{_label(place, node)}</div>'
            f'<div class="d-barline"><i style="left:{min(left, 99.6):.2f}%;width:{min(width, 100 - left):.2f}%;'
            f'background:var(--{colour})"></i></div><div class="d-barms">{end - begin:,.1f} ms</div></div>'
        )
    return "".join(rows)


SCREEN = Screen(
    path="/flow", title="flow.title", group="history", build=build, words=WORDS, icon="account_tree", keys="f"
)
ONE = Screen(path="/flow/{reference}", title="flow.one", group="history", build=build_one, words=WORDS, under="/flow")
