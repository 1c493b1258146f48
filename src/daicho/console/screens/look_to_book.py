"""How often is looked and how often booked, and what that calls for."""

import time
from collections import Counter
from typing import Any

from nicegui import ui

from daicho.advisor import Answers, advise
from daicho.console.parts import Column, badge, code, empty, panel, table, told
from daicho.console.parts.charts import gauge, heat_map
from daicho.console.screen import Place, Screen
from daicho.console.words import Words

__all__ = ["SCREEN"]

_HOURS = 24
_PER_HOUR = 4
_ROWS = 14
_ADVICE = {
    "simple CRUD": "look.crud",
    "staged CQRS": "look.staged",
    "full CQRS": "look.full",
    "CQRS + CDN/cache": "look.edge",
    "unknown": "look.unknown",
}
WORDS: Words = {
    "look.title": ("Look-to-Book", "ルック・トゥ・ブック"),
    "look.lead": (
        "Reads per write, counted in this process: how much reading and writing should be apart.",
        "書き込み一回あたりの読み取り回数（このプロセスで計測）。読み書きをどこまで分けるかの目安です。",
    ),
    "look.caption": (
        "reads per write: {reads} reads, {writes} writes",
        "書き込みあたりの読み取り（読 {reads}・書 {writes}）",
    ),
    "look.advice": ("Advice", "助言"),
    "look.crud": (
        "Plain CRUD will do: as much is written as read. Read replicas suffice.",
        "単純なCRUDで十分です。読み取りレプリカで足ります。",
    ),
    "look.staged": (
        "Separate the views alone; writes stay as they are.",
        "ビューだけを分け、書き込みはそのままで。段階的なCQRSが向きます。",
    ),
    "look.full": (
        "Separate both sides wholly: several read models, each for its question.",
        "読み書きを完全に分けましょう。問いごとに読み取りモデルを持ちます。",
    ),
    "look.edge": (
        "Cache answers at the edge; keep writes in one place. Put Cache on the queries and give App an edge.",
        "回答をエッジに置き、書き込みは一か所に。クエリに Cache を付け、App に edge を渡します。",
    ),
    "look.unknown": (
        "Nothing was asked and nothing done yet: come back when there has been traffic.",
        "まだ読み書きがありません。負荷がかかってからご覧ください。",
    ),
    "look.aggregate": ("Aggregate", "集約"),
    "look.reads": ("Reads", "読み取り"),
    "look.writes": ("Writes", "書き込み"),
    "look.ratio": ("Ratio", "比"),
    "look.calls": ("Calls for", "向く構成"),
    "look.calls.simple CRUD": ("simple CRUD", "単純な CRUD"),
    "look.calls.staged CQRS": ("staged CQRS", "段階的 CQRS"),
    "look.calls.full CQRS": ("full CQRS", "完全な CQRS"),
    "look.calls.CQRS + CDN/cache": ("CQRS + CDN/cache", "CQRS + CDN・キャッシュ"),
    "look.calls.unknown": ("unknown", "不明"),
    "look.why": ("Why", "理由"),
    "look.query": ("Query", "クエリ"),
    "look.share": ("Share of reads, %", "読み取りに占める割合 %"),
    "look.each": ("Per aggregate", "集約ごと"),
    "look.queries": ("Per query", "クエリごと"),
    "look.day": ("The last 24 hours", "直近24時間"),
    "look.day.none": ("Nothing has passed yet.", "まだ何も通っていません。"),
    "look.band.crud": ("CRUD", "CRUD"),
    "look.band.staged": ("staged", "段階的"),
    "look.band.full": ("full CQRS", "完全CQRS"),
    "look.band.edge": ("+ edge cache", "＋エッジ"),
}


async def build(place: Place) -> None:
    ui.label(place.t("look.lead")).classes("d-lead")
    meter = place.app.meter
    reads, writes = sum(meter.reads.values()), sum(meter.writes.values())
    ratio = reads / writes if writes else None
    with ui.element("div").classes("d-two"):
        with panel():
            names = [place.t(f"look.band.{band}") for band in ("crud", "staged", "full", "edge")]
            gauge(ratio, place.t("look.caption", reads=f"{reads:,}", writes=f"{writes:,}"), names)
        with panel(place.t("look.advice")):
            _advice(place)
    with panel(place.t("look.each")):
        _aggregates(place)
    with panel(place.t("look.queries")):
        _queries(place, reads)
    with panel(place.t("look.day")):
        _day(place)


