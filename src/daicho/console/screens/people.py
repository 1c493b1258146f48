"""Personal data: what is stored about somebody, forgetting them, and the certificate of it."""

from collections.abc import Callable
from shlex import quote
from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import Column, action, badge, code, empty, facts, heading, link, panel, table, told
from daicho.console.parts.text import copy_button
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import InvalidMessage
from daicho.flow.forgetting import PersonFound
from daicho.ports.key_store import Certificate

__all__ = ["CERTIFICATE", "SCREEN"]

_MOST = 200

WORDS: Words = {
    "people.title": ("Personal data", "個人データ"),
    "people.about": (
        "Each person's data is enciphered under a key of its own. Forgetting destroys the key: events stay, and nobody "
        "can read who they were about.",
        "個人データは一人に一つの鍵で暗号化されています。忘れるとは鍵を破棄することです。イベントは残り、誰のものかは誰にも読めなくなります。",
    ),
    "people.nokeys": (
        "This App has no key store: fields marked Personal are masked, but stored in plain text.",
        "この App には鍵の保管場所がありません。Personal のフィールドは伏せ字になりますが、平文で保存されています。",
    ),
    "people.search": ("Id of the person (subject)", "本人の id（主体）"),
    "people.look": ("Look", "調べる"),
    "people.known": ("known", "既知"),
    "people.plain": ("in plain text", "平文"),
    "people.forgotten": ("forgotten", "忘却済み"),
    "people.unknown": ("unknown", "不明"),
    "people.state": ("State", "状態"),
    "people.events": ("Events with personal data", "個人データを含むイベント"),
    "people.plain.events": ("of them in plain text, out of reach", "うち平文（対象外）"),
    "people.streams": ("Streams", "ストリーム"),
    "people.views": ("Views to be rebuilt", "作り直すビュー"),
    "people.letters": ("Parked events", "退避されたイベント"),
    "people.hold": ("Legal hold", "法的保留"),
    "people.hold.none": ("none", "なし"),
    "people.types": ("What would be shredded", "破棄されるもの"),
    "people.shredded": ("What was shredded", "破棄されたもの"),
    "people.type": ("Type", "型"),
    "people.count": ("Events", "件数"),
    "people.none": ("Nothing is stored about {subject}.", "{subject} について保存されたものはありません。"),
    "people.whoami": ("What they may ask for: all that is stored", "本人が請求できる、保存されているすべて"),
    "people.forget": ("Forget {subject}", "{subject} を忘れる"),
    "people.forget.first": ("Forget this person …", "この人を忘れる…"),
    "people.forget.sure": (
        "This cannot be undone. The personal data of {subject} in {n} events becomes unreadable for ever, also in "
        "backups of the events.",
        "取り消せません。{subject} の個人データ（{n} 件のイベント）は、バックアップも含め永久に読めなくなります。",
    ),
    "people.forget.type": ("Type the id again to confirm", "確認のため id をもう一度入力"),
    "people.forget.ask": ("The second and last question.", "2 度目の、最後の確認です。"),
    "people.forget.mismatch": ("The id that was typed is another one.", "入力された id が一致しません。"),
    "people.forget.done": ("{subject} is forgotten. Events: {n}.", "{subject} を忘れました：{n} 件のイベント。"),
    "people.back": ("Do not forget", "やめる"),
    "people.hold.set": ("Hold", "保留する"),
    "people.hold.ask": (
        "Nobody can forget this person until the hold is released.",
        "解除するまで、この人を忘れることはできません。",
    ),
    "people.hold.held": ("{subject} is held.", "{subject} を保留しました。"),
    "people.hold.release": ("Release the hold", "保留を解除"),
    "people.hold.released": ("{subject} may be forgotten again.", "{subject} の保留を解除しました。"),
    "people.holds": ("Held: must not be forgotten", "保留中：忘れてはならない人"),
    "people.reason": ("Why", "理由"),
    "people.by": ("By", "誰が"),
    "people.at": ("When", "いつ"),
    "people.subject": ("Subject", "主体"),
    "people.certificates": ("Certificates", "証明書"),
    "people.certificates.none": ("Nobody was forgotten yet.", "まだ誰も忘れられていません。"),
    "people.certificate": ("Certificate of forgetting", "忘却証明書"),
    "people.certificate.unknown": ("There is no such certificate.", "その証明書はありません。"),
    "people.keys": ("Keys destroyed", "破棄した鍵"),
    "people.snapshots": ("Snapshots dropped", "破棄したスナップショット"),
    "people.complete": ("Complete", "完了"),
    "people.yes": ("complete", "完了"),
    "people.no": ("interrupted: forget again", "中断：もう一度実行"),
    "people.made": ("Views", "ビュー"),
    "people.rebuilt": ("rebuilt", "作り直し済み"),
    "people.left": ("left as it was", "そのまま"),
    "people.notes": ("What is not within reach", "手の届かないもの"),
    "people.copy": ("Copy as JSON", "JSON でコピー"),
    "people.event": ("Event", "イベント"),
    "people.stream": ("Stream", "ストリーム"),
    "people.data": ("Content", "内容"),
}


