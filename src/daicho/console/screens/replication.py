"""Replicas: how far behind, whether they answer, and what they answer."""

from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import Column, action, card, code, empty, facts, heading, panel, problem, table, told
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import DaichoError
from daicho.insight.drawing import short_time
from daicho.ports.failover import FailoverCheck
from daicho.read.replicas.state import ReplicaState

__all__ = ["SCREEN"]

_EVERY = 2.0
_ROLES = {"primary": "event", "standby": "view", "down": "bad"}
WORDS: Words = {
    "replication.title": ("Replication", "レプリケーション"),
    "replication.lead": (
        "Queries are answered from replicas that are near enough; who just wrote gets an answer that has seen it.",
        "クエリは、十分に追いついているレプリカが答えます。書き込んだ直後の人には、それを反映した答えが返ります。",
    ),
    "replication.none": (
        "Queries are answered by the store itself: there are no replicas.",
        "レプリカはなく、ストア自身が答えています。",
    ),
    "replication.store": ("The store", "ストア"),
    "replication.serving": ("Serving", "稼働中"),
    "replication.worst": ("Farthest behind", "最大の遅れ"),
    "replication.moved": ("Asked elsewhere", "振り替え"),
    "replication.primary": ("Answered by the primary", "プライマリの応答"),
    "replication.name": ("Replica", "レプリカ"),
    "replication.state": ("State", "状態"),
    "replication.in": ("in service", "稼働中"),
    "replication.out": ("out of service", "使用停止"),
    "replication.lag": ("Behind", "遅れ"),
    "replication.bytes": ("Bytes behind", "遅れ（バイト）"),
    "replication.position": ("Position", "位置"),
    "replication.reads": ("Answers", "応答"),
    "replication.under": ("Under way", "処理中"),
    "replication.taken": ("Taken out", "停止回数"),
    "replication.seen": ("Seen", "最終確認"),
    "replication.why": ("Why", "理由"),
    "replication.trouble": ("{name} is out of service: {why}", "{name} は使用停止中です：{why}"),
    "replication.refused": (
        "{n} questions could not be answered in time.",
        "{n} 件の問い合わせに時間内に答えられませんでした。",
    ),
    "replication.failover": ("Failover", "フェイルオーバー"),
    "replication.failover.told": (
        "Here you see what would happen. The primary is replaced on the command line, which does not depend on it:",
        "ここでは交代した場合の結果を確認できます。交代そのものは、プライマリに依存しないコマンドラインで行います。",
    ),
    "replication.check": ("What would happen now", "今交代した場合を調べる"),
    "replication.server": ("Server", "サーバー"),
    "replication.role": ("Role", "役割"),
    "replication.epoch": ("Epoch", "エポック"),
    "replication.events": ("Events behind", "遅れ（件）"),
    "replication.sync": ("Commits wait", "同期"),
    "replication.best": ("Best standby", "最適なスタンバイ"),
    "replication.risk": ("Acknowledged events at risk", "失われうる確定済みイベント"),
    "replication.fencing": ("Keeping the old primary from writing", "旧プライマリの書き込み停止"),
    "replication.unknown": ("not known", "不明"),
    "replication.orphans": ("Who has seen events that were lost", "失われたイベントを見たもの"),
    "replication.orphans.told": (
        "After a failover that lost a tail: who was ahead of it. Views are built anew; see to the others, and say so.",
        "末尾を失った交代の後、先に進んでいたものを示します。ビューは作り直されます。ほかは対処して済みにしてください。",
    ),
    "replication.no.orphans": ("Nobody has seen events that were lost.", "失われたイベントを見たものはありません。"),
    "replication.checkpoint": ("Reader", "読み手"),
    "replication.from": ("From", "開始"),
    "replication.to": ("To", "終了"),
    "replication.do": ("What to do", "対処"),
    "replication.accept": ("It is seen to: {name}", "対処済みにする：{name}"),
}


async def build(place: Place) -> None:
    ui.label(place.t("replication.lead")).classes("d-lead")
    with panel(place.t("replication.store")):
        facts([(str(name), str(value)) for name, value in place.app.storage.describe().items()])
    if place.app.replicas:
        _replicas(place)
    else:
        empty(place, place.t("replication.none"), fill='App(..., read_from=["postgresql://replica/shop"])')
    if place.app.url.startswith("postgres"):
        with panel(place.t("replication.failover")):
            _failover(place)
    await _orphans(place)


def _replicas(place: Place) -> None:
    cards, troubles = ui.element("div").classes("d-cards"), ui.element("div")
    shown = table(place, "replicas", _columns(place), [_row(place, each) for each in place.app.replicas])

    def draw() -> None:
        found = place.app.replicas
        cards.clear()
        with cards:
            _cards(place, found)
        troubles.clear()
        with troubles:
            _troubles(place, found)
        shown.show([_row(place, each) for each in found])

    draw()
    ui.timer(_EVERY, draw, immediate=False)