def _advice(place: Place) -> None:
    """What the advisor makes of the traffic of this process since it began to count."""
    ratios = [each for each in place.app.meter.ratios(place.app.model.categories) if each.writes]
    if not ratios:
        told(place.t("look.unknown"), "warn")
        return
    minutes = max((time.time() - (place.app.journal.since or time.time())) / 60, 1.0)
    known = {each.aggregate: Answers(reads=each.reads / minutes, writes=each.writes / minutes) for each in ratios}
    advice = advise(known, language="ja" if place.language == "ja" else "en", source="console", guess=False)
    told(f"{advice.approach_name} · {advice.topology_name}", "good", advice.notes[0] if advice.notes else "")
    for each in advice.entities:
        with ui.element("details"):
            with ui.element("summary").classes("d-summary"):
                badge(each.entity, "policy")
                ui.label(each.approach_name)
                ui.label(f"{each.ratio:,.1f} : 1" if each.ratio is not None else "").classes("d-dim")
            for text in (*each.do, *(reason.text for reason in each.reasons if reason.text), *each.would_change):
                ui.label(f"· {text}").style("padding-left:18px")
    code("daicho advise --url http://127.0.0.1:8000")


def _aggregates(place: Place) -> None:
    rows: list[dict[str, Any]] = [
        {
            "aggregate": each.aggregate,
            "reads": each.reads,
            "writes": each.writes,
            "ratio": each.ratio,
            "calls": each.recommended,
            "why": place.t(_ADVICE[each.recommended]),
        }
        for each in place.app.meter.ratios(place.app.model.categories)
    ]
    columns = [
        Column(name="aggregate", title=place.t("look.aggregate"), kind="badge", colour=lambda _: "policy"),
        Column(name="reads", title=place.t("look.reads"), kind="number"),
        Column(name="writes", title=place.t("look.writes"), kind="number"),
        Column(name="ratio", title=place.t("look.ratio"), kind="number"),
        Column(name="calls", title=place.t("look.calls"), words="look.calls"),
        Column(name="why", title=place.t("look.why")),
    ]
    table(place, "look-to-book", columns, rows)


def _queries(place: Place, reads: int) -> None:
    counts: Counter[str] = Counter()
    for (query, _), count in place.app.meter.reads.items():
        counts[query] += count
    if not counts:
        empty(place, place.t("look.unknown"), fill="daicho query NAME", icon="visibility")
        return
    rows = [
        {"query": name, "reads": count, "share": round(100 * count / reads, 1)}
        for name, count in counts.most_common(50)
    ]
    columns = [
        Column(
            name="query",
            title=place.t("look.query"),
            kind="badge",
            colour=lambda _: "view",
            link=lambda r: place.link("/queries/{name}", name=r["query"]),
        ),
        Column(name="reads", title=place.t("look.reads"), kind="number"),
        Column(name="share", title=place.t("look.share"), kind="number"),
    ]
    table(place, "queries", columns, rows)


def _day(place: Place) -> None:
    """Hour by hour, what is asked and done most."""
    slots, now = place.app.journal.slots, int(time.time() // 3600)
    hours = list(range(now - _HOURS + 1, now + 1))
    cells: dict[tuple[str, str], Counter[int]] = {}
    for slot, counts in slots.items():
        for key, count in counts.items():
            cells.setdefault(key, Counter())[slot // _PER_HOUR] += count
    if not cells:
        empty(place, place.t("look.day.none"), fill="make run", icon="grid_on")
        return
    busiest = sorted(cells, key=lambda key: -cells[key].total())[:_ROWS]
    rows = [
        (name, "view" if kind == "query" else "command", [cells[kind, name][hour] for hour in hours])
        for kind, name in sorted(busiest, key=lambda key: (key[0] == "command", -cells[key].total()))
    ]
    heat_map([_clock(place, hour) for hour in hours], rows)


def _clock(place: Place, hour: int) -> str:
    from_epoch = time.gmtime(hour * 3600)
    text = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", from_epoch)
    return place.time(text)[11:13]


SCREEN = Screen(path="/look-to-book", title="look.title", group="now", build=build, words=WORDS, icon="speed", keys="l")