async def build(place: Place) -> None:
    ui.label(place.t("people.about")).classes("d-dim d-about")
    if not place.app.has_keys:
        empty(
            place, place.t("people.nokeys"), fill='App(..., personal="sqlite:///people-keys.db")', icon="no_encryption"
        )
        return
    subject = place.query.get("subject", "").strip()
    _search(place, subject)
    if subject:
        await _person(place, subject)
    await _holds(place)
    await _certificates(place)


def _search(place: Place, subject: str) -> None:
    form = ui.element("form").classes("d-filters").props('method="get"')
    form.props["action"] = place.link("/people")
    with form:
        with ui.element("label").classes("d-field"):
            ui.label(place.t("people.search"))
            box = ui.element("input").props('type="search" name="subject" autocomplete="off"')
            box.props["value"] = subject
        with ui.element("button").classes("d-button d-primary").props('type="submit"'):
            ui.label(place.t("people.look"))


_COLOURS = {"known": "good", "plain": "warn", "forgotten": "policy", "unknown": ""}


async def _person(place: Place, subject: str) -> None:
    found = await place.app.personal.find(subject)
    if found.state == "unknown":
        empty(place, place.t("people.none", subject=subject), fill=f"daicho whoami {quote(subject)}", icon="person_off")
        return
    with ui.element("div").classes("d-two"):
        with panel(subject):
            _facts(place, found)
            with ui.element("div").classes("d-row"):
                _hold_actions(place, found)
                ui.element("span").classes("d-space")
                if found.state in ("known", "plain") and "sure" not in place.query:
                    link(place.t("people.forget.first"), place.here(sure=1), css="d-button d-danger")
        with panel(place.t("people.shredded" if found.state == "forgotten" else "people.types")):
            columns = [
                Column(name="type", title=place.t("people.type"), kind="badge", colour=lambda _: "event"),
                Column(name="count", title=place.t("people.count"), kind="number"),
            ]
            table(place, "types", columns, [{"type": name, "count": n} for name, n in found.types.items()])
    if "sure" in place.query and found.state in ("known", "plain"):
        _forget(place, found)
    with panel(place.t("people.whoami")):
        await _whoami(place, subject)


def _facts(place: Place, found: PersonFound) -> None:
    facts(
        [
            (place.t("people.state"), lambda: badge(place.t(f"people.{found.state}"), _COLOURS[found.state])),
            (place.t("people.events"), f"{found.events + found.plain:,}"),
            *([(place.t("people.plain.events"), f"{found.plain:,}")] if found.plain else []),
            (place.t("people.streams"), _streams(place, found.streams)),
            *([(place.t("people.views"), ", ".join(found.views))] if found.state != "forgotten" else []),
            (place.t("people.letters"), ", ".join(f"#{number}" for number in found.letters)),
            (
                place.t("people.hold"),
                f"{found.hold.reason} ({found.hold.held_by}, {place.time(found.hold.held_at)})"
                if found.hold
                else place.t("people.hold.none"),
            ),
        ]
    )


def _streams(place: Place, streams: tuple[str, ...]) -> Callable[[], None]:
    def draw() -> None:
        for stream in streams[:_MOST]:
            with ui.element("div"):
                link(stream, place.link("/streams/{stream}", stream=stream), css="d-link d-mono")

    return draw


