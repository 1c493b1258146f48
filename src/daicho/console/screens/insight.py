"""The business, out of its history: the process as it ran, funnels, who comes back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast, get_args

from nicegui import ui

from daicho.console.parts import Column, Field, card, code, empty, filters, heading, link, panel, table, tabs
from daicho.console.parts.chart import chart, diagram
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.insight import Happening, Period, cohorts, funnel, happenings, process_map
from daicho.insight.drawing import chart_of_cohorts, chart_of_funnel, mermaid_of_map, short_time
from daicho.ports.event_store import Selection

__all__ = ["COHORTS", "FUNNEL", "SCREEN", "TABS", "insight_tabs"]

_LAST = 20_000
_ALL = "all"
TABS: Words = {
    "insight.title": ("Insight", "分析"),
    "insight.map": ("Process map", "プロセスマップ"),
    "insight.funnel": ("Funnel", "ファネル"),
    "insight.cohorts": ("Cohorts", "コホート"),
    "insight.sql": ("SQL", "SQL"),
}
WORDS: Words = {
    **TABS,
    "insight.by": ("A history is", "履歴の単位"),
    "insight.by.stream": ("one stream", "ストリーム"),
    "insight.by.correlation": ("one flow", "一連の流れ"),
    "insight.by.actor": ("one actor", "実行者"),
    "insight.by.field": ("{name} of the events", "イベントの {name}"),
    "insight.category": ("Category", "カテゴリ"),
    "insight.last": ("Out of the last", "対象"),
    "insight.last.some": ("20,000 positions", "直近 20,000 件"),
    "insight.last.more": ("200,000 positions", "直近 200,000 件"),
    "insight.last.all": ("everything", "全期間"),
    "insight.counting": ("Counting…", "集計中…"),
    "insight.none": ("There are no events to count in.", "集計するイベントがありません。"),
    "insight.cases": ("Histories", "履歴"),
    "insight.events": ("Events", "イベント"),
    "insight.ways": ("Different ways", "経路の種類"),
    "insight.drawn": (
        "Numbers on arrows: how often, and the median time in between. Times are those at which events occurred.",
        "矢印の数字は回数と間の時間の中央値です。時刻はイベントが起きた時刻です。",
    ),
    "insight.edges": ("What followed what", "前後関係"),
    "insight.before": ("First", "前"),
    "insight.after": ("Then", "後"),
    "insight.count": ("Times", "回数"),
    "insight.median": ("Median", "中央値"),
    "insight.p90": ("Nine of ten within", "9 割がこの時間内"),
    "insight.most": ("Longest", "最長"),
    "insight.variants": ("The ways that histories took", "実際の経路"),
    "insight.way": ("Way", "経路"),
    "insight.example": ("For instance", "例"),
    "insight.steps": ("Steps, in order, separated by commas", "順番どおりの段階（カンマ区切り）"),
    "insight.type": ("Event", "イベント"),
    "insight.reached": ("Reached", "到達"),
    "insight.of_first": ("Of the first", "最初から"),
    "insight.of_previous": ("Of the one before", "直前から"),
    "insight.stopped": ("Stopped here", "ここで止まった数"),
    "insight.examples": ("Who", "例"),
    "insight.whole": ("From the first to the last step", "最初から最後まで"),
    "insight.first": ("It begins with", "始まり"),
    "insight.again": ("and comes back with", "再来"),
    "insight.every": ("By", "期間"),
    "insight.every.day": ("day", "日"),
    "insight.every.week": ("week", "週"),
    "insight.every.month": ("month", "月"),
    "insight.begins": ("Began", "開始期間"),
    "insight.keys": ("Histories", "履歴"),
    "insight.types": ("Types of events that there are", "イベントの種類"),
    "insight.choose": ("Name two steps or more above.", "上に 2 つ以上の段階を入力してください。"),
    "insight.choose.two": (
        "Choose what it begins with and what counts as coming back.",
        "始まりと再来のイベントを選んでください。",
    ),
    "insight.verb": ("The same on the command line", "コマンドラインでの同じ操作"),
}


def insight_tabs(place: Place, here: str) -> None:
    if not place.screen.listed:
        heading(place.t("insight.title"), 1)
    ways = (
        ("map", "/insight"),
        ("funnel", "/insight/funnel"),
        ("cohorts", "/insight/cohorts"),
        ("sql", "/insight/sql"),
    )
    tabs([(place.t(f"insight.{name}"), place.link(path), name == here) for name, path in ways])


def _selecting(place: Place) -> list[Field]:
    fields = sorted(
        {name for event in place.app.model.events for name in event.__struct_fields__ if name.endswith("_id")}
    )
    by = {name: place.t(f"insight.by.{name}") for name in ("stream", "correlation", "actor")}
    by |= {name: place.t("insight.by.field", name=name) for name in fields}
    last = {str(_LAST): "some", str(10 * _LAST): "more", _ALL: "all"}
    return [
        Field(
            name="category",
            label=place.t("insight.category"),
            kind="select",
            options={name: name for name in place.app.model.categories},
        ),
        Field(name="by", label=place.t("insight.by"), kind="select", options=by),
        Field(
            name="last",
            label=place.t("insight.last"),
            kind="select",
            options={value: place.t(f"insight.last.{name}") for value, name in last.items()},
        ),
    ]


async def _found(place: Place, types: tuple[str, ...] = ()) -> AsyncIterator[Happening]:
    query, after = place.query, 0
    if query.get("last") != _ALL:
        last = int(query["last"]) if query.get("last", "").isdecimal() else _LAST
        after = max(0, await place.app.storage.head() - last)
    selection = Selection(category=query.get("category") or None, types=types or None, after=after)
    async for each in happenings(place.app.history.stored(selection), by=query.get("by") or "stream"):
        yield each


def _soon(place: Place, work: Callable[[], Awaitable[None]]) -> None:
    """Counts once the page is there: history may be long."""
    drawn = ui.element("div")
    with drawn, ui.element("div").classes("d-row"):
        ui.spinner(size="22px")
        ui.label(place.t("insight.counting")).classes("d-dim")

    async def begin() -> None:
        with ui.element("div") as made:
            await work()
        made.move(drawn)
        drawn.remove(0)

    with drawn:
        ui.timer(0.02, begin, once=True)


def _verb(place: Place, verb: str, *arguments: str) -> None:
    options = [f"--{name} {place.query[name]}" for name in ("category", "by") if place.query.get(name)]
    with ui.element("details"):
        with ui.element("summary"):
            ui.label(place.t("insight.verb")).style("display:inline").classes("d-dim")
        code(" ".join([f"daicho insight {verb}", *arguments, *options]))


# -- the process as it ran --------------------------------------------------------------------------------------------


def build(place: Place) -> None:
    insight_tabs(place, "map")
    filters(place, _selecting(place))

    async def work() -> None:
        found = await process_map(_found(place))
        if not found.events:
            empty(place, place.t("insight.none"), fill="daicho send ...")
            return
        with ui.element("div").classes("d-cards"):
            card(place.t("insight.cases"), f"{found.cases:,}")
            card(place.t("insight.events"), f"{found.events:,}")
            card(place.t("insight.ways"), f"{found.ways:,}")
        with panel(place.t("insight.map")):
            ui.label(place.t("insight.drawn")).classes("d-dim")
            diagram(mermaid_of_map(found))
        heading(place.t("insight.edges"))
        _edges(place, [(e.before, e.after, e.count, e.took.median, e.took.p90, e.took.most) for e in found.edges])
        heading(place.t("insight.variants"))
        columns = [
            Column(name="count", title=place.t("insight.count"), kind="number"),
            Column(name="way", title=place.t("insight.way"), kind="mono"),
            Column(
                name="example",
                title=place.t("insight.example"),
                kind="mono",
                link=lambda row: _example(place, row["example"]),
            ),
        ]
        rows = [{"count": v.cases, "way": " → ".join(v.steps), "example": v.example} for v in found.variants]
        table(place, "variants", columns, rows)
        _verb(place, "map")

    _soon(place, work)


def _edges(place: Place, edges: list[tuple[str, str, int, float, float, float]]) -> None:
    times = ("median", "p90", "most")
    columns = [
        Column(name="before", title=place.t("insight.before"), kind="badge", colour=lambda _: "event"),
        Column(name="after", title=place.t("insight.after"), kind="badge", colour=lambda _: "event"),
        Column(name="count", title=place.t("insight.count"), kind="number"),
        *(Column(name=name, title=place.t(f"insight.{name}")) for name in times),
    ]
    rows = [
        {"before": a, "after": b, "count": count, **{name: short_time(x) for name, x in zip(times, spent, strict=True)}}
        for a, b, count, *spent in edges
    ]
    table(place, "process-map", columns, rows)


def _example(place: Place, key: str) -> str | None:
    by = place.query.get("by") or "stream"
    if by == "stream":
        return place.link("/streams/{stream}", stream=key)
    return place.link("/flow/{reference}", reference=key) if by == "correlation" else None


# -- funnels ----------------------------------------------------------------------------------------------------------


def build_funnel(place: Place) -> None:
    insight_tabs(place, "funnel")
    filters(place, [Field(name="steps", label=place.t("insight.steps")), *_selecting(place)])
    steps = [step for part in place.query.get("steps", "").split(",") if (step := part.strip())]
    if len(steps) < 2:
        empty(place, place.t("insight.choose"), icon="filter_alt")
        _known_types(place)
        return

    async def work() -> None:
        found = await funnel(_found(place, tuple(steps)), steps, by=place.query.get("by") or "stream")
        with ui.element("div").classes("d-cards"):
            card(place.t("insight.cases"), f"{found.steps[0].reached:,}")
            card(place.t("insight.whole"), short_time(found.took.median) if found.took else "–")
        with panel():
            chart(chart_of_funnel(found), height=40 + 56 * len(steps))
        columns = [
            Column(name="type", title=place.t("insight.type"), kind="badge", colour=lambda _: "event"),
            Column(name="reached", title=place.t("insight.reached"), kind="number"),
            Column(name="of_first", title=place.t("insight.of_first")),
            Column(name="of_previous", title=place.t("insight.of_previous")),
            Column(name="median", title=place.t("insight.median")),
            Column(name="stopped", title=place.t("insight.stopped"), kind="number"),
            Column(
                name="example",
                title=place.t("insight.examples"),
                kind="mono",
                link=lambda r: _example(place, r["example"]),
            ),
        ]
        rows = [
            {
                "type": step.type,
                "reached": step.reached,
                "of_first": f"{step.of_first:.1%}",
                "of_previous": f"{step.of_previous:.1%}",
                "median": short_time(step.took.median) if step.took else "",
                "stopped": step.stopped,
                "example": step.examples[0] if step.examples else "",
            }
            for step in found.steps
        ]
        table(place, "funnel", columns, rows)
        _verb(place, "funnel", *steps)

    _soon(place, work)


def _known_types(place: Place) -> None:
    heading(place.t("insight.types"))
    with ui.element("div").classes("d-row"):
        chosen = place.query.get("steps", "")
        for name in sorted(event.__message_name__ for event in place.app.model.emitted):
            link(name, place.here(steps=f"{chosen},{name}" if chosen else name), css="d-badge event")


# -- cohorts ----------------------------------------------------------------------------------------------------------


def build_cohorts(place: Place) -> None:
    insight_tabs(place, "cohorts")
    types = {name: name for name in sorted(event.__message_name__ for event in place.app.model.emitted)}
    periods = {name: place.t(f"insight.every.{name}") for name in get_args(Period)}
    filters(
        place,
        [
            Field(name="first", label=place.t("insight.first"), kind="select", options=types),
            Field(name="again", label=place.t("insight.again"), kind="select", options=types),
            Field(name="every", label=place.t("insight.every"), kind="select", options=periods),
            *_selecting(place),
        ],
    )
    first, again = place.query.get("first", ""), place.query.get("again", "")
    every = place.query.get("every")
    period = cast("Period", every if every in periods else "month")
    if not first or not again:
        empty(place, place.t("insight.choose.two"), icon="grid_on")
        return

    async def work() -> None:
        found = await cohorts(_found(place, (first, again)), first, again, every=period)
        if not found:
            empty(place, place.t("insight.none"), fill="daicho send ...")
            return
        with panel():
            chart(chart_of_cohorts(found, every=period), height=110 + 34 * len(found))
        widest = max(len(each.again) for each in found)
        columns = [
            Column(name="begins", title=place.t("insight.begins")),
            Column(name="keys", title=place.t("insight.keys"), kind="number"),
            *(Column(name=f"+{n}", title=f"+{n}", kind="number") for n in range(widest)),
        ]
        rows: list[dict[str, Any]] = [
            {"begins": each.begins.isoformat(), "keys": each.keys, **{f"+{n}": x for n, x in enumerate(each.again)}}
            for each in found
        ]
        table(place, "cohorts", columns, rows)
        _verb(place, "cohorts", first, again, f"--every {period}")

    _soon(place, work)


SCREEN = Screen(
    path="/insight", title="insight.title", group="history", build=build, words=WORDS, icon="insights", keys="i"
)
FUNNEL = Screen(
    path="/insight/funnel",
    title="insight.funnel",
    group="history",
    build=build_funnel,
    words=WORDS,
    icon="insights",
    listed=False,
)
COHORTS = Screen(
    path="/insight/cohorts",
    title="insight.cohorts",
    group="history",
    build=build_cohorts,
    words=WORDS,
    icon="insights",
    listed=False,
)
