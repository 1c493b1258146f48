"""Process managers: how their instances stand, what each went through, and a hand where one is stuck."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import (
    Column,
    Field,
    action,
    badge,
    card,
    empty,
    facts,
    filters,
    heading,
    link,
    panel,
    table,
    told,
    tree,
)
from daicho.console.parts.chart import diagram
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import NotFound
from daicho.core.process_definition import Definition
from daicho.flow.process_admin import ProcessCount, ProcessStory
from daicho.insight.drawing import short_time

__all__ = ["INSTANCE", "PROCESS", "SCREEN", "state_diagram"]

_MOST = 200
_STATUSES = ("waiting", "running", "compensating", "compensated", "done")
WORDS: Words = {
    "processes.title": ("Process managers", "プロセスマネージャー"),
    "processes.lead": (
        "What takes several steps over time: with deadlines, and a way back. Counts are of now.",
        "複数の手順を時間をかけて進めるものです。期限と補償があります。件数は現在のものです。",
    ),
    "processes.none": ("This app has no process managers.", "このアプリにはプロセスマネージャーがありません。"),
    "processes.name": ("Process", "プロセス"),
    "processes.waiting": ("waiting", "開始待ち"),
    "processes.running": ("running", "進行中"),
    "processes.compensating": ("compensating", "補償中"),
    "processes.compensated": ("compensated", "補償済み"),
    "processes.done": ("done", "完了"),
    "processes.stuck": ("Stuck", "停滞"),
    "processes.diagram": ("States, and how many are in each", "状態と件数"),
    "processes.hears": ("What moves it", "動かすもの"),
    "processes.when": ("When", "きっかけ"),
    "processes.sends": ("It may send", "送りうるコマンド"),
    "processes.instances": ("Instances, the last moved first", "インスタンス（新しい順）"),
    "processes.no.instances": ("No instance stands so.", "該当するインスタンスはありません。"),
    "processes.key": ("Key", "キー"),
    "processes.status": ("Status", "状態"),
    "processes.moved": ("Moved at", "最終更新"),
    "processes.unknown": (
        "There is no such process, or no such instance.",
        "該当するプロセスまたはインスタンスはありません。",
    ),
    "processes.start": ("start", "開始"),
    "processes.event": ("event", "イベント"),
    "processes.deadline": ("deadline", "期限"),
    "processes.refused": ("refusal", "拒否"),
    "processes.early": ("early", "開始前に到着"),
    "processes.passed": ("passed", "対象外"),
    "processes.scheduled": ("scheduled", "予定時刻"),
    "processes.retry": ("retry", "再試行"),
    "processes.rejected": ("rejected", "拒否"),
    "processes.failed": ("failed", "失敗"),
    "processes.hand": ("by hand", "手動"),
    "processes.fields": ("What it knows", "保持している値"),
    "processes.awaited": ("What it waits for", "待っているもの"),
    "processes.nothing": ("nothing", "なし"),
    "processes.deadlines": ("Deadlines", "期限"),
    "processes.timeline": ("Step by step", "経過"),
    "processes.at": ("At", "時刻"),
    "processes.since": ("After", "経過時間"),
    "processes.trigger": ("Because", "理由"),
    "processes.what": ("Of", "対象"),
    "processes.commands": ("Sends", "送信"),
    "processes.set": ("Sets", "設定した期限"),
    "processes.reason": ("Reason", "補足"),
    "processes.tasks": ("Its commands", "コマンド"),
    "processes.command": ("Command", "コマンド"),
    "processes.state": ("State", "状態"),
    "processes.failures": ("Failures", "失敗"),
    "processes.actions": ("Actions", "操作"),
    "processes.nudge": ("Nudge", "促す"),
    "processes.nudge.ask": (
        "Sends again what has no answer, tries again what was given up. What was done is not done twice.",
        "返事のないものを送り直し、あきらめたものを再試行します。済んだことは二重に行いません。",
    ),
    "processes.nudge.nothing": ("It waits for nothing that could be nudged.", "促せるものはありません。"),
    "processes.compensate": ("Turn back", "補償する"),
    "processes.compensate.ask": (
        "Everything that it did and that can be undone will be, the last step first.",
        "取り消せる手順を、最後のものから順に取り消します。",
    ),
    "processes.compensate.nothing": ("It goes back already, or never began.", "すでに補償中か、まだ始まっていません。"),
}


def state_diagram(definition: Definition, count: ProcessCount | None, names: dict[str, str]) -> str:
    """A flowchart for Mermaid: the states of instances with how many are in each, and what leads from one to another.
    `names`: of the states."""
    number = {status: getattr(count, status, 0) if count else 0 for status in _STATUSES}
    fills = {
        "running": "#2f6fde",
        "done": "#2e9e5b",
        "compensating": "#d99a00",
        "compensated": "#8a6d1f",
        "waiting": "#7a8594",
    }
    lines = ["flowchart LR"]
    lines += [f'  {status}(["{names[status]}: {number[status]:,}"])' for status in _STATUSES]
    starts = ", ".join(sorted(event.__message_name__ for event in definition.starts))
    lines += ["  begin(( ))", f'  begin -->|"{_clean(starts)}"| running']
    ons = sorted(event.__message_name__ for event in definition.ons)
    if ons:
        lines += [f'  begin -.->|"{_clean(_some(ons))}"| waiting', f'  waiting -->|"{_clean(starts)}"| running']
        lines.append(f'  running -->|"{_clean(_some(ons))}"| running')
    if definition.deadlines:
        lines.append(f'  running -.->|"{_clean(_some(sorted(definition.deadlines)))}"| running')
    lines += ["  running --> done", "  running --> compensating", "  compensating --> compensated"]
    lines += [f"  style {status} fill:{fill},stroke:{fill},color:#ffffff" for status, fill in fills.items()]
    return "\n".join(lines)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")


def _clean(text: str) -> str:
    return text.replace('"', "'").replace("\n", " ").replace("#", "").replace(";", ",")


async def build(place: Place) -> None:
    ui.label(place.t("processes.lead")).classes("d-lead")
    if not place.app.model.processes:
        empty(
            place,
            place.t("processes.none"),
            fill='class Fulfilment(Process, category="fulfilment", key="order_id"): ...',
        )
        return
    counts = await place.app.processes.list()
    columns = [
        Column(
            name="process",
            title=place.t("processes.name"),
            kind="mono",
            link=lambda row: place.link("/processes/{process}", process=row["process"]),
        ),
        *(Column(name=status, title=place.t(f"processes.{status}"), kind="number") for status in _STATUSES),
        Column(name="stuck", title=place.t("processes.stuck"), kind="number"),
    ]
    table(place, "processes", columns, [msgspec.to_builtins(count) for count in counts])
    for definition in place.app.model.processes:
        count = next((each for each in counts if each.process == definition.category), None)
        with panel(definition.category):
            _diagram(place, definition, count)


def _diagram(place: Place, definition: Definition, count: ProcessCount | None) -> None:
    diagram(state_diagram(definition, count, {status: place.t(f"processes.{status}") for status in _STATUSES}))


# -- the instances of one ---------------------------------------------------------------------------------------------


async def process(place: Place) -> None:
    category, status = place.params["process"], place.query.get("status") or None
    definition = next((each for each in place.app.model.processes if each.category == category), None)
    if definition is None:
        empty(place, place.t("processes.unknown"), fill="daicho process list", icon="search_off")
        return
    heading(category, 1)
    counts = await place.app.processes.list()
    count = next((each for each in counts if each.process == category), None)
    with ui.element("div").classes("d-cards"):
        for each in _STATUSES:
            card(place.t(f"processes.{each}"), f"{getattr(count, each, 0):,}", target=place.here(status=each))
        card(place.t("processes.stuck"), f"{count.stuck if count else 0:,}")
    with panel(place.t("processes.diagram")):
        _diagram(place, definition, count)
    with panel(place.t("processes.hears")):
        _what_moves(place, definition)
    heading(place.t("processes.instances"))
    options = {each: place.t(f"processes.{each}") for each in _STATUSES}
    filters(place, [Field(name="status", label=place.t("processes.status"), kind="select", options=options)])
    lines = await place.app.processes.instances(category, status=status, limit=_MOST)
    if not lines:
        empty(place, place.t("processes.no.instances"), fill=f"daicho process list {category}")
        return
    columns = [
        Column(
            name="key",
            title=place.t("processes.key"),
            kind="mono",
            link=lambda row: place.link("/processes/{process}/{key}", process=category, key=row["key"]),
        ),
        Column(
            name="status",
            title=place.t("processes.status"),
            kind="badge",
            words="processes",
            colour=lambda row: _colour(row["status"]),
        ),
        Column(name="moved_at", title=place.t("processes.moved"), kind="time"),
        Column(name="stuck", title=place.t("processes.stuck")),
    ]
    table(place, f"process-{category}", columns, [msgspec.to_builtins(line) for line in lines])


def _what_moves(place: Place, definition: Definition) -> None:
    def names(function: Callable[..., Any]) -> str:
        return ", ".join(command.__message_name__ for command in definition.sends.get(function, ()))

    rows = [
        *((e.__message_name__, "start", names(m.function)) for e, m in definition.starts.items()),
        *((e.__message_name__, "event", names(m.function)) for e, m in definition.ons.items()),
        *((name, "deadline", names(function)) for name, function in definition.deadlines.items()),
        *((c.__message_name__, "refused", names(function)) for c, function in definition.refusals.items()),
    ]
    columns = [
        Column(name="what", title=place.t("processes.what"), kind="mono"),
        Column(name="when", title=place.t("processes.when")),
        Column(name="sends", title=place.t("processes.sends"), kind="mono"),
    ]
    shown = [{"what": what, "when": place.t(f"processes.{when}"), "sends": sends} for what, when, sends in rows]
    table(place, f"process-{definition.category}-moves", columns, shown)


def _colour(status: str) -> str:
    return {"running": "command", "done": "good", "compensating": "warn", "compensated": "warn"}.get(status, "")


# -- one instance -----------------------------------------------------------------------------------------------------


async def instance(place: Place) -> None:
    category, key = place.params["process"], place.params["key"]
    try:
        story = await place.app.processes.show(category, key)
    except NotFound:
        empty(place, place.t("processes.unknown"), fill=f"daicho process list {category}", icon="search_off")
        return
    heading(f"{category} {key}", 1)
    if story.stuck:
        told(story.stuck, "bad", f"daicho process nudge {category} {key}")
    with ui.element("div").classes("d-two"):
        with panel(place.t("processes.awaited")):
            _standing(place, story)
        with panel(place.t("processes.fields")):
            tree(place.shown(msgspec.to_builtins(story.fields, str_keys=True, enc_hook=str)))
    with panel(place.t("processes.actions")):
        _actions(place, story)
    heading(place.t("processes.timeline"))
    _timeline(place, story)
    heading(place.t("processes.tasks"))
    _tasks(place, story)


def _standing(place: Place, story: ProcessStory) -> None:
    now = place.app.clock.now()
    deadlines = ", ".join(f"{name}: {place.time(due)} ({_left(due, now)})" for name, due in story.deadlines.items())
    facts(
        [
            (place.t("processes.status"), lambda: badge(place.t(f"processes.{story.status}"), _colour(story.status))),
            (place.t("processes.awaited"), ", ".join(story.awaited) or place.t("processes.nothing")),
            (place.t("processes.deadlines"), deadlines or place.t("processes.nothing")),
        ]
    )
    link(f"{story.process}-{story.key}", place.link("/streams/{stream}", stream=f"{story.process}-{story.key}"))


def _left(due: datetime, now: datetime) -> str:
    return short_time((due - now).total_seconds())


def _timeline(place: Place, story: ProcessStory) -> None:
    began = story.timeline[0].at if story.timeline else None
    columns = [
        Column(
            name="at",
            title=place.t("processes.at"),
            kind="time",
            link=lambda row: place.link("/events/{position}", position=row["position"]),
        ),
        Column(name="since", title=place.t("processes.since")),
        Column(name="trigger", title=place.t("processes.trigger"), kind="badge", words="processes"),
        Column(name="name", title=place.t("processes.what"), kind="mono"),
        Column(
            name="status",
            title=place.t("processes.status"),
            kind="badge",
            words="processes",
            colour=lambda row: _colour(row["status"]),
        ),
        Column(name="commands", title=place.t("processes.commands"), kind="mono"),
        Column(name="deadlines", title=place.t("processes.set"), kind="mono"),
        Column(name="reason", title=place.t("processes.reason")),
    ]
    rows = [
        {
            "at": move.at,
            "since": short_time((move.at - began).total_seconds()) if began else "",
            "trigger": move.trigger,
            "name": move.name,
            "status": move.status,
            "commands": ", ".join(move.commands),
            "deadlines": ", ".join(move.deadlines),
            "reason": move.reason or "",
            "position": move.position,
        }
        for move in story.timeline
    ]
    table(place, f"{story.process}-{story.key}", columns, rows)


def _tasks(place: Place, story: ProcessStory) -> None:
    colours = {"done": "good", "rejected": "bad", "failed": "bad", "undone": "warn"}
    columns = [
        Column(name="command", title=place.t("processes.command"), kind="mono"),
        Column(
            name="state",
            title=place.t("processes.state"),
            kind="badge",
            words="state",
            colour=lambda r: colours.get(r["state"], ""),
        ),
        Column(name="failures", title=place.t("processes.failures"), kind="number"),
        Column(name="reason", title=place.t("processes.reason")),
    ]
    table(
        place, f"{story.process}-{story.key}-commands", columns, [msgspec.to_builtins(each) for each in story.commands]
    )


def _actions(place: Place, story: ProcessStory) -> None:
    processes, which = place.app.processes, f"{story.process} {story.key}"
    why: list[str] = []

    async def nudge() -> str:
        return "" if await processes.nudge(story.process, story.key) else place.t("processes.nudge.nothing")

    async def turn_back() -> str:
        done = await processes.compensate(story.process, story.key, why[0])
        return why[0] if done else place.t("processes.compensate.nothing")

    def button(what: str, run: Callable[[], Awaitable[str]], verb: str, icon: str, *, is_dangerous: bool) -> None:
        action(
            place,
            place.t(f"processes.{what}"),
            name=f"process.{what}",
            target=which,
            verb=verb,
            needs="act",
            run=run,
            icon=icon,
            is_dangerous=is_dangerous,
            explained=(lambda reason: why.insert(0, reason)) if is_dangerous else None,
            ask=place.t(f"processes.{what}.ask"),
        )

    with ui.element("div").classes("d-row"):
        button("nudge", nudge, f"daicho process nudge {which}", "touch_app", is_dangerous=False)
        ui.element("span").classes("d-space")
        verb = f"daicho process compensate {which} --reason TEXT"
        button("compensate", turn_back, verb, "undo", is_dangerous=True)


SCREEN = Screen(
    path="/processes",
    title="processes.title",
    group="flow",
    build=build,
    words=WORDS,
    icon="account_tree",
    keys="m",
)
PROCESS = Screen(
    path="/processes/{process}",
    title="processes.title",
    group="flow",
    build=process,
    words=WORDS,
    icon="account_tree",
    listed=False,
)
INSTANCE = Screen(
    path="/processes/{process}/{key}",
    title="processes.title",
    group="flow",
    build=instance,
    words=WORDS,
    icon="account_tree",
    listed=False,
)
