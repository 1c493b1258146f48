"""SQL over history and views, with a chart of what came out."""

import importlib
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from nicegui import ui

from daicho.console.parts import Column, action, empty, heading, table, told
from daicho.console.parts.chart import chart
from daicho.console.screen import Place, Screen
from daicho.console.screens.insight import TABS, insight_tabs
from daicho.console.words import Words
from daicho.insight.drawing import chart_of_answer, short_time

__all__ = ["SCREEN"]

_LIMIT, _WITHIN = 1000, 10.0
_FIRST = "select type, count(*) as events\nfrom events\ngroup by type\norder by events desc"
WORDS: Words = {
    **TABS,
    "sql.title": ("SQL", "SQL"),
    "sql.lead": (
        "One statement that reads, in the dialect of DuckDB, on a copy in memory: nothing typed here can reach the "
        "store. 10 s and 1,000 rows at most. Tenants are not kept apart here. Each statement is kept in the operator "
        "audit.",
        "読み取りの文を一つ、DuckDB の方言で書きます。メモリ上のコピーに対して実行され、ストアには届きません。"
        "上限は 10 秒、1,000 行です。テナントは区別されません。実行した文は操作記録に残ります。",
    ),
    "sql.statement": ("Statement", "SQL 文"),
    "sql.run": ("Run", "実行"),
    "sql.tables": ("Tables", "テーブル"),
    "sql.rows": ("Answer", "結果"),
    "sql.none": ("No rows.", "行はありません。"),
    "sql.took": ("{rows} rows in {time}; events up to position {position}", "{rows} 行、{time}、位置 {position} まで"),
    "sql.copying": ("Copying what is new: {rows} rows of {name}", "新しい分をコピー中：{name} {rows} 行"),
    "sql.more": ("There are more rows: these are the first {n}.", "ほかにも行があります。先頭の {n} 行です。"),
    "sql.extra": ("SQL needs an extra.", "SQL には追加のパッケージが必要です。"),
    "sql.contents": (
        "SQL shows the contents of events, which this role may not see in full.",
        "SQL はイベントの内容を表示しますが、この権限では内容をすべて見ることはできません。",
    ),
}

_benches: "WeakKeyDictionary[Any, tuple[Any, Any]]" = WeakKeyDictionary()
"""By console: the store that was copied, and the copy, which only takes what is new the next time."""


def _bench(place: Place) -> Any:
    """Raises ImportError."""
    kept = _benches.get(place.console)
    if kept is None or kept[0] is not place.app.storage:
        workbench = importlib.import_module("daicho.insight.workbench").Workbench
        kept = _benches[place.console] = (place.app.storage, workbench.of(place.app))
    return kept[1]


def build(place: Place) -> None:
    insight_tabs(place, "sql")
    ui.label(place.t("sql.lead")).classes("d-lead").style("margin-top:0")
    if place.viewer.payloads != "full":
        empty(place, place.t("sql.contents"), icon="lock")
        return
    try:
        bench = _bench(place)
    except ImportError:
        empty(place, place.t("sql.extra"), fill='pip install "daicho[insight]"')
        return
    with ui.element("div").classes("d-sql"):
        with ui.element("div").classes("d-stack"):
            theme: Any = "vscodeDark" if place.theme == "dark" else "basicLight"
            typed = ui.codemirror(
                place.query.get("q", _FIRST), language="SQLite", theme=theme, line_wrapping=True
            ).classes("d-editor")
            row = ui.element("div").classes("d-row")
            said = ui.element("div")
            with row:
                _run(place, bench, typed, said)
        with ui.element("aside"):
            heading(place.t("sql.tables"))
            _tables(bench)


def _tables(bench: Any) -> None:
    for name, columns in bench.tables.items():
        with ui.element("details").classes("d-columns"):
            with ui.element("summary"):
                ui.label(name).classes("d-mono").style("display:inline")
            for column, type_ in columns.items():
                ui.label(f"{column}  {type_.lower()}").classes("d-mono d-dim")


def _run(place: Place, bench: Any, typed: ui.codemirror, said: ui.element) -> None:
    def copying(name: str, rows: int) -> None:
        if not said.is_deleted:
            said.clear()
            with said, ui.element("div").classes("d-row"):
                ui.spinner(size="20px")
                ui.label(place.t("sql.copying", name=name, rows=f"{rows:,}")).classes("d-dim")

    async def ask() -> str:
        statement = typed.value or ""
        answer = await bench.ask(statement, limit=_LIMIT, within=_WITHIN, copying=copying)
        if not said.is_deleted:
            said.clear()
            with said:
                _show(place, answer)
        return f"{len(answer.rows)} rows: {statement}"

    action(
        place,
        place.t("sql.run"),
        name="sql.ask",
        target="events and views",
        verb='daicho sql "..."',
        needs="audit",
        run=ask,
        then=lambda _: None,
        confirm=False,
    )


def _show(place: Place, answer: Any) -> None:
    heading(place.t("sql.rows"))
    time, position = short_time(answer.seconds), f"{answer.position:,}"
    ui.label(place.t("sql.took", rows=f"{len(answer.rows):,}", time=time, position=position)).classes("d-dim")
    if answer.more:
        told(place.t("sql.more", n=f"{_LIMIT:,}"), "warn")
    if not answer.rows:
        empty(place, place.t("sql.none"), icon="table_rows")
        return
    names = [column.name for column in answer.columns]
    if options := chart_of_answer(names, answer.rows[:200]):
        chart(options)
    keys = [f"c{n}" for n in range(len(names))]
    numeric = {key for n, key in enumerate(keys) if all(isinstance(r[n], int | float) for r in answer.rows)}
    columns = [
        Column(name=key, title=name, kind="number" if key in numeric else "text")
        for key, name in zip(keys, names, strict=True)
    ]
    table(place, "sql", columns, [dict(zip(keys, map(_cell, row), strict=True)) for row in answer.rows])


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list | tuple) else str(value)


SCREEN = Screen(
    path="/insight/sql",
    title="sql.title",
    group="history",
    build=build,
    words=WORDS,
    needs="audit",
    icon="query_stats",
    listed=False,
)