def _hold_actions(place: Place, found: PersonFound) -> None:
    subject, why = found.subject, list[str]()

    async def hold() -> str:
        await place.app.personal.hold(subject, reason=why[0], by=place.viewer.actor)
        return place.t("people.hold.held", subject=subject)

    async def release() -> str:
        await place.app.personal.release(subject)
        return place.t("people.hold.released", subject=subject)

    if found.hold is not None:
        action(
            place,
            place.t("people.hold.release"),
            name="personal.release",
            target=subject,
            verb=f"daicho personal release {quote(subject)}",
            needs="personal",
            run=release,
            icon="lock_open",
        )
    elif found.state != "forgotten":
        action(
            place,
            place.t("people.hold.set"),
            name="personal.hold",
            target=subject,
            verb=f"daicho personal hold {quote(subject)} --reason TEXT",
            needs="personal",
            run=hold,
            icon="lock",
            ask=place.t("people.hold.ask"),
            explained=lambda reason: why.insert(0, reason),
        )


def _forget(place: Place, found: PersonFound) -> None:
    """The first question is this panel, in which the id is typed again; the second is the button's."""
    subject, why = found.subject, list[str]()
    with panel(place.t("people.forget", subject=subject)):
        told(place.t("people.forget.sure", subject=subject, n=f"{found.events:,}"), "bad")
        with ui.element("label").classes("d-field"):
            ui.label(place.t("people.forget.type"))
            typed = ui.input().props('dense outlined autocomplete="off" data-confirm-subject="1"')

        async def forget() -> str:
            if (typed.value or "").strip() != subject:
                raise InvalidMessage(
                    place.t("people.forget.mismatch"), do=place.t("people.forget.type"), path="$.subject"
                )
            certificate = await place.app.personal.forget(subject, by=place.viewer.actor, reason=why[0])
            return place.t("people.forget.done", subject=subject, n=f"{certificate.events:,}")

        with ui.element("div").classes("d-row"):
            action(
                place,
                place.t("people.forget", subject=subject),
                name="personal.forget",
                target=subject,
                verb=f"daicho forget {quote(subject)} --reason TEXT",
                needs="personal",
                run=forget,
                then=lambda outcome: _after(place, subject, outcome),
                icon="delete_forever",
                is_dangerous=True,
                ask=place.t("people.forget.ask"),
                explained=lambda reason: why.insert(0, reason),
            )
            link(place.t("people.back"), place.here(sure=None), css="d-button")


def _after(place: Place, subject: str, outcome: str) -> None:
    ui.notify(outcome, type="positive")
    ui.navigate.to(place.link("/people", subject=subject).removeprefix(place.root))  # NiceGUI puts it in front again


async def _whoami(place: Place, subject: str) -> None:
    rows: list[dict[str, Any]] = []
    async for event in place.app.personal.whoami(subject):
        content = place.shown(msgspec.to_builtins(event.event), type(event.event))
        rows.append(
            {
                "at": event.occurred_at.isoformat(),
                "type": event.type,
                "stream": event.stream,
                "position": int(event.position),
                "data": msgspec.json.encode(content).decode(),
            }
        )
        if len(rows) == _MOST:
            break
    columns = [
        Column(name="at", title=place.t("people.at"), kind="time"),
        Column(
            name="type",
            title=place.t("people.event"),
            kind="badge",
            colour=lambda _: "event",
            link=lambda row: place.link("/events/{position}", position=row["position"]),
        ),
        Column(name="stream", title=place.t("people.stream"), kind="mono"),
        Column(name="data", title=place.t("people.data"), kind="mono"),
    ]
    table(place, f"whoami-{subject}", columns, rows)
    code(f"daicho whoami {quote(subject)}")


async def _holds(place: Place) -> None:
    held = await place.app.personal.holds()
    if not held:
        return
    columns = [
        Column(
            name="subject",
            title=place.t("people.subject"),
            kind="mono",
            link=lambda row: place.link("/people", subject=row["subject"]),
        ),
        Column(name="reason", title=place.t("people.reason")),
        Column(name="by", title=place.t("people.by")),
        Column(name="at", title=place.t("people.at"), kind="time"),
    ]
    rows = [{"subject": h.subject, "reason": h.reason, "by": h.held_by, "at": h.held_at} for h in held]
    with panel(place.t("people.holds")):
        table(place, "holds", columns, rows)


