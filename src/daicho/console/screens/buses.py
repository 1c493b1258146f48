"""Between this service and others: what was said, what was heard, what is missing."""

from typing import Any

import msgspec
from nicegui import ui

from daicho.console.parts import Column, action, card, empty, heading, problem, table, told
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import BusError, NotFound
from daicho.flow.among import PartitionState

__all__ = ["SCREEN"]

_EVERY = 3.0
WORDS: Words = {
    "buses.title": ("Buses and relays", "バスとリレー"),
    "buses.lead": (
        "The store is the outbox: relays carry its events to the bus, in order, partition by partition.",
        "ストアがアウトボックスです。リレーがイベントを順番に、区画ごとにバスへ運びます。",
    ),
    "buses.none": ("This app is on no bus.", "このアプリはバスにつながっていません。"),
    "buses.service": ("This service", "このサービス"),
    "buses.out": ("says", "送信"),
    "buses.in": ("hears", "受信"),
    "buses.waiting": ("Still to be sent", "未送信"),
    "buses.unheard": ("Still to be taken in", "未取り込み"),
    "buses.missing": ("Missing", "欠落"),
    "buses.partitions": ("Partition by partition", "区画ごとの状況"),
    "buses.direction": ("Direction", "方向"),
    "buses.channel": ("Channel", "チャネル"),
    "buses.partition": ("Partition", "区画"),
    "buses.here": ("Here", "ここまで"),
    "buses.tail": ("On the bus", "バス上"),
    "buses.lag": ("Behind", "遅れ"),
    "buses.gap": ("Missing up to", "欠落の終わり"),
    "buses.gap.told": (
        "Messages of {source} are missing, and did not come again. Nothing behind them is taken in.",
        "{source} のメッセージが欠落し、再送されていません。その後のものは取り込まれません。",
    ),
    "buses.accept": ("Give up what is missing", "欠落をあきらめる"),
    "buses.accept.ask": (
        "This service goes on behind the gap. What is missing is lost to it for good.",
        "欠落の後から続けます。欠落したものは、このサービスには永久に届きません。",
    ),
    "buses.accept.nothing": ("There is no gap.", "欠落はありません。"),
    "buses.others": ("Commands for other services", "ほかのサービスへのコマンド"),
    "buses.command": ("Command", "コマンド"),
    "buses.to": ("Service", "サービス"),
    "buses.field": ("In order by", "順序のキー"),
}


async def build(place: Place) -> None:
    ui.label(place.t("buses.lead")).classes("d-lead")
    among = place.app.among
    if among is None:
        empty(place, place.t("buses.none"), fill='App(..., name="orders", bus="nats://localhost", listen=["payments"])')
        return
    cards = ui.element("div").classes("d-cards")
    try:
        states = await place.app.bus_status()
    except (BusError, NotFound) as error:
        problem(place, error)
        return
    _cards(place, cards, states)
    _gaps(place, states)
    heading(place.t("buses.partitions"))
    shown = table(place, "bus", _columns(place), [_row(place, each) for each in states])
    _commands(place)

    async def again() -> None:
        try:
            found = await place.app.bus_status()
        except (BusError, NotFound):  # it is told when the page is opened again; what is shown stays
            return
        _cards(place, cards, found)
        shown.show([_row(place, each) for each in found])

    ui.timer(_EVERY, again, immediate=False)


def behind(state: PartitionState) -> int | None:
    """Messages that are still to be sent, or to be taken in; None if the broker does not tell."""
    return None if state.tail is None else max(0, state.tail - state.here)


def _cards(place: Place, cards: ui.element, states: list[PartitionState]) -> None:
    among = place.app.among
    assert among is not None
    cards.clear()
    with cards:
        card(place.t("buses.service"), among.name)
        for way, label in (("out", "waiting"), ("in", "unheard")):
            found = [behind(each) for each in states if each.direction == way]
            if found:
                card(place.t(f"buses.{label}"), f"{sum(each or 0 for each in found):,}")
        card(place.t("buses.missing"), f"{sum(each.gap_up_to is not None for each in states):,}")


def _source(state: PartitionState) -> str:
    """`payments`, for the channel `events.payments`."""
    return state.channel.partition(".")[2] or state.channel


def _gaps(place: Place, states: list[PartitionState]) -> None:
    among = place.app.among
    assert among is not None
    for source in among.listen:
        gaps = [each for each in states if each.gap_up_to is not None and source == _source(each)]
        if not gaps:
            continue
        told(place.t("buses.gap.told", source=source), "bad")

        async def accept(source: str = source) -> str:
            gone_on = await place.app.accept_gap(source)
            return ", ".join(f"{partition}: {number}" for partition, number in gone_on) or place.t(
                "buses.accept.nothing"
            )

        action(
            place,
            place.t("buses.accept"),
            name="bus.accept-gap",
            target=source,
            verb=f"daicho bus accept-gap {source}",
            needs="act",
            run=accept,
            icon="redo",
            is_dangerous=True,
            ask=place.t("buses.accept.ask"),
        )


def _columns(place: Place) -> list[Column]:
    return [
        Column(
            name="direction",
            title=place.t("buses.direction"),
            kind="badge",
            colour=lambda row: "event" if row["way"] == "out" else "external",
        ),
        Column(name="channel", title=place.t("buses.channel"), kind="mono"),
        Column(name="partition", title=place.t("buses.partition"), kind="number"),
        Column(name="here", title=place.t("buses.here"), kind="number"),
        Column(name="tail", title=place.t("buses.tail"), kind="number"),
        Column(name="behind", title=place.t("buses.lag"), kind="number"),
        Column(name="gap_up_to", title=place.t("buses.gap"), kind="number"),
    ]


def _row(place: Place, state: PartitionState) -> dict[str, Any]:
    plain = msgspec.to_builtins(state)
    return {**plain, "way": state.direction, "direction": place.t(f"buses.{state.direction}"), "behind": behind(state)}


def _commands(place: Place) -> None:
    among = place.app.among
    assert among is not None
    rows = [
        {"command": name, "service": service, "field": key}
        for service, commands in among.remote.items()
        for name, key in commands.items()
    ]
    if rows:
        heading(place.t("buses.others"))
        columns = [
            Column(name="command", title=place.t("buses.command"), kind="badge", colour=lambda _: "command"),
            Column(name="service", title=place.t("buses.to"), kind="mono"),
            Column(name="field", title=place.t("buses.field"), kind="mono"),
        ]
        table(place, "remote-commands", columns, rows)


SCREEN = Screen(path="/buses", title="buses.title", group="flow", build=build, words=WORDS, icon="sync_alt", keys="b")
