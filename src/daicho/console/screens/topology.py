"""What there is and how it hangs together: as processes, stores and brokers, or as the twelve components."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from nicegui import ui

from daicho.console.parts import tabs
from daicho.console.parts.boxes import Box, Line, boxes_svg
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import BusError
from daicho.core.segments import root_of
from daicho.flow.among import PartitionState
from daicho.insight.drawing import short_time
from daicho.ports.checkpoint_store import NOBODY, Checkpoint
from daicho.read.progress import Lag

__all__ = ["SCREEN"]

_EVERY = 2.0
_LATE = 5.0
_MOST = 9
"""Readers that are named within one box."""
WORDS: Words = {
    "topology.title": ("Topology", "構成図"),
    "topology.deployment": ("As it runs", "配置"),
    "topology.model": ("Twelve components", "12 の構成要素"),
    "topology.lead": (
        "From what is recorded now: who runs what, where rows are, and how far each is. Rates are of the last seconds.",
        "現在の記録に基づく図です。誰が何を動かし、行がどこにあり、どこまで進んでいるか。速度は直近の数秒間です。",
    ),
    "topology.this": ("this process", "このプロセス"),
    "topology.nobody": ("run by nobody", "実行者なし"),
    "topology.paused": ("paused", "一時停止中"),
    "topology.head": ("head {n}", "先頭 {n}"),
    "topology.rate": ("{n} events/s", "毎秒 {n} 件"),
    "topology.behind": ("{n} behind, {time}", "遅れ {n}（{time}）"),
    "topology.parked": ("{n} parked", "退避 {n} 件"),
    "topology.level": ("up to date", "遅れなし"),
    "topology.more": ("and {n} more", "ほか {n} 件"),
    "topology.store": ("Store: {engine}", "ストア：{engine}"),
    "topology.replica": ("Replica {name}", "レプリカ {name}"),
    "topology.out": ("out of service", "使用停止中"),
    "topology.views": ("Views in {engine}", "{engine} のビュー"),
    "topology.bus": ("Bus", "バス"),
    "topology.edge": ("Edge cache", "エッジキャッシュ"),
    "topology.unsaid": ("{n} to be sent", "未送信 {n}"),
    "topology.unheard": ("{n} to be taken in", "未取り込み {n}"),
    "topology.unbroken": ("no gap", "欠落なし"),
    "topology.gap": ("a gap", "欠落あり"),
    "topology.purges": ("{n} purges waiting", "消去待ち {n}"),
    "model.controller": ("Controller", "コントローラ"),
    "model.commands": ("Commands", "コマンド"),
    "model.gateway": ("Command gateway", "コマンドゲートウェイ"),
    "model.handlers": ("Command handlers", "コマンドハンドラ"),
    "model.aggregates": ("Aggregates", "集約"),
    "model.repository": ("Repository", "リポジトリ"),
    "model.store": ("Event store", "イベントストア"),
    "model.events": ("Events", "イベント"),
    "model.bus": ("Event bus", "イベントバス"),
    "model.reactions": ("Event handlers", "イベントハンドラー"),
    "model.views": ("Materialised views", "マテリアライズドビュー"),
    "model.queries": ("Queries", "クエリ"),
    "model.routes": ("{n} routes", "ルート {n}"),
    "model.handled": ("{n} handled here", "処理済み {n}"),
    "model.asked": ("{n} asked here", "問い合わせ {n}"),
    "model.none": ("none", "なし"),
    "model.inside": ("within the store", "ストア内"),
}


@dataclass
class Pace:
    """How fast positions move, from one look to the next."""

    at: float = 0.0
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def look(self, now: float, positions: dict[str, int]) -> dict[str, float]:
        past, self.seen, since, self.at = self.seen, positions, now - self.at, now
        return {name: (n - past[name]) / since for name, n in positions.items() if name in past and since > 0}


async def build(place: Place) -> None:
    is_model = place.query.get("view") == "model"
    tabs(
        [
            (place.t("topology.deployment"), place.here(view=None), not is_model),
            (place.t("topology.model"), place.here(view="model"), is_model),
        ]
    )
    pace, now = Pace(), asyncio.get_running_loop().time
    if not is_model:
        ui.label(place.t("topology.lead")).classes("d-lead").style("margin-top:0")
    with ui.element("section").classes("d-panel").style("overflow-x:auto"):
        drawn = ui.html("").classes("d-boxes")

    async def draw() -> None:
        found, lines = await (_components(place) if is_model else _deployment(place, pace, now()))
        drawn.set_content(boxes_svg(found, lines, wide=168, gap=26) if is_model else boxes_svg(found, lines))

    await draw()
    ui.timer(_EVERY, draw, immediate=False)


# -- as it runs -------------------------------------------------------------------------------------------------------


async def _deployment(place: Place, pace: Pace, now: float) -> tuple[list[Box], list[Line]]:
    app = place.app
    head, checkpoints, lags = await app.storage.head(), await app.storage.checkpoints(), await app.lag()
    rates = pace.look(now, {"": head, **{each.processor: each.position for each in checkpoints}})
    engine = str(app.storage.describe().get("engine", "?"))
    rate = rates.get("")
    store = Box(
        name="store",
        title=place.t("topology.store", engine=engine),
        lines=[place.t("topology.head", n=f"{head:,}"), *([] if rate is None else [_rate(place, rate)])],
        kind="event",
        column=1,
        target=place.link("/streams"),
    )
    found, lines = [store], list[Line]()
    _processes(place, found, lines, checkpoints, lags, rates)
    _replicas(place, found, lines)
    _view_stores(place, found, lines)
    await _bus(place, found, lines)
    if purges := app.purge_lag():
        told = [place.t("topology.purges", n=purges.waiting), *([purges.error] if purges.error else [])]
        kind = "bad" if purges.error else "external"
        found.append(Box(name="edge", title=place.t("topology.edge"), lines=told, kind=kind, column=2))
        lines.append(Line(start="store", end="edge", is_dashed=True))
    return found, lines


def _processes(
    place: Place,
    found: list[Box],
    lines: list[Line],
    checkpoints: Sequence[Checkpoint],
    lags: Sequence[Lag],
    rates: dict[str, float],
) -> None:
    by_root = {root_of(lag.processor): lag for lag in lags}
    owned: dict[str, list[Checkpoint]] = {}
    for each in checkpoints:
        if root_of(each.processor) in by_root and each.owner != "cut":
            owned.setdefault(each.owner or "", []).append(each)
    for n, (owner, theirs) in enumerate(sorted(owned.items())):
        roots = list(dict.fromkeys(root_of(each.processor) for each in theirs))
        most = max((by_root[root] for root in roots), key=lambda lag: lag.events_behind)
        is_run = owner and owner not in NOBODY and any(each.runs for each in theirs)
        title = _owner(place, owner)
        names = roots[:_MOST]
        more = [place.t("topology.more", n=len(roots) - _MOST)] if len(roots) > _MOST else []
        parked = sum(by_root[root].parked for root in roots)
        name = f"process-{n}"
        found.append(
            Box(
                name=name,
                title=title,
                lines=[*names, *more, *([place.t("topology.parked", n=parked)] if parked else [])],
                kind="bad" if parked or not is_run else "policy",
                column=2,
                target=place.link("/projections"),
            )
        )
        speed = sum(rates.get(each.processor, 0.0) for each in theirs)
        late = most.seconds_behind > _LATE and most.events_behind > 0
        told = (
            place.t("topology.behind", n=f"{most.events_behind:,}", time=short_time(most.seconds_behind))
            if most.events_behind
            else place.t("topology.level")
        )
        kind = "bad" if late else "warn" if most.events_behind else "good"
        lines.append(Line(start="store", end=name, label=told, kind=kind, width=1.5 + min(5.0, speed / 200)))


def _owner(place: Place, owner: str) -> str:
    """`host:pid`, of `host:pid:start:random`."""
    if not owner:
        return place.t("topology.nobody")
    if owner in NOBODY:
        return place.t("topology.paused")
    return ":".join(owner.split(":")[:2])


def _replicas(place: Place, found: list[Box], lines: list[Line]) -> None:
    for n, each in enumerate(place.app.replicas):
        told = "" if each.lag_seconds is None else short_time(each.lag_seconds)
        found.append(
            Box(
                name=f"replica-{n}",
                title=place.t("topology.replica", name=each.name),
                lines=[told] if each.in_service else [place.t("topology.out"), each.why],
                kind="view" if each.in_service else "bad",
                column=1,
                target=place.link("/replication"),
            )
        )
        lines.append(Line(start="store", end=f"replica-{n}", label=told, kind="good" if each.in_service else "bad"))


def _view_stores(place: Place, found: list[Box], lines: list[Line]) -> None:
    by_url: dict[str, list[str]] = {}
    for view, url in place.app.view_urls.items():
        by_url.setdefault(url, []).append(view)
    writers = [box.name for box in found if box.name.startswith("process-")]
    for n, (url, views) in enumerate(by_url.items()):
        title = place.t("topology.views", engine=url.partition(":")[0])
        found.append(Box(name=f"views-{n}", title=title, lines=[url, *views], kind="view", column=3))
        lines += [Line(start=writer, end=f"views-{n}", is_dashed=True) for writer in writers]


async def _bus(place: Place, found: list[Box], lines: list[Line]) -> None:
    among = place.app.among
    if among is None:
        return
    try:
        states = await place.app.bus_status()
    except BusError as error:
        found.append(Box(name="bus", title=place.t("topology.bus"), lines=[error.what], kind="bad", column=0))
        return
    target = place.link("/buses")
    found.append(
        Box(name="bus", title=place.t("topology.bus"), lines=[among.name], kind="external", column=0, target=target)
    )
    waiting = _sum(states, "out")
    lines.append(
        Line(start="store", end="bus", label=place.t("topology.unsaid", n=waiting), kind="warn" if waiting else "good")
    )
    for n, source in enumerate(among.listen):
        theirs = [each for each in states if each.direction == "in" and each.channel.partition(".")[2] == source]
        has_gap = any(each.gap_up_to is not None for each in theirs)
        told = [
            place.t("topology.unheard", n=_sum(theirs, "in")),
            place.t("topology.gap" if has_gap else "topology.unbroken"),
        ]
        found.append(
            Box(name=f"service-{n}", title=source, lines=told, kind="bad" if has_gap else "external", column=0)
        )
        lines.append(Line(start=f"service-{n}", end="store", kind="bad" if has_gap else "good"))


def _sum(states: Sequence[PartitionState], direction: str) -> int:
    return sum(max(0, (each.tail or 0) - each.here) for each in states if each.direction == direction)


def _rate(place: Place, rate: float) -> str:
    return place.t("topology.rate", n=f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}")


# -- the twelve components --------------------------------------------------------------------------------------------


async def _components(place: Place) -> tuple[list[Box], list[Line]]:
    app, model = place.app, place.app.model
    writes, reads = app.meter.writes, app.meter.reads
    sent, asked = sum(writes.values()), sum(reads.values())
    engine = str(app.storage.describe().get("engine", "?"))
    bus = app.among.name if app.among else place.t("model.inside")
    commands = [command.__message_name__ for command in model.behaviours]
    events = sorted(event.__message_name__ for event in model.emitted)
    handlers = [each.name for each in model.reactions] + [each.category for each in model.processes]
    views = [fold.name for fold in model.folds] + [crud.name for crud in model.cruds]
    queries = [query.__message_name__ for query in model.queries]

    def box(name: str, column: int, lines: Sequence[str], kind: str, screen: str = "") -> Box:
        shown = list(lines[:4]) + ([place.t("topology.more", n=len(lines) - 4)] if len(lines) > 4 else [])
        title = place.t(f"model.{name}")
        target = place.link(screen) if any(each.path == screen for each in place.screens) else ""
        return Box(
            name=name, title=title, lines=shown or [place.t("model.none")], kind=kind, column=column, target=target
        )

    found = [
        box("controller", 0, [place.t("model.routes", n=len(model.routes))], "external"),
        box("commands", 1, commands, "command", "/commands"),
        box("queries", 1, [*queries[:3], place.t("model.asked", n=f"{asked:,}")], "view", "/queries"),
        box("gateway", 2, [place.t("model.handled", n=f"{sent:,}")], "command", "/commands"),
        box("views", 2, views, "view", "/projections"),
        box("handlers", 3, commands, "command"),
        box("reactions", 3, handlers, "policy", "/projections"),
        box("aggregates", 4, list(model.categories), "command", "/streams"),
        box("bus", 4, [bus], "external", "/buses"),
        box("repository", 5, list(model.categories), "command"),
        box("store", 5, [engine, place.t("topology.head", n=f"{await app.storage.head():,}")], "event", "/streams"),
        box("events", 5, events, "event", "/streams"),
    ]
    ways = (
        ("controller", "commands"),
        ("commands", "gateway"),
        ("gateway", "handlers"),
        ("handlers", "aggregates"),
        ("aggregates", "repository"),
        ("repository", "store"),
        ("store", "events"),
        ("events", "bus"),
        ("bus", "reactions"),
        ("reactions", "views"),
        ("reactions", "gateway"),
        ("views", "queries"),
        ("queries", "controller"),
    )
    return found, [
        Line(start=start, end=end, is_dashed=(start, end) == ("reactions", "gateway")) for start, end in ways
    ]


SCREEN = Screen(
    path="/topology", title="topology.title", group="system", build=build, words=WORDS, icon="hub", keys="t"
)