async def _certificates(place: Place) -> None:
    found = await place.app.personal.certificates()
    with panel(place.t("people.certificates")):
        if not found:
            empty(place, place.t("people.certificates.none"), fill="daicho forget SUBJECT", icon="verified_user")
            return
        columns = [
            Column(
                name="at",
                title=place.t("people.at"),
                kind="time",
                link=lambda row: place.link("/people/certificates/{id}", id=row["id"]),
            ),
            Column(name="subject", title=place.t("people.subject"), kind="mono"),
            Column(name="by", title=place.t("people.by")),
            Column(name="reason", title=place.t("people.reason")),
            Column(name="events", title=place.t("people.count"), kind="number"),
            Column(
                name="complete",
                title=place.t("people.complete"),
                kind="badge",
                colour=lambda row: "good" if row["done"] else "warn",
            ),
        ]
        rows = [
            {
                "id": each.certificate_id,
                "at": each.forgotten_at,
                "subject": each.subject,
                "by": each.forgotten_by,
                "reason": each.reason,
                "events": each.events,
                "done": each.complete,
                "complete": place.t("people.yes" if each.complete else "people.no"),
            }
            for each in found[:_MOST]
        ]
        table(place, "certificates", columns, rows)
        code("daicho personal certificates")


async def certificate(place: Place) -> None:
    found = (
        next(
            (each for each in await place.app.personal.certificates() if each.certificate_id == place.params["id"]),
            None,
        )
        if place.app.has_keys
        else None
    )
    heading(place.t("people.certificate"), 1)
    if found is None:
        empty(place, place.t("people.certificate.unknown"), fill="daicho personal certificates", icon="search_off")
        return
    with panel(found.subject):
        _certified(place, found)
        with ui.element("div").classes("d-row"):
            copy_button(place.t("people.copy"), msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    with ui.element("div").classes("d-two"):
        with panel(place.t("people.shredded")):
            columns = [
                Column(name="type", title=place.t("people.type"), kind="badge", colour=lambda _: "event"),
                Column(name="count", title=place.t("people.count"), kind="number"),
            ]
            table(place, "types", columns, [{"type": name, "count": n} for name, n in found.types.items()])
        with panel(place.t("people.made")):
            for view in found.views:
                with ui.element("div").classes("d-row"):
                    colour = "good" if view.state == "rebuilt" else "warn"
                    badge(f"{view.name}: {place.t(f'people.{view.state}')}", colour)
                    if view.why:
                        ui.label(view.why).classes("d-dim")
    with panel(place.t("people.notes")):
        for note in found.notes:
            ui.label(note)
    code(f"daicho personal certificates {quote(found.subject)} -o json")


def _certified(place: Place, found: Certificate) -> None:
    facts(
        [
            (
                place.t("people.complete"),
                lambda: badge(
                    place.t("people.yes" if found.complete else "people.no"), "good" if found.complete else "warn"
                ),
            ),
            (place.t("people.at"), place.time(found.forgotten_at)),
            (place.t("people.by"), found.forgotten_by),
            (place.t("people.reason"), found.reason),
            (place.t("people.keys"), f"{found.keys:,}"),
            (place.t("people.events"), f"{found.events:,}"),
            (place.t("people.plain.events"), f"{found.plain:,}"),
            (place.t("people.snapshots"), f"{found.snapshots:,}"),
            (place.t("people.streams"), _streams(place, found.streams)),
            (place.t("people.letters"), ", ".join(f"#{number}" for number in found.letters)),
            ("id", found.certificate_id),
        ]
    )


SCREEN = Screen(
    path="/people",
    title="people.title",
    group="govern",
    build=build,
    words=WORDS,
    needs="personal",
    icon="fingerprint",
    keys="u",
)
CERTIFICATE = Screen(
    path="/people/certificates/{id}",
    title="people.title",
    group="govern",
    build=certificate,
    words=WORDS,
    needs="personal",
    icon="verified_user",
    listed=False,
)
