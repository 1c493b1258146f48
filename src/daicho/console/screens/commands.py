"""What was asked of the system, and what came of it; to be asked again, or tried."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import (
    Column,
    Field,
    action,
    anchor,
    badge,
    card,
    code,
    empty,
    filters,
    heading,
    panel,
    problem,
    short,
    table,
    tabs,
    told,
    tree,
)
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import DaichoError, InvalidMessage, Rejected
from daicho.core.journal import CommandNote, Outcome
from daicho.core.messages import Command
from daicho.core.times import to_text
from daicho.ports.event_store import CommandOutcome

__all__ = ["CHOICE", "KEPT", "ONE", "SCREEN"]

_OUTCOMES: tuple[Outcome, ...] = ("accepted", "rejected", "conflict", "duplicate", "nothing", "failed")
_COLOURS = {
    "accepted": "good",
    "done": "good",
    "rejected": "warn",
    "conflict": "bad",
    "failed": "bad",
    "duplicate": "policy",
    "pending": "external",
}
WORDS: Words = {
    "commands.title": ("Commands", "コマンド"),
    "commands.one": ("Send a command", "コマンドを送る"),
    "commands.kept.title": ("Commands", "コマンド"),
    "commands.live": ("This process", "このプロセス"),
    "commands.kept": ("Kept in the store", "ストアに残る記録"),
    "commands.send": ("Send one", "送信"),
    "commands.lead": (
        "What passed through this process since {since}; the latest {n} are listed.",
        "{since} 以降にこのプロセスを通ったもの。直近 {n} 件を表示します。",
    ),
    "commands.kept.lead": (
        "Commands that left a note: keyed, posted or refused ones.",
        "記録が残るコマンド: キー付き、非同期、却下されたもの。",
    ),
    "commands.none": ("No command has come yet.", "まだコマンドは届いていません。"),
    "commands.accepted": ("accepted", "受理"),
    "commands.rejected": ("rejected", "却下"),
    "commands.conflict": ("conflicting", "競合"),
    "commands.duplicate": ("duplicates", "重複"),
    "commands.nothing": ("without effect", "変化なし"),
    "commands.failed": ("failed", "失敗"),
    "commands.retried": ("tried again", "再試行"),
    "commands.at": ("Came", "受信"),
    "commands.name": ("Command", "コマンド"),
    "commands.outcome": ("Outcome", "結果"),
    "commands.stream": ("Stream", "ストリーム"),
    "commands.events": ("Events", "イベント"),
    "commands.retries": ("Retries", "再試行"),
    "commands.ms": ("ms", "ミリ秒"),
    "commands.by": ("By", "実行者"),
    "commands.reason": ("Reason", "理由"),
    "commands.flow": ("Flow", "流れ"),
    "commands.again": ("Send again", "再送"),
    "commands.content": ("Content (JSON)", "内容（JSON）"),
    "commands.try": ("Try: what would come of it?", "試す（記録しない）"),
    "commands.try.nothing": ("It would change nothing.", "何も変わりません。"),
    "commands.try.would": (
        "It would record this in {stream}; nothing was recorded:",
        "{stream} に次を記録します（まだ何も記録していません）:",
    ),
    "commands.resend": ("Send it, with a new id", "新しいIDで送信"),
    "commands.sent": ("Accepted. Events in {stream}: {events}.", "受理されました: {stream} に {events} 件。"),
    "commands.choose": ("Which one?", "どのコマンドを送りますか？"),
    "commands.original": ("It was sent before, with this outcome:", "元のコマンドの結果:"),
    "commands.unknown": ("This app handles no command of this name.", "この名前のコマンドはありません。"),
}


async def build(place: Place) -> None:
    _tabs(place, "live")
    journal = place.app.journal
    with ui.element("div").classes("d-cards"):
        for outcome in _OUTCOMES:
            count = sum(n for (_, each), n in journal.outcomes.items() if each == outcome)
            card(place.t(f"commands.{outcome}"), f"{count:,}", target=place.link("/commands", outcome=outcome))
        card(place.t("commands.retried"), f"{sum(journal.retries.values()):,}")
    names = sorted({name for name, _ in journal.outcomes})
    filters(
        place,
        [
            Field(name="name", label=place.t("commands.name"), kind="select", options={n: n for n in names}),
            Field(
                name="outcome",
                label=place.t("commands.outcome"),
                kind="select",
                options={each: place.t(f"commands.{each}") for each in _OUTCOMES},
            ),
        ],
    )
    wanted = (place.query.get("name"), place.query.get("outcome"))
    notes = [note for note in reversed(journal.commands) if _meets(note, *wanted)][:100]
    if not notes:
        empty(place, place.t("commands.none"), fill="daicho send ...", icon="arrow_forward")
        return
    since = place.time(_moment(journal.since))
    ui.label(place.t("commands.lead", since=since, n=len(notes))).classes("d-dim")
    columns = [
        Column(name="at", title=place.t("commands.at"), kind="time"),
        Column(name="name", title=place.t("commands.name"), kind="badge", colour=lambda _: "command"),
        Column(name="outcome", title=place.t("commands.outcome"), kind="badge", colour=_colour),
        Column(name="stream", title=place.t("commands.stream"), kind="mono", link=lambda r: _stream(place, r)),
        Column(name="events", title=place.t("commands.events"), kind="number"),
        Column(name="retries", title=place.t("commands.retries"), kind="number"),
        Column(name="ms", title=place.t("commands.ms"), kind="number"),
        Column(name="by", title=place.t("commands.by")),
        Column(name="reason", title=place.t("commands.reason")),
        Column(name="flow", title=place.t("commands.flow"), link=lambda r: _flow(place, r)),
        Column(name="again", title="", link=lambda r: _again(place, r)),
    ]
    table(place, "commands", columns, [_row(place, note) for note in notes])


def _meets(note: CommandNote, name: str | None, outcome: str | None) -> bool:
    return (not name or note.name == name) and (not outcome or note.outcome == outcome)


def _colour(row: Any) -> str:
    return _COLOURS.get(str(row["kind"]), "")


def _row(place: Place, note: CommandNote) -> dict[str, Any]:
    return {
        "at": _moment(note.at),
        "name": note.name,
        "outcome": place.t(f"commands.{note.outcome}"),
        "kind": note.outcome,
        "stream": note.stream,
        "events": note.events,
        "retries": note.retries,
        "ms": round(note.seconds * 1000, 1),
        "by": note.handler or note.actor or "",
        "reason": short(note.reason, 90),
        "flow": note.correlation_id[:8],
        "correlation": note.correlation_id,
        "again": place.t("commands.again"),
        "command_id": note.command_id,
    }


def _stream(place: Place, row: Any) -> str | None:
    return place.link("/streams/{stream}", stream=row["stream"]) if row["stream"] else None


def _flow(place: Place, row: Any) -> str | None:
    return place.link("/flow/{reference}", reference=row["correlation"]) if row["correlation"] else None


def _again(place: Place, row: Any) -> str:
    return place.link("/commands/send/{name}", name=row["name"], like=row["command_id"])


def _moment(seconds: float | None) -> str:
    return to_text(datetime.fromtimestamp(seconds or 0.0, UTC))


async def build_kept(place: Place) -> None:
    _tabs(place, "kept")
    ui.label(place.t("commands.kept.lead")).classes("d-dim").style("margin-bottom:10px")
    states = {each: each for each in ("pending", "done", "rejected", "failed")}
    filters(place, [Field(name="state", label=place.t("commands.outcome"), kind="select", options=states)])
    found = await place.app.storage.outcomes(state=place.query.get("state") or None, limit=100)
    if not found:
        empty(place, place.t("commands.none"), fill="daicho send NAME --key ...", icon="arrow_forward")
        return
    columns = [
        Column(name="received_at", title=place.t("commands.at"), kind="time"),
        Column(name="name", title=place.t("commands.name"), kind="badge", colour=lambda _: "command"),
        Column(
            name="state",
            title=place.t("commands.outcome"),
            kind="badge",
            words="state",
            colour=lambda r: _COLOURS[r["state"]],
        ),
        Column(name="stream", title=place.t("commands.stream"), kind="mono", link=lambda r: _stream(place, r)),
        Column(name="by", title=place.t("commands.by")),
        Column(name="reason", title=place.t("commands.reason")),
        Column(name="flow", title=place.t("commands.flow"), link=lambda r: _flow(place, r)),
    ]
    table(place, "commands", columns, [_kept(each) for each in found])
    code("daicho get commands")


def _kept(outcome: CommandOutcome) -> dict[str, Any]:
    return {
        "received_at": outcome.received_at,
        "name": outcome.name,
        "state": outcome.state,
        "stream": outcome.stream or "",
        "by": outcome.handler or outcome.actor or "",
        "reason": short(outcome.reason or "", 120),
        "flow": (outcome.correlation_id or "")[:8],
        "correlation": outcome.correlation_id,
    }


def _tabs(place: Place, here: str) -> None:
    targets = {"live": "/commands", "kept": "/commands/kept", "send": "/commands/send"}
    tabs([(place.t(f"commands.{name}"), place.link(path), name == here) for name, path in targets.items()])


async def build_choice(place: Place) -> None:
    _tabs(place, "send")
    heading(place.t("commands.choose"))
    with ui.element("div").classes("d-cards"):
        for name in sorted(each.__message_name__ for each in place.app.model.behaviours):
            with anchor(target=place.link("/commands/send/{name}", name=name)).classes("d-card"):
                badge(name, "command")


async def build_one(place: Place) -> None:
    name = place.params["name"]
    heading(f"{place.t('commands.one')}: {name}", 1)
    _tabs(place, "send")
    cls = next((each for each in place.app.model.behaviours if each.__message_name__ == name), None)
    if cls is None:
        empty(place, place.t("commands.unknown"), fill="daicho describe --help", icon="search_off")
        return
    like = next((n for n in place.app.journal.commands if n.command_id == place.query.get("like")), None)
    if like is not None:
        told(f"{place.t('commands.original')} {place.t(f'commands.{like.outcome}')}", "warn", like.reason)
    with panel(place.t("commands.content")):
        begin = json.dumps(_example(place, cls, like), indent=2, ensure_ascii=False)
        text = ui.textarea(value=begin).props('outlined autogrow input-class="d-mono" data-field="content"')
        text.style("width:100%").props["aria-label"] = place.t("commands.content")
    buttons = ui.element("div").classes("d-row").style("margin-bottom:14px")
    said = ui.element("div")
    outcome: dict[str, str] = {}

    async def tried() -> None:
        said.clear()
        with said:
            await _try(place, cls, text.value or "")

    async def send() -> str:
        receipt = await place.app.send(_command(cls, text.value or ""), actor=place.viewer.actor)
        outcome["flow"] = receipt.correlation_id
        return place.t("commands.sent", events=len(receipt.events), stream=receipt.stream)

    def sent(text: str) -> None:
        said.clear()
        with said, told(text, "good"):
            target = place.link("/flow/{reference}", reference=outcome["flow"])
            anchor(place.t("commands.flow"), target).classes("d-link")

    with buttons:
        button = ui.element("button").classes("d-button").props('type="button" data-action="command.try"')
        with button:
            ui.icon("science")
            ui.label(place.t("commands.try"))
        if not place.may("send"):
            button.props["disabled"] = True
        button.on("click", tried)
        action(
            place,
            place.t("commands.resend"),
            name="command.resend" if like else "command.send",
            target=name,
            verb=f"daicho send {name} --data @command.json",
            needs="send",
            run=send,
            then=sent,
            icon="send",
        )


async def _try(place: Place, cls: type[Command], text: str) -> None:
    try:
        place.viewer.demand("send")
        receipt = await place.app.imagine(_command(cls, text), actor=place.viewer.actor)
    except Rejected as refusal:
        told(place.t("commands.rejected"), "warn", refusal.what)
        return
    except DaichoError as error:
        problem(place, error)
        return
    except Exception as error:  # noqa: BLE001 - the user's code: told
        told(place.t("commands.failed"), "bad", f"{type(error).__name__}: {error}")
        return
    if not receipt.events:
        told(place.t("commands.try.nothing"), "good")
        return
    with told(place.t("commands.try.would", stream=receipt.stream), "good"):
        for event in receipt.events:
            badge(type(event).__message_name__, "event")
            tree(place.shown(msgspec.to_builtins(event), type(event)))


def _command(cls: type[Command], text: str) -> Command:
    """Raises InvalidMessage."""
    try:
        return msgspec.json.decode(text, type=cls)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidMessage(f"this is no {cls.__message_name__}: {error}", do="mend the content", path="$") from error


def _example(place: Place, cls: type[Command], like: CommandNote | None) -> Any:
    if like is not None and place.viewer.payloads == "full":
        return msgspec.to_builtins(like.command)
    return {f.name: _blank(f.type) for f in msgspec.structs.fields(cls) if f.required}


def _blank(kind: Any) -> Any:
    """Something of the type to begin with."""
    found = {str: "", int: 1, float: 0.0, bool: False}.get(kind)
    return found if found is not None else [] if getattr(kind, "__origin__", None) is list else ""


SCREEN = Screen(
    path="/commands", title="commands.title", group="write", build=build, words=WORDS, icon="arrow_forward", keys="c"
)
KEPT = Screen(
    path="/commands/kept", title="commands.kept.title", group="write", build=build_kept, words=WORDS, under="/commands"
)
CHOICE = Screen(
    path="/commands/send", title="commands.one", group="write", build=build_choice, words=WORDS, under="/commands"
)
ONE = Screen(
    path="/commands/send/{name}", title="commands.one", group="write", build=build_one, words=WORDS, under="/commands"
)
