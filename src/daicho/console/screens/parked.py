"""Parked events: grouped by what went wrong, tried, retried, given up with a reason."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import (
    Column,
    Field,
    action,
    badge,
    code,
    diff,
    empty,
    facts,
    filters,
    heading,
    link,
    panel,
    problem,
    table,
    tree,
)
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import DaichoError, NotParked
from daicho.core.segments import root_of
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import Selection
from daicho.read.trial import Trial, TrialStep

__all__ = ["DETAIL", "SCREEN"]

_MOST = 500
WORDS: Words = {
    "parked.title": ("Parked events", "退避されたイベント"),
    "parked.lead": (
        "What a reader could not take waits here, and everything of the same key behind it. All other keys flow on.",
        "読み手が処理できなかったイベントと、同じキーの後続がここで待ちます。ほかのキーは流れ続けます。",
    ),
    "parked.none": ("Nothing is parked.", "退避されたイベントはありません。"),
    "parked.groups": ("By what went wrong", "原因別"),
    "parked.reason": ("Error", "エラー"),
    "parked.keys": ("Keys", "キー"),
    "parked.events": ("Events", "イベント"),
    "parked.readers": ("Readers", "読み手"),
    "parked.oldest": ("Since", "発生"),
    "parked.all": ("Every letter", "全件"),
    "parked.number": ("Number", "番号"),
    "parked.reader": ("Reader", "読み手"),
    "parked.key": ("Key", "キー"),
    "parked.type": ("Event", "イベント"),
    "parked.position": ("Position", "位置"),
    "parked.attempts": ("Attempts", "試行"),
    "parked.at": ("Parked at", "退避時刻"),
    "parked.state": ("State", "状態"),
    "parked.behind": ("behind another of its key", "同じキーの先のイベント待ち"),
    "parked.everything": ("Also those dealt with", "処理済みも含む"),
    "parked.yes": ("yes", "はい"),
    "parked.cut": ("The first {n} are shown.", "先頭の {n} 件を表示しています。"),
    "parked.one": ("Parked event {n}", "退避されたイベント {n}"),
    "parked.unknown": ("There is no parked event {n}.", "退避されたイベント {n} はありません。"),
    "parked.what": ("What happened", "何が起きたか"),
    "parked.stream": ("Stream", "ストリーム"),
    "parked.why": ("Why it was left out, or retried", "除外・再試行の理由"),
    "parked.content": ("The event", "イベントの内容"),
    "parked.trace": ("Traceback", "トレースバック"),
    "parked.flow": ("The flow it belongs to", "このイベントの流れ"),
    "parked.event": ("The event itself", "イベントの詳細"),
    "parked.actions": ("Actions", "操作"),
    "parked.try": ("Try", "試す"),
    "parked.retry": ("Retry the key", "このキーを再試行"),
    "parked.retry.ask": ("In order, with everything parked behind it.", "後続も含めて順番に処理し直します。"),
    "parked.retry.all": ("Retry all", "すべて再試行"),
    "parked.retry.group": ("Retry this reader", "この読み手を再試行"),
    "parked.skip": ("Leave it out", "除外する"),
    "parked.skip.ask": (
        "The event stays in the log; this reader goes on without it.",
        "イベントはログに残り、この読み手だけが飛ばします。",
    ),
    "parked.asked": ("To be retried: {n}", "{n} 件を再試行します"),
    "parked.trial": ("What a retry would do (nothing was done)", "再試行した場合の結果（何も変更していません）"),
    "parked.trial.good": ("It would go through.", "成功します。"),
    "parked.trial.bad": ("It would stay parked.", "退避されたままになります。"),
    "parked.trial.row": ("Row {row}", "行 {row}"),
    "parked.trial.command": ("would send {name}", "{name} を送ります"),
    "parked.trial.duplicate": ("handled before", "処理済み"),
    "parked.edit": ("Can it be edited?", "内容を編集できますか"),
    "parked.edit.why": (
        "No: an event is a fact, and a rebuild would read it as it stands. Mend the code, give the type a new version "
        "with an upcaster, or leave the event out and send a command that puts right what it meant. Mended code is "
        "tried by itself when it is deployed.",
        "できません。イベントは事実であり、再構築でもそのまま読まれます。コードを直す、アップキャスタで新しい版にする、"
        "または理由を付けて除外し、正しい内容のコマンドを送ってください。"
        "直したコードを配備すると、自動的に再試行されます。",
    ),
}


def cause_of(error: str | None) -> str:
    """What errors have in common: numbers, ids and quoted values make no difference."""
    if not error:
        return ""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", error.splitlines()[0])
    return re.sub(r"'[^']*'|\"[^\"]*\"|\b\d[\d.,:]*\b", "…", text)[:200]


async def build(place: Place) -> None:
    ui.label(place.t("parked.lead")).classes("d-lead")
    everything = place.query.get("everything") == "yes"
    processor, wanted = place.query.get("processor") or None, place.query.get("cause") or None
    letters = await place.app.dead_letters.list(processor, everything=everything)
    found = [each for each in letters if wanted is None or _group(place, letters, each) == wanted]
    filters(
        place,
        [
            Field(
                name="processor",
                label=place.t("parked.reader"),
                kind="select",
                options={name: name for name in sorted({each.processor for each in letters})},
            ),
            Field(
                name="everything",
                label=place.t("parked.everything"),
                kind="select",
                options={"yes": place.t("parked.yes")},
            ),
        ],
    )
    if not found:
        empty(place, place.t("parked.none"), fill="daicho dlq list --all", icon="task_alt")
        return
    heading(place.t("parked.groups"))
    _groups(place, letters)
    with ui.element("div").classes("d-row").style("margin-bottom:14px"):
        _retry_all(place, processor)
    heading(place.t("parked.all"))
    if len(found) > _MOST:
        ui.label(place.t("parked.cut", n=_MOST)).classes("d-dim")
    table(place, "parked", _columns(place), [_row(place, each) for each in found[:_MOST]])


def _group(place: Place, letters: Sequence[DeadLetter], letter: DeadLetter) -> str:
    """A follower belongs to what the first of its key stumbled over."""
    if letter.error:
        return cause_of(_error(place, letter))
    same = (x for x in letters if (x.processor, x.key) == (letter.processor, letter.key) and x.error)
    return next((cause_of(_error(place, x)) for x in same), "")


def _groups(place: Place, letters: Sequence[DeadLetter]) -> None:
    first: dict[tuple[str, str], str] = {}
    for each in letters:
        if each.error:
            first.setdefault((each.processor, each.key), cause_of(_error(place, each)))
    counted, keys, readers, since = Counter[str](), dict[str, set[str]](), dict[str, set[str]](), dict[str, str]()
    for each in letters:
        cause = cause_of(_error(place, each)) or first.get((each.processor, each.key), "")
        counted[cause] += 1
        keys.setdefault(cause, set()).add(each.key)
        readers.setdefault(cause, set()).add(root_of(each.processor))
        since[cause] = min(since.get(cause, each.parked_at), each.parked_at)
    rows = [
        {
            "reason": cause or place.t("parked.behind"),
            "events": count,
            "keys": len(keys[cause]),
            "readers": ", ".join(sorted(readers[cause])),
            "oldest": since[cause],
        }
        for cause, count in counted.most_common()
    ]
    columns = [
        Column(
            name="reason",
            title=place.t("parked.reason"),
            link=lambda row: place.here(cause=None if row["reason"] == place.query.get("cause") else row["reason"]),
        ),
        Column(name="events", title=place.t("parked.events"), kind="number"),
        Column(name="keys", title=place.t("parked.keys"), kind="number"),
        Column(name="readers", title=place.t("parked.readers"), kind="mono"),
        Column(name="oldest", title=place.t("parked.oldest"), kind="time"),
    ]
    table(place, "parked-groups", columns, rows)


def _retry_all(place: Place, processor: str | None) -> None:
    async def retry() -> str:
        asked = await place.app.dead_letters.retry(processor=processor)
        return place.t("parked.asked", n=asked)

    action(
        place,
        place.t("parked.retry.group" if processor else "parked.retry.all"),
        name="parked.retry",
        target=processor or "all",
        verb=f"daicho dlq retry --processor {processor}" if processor else "daicho dlq retry --all",
        needs="act",
        run=retry,
        icon="replay",
    )


def _columns(place: Place) -> list[Column]:
    return [
        Column(
            name="number",
            title=place.t("parked.number"),
            kind="number",
            link=lambda row: place.link("/parked/{number}", number=row["number"]),
        ),
        Column(name="reader", title=place.t("parked.reader"), kind="mono"),
        Column(name="key", title=place.t("parked.key"), kind="mono"),
        Column(name="type", title=place.t("parked.type"), kind="badge", colour=lambda _: "event"),
        Column(name="error", title=place.t("parked.reason")),
        Column(name="attempts", title=place.t("parked.attempts"), kind="number"),
        Column(name="at", title=place.t("parked.at"), kind="time"),
        Column(
            name="state",
            title=place.t("parked.state"),
            kind="badge",
            words="state",
            colour=lambda row: _colour(row["state"]),
        ),
    ]


def _colour(state: str) -> str:
    return {"parked": "bad", "retry": "warn", "retried": "good"}.get(state, "")


def _row(place: Place, letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.number,
        "reader": letter.processor,
        "key": letter.key,
        "type": letter.type,
        "error": _error(place, letter) or place.t("parked.behind"),
        "attempts": letter.attempts,
        "at": letter.parked_at,
        "state": letter.state,
    }


def _error(place: Place, letter: DeadLetter) -> str:
    """The text of an exception may quote the event: it is shown to those who may see contents."""
    if not letter.error:
        return ""
    return letter.error if place.viewer.payloads == "full" else letter.error.partition(":")[0]


# -- one of them ------------------------------------------------------------------------------------------------------


async def detail(place: Place) -> None:
    number = place.params["number"]
    try:
        letter = await place.app.dead_letters.show(int(number) if number.isdecimal() else -1)
    except NotParked:
        empty(place, place.t("parked.unknown", n=number), fill="daicho dlq list", icon="search_off")
        return
    heading(place.t("parked.one", n=letter.number), 1)
    stored = await place.app.storage.read(Selection(event_id=letter.event_id), limit=1)
    with ui.element("div").classes("d-two"):
        with panel(place.t("parked.what")):
            _facts(place, letter)
        with panel(place.t("parked.content")):
            if stored:
                tree(place.content(stored[0]))
            with ui.element("div").classes("d-row"):
                link(place.t("parked.event"), place.link("/events/{position}", position=letter.position))
                link(place.t("parked.flow"), place.link("/flow/{reference}", reference=letter.correlation_id))
    if letter.trace and place.viewer.payloads == "full":
        with panel(place.t("parked.trace")):
            code(letter.trace)
    if letter.state in ("parked", "retry"):
        with panel(place.t("parked.actions")):
            _actions(place, letter)
            with ui.element("details"):
                with ui.element("summary"):
                    ui.label(place.t("parked.edit")).style("display:inline").classes("d-dim")
                ui.label(place.t("parked.edit.why")).classes("d-dim").style("max-width:90ch")


def _facts(place: Place, letter: DeadLetter) -> None:
    stream = place.link("/streams/{stream}", stream=letter.stream)
    facts(
        [
            (place.t("parked.state"), lambda: badge(place.word("state", letter.state), _colour(letter.state))),
            (place.t("parked.reason"), _error(place, letter) or place.t("parked.behind")),
            (place.t("parked.reader"), letter.processor),
            (place.t("parked.key"), letter.key),
            (place.t("parked.type"), lambda: badge(letter.type, "event")),
            (place.t("parked.stream"), lambda: link(letter.stream, stream)),
            (place.t("parked.position"), f"{letter.position:,}"),
            (place.t("parked.attempts"), letter.attempts),
            (place.t("parked.at"), place.time(letter.parked_at)),
            *([(place.t("parked.why"), letter.reason)] if letter.reason else []),
        ]
    )


def _actions(place: Place, letter: DeadLetter) -> None:
    letters = place.app.dead_letters
    why: list[str] = []

    async def try_() -> None:
        try:
            found = await letters.try_(letter.number)
        except DaichoError as error:
            said.clear()
            with said:
                problem(place, error)
            return
        said.clear()
        with said:
            _show_trial(place, found)

    async def retry() -> str:
        return place.t("parked.asked", n=await letters.retry(letter.number))

    async def skip() -> str:
        await letters.skip(letter.number, why[0])
        return why[0]

    with ui.element("div").classes("d-row"):
        button = ui.element("button").classes("d-button").props('type="button" data-action="parked.try"')
        button.on("click", try_)
        with button:
            ui.icon("science")
            ui.label(place.t("parked.try"))
        action(
            place,
            place.t("parked.retry"),
            name="parked.retry",
            target=str(letter.number),
            verb=f"daicho dlq retry {letter.number}",
            needs="act",
            run=retry,
            icon="replay",
            ask=place.t("parked.retry.ask"),
        )
        ui.element("span").classes("d-space")
        action(
            place,
            place.t("parked.skip"),
            name="parked.skip",
            target=str(letter.number),
            verb=f"daicho dlq skip {letter.number} --reason TEXT",
            needs="act",
            run=skip,
            icon="block",
            is_dangerous=True,
            ask=place.t("parked.skip.ask"),
            explained=lambda reason: why.insert(0, reason),
        )
    said = ui.element("div")


def _show_trial(place: Place, found: Trial) -> None:
    ui.label(place.t("parked.trial")).classes("d-strong")
    if found.error is None:
        badge(place.t("parked.trial.good"), "good")
    else:
        badge(place.t("parked.trial.bad"), "bad")
    for step in found.steps:
        _show_step(place, step)


def _show_step(place: Place, step: TrialStep) -> None:
    ui.label(f"{step.number} · {step.type} · {step.position}").classes("d-mono")
    if step.error:
        ui.label(step.error if place.viewer.payloads == "full" else step.error.partition(":")[0])
    for row in step.rows:
        ui.label(place.t("parked.trial.row", row=row.key)).classes("d-dim")
        kind = type(row.after or row.before)
        diff(place, place.shown(_plain(row.before), kind), place.shown(_plain(row.after), kind))
    for each in step.commands:
        name = type(each.command).__message_name__
        told = each.refused or each.error or (place.t("parked.trial.duplicate") if each.duplicate else each.stream)
        ui.label(f"{place.t('parked.trial.command', name=name)} → {told}")


def _plain(value: Any) -> Any:
    return None if value is None else msgspec.to_builtins(value, str_keys=True, enc_hook=str)


SCREEN = Screen(path="/parked", title="parked.title", group="read", build=build, words=WORDS, icon="report", keys="d")
DETAIL = Screen(
    path="/parked/{number}",
    title="parked.title",
    group="read",
    build=detail,
    words=WORDS,
    icon="report",
    listed=False,
)
