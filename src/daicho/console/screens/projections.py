"""Views and event handlers: how far they are, how fast they go, and the generations of a view."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import Column, action, badge, code, diff, empty, facts, heading, link, panel, table
from daicho.console.parts.chart import bar
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.segments import root_of
from daicho.insight.drawing import short_time
from daicho.read.diff import Diff
from daicho.read.progress import Lag
from daicho.read.projections import ProjectionState
from daicho.read.rebuild import RebuildStep

__all__ = ["DETAIL", "SCREEN"]

_EVERY = 2.0
WORDS: Words = {
    "projections.title": ("Projections", "投影"),
    "projections.lead": (
        "Everything that reads the log. Lag is the way to its head: in events, and as the age of the oldest waiting.",
        "ログを読むものの一覧です。遅れは、ログの先頭までのイベント数と、待っている最古のイベントの経過時間です。",
    ),
    "projections.none": (
        "This app has no projections and no event handlers.",
        "投影もイベントハンドラーもありません。",
    ),
    "projections.reader": ("Reader", "読み手"),
    "projections.kind": ("Kind", "種類"),
    "projections.state": ("State", "状態"),
    "projections.position": ("Position", "位置"),
    "projections.behind": ("Events behind", "遅れ（件）"),
    "projections.age": ("Time behind", "遅れ（時間）"),
    "projections.rate": ("Events/s", "件/秒"),
    "projections.trend": ("Trend", "傾向"),
    "projections.parked": ("Parked", "退避"),
    "projections.segments": ("Segments", "区分"),
    "projections.error": ("Error", "エラー"),
    "projections.kind.projection": ("view", "ビュー"),
    "projections.kind.reaction": ("event handler", "イベントハンドラー"),
    "projections.kind.process": ("process manager", "プロセスマネージャー"),
    "projections.kind.other": ("engine", "エンジン"),
    "projections.one": ("Projection {name}", "投影 {name}"),
    "projections.unknown": ("There is no reader called {name}.", "{name} という読み手はありません。"),
    "projections.progress": ("How far", "進み具合"),
    "projections.pieces": ("Segments", "区分"),
    "projections.owner": ("Run by", "実行者"),
    "projections.nobody": ("nobody", "なし"),
    "projections.actions": ("Actions", "操作"),
    "projections.pause": ("Pause", "一時停止"),
    "projections.pause.ask": ("Nobody runs it until it is resumed.", "再開するまで、誰も実行しません。"),
    "projections.resume": ("Resume", "再開"),
    "projections.rewind": ("Put back", "巻き戻す"),
    "projections.rewind.to": ("Begin again behind position", "この位置の次からやり直す"),
    "projections.rewind.ask": (
        "Commands that it sent are recognised; side effects happen again.",
        "送信済みのコマンドは重複として扱われますが、副作用は再び起こります。",
    ),
    "projections.generations": ("Generations", "世代"),
    "projections.number": ("Generation", "世代"),
    "projections.role": ("Role", "役割"),
    "projections.code": ("Code", "コード"),
    "projections.live": ("live", "公開中"),
    "projections.built": ("built", "構築済み"),
    "projections.former": ("former", "以前のもの"),
    "projections.building": ("being built", "構築中"),
    "projections.ours": ("of this app", "このアプリ"),
    "projections.theirs": ("other", "別のコード"),
    "projections.deploy": ("Build anew, beside", "並べて再構築"),
    "projections.deploy.ask": (
        "The rows that readers see stay as they are. Compare afterwards, then switch.",
        "公開中の行は変わりません。後で差分を確かめてから切り替えます。",
    ),
    "projections.diff": ("Compare", "差分を見る"),
    "projections.switch": ("Switch to it", "切り替える"),
    "projections.switch.ask": ("Readers see the new rows from then on.", "以後、読み手には新しい行が見えます。"),
    "projections.rollback": ("Roll back", "元に戻す"),
    "projections.rollback.ask": (
        "Readers see the rows of the generation before, as they were.",
        "一つ前の世代の行が、当時のまま見えるようになります。",
    ),
    "projections.verify": ("Verify", "検証"),
    "projections.verify.ask": (
        "Builds the rows once more, compares them with the live ones, and drops them.",
        "もう一度作り直して公開中の行と比べ、その後で捨てます。",
    ),
    "projections.working": (
        "Generation {n}: {position} of {head} events, {rate} events/s, {left} left",
        "第 {n} 世代：{head} 件中 {position} 件、毎秒 {rate} 件、残り {left}",
    ),
    "projections.same": ("Every row is the same.", "すべての行が同じです。"),
    "projections.difference": ("Difference", "差分"),
    "projections.counts": (
        "{equal} rows are the same, {changed} changed, {added} new, {removed} gone.",
        "同じ {equal} 行、変更 {changed} 行、追加 {added} 行、削除 {removed} 行。",
    ),
    "projections.fields": ("{count} rows differ in {fields}", "{fields} が異なる行：{count}"),
    "projections.row": ("Row {row}", "行 {row}"),
    "projections.look": ("What is parked", "退避されたイベント"),
}


@dataclass
class Rates:
    """How fast readers go, from one look to the next."""

    seen: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def of(self, lag: Lag, now: float) -> tuple[float | None, str]:
        """Events a second since the last look, and a sign of whether the distance shrinks."""
        before = self.seen.get(lag.processor)
        self.seen[lag.processor] = (now, lag.position)
        if before is None or now <= before[0]:
            return None, ""
        rate = (lag.position - before[1]) / (now - before[0])
        if not lag.events_behind:
            return rate, "="
        return rate, "↗" if rate > 0 else "!"


def short_name(processor: str) -> str:
    """`orders`, for `projection:orders@2`."""
    return processor.partition(":")[2].partition("@")[0]


def address_of(processor: str) -> str:
    """`projection:orders`, for `projection:orders@2`: a page stays where it is when readers see another generation."""
    return processor.rpartition("@")[0] or processor


def kind_of(processor: str) -> str:
    found = processor.partition(":")[0]
    return found if found in ("projection", "reaction", "process") else "other"


async def build(place: Place) -> None:
    ui.label(place.t("projections.lead")).classes("d-lead")
    rates, clock = Rates(), asyncio.get_running_loop().time
    lags = await place.app.lag()
    if not lags:
        empty(place, place.t("projections.none"), fill='@projection("orders", key=lambda event: event.order_id)')
        return
    shown = table(place, "readers", _columns(place), [_row(place, lag, rates, clock()) for lag in lags])

    async def again() -> None:
        shown.show([_row(place, lag, rates, clock()) for lag in await place.app.lag()])

    ui.timer(_EVERY, again, immediate=False)


def _columns(place: Place) -> list[Column]:
    def t(name: str) -> str:
        return place.t(f"projections.{name}")

    def target(row: Any) -> str | None:
        return place.link("/projections/{name}", name=address_of(row["processor"]))

    return [
        Column(name="processor", title=t("reader"), kind="mono", link=target),
        Column(name="kind", title=t("kind")),
        Column(name="state", title=t("state"), kind="badge", words="state", colour=lambda row: colour_of(row["state"])),
        Column(name="position", title=t("position"), kind="number"),
        Column(name="behind", title=t("behind"), kind="number"),
        Column(name="age", title=t("age")),
        Column(name="rate", title=t("rate"), kind="number"),
        Column(name="trend", title=t("trend")),
        Column(name="parked", title=t("parked"), kind="number"),
        Column(name="segments", title=t("segments"), kind="number"),
        Column(name="error", title=t("error")),
    ]


def colour_of(state: str) -> str:
    return {"live": "good", "catching up": "warn", "paused": "warn", "failing": "bad", "stopped": "bad"}.get(state, "")


def _row(place: Place, lag: Lag, rates: Rates, now: float) -> dict[str, Any]:
    rate, trend = rates.of(lag, now)
    return {
        "processor": lag.processor,
        "kind": place.t(f"projections.kind.{kind_of(lag.processor)}"),
        "state": lag.state,
        "position": lag.position,
        "behind": lag.events_behind,
        "age": short_time(lag.seconds_behind) if lag.events_behind else "",
        "rate": None if rate is None else round(rate),
        "trend": trend,
        "parked": lag.parked or None,
        "segments": lag.segments,
        "error": lag.error or "",
    }


# -- one of them ------------------------------------------------------------------------------------------------------


async def detail(place: Place) -> None:
    asked = address_of(place.params["name"])
    lag = next((each for each in await place.app.lag() if asked in (address_of(each.processor), each.processor)), None)
    if lag is None:
        empty(place, place.t("projections.unknown", name=asked), fill="daicho processor list", icon="search_off")
        return
    name, kind = short_name(lag.processor), kind_of(lag.processor)
    heading(place.t("projections.one", name=name) if kind == "projection" else lag.processor, 1)
    with panel(place.t("projections.progress")):
        drawn = ui.element("div").classes("d-stack")
        await _progress(place, drawn, lag)
    ui.timer(_EVERY, lambda: _again(place, drawn, lag.processor), immediate=False)
    with panel(place.t("projections.actions")), ui.element("div").classes("d-row"):
        _steering(place, lag, kind)
    if kind == "projection":
        await _generations(place, name)


async def _again(place: Place, drawn: ui.element, processor: str) -> None:
    found = [each for each in await place.app.lag() if root_of(each.processor) == root_of(processor)]
    if found:
        await _progress(place, drawn, found[0])


async def _progress(place: Place, drawn: ui.element, lag: Lag) -> None:
    head = await place.app.storage.head()
    pieces = [
        each
        for each in await place.app.storage.checkpoints()
        if root_of(each.processor) == root_of(lag.processor) and each.owner != "cut"
    ]
    drawn.clear()
    with drawn:
        bar(lag.position / head if head else 1.0, f"{lag.position:,} / {head:,}")
        facts(
            [
                (place.t("projections.state"), lambda: badge(place.word("state", lag.state), colour_of(lag.state))),
                (place.t("projections.behind"), f"{lag.events_behind:,}"),
                (place.t("projections.age"), short_time(lag.seconds_behind) if lag.events_behind else "0"),
                (place.t("projections.parked"), f"{lag.parked:,}"),
                *([(place.t("projections.error"), lag.error)] if lag.error else []),
            ]
        )
        if lag.parked:
            link(place.t("projections.look"), place.link("/parked", processor=lag.processor))
        if len(pieces) > 1:
            ui.label(place.t("projections.pieces")).classes("d-strong")
        for each in pieces:
            owner = each.owner or place.t("projections.nobody")
            bar(
                each.position / head if head else 1.0,
                f"{each.processor.rpartition('/')[2]}  {each.position:,}  {owner}",
            )


def _steering(place: Place, lag: Lag, kind: str) -> None:
    whole, app = lag.processor, place.app

    def button(what: str, run: Callable[[], Awaitable[str | None]], icon: str) -> None:
        action(
            place,
            place.t(f"projections.{what}"),
            name=f"processor.{what}",
            target=whole,
            verb=f"daicho processor {what} {whole}",
            needs="act",
            run=run,
            icon=icon,
            ask=place.t("projections.pause.ask") if what == "pause" else "",
        )

    async def pause() -> None:
        await app.processors.pause(whole)

    async def resume() -> None:
        await app.processors.resume(whole)

    if lag.state == "paused":
        button("resume", resume, "play_arrow")
    else:
        button("pause", pause, "pause")
    if kind == "reaction":
        _rewinding(place, whole)


def _rewinding(place: Place, whole: str) -> None:
    with ui.element("label").classes("d-field"):
        ui.label(place.t("projections.rewind.to"))
        to = ui.number(value=0, min=0, precision=0).props("dense outlined")

    async def rewind() -> str:
        await place.app.processors.rewind(whole, int(to.value or 0))
        return str(int(to.value or 0))

    action(
        place,
        place.t("projections.rewind"),
        name="processor.rewind",
        target=whole,
        verb=f"daicho processor rewind {whole} --to POSITION",
        needs="act",
        run=rewind,
        icon="replay",
        is_dangerous=True,
        ask=place.t("projections.rewind.ask"),
    )


# -- generations ------------------------------------------------------------------------------------------------------


async def _generations(place: Place, name: str) -> None:
    state = next((each for each in await place.app.projections.list() if each.name == name), None)
    if state is None:
        return
    with panel(place.t("projections.generations")):
        table(place, f"generations-{name}", _generation_columns(place), _generation_rows(place, state))
        with ui.element("div").classes("d-row"):
            told = ui.element("div").classes("d-stack")
            said = ui.element("div")
        with ui.element("div").classes("d-row"):
            _operations(place, name, state, told, said)


def _generation_columns(place: Place) -> list[Column]:
    colours = {place.t("projections.live"): "good", place.t("projections.built"): "view"}
    return [
        Column(name="number", title=place.t("projections.number"), kind="number"),
        Column(
            name="role", title=place.t("projections.role"), kind="badge", colour=lambda r: colours.get(r["role"], "")
        ),
        Column(name="position", title=place.t("projections.position"), kind="number"),
        Column(name="behind", title=place.t("projections.behind"), kind="number"),
        Column(name="code", title=place.t("projections.code"), kind="mono"),
    ]


def _generation_rows(place: Place, state: ProjectionState) -> list[dict[str, Any]]:
    live = state.live or 0

    def role(number: int, is_live: bool, built: bool) -> str:
        if is_live:
            return "live"
        return "former" if number < live else "built" if built else "building"

    return [
        {
            "number": each.number,
            "role": place.t(f"projections.{role(each.number, each.live, each.built)}"),
            "position": each.position,
            "behind": each.events_behind,
            "code": f"{(each.code or '')[:12]} ({place.t('projections.ours' if each.own else 'projections.theirs')})",
        }
        for each in state.generations
    ]


def _operations(place: Place, name: str, state: ProjectionState, told: ui.element, said: ui.element) -> None:
    app = place.app.projections

    def show(step: RebuildStep) -> None:
        if told.is_deleted:
            return
        told.clear()
        with told:
            left = "?" if step.seconds_left is None else short_time(step.seconds_left)
            bar(step.position / step.head if step.head else 1.0, "")
            text = {"n": step.generation, "position": f"{step.position:,}", "head": f"{step.head:,}"}
            ui.label(place.t("projections.working", **text, rate=f"{step.events_per_second:,.0f}", left=left))

    async def deploy() -> str:
        step: RebuildStep | None = None
        async for step in app.deploy(name):
            show(step)
        return f"generation {step.generation}" if step else ""

    async def compare() -> str:
        found = await app.diff(name)
        _show_diff(place, said, found)
        return _summary(found)

    async def verify() -> str:
        found = await app.verify(name, progress=show)
        _show_diff(place, said, found)
        return _summary(found)

    async def switch() -> str:
        return f"generation {(await app.switch(name)).number}"

    async def rollback() -> str:
        return f"generation {(await app.rollback(name)).number}"

    def button(what: str, run: Callable[[], Awaitable[str | None]], icon: str, **more: Any) -> None:
        action(
            place,
            place.t(f"projections.{what}"),
            name=f"projection.{what}",
            target=name,
            verb=f"daicho projection {what} {name}",
            needs="act",
            run=run,
            icon=icon,
            ask=more.pop("ask", ""),
            **more,
        )

    live = state.live or 0
    button("deploy", deploy, "layers", ask=place.t("projections.deploy.ask"))
    if any(each.built and each.number > live for each in state.generations):
        button("diff", compare, "difference", confirm=False, then=_stay)
        button("switch", switch, "swap_horiz", ask=place.t("projections.switch.ask"))
    if any(each.number < live for each in state.generations):
        button("rollback", rollback, "undo", is_dangerous=True, ask=place.t("projections.rollback.ask"))
    button("verify", verify, "fact_check", ask=place.t("projections.verify.ask"), then=_stay)


def _stay(outcome: str) -> None:
    """The page is not loaded again."""


def _summary(found: Diff) -> str:
    return f"{found.equal} equal, {found.changed} changed, {found.added} added, {found.removed} removed"


def _show_diff(place: Place, said: ui.element, found: Diff) -> None:
    if said.is_deleted:
        return
    record = next((fold.part.row_type for fold in place.app.model.folds if fold.name == found.name), None)
    said.clear()
    with said, panel(place.t("projections.difference")):
        if found.same:
            badge(place.t("projections.same"), "good")
        counts = {name: f"{getattr(found, name):,}" for name in ("equal", "changed", "added", "removed")}
        ui.label(place.t("projections.counts", **counts))
        if found.new_fields or found.gone_fields:
            code("\n".join([*(f"+ {name}" for name in found.new_fields), *(f"- {name}" for name in found.gone_fields)]))
        for cause in found.causes:
            ui.label(place.t("projections.fields", count=f"{cause.count:,}", fields=", ".join(cause.fields))).classes(
                "d-strong"
            )
            for row in cause.examples[:3]:
                ui.label(place.t("projections.row", row=row.key)).classes("d-dim")
                diff(place, place.shown(_plain(row.old), record), place.shown(_plain(row.new), record))
        _keys(found.added_keys, "+")
        _keys(found.removed_keys, "−")


def _keys(keys: Sequence[str], sign: str) -> None:
    if keys:
        code("\n".join(f"{sign} {key}" for key in keys[:20]))


def _plain(row: dict[str, Any]) -> Any:
    return msgspec.to_builtins(row, str_keys=True, enc_hook=str)


SCREEN = Screen(
    path="/projections",
    title="projections.title",
    group="read",
    build=build,
    words=WORDS,
    icon="table_chart",
    keys="p",
)
DETAIL = Screen(
    path="/projections/{name}",
    title="projections.title",
    group="read",
    build=detail,
    words=WORDS,
    icon="table_chart",
    listed=False,
)