def _failover(place: Place) -> None:
    with ui.element("div").classes("d-stack").style("margin-bottom:12px"):
        ui.label(place.t("replication.failover.told")).classes("d-dim")
        code("daicho failover promote")
    button = ui.element("button").classes("d-button").props('type="button" data-action="failover.check"')
    with button:
        ui.icon("troubleshoot")
        ui.label(place.t("replication.check"))
    said = ui.element("div").classes("d-stack").style("margin-top:12px")

    async def check() -> None:
        try:
            found = await place.app.failover.check()
        except DaichoError as error:
            said.clear()
            with said:
                problem(place, error)
            return
        said.clear()
        with said:
            _show_check(place, found)

    button.on("click", check)


def _show_check(place: Place, found: FailoverCheck) -> None:
    for each in found.problems:
        told(each, "warn")
    unknown = place.t("replication.unknown")
    risk = unknown if found.events_at_risk is None else f"{found.events_at_risk:,}"
    facts(
        [
            (place.t("replication.best"), found.best or unknown),
            (place.t("replication.risk"), risk),
            (place.t("replication.fencing"), f"{found.fencing} {found.fencing_detail}".strip()),
        ]
    )
    columns = [
        Column(name="server", title=place.t("replication.server"), kind="mono"),
        Column(
            name="role",
            title=place.t("replication.role"),
            kind="badge",
            words="state",
            colour=lambda r: _ROLES.get(r["role"], ""),
        ),
        Column(name="epoch", title=place.t("replication.epoch"), kind="number"),
        Column(name="position", title=place.t("replication.position"), kind="number"),
        Column(name="events_behind", title=place.t("replication.events"), kind="number"),
        Column(name="bytes_behind", title=place.t("replication.bytes"), kind="number"),
        Column(name="sync", title=place.t("replication.sync")),
    ]
    servers = [*([found.primary] if found.primary else []), *found.standbys]
    table(place, "failover", columns, [{**msgspec.to_builtins(x), "server": x.url or x.name} for x in servers])


async def _orphans(place: Place) -> None:
    heading(place.t("replication.orphans"))
    found = await place.app.orphaned()
    if not found:
        ui.label(place.t("replication.no.orphans")).classes("d-dim")
        return
    ui.label(place.t("replication.orphans.told")).classes("d-lead").style("margin-top:0")
    columns = [
        Column(name="checkpoint", title=place.t("replication.checkpoint"), kind="mono"),
        Column(name="first", title=place.t("replication.from"), kind="number"),
        Column(name="last", title=place.t("replication.to"), kind="number"),
        Column(name="state", title=place.t("replication.state"), kind="badge", words="state", colour=lambda _: "warn"),
        Column(name="do", title=place.t("replication.do")),
    ]
    table(place, "orphans", columns, [msgspec.to_builtins(each) for each in found])
    with ui.element("div").classes("d-row"):
        for each in found:
            if each.state == "open":
                _accepting(place, each.checkpoint)


def _accepting(place: Place, checkpoint: str) -> None:
    async def accept() -> None:
        await place.app.accept_orphan(checkpoint)

    action(
        place,
        place.t("replication.accept", name=checkpoint),
        name="failover.accept",
        target=checkpoint,
        verb=f"daicho failover accept {checkpoint}",
        needs="act",
        run=accept,
        icon="done",
    )


def _cards(place: Place, found: list[ReplicaState]) -> None:
    serving = sum(each.in_service for each in found)
    known = [each.lag_seconds for each in found if each.lag_seconds is not None]
    card(place.t("replication.serving"), f"{serving} / {len(found)}")
    card(place.t("replication.worst"), short_time(max(known)) if known else "?")
    card(place.t("replication.moved"), f"{sum(each.moved for each in found):,}")
    if primary := place.app.primary_reads:
        card(place.t("replication.primary"), f"{primary.reads:,}")


def _troubles(place: Place, found: list[ReplicaState]) -> None:
    for each in found:
        if not each.in_service:
            told(place.t("replication.trouble", name=each.name, why=each.why), "warn", "daicho doctor")
    primary = place.app.primary_reads
    if primary is not None and primary.refused:
        told(place.t("replication.refused", n=primary.refused), "bad")


def _columns(place: Place) -> list[Column]:
    return [
        Column(name="name", title=place.t("replication.name"), kind="mono"),
        Column(
            name="state",
            title=place.t("replication.state"),
            kind="badge",
            colour=lambda row: "good" if row["in_service"] else "bad",
        ),
        Column(name="lag", title=place.t("replication.lag")),
        Column(name="lag_bytes", title=place.t("replication.bytes"), kind="number"),
        Column(name="position", title=place.t("replication.position"), kind="number"),
        Column(name="reads", title=place.t("replication.reads"), kind="number"),
        Column(name="under_way", title=place.t("replication.under"), kind="number"),
        Column(name="taken_out", title=place.t("replication.taken"), kind="number"),
        Column(name="last_seen", title=place.t("replication.seen"), kind="time"),
        Column(name="why", title=place.t("replication.why")),
    ]


def _row(place: Place, each: ReplicaState) -> dict[str, Any]:
    lag = "?" if each.lag_seconds is None else short_time(each.lag_seconds)
    state = place.t("replication.in" if each.in_service else "replication.out")
    return {**msgspec.to_builtins(each), "state": state, "lag": lag}


SCREEN = Screen(
    path="/replication", title="replication.title", group="system", build=build, words=WORDS, icon="content_copy"
)
