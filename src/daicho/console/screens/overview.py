"""What needs attention, first; then how it goes."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from nicegui import ui

from daicho.console.parts import Column, empty, html, link, panel, short, table
from daicho.console.parts.figures import sparkline_svg
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.journal import BEAT, Outcome
from daicho.ports.event_store import Selection, StoredEvent
from daicho.read.health import Health, Problem
from daicho.read.progress import Lag

__all__ = ["SCREEN"]

_EVERY = 3.0
_RECENT = 1000
_BINS = 30
"""Points of a line, each of ten seconds: a line is five minutes."""
WORDS: Words = {
    "overview.title": ("Overview", "概要"),
    "overview.attention": ("Needs attention", "対応が必要"),
    "overview.well": ("Nothing needs attention.", "対応が必要なことはありません。"),
    "overview.well.detail": (
        "Nothing is parked, nobody is late, nothing is stuck.",
        "退避・遅延・停滞はありません。",
    ),
    "overview.look": ("Look", "見る"),
    "overview.do": ("What to do: {do}", "対処: {do}"),
    "overview.events": ("Events", "イベント"),
    "overview.commands": ("Commands, 5 minutes", "コマンド（5分間）"),
    "overview.rejected": ("of them rejected", "うち却下"),
    "overview.queries": ("Slowest query, 99 %", "最も遅いクエリ（99%）"),
    "overview.lag": ("Farthest behind", "最大の遅れ"),
    "overview.lag.unit": ("events", "件"),
    "overview.parked": ("Parked", "退避"),
    "overview.look.to.book": ("Look-to-Book", "ルック・トゥ・ブック"),
    "overview.readers": ("Readers of the log", "ログの読み手"),
    "overview.reader": ("Reader", "読み手"),
    "overview.state": ("State", "状態"),
    "overview.behind": ("Behind", "遅れ（件）"),
    "overview.seconds": ("Seconds", "遅れ（秒）"),
    "overview.latest": ("Latest events", "最近のイベント"),
    "overview.all": ("all", "すべて"),
    "overview.none": ("Nothing has happened yet.", "まだ何も起きていません。"),
    "overview.replicas": ("Replicas in service", "稼働中のレプリカ"),
}
_REJECTED = "/commands?outcome=rejected"
_WHERE = (
    ("parked", "/parked"),
    ("process:", "/processes"),
    ("projection:", "/projections"),
    ("reaction:", "/projections"),
    ("posted", "/commands/kept"),
    ("bus", "/buses"),
    ("relay", "/buses"),
    ("replica", "/replication"),
    ("orphan", "/replication"),
)
"""By the beginning of what is not well, the screen that has more."""


async def build(place: Place) -> None:
    attention = html("")
    cards = html("").classes("d-cards")
    with ui.element("div").classes("d-two d-uneven"):
        with panel(place.t("overview.readers")):
            readers = table(place, "readers", _reader_columns(place), [])
        with panel(place.t("overview.latest")):
            latest = html("").classes("d-tablewrap")
            link(place.t("overview.all"), place.link("/events"))

    async def show() -> None:
        health, lags = await place.app.health(), await place.app.lag()
        recent = await place.app.storage.read(Selection(newest_first=True), limit=_RECENT)
        attention.set_content(_attention(place, health))
        cards.set_content(_cards(place, lags, [each.recorded_at for each in recent]))
        readers.show([_reader(each) for each in sorted(lags, key=lambda lag: (-lag.events_behind, lag.processor))])
        latest.set_content(_latest(place, recent[:9]))

    await show()
    ui.timer(_EVERY, show, immediate=False)
    if not await place.app.storage.head():
        empty(
            place, place.t("overview.none"), fill="make run\ndaicho send CreateOrder --data @order.json", icon="inbox"
        )


def _attention(place: Place, health: Health) -> str:
    head = f"<h2>{escape(place.t('overview.attention'))}</h2>"
    if not health.problems:
        return (
            f'{head}<div class="d-problem good" role="status">'
            f'<div class="d-strong">✓ {escape(place.t("overview.well"))}</div>'
            f"<div>{escape(place.t('overview.well.detail'))}</div></div>"
        )
    kind = "bad" if health.status == "down" else "warn"
    return head + "".join(_problem(place, each, kind) for each in sorted(health.problems, key=_urgency))


def _urgency(problem: Problem) -> tuple[int, str]:
    order = ("store", "orphan", "parked", "process:", "relay", "replica", "posted")
    found = next((n for n, begin in enumerate(order) if problem.what.startswith(begin)), len(order))
    return found, problem.what


def _problem(place: Place, problem: Problem, kind: str) -> str:
    where = next((path for begin, path in _WHERE if problem.what.startswith(begin) and place.has(path)), None)
    button = ""
    if where is not None:
        button = f'<a class="d-button" href="{escape(place.link(where))}">{escape(place.t("overview.look"))}</a>'
    detail = problem.detail if place.viewer.payloads != "none" else ""
    return (
        f'<div class="d-problem {kind}" role="alert"><div class="d-row" style="flex-wrap:nowrap"><div style="flex:1">'
        f'<div class="d-strong">! {escape(problem.what)}</div><div>{escape(detail)}</div>'
        f'<div class="d-dim">{escape(place.t("overview.do", do=problem.do))}</div></div>{button}</div></div>'
    )


def _cards(place: Place, lags: Sequence[Lag], recorded: Sequence[str]) -> str:
    journal, meter, now = place.app.journal, place.app.meter, time.time()
    lately, rejected = _commands(place, now), _commands(place, now, "rejected")
    slowest = max((times.percentile(0.99) or 0.0 for times in journal.queries.values()), default=0.0)
    worst = max((lag.events_behind for lag in lags), default=0)
    parked = sum(lag.parked for lag in lags)
    moments = [datetime.fromisoformat(each).timestamp() for each in recorded]
    reads, writes = sum(meter.reads.values()), sum(meter.writes.values())
    ratio = f"{reads / writes:,.1f}" if writes else "–"
    position = max((lag.position for lag in lags), default=0)
    found = [
        _card(place, "overview.events", f"{position:,}", "/events", _line(moments, now, _RECENT), "event"),
        _card(place, "overview.commands", f"{sum(lately):,.0f}", "/commands", lately, "command"),
        _card(
            place,
            "overview.rejected",
            f"{sum(rejected):,.0f}",
            "/commands?outcome=rejected",
            rejected,
            "warn",
        ),
        _card(place, "overview.queries", f"{slowest * 1000:,.1f}", "/queries", _times(place), "view", "ms"),
        _card(place, "overview.lag", f"{worst:,}", "/projections", [], "policy", place.t("overview.lag.unit")),
        _card(place, "overview.parked", f"{parked:,}", "/parked", [], "bad"),
        _card(place, "overview.look.to.book", ratio, "/look-to-book", [], "command", ": 1" if writes else ""),
    ]
    if place.app.replicas:
        serving = sum(replica.in_service for replica in place.app.replicas)
        of_all = f"{serving} / {len(place.app.replicas)}"
        found.append(_card(place, "overview.replicas", of_all, "/replication", [], "view"))
    return "".join(found)


def _card(
    place: Place, label: str, figure: str, path: str, points: Sequence[float], colour: str, unit: str = ""
) -> str:
    plain, _, query = path.partition("?")
    there = place.has(plain)
    target = f"{place.link(plain)}{'?' if query else ''}{query}"
    tag = f'a href="{escape(target)}"' if there else "div"
    unit_html = f'<span class="d-unit">{escape(unit)}</span>' if unit else ""
    line = sparkline_svg(points, colour) if points else ""
    return (
        f'<{tag} class="d-card"><div class="d-label">{escape(place.t(label))}</div>'
        f'<div class="d-figure">{escape(figure)}{unit_html}</div>{line}</{"a" if there else "div"}>'
    )


def _line(moments: Sequence[float], now: float, most: int) -> list[float]:
    """How many there were in each ten seconds. Of `most` moments nobody knows what was before: the line is shorter."""
    counts = Counter(int((now - moment) // BEAT) for moment in moments if now >= moment)
    points = min(_BINS, max(counts, default=0)) if len(moments) >= most else _BINS
    return [float(counts[n]) for n in range(points - 1, -1, -1)]


def _commands(place: Place, now: float, outcome: Outcome | None = None) -> list[float]:
    """How many there were in each ten seconds, or how many of them with this outcome."""
    beats, last = place.app.journal.beats, int(now // BEAT)
    found = [beats.get(number, Counter[Outcome]()) for number in range(last - _BINS + 1, last + 1)]
    return [float(each.total() if outcome is None else each[outcome]) for each in found]


def _times(place: Place) -> list[float]:
    """Of the last answers of all queries, how long they took."""
    recent = [list(times.recent)[-_BINS:] for times in place.app.journal.queries.values()]
    return [second * 1000 for each in recent for second in each][-_BINS:]


def _reader_columns(place: Place) -> list[Column]:
    return [
        Column(name="reader", title=place.t("overview.reader"), kind="mono"),
        Column(name="state", title=place.t("overview.state"), kind="badge", words="state", colour=_colour),
        Column(name="behind", title=place.t("overview.behind"), kind="number"),
        Column(name="seconds", title=place.t("overview.seconds"), kind="number"),
        Column(name="parked", title=place.t("overview.parked"), kind="number"),
    ]


def _colour(row: Any) -> str:
    return {"live": "good", "failing": "bad", "stopped": "bad", "paused": "warn"}.get(str(row["state"]), "")


def _reader(lag: Lag) -> dict[str, Any]:
    return {
        "reader": lag.processor,
        "state": lag.state,
        "behind": lag.events_behind,
        "seconds": round(lag.seconds_behind, 1),
        "parked": lag.parked,
    }


def _latest(place: Place, events: Sequence[StoredEvent]) -> str:
    lines: list[str] = []
    for each in events:
        target = place.link("/events/{position}", position=each.position)
        stream = place.link("/streams/{stream}", stream=each.stream)
        lines.append(
            f'<tr><td class="t">{escape(place.time(each.recorded_at)[11:])}</td>'
            f'<td><a href="{escape(target)}"><span class="d-badge event">{escape(each.type)}</span></a></td>'
            f'<td class="m w"><a href="{escape(stream)}">{escape(short(each.stream, 34))}</a></td></tr>'
        )
    return f'<table class="d-table"><tbody>{"".join(lines)}</tbody></table>'


SCREEN = Screen(path="/", title="overview.title", group="now", build=build, words=WORDS, icon="monitor_heart", keys="o")
