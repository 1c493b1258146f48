"""What operators did, here: each action once, with what came of it."""

from typing import Any

from nicegui import ui

from daicho.console.audit import recent
from daicho.console.parts import Column, Field, code, empty, filters, table
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.messages import RecordedEvent
from daicho.core.operator_events import OPERATOR

__all__ = ["SCREEN"]

_MOST = 1000
_SHOWN = 200

WORDS: Words = {
    "operators.title": ("Operator audit", "操作記録"),
    "operators.about": (
        "Every action of an operator stands in the register: before it is begun, and again with what came of it.",
        "操作はすべて台帳に記録されます。始める前と、結果が出た後の 2 回です。",
    ),
    "operators.none": (
        "No operator has done anything yet: what is done with a button of any screen will stand here.",
        "まだ操作はありません。各画面のボタンで行った操作がここに残ります。",
    ),
    "operators.none.so": ("No action meets these conditions.", "条件に合う操作はありません。"),
    "operators.who": ("Who", "誰が"),
    "operators.action": ("Action", "操作"),
    "operators.target": ("Of what", "対象"),
    "operators.outcome": ("Outcome", "結果"),
    "operators.detail": ("What came of it", "結果の詳細"),
    "operators.reason": ("Why", "理由"),
    "operators.when": ("When", "いつ"),
    "operators.verb": ("Command line", "コマンドライン"),
    "operators.begun": ("not ended", "未完了"),
    "operators.done": ("done", "完了"),
    "operators.failed": ("failed", "失敗"),
}


async def build(place: Place) -> None:
    ui.label(place.t("operators.about")).classes("d-dim d-about")
    actor, asked = place.query.get("actor") or None, place.query.get("action", "")
    rows = _rows(place, await recent(place.app, limit=_MOST, actor=actor))
    outcomes = {key: place.t(f"operators.{key}") for key in ("done", "failed", "begun")}
    filters(
        place,
        [
            Field(name="actor", label=place.t("operators.who")),
            Field(
                name="action",
                label=place.t("operators.action"),
                kind="select",
                options={name: name for name in sorted({row["action"] for row in rows})},
            ),
            Field(name="outcome", label=place.t("operators.outcome"), kind="select", options=outcomes),
        ],
    )
    is_any = bool(rows)
    wanted = place.query.get("outcome", "")
    rows = [row for row in rows if asked in ("", row["action"]) and wanted in ("", row["key"])]
    if rows:
        table(place, "operators", _columns(place), rows[:_SHOWN])
    else:
        text = place.t("operators.none.so" if is_any else "operators.none")
        empty(place, text, icon="history")
    code(f"daicho get events --newest --category {OPERATOR}{f' --actor {actor}' if actor else ''}")


def _rows(place: Place, events: list[RecordedEvent[Any]]) -> list[dict[str, Any]]:
    """One for each action: its end, if it has come, else its beginning. The newest first."""
    found: dict[str, dict[str, Any]] = {}
    for record in events:
        event = record.event
        if event.action_id in found:
            continue
        found[event.action_id] = {
            "when": record.occurred_at.isoformat(),
            "who": record.actor or "",
            "action": event.action,
            "target": event.target,
            "key": event.outcome,
            "outcome": place.t(f"operators.{event.outcome}"),
            "detail": event.detail,
            "reason": event.reason,
            "verb": event.verb,
            "position": int(record.position),
        }
    return list(found.values())


def _columns(place: Place) -> list[Column]:
    colours = {"done": "good", "failed": "bad", "begun": "warn"}
    return [
        Column(
            name="when",
            title=place.t("operators.when"),
            kind="time",
            link=lambda row: place.link("/events/{position}", position=row["position"]),
        ),
        Column(name="who", title=place.t("operators.who"), link=lambda row: place.here(actor=row["who"])),
        Column(name="action", title=place.t("operators.action"), kind="badge", colour=lambda _: "command"),
        Column(name="target", title=place.t("operators.target"), kind="mono"),
        Column(
            name="outcome", title=place.t("operators.outcome"), kind="badge", colour=lambda row: colours[row["key"]]
        ),
        Column(name="detail", title=place.t("operators.detail")),
        Column(name="reason", title=place.t("operators.reason")),
        Column(name="verb", title=place.t("operators.verb"), kind="mono"),
    ]


SCREEN = Screen(
    path="/operators",
    title="operators.title",
    group="govern",
    build=build,
    words=WORDS,
    needs="audit",
    icon="admin_panel_settings",
)
