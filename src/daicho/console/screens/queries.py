"""Each query against the budget of 100 ms."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, cast

import msgspec
from nicegui import ui

from daicho.console.parts import Column, anchor, badge, card, empty, heading, html, panel, problem, table, told, tree
from daicho.console.parts.charts import budget
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import DaichoError, InvalidMessage
from daicho.core.journal import BUDGET, QueryTimes
from daicho.core.messages import Query

__all__ = ["ONE", "SCREEN"]

WORDS: Words = {
    "queries.title": ("Queries", "クエリ"),
    "queries.one": ("Ask a query", "クエリを試す"),
    "queries.lead": (
        "An answer should take less than 100 ms: the dashed line. Measured in this process, without the way there.",
        "回答は100ミリ秒以内（破線）が目標です。このプロセス内での測定で、呼び出し側までの経路は含みません。",
    ),
    "queries.none": ("No query has been asked of this process yet.", "まだクエリはありません。"),
    "queries.name": ("Query", "クエリ"),
    "queries.count": ("Answers", "回答数"),
    "queries.over": ("Over 100 ms", "100 ms 超"),
    "queries.failed": ("Failed", "失敗"),
    "queries.times": ("Half, 95 %, 99 % of the last 1,000", "直近1,000件の 50%・95%・99%"),
    "queries.all": ("All queries", "すべてのクエリ"),
    "queries.content": ("Content (JSON)", "内容（JSON）"),
    "queries.ask": ("Ask", "問い合わせる"),
    "queries.took": ("Answered in {ms} ms", "{ms} ミリ秒で回答"),
    "queries.unknown": ("This app answers no query of this name.", "この名前のクエリはありません。"),
    "queries.within": ("within the budget", "目標内"),
}


async def build(place: Place) -> None:
    ui.label(place.t("queries.lead")).classes("d-lead")
    found = place.app.journal.queries
    asked, over = sum(each.count for each in found.values()), sum(each.over for each in found.values())
    with ui.element("div").classes("d-cards"):
        card(place.t("queries.count"), f"{asked:,}")
        card(place.t("queries.over"), f"{over:,}")
        share = 100.0 if not asked else 1000 * (asked - over) // asked / 10  # never rounded up to all of them
        card(place.t("queries.within"), f"{share:.1f}", unit="%")
    if not found:
        empty(place, place.t("queries.none"), fill="daicho query NAME", icon="visibility")
    else:
        with ui.element("div").classes("d-panel"):
            html(_picture(place, found))
        rows = [_row(name, times) for name, times in sorted(found.items())]
        columns = [
            Column(
                name="name",
                title=place.t("queries.name"),
                kind="badge",
                colour=lambda _: "view",
                link=lambda row: place.link("/queries/{name}", name=row["name"]),
            ),
            Column(name="count", title=place.t("queries.count"), kind="number"),
            Column(name="p50", title="p50 ms", kind="number"),
            Column(name="p95", title="p95 ms", kind="number"),
            Column(name="p99", title="p99 ms", kind="number"),
            Column(name="over", title=place.t("queries.over"), kind="number"),
            Column(name="failed", title=place.t("queries.failed"), kind="number"),
        ]
        table(place, "queries", columns, rows)
    heading(place.t("queries.all"))
    with ui.element("div").classes("d-row"):
        for name in sorted(query.__message_name__ for query in place.app.model.queries):
            with anchor(target=place.link("/queries/{name}", name=name)):
                badge(name, "view")


def _row(name: str, times: QueryTimes) -> dict[str, Any]:
    p50, p95, p99 = _percentiles(times)
    return {
        "name": name,
        "count": times.count,
        "p50": round(p50 * 1000, 2),
        "p95": round(p95 * 1000, 2),
        "p99": round(p99 * 1000, 2),
        "over": times.over,
        "failed": times.failed,
    }


def _percentiles(times: QueryTimes) -> tuple[float, float, float]:
    p50, p95, p99 = (times.percentile(share) or 0.0 for share in (0.5, 0.95, 0.99))
    return p50, p95, p99


def _picture(place: Place, found: dict[str, QueryTimes]) -> str:
    lines = "".join(
        f'<div class="d-bar"><div class="d-barname">{escape(name)}</div>{budget(*_percentiles(times), BUDGET)}'
        f'<div class="d-barms">{_percentiles(times)[2] * 1000:,.1f} ms</div></div>'
        for name, times in sorted(found.items(), key=lambda pair: -_percentiles(pair[1])[2])
    )
    return f'<div class="d-dim" style="margin-bottom:6px">{escape(place.t("queries.times"))}</div>{lines}'


async def build_one(place: Place) -> None:
    name = place.params["name"]
    heading(f"{place.t('queries.one')}: {name}", 1)
    cls = next((each for each in place.app.model.queries if each.__message_name__ == name), None)
    if cls is None:
        empty(place, place.t("queries.unknown"), fill="daicho query --help", icon="search_off")
        return
    times = place.app.journal.queries.get(name)
    begin: Any = {field.name: "" for field in msgspec.structs.fields(cls) if field.required}
    if times is not None and times.last is not None and place.viewer.payloads == "full":
        begin = msgspec.to_builtins(times.last)
    with panel(place.t("queries.content")):
        text = ui.textarea(value=json.dumps(begin, indent=2, ensure_ascii=False))
        text.props('outlined autogrow input-class="d-mono" data-field="content"').style("width:100%")
        text.props["aria-label"] = place.t("queries.content")
        button = ui.element("button").classes("d-button d-primary").props('type="button" data-action="query.ask"')
        with button:
            ui.icon("visibility")
            ui.label(place.t("queries.ask"))
    said = ui.element("div")

    async def ask() -> None:
        said.clear()
        with said:
            await _answer(place, cls, text.value or "")

    button.on("click", ask)


async def _answer(place: Place, cls: type[Query[Any]], text: str) -> None:
    try:
        query = msgspec.json.decode(text, type=cls)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        problem(place, InvalidMessage(f"this is no {cls.__message_name__}: {error}", do="mend the content", path="$"))
        return
    try:
        answer = await place.app.ask(query)
    except DaichoError as error:
        problem(place, error)
        return
    except Exception as error:  # noqa: BLE001 - the user's code: told
        told(f"{type(error).__name__}: {error}", "bad")
        return
    took = place.app.journal.queries[cls.__message_name__].recent[-1]
    told(place.t("queries.took", ms=f"{took * 1000:,.2f}"), "good" if took <= BUDGET else "warn")
    shown = answer if place.viewer.payloads == "full" else _masked(place, answer)
    with panel():
        tree(msgspec.to_builtins(shown, enc_hook=str))


def _masked(place: Place, answer: Any) -> Any:
    """Rows without what is personal in them; what is no row is not shown."""
    if isinstance(answer, list):
        return [_masked(place, row) for row in cast("Sequence[Any]", answer)]
    fields = msgspec.to_builtins(answer, enc_hook=str)
    return place.shown(fields, type(answer) if isinstance(answer, msgspec.Struct) else None)


SCREEN = Screen(
    path="/queries", title="queries.title", group="read", build=build, words=WORDS, icon="visibility", keys="q"
)
ONE = Screen(path="/queries/{name}", title="queries.one", group="read", build=build_one, words=WORDS, under="/queries")
