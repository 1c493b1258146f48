"""What is stored in which shape, and how it is read today: every version of every type, counted."""

from typing import Any

from nicegui import ui

from daicho.console.parts import Column, badge, code, empty, facts, heading, link, panel, table, told, tree
from daicho.console.screen import Place, Screen
from daicho.console.screens.schema_checks import CHECK_WORDS, checks
from daicho.console.words import Words
from daicho.core.messages import Event
from daicho.core.personal import personal_fields
from daicho.ports.event_store import Selection
from daicho.schemas.shapes import fields_of

__all__ = ["DETAIL", "SCREEN"]

WORDS: Words = {
    "schemas.title": ("Schemas", "スキーマ"),
    "schemas.about": (
        "Every shape that events are stored in, and how this code reads it.",
        "保存されているイベントの形と、現在のコードでの読み方です。",
    ),
    "schemas.none": (
        "This app has no events, and the store holds none.",
        "イベントの型も、保存されたイベントもありません。",
    ),
    "schemas.all": ("Every version", "すべてのバージョン"),
    "schemas.type": ("Type", "型"),
    "schemas.version": ("Version", "バージョン"),
    "schemas.count": ("Stored", "保存数"),
    "schemas.class": ("Read as", "読み取るクラス"),
    "schemas.state": ("How", "状態"),
    "schemas.personal": ("Personal", "個人データ"),
    "schemas.present": ("present", "現行"),
    "schemas.upcast": ("upcast", "アップキャスト"),
    "schemas.unreadable": ("unreadable", "読めない"),
    "schemas.unused": ("not recorded yet", "未記録"),
    "schemas.lost": (
        "Events stored in a shape that this code cannot read: {n}.",
        "このコードでは読めない形のイベントが {n} 件あります。",
    ),
    "schemas.lost.do": (
        "Give the App the part or the upcaster that knows it; daicho doctor names them.",
        "その型を知る部品かアップキャスターを App に渡してください。daicho doctor が一覧を示します。",
    ),
    "schemas.fields": ("Fields of the present version", "現行バージョンのフィールド"),
    "schemas.field": ("Field", "フィールド"),
    "schemas.kind": ("Type", "型"),
    "schemas.default": ("Default", "既定値"),
    "schemas.steps": ("Upcasters", "アップキャスター"),
    "schemas.step": ("From", "元"),
    "schemas.to": ("To", "先"),
    "schemas.function": ("Function", "関数"),
    "schemas.nosteps": ("No upcaster starts or ends here.", "この型のアップキャスターはありません。"),
    "schemas.versions": ("Versions in the store", "保存されているバージョン"),
    "schemas.sample": ("The newest of version {n}", "バージョン {n} の最新のイベント"),
    "schemas.stored": ("As stored", "保存されたまま"),
    "schemas.read": ("As read", "読み取った形"),
    "schemas.unknown": ("No event is called {name}.", "{name} というイベントはありません。"),
    "schemas.code": ("Fingerprint of the way it is read", "読み取り方の指紋"),
}


async def build(place: Place) -> None:
    ui.label(place.t("schemas.about")).classes("d-dim d-about")
    counts = await place.app.storage.counts()
    rows = _rows(place, counts)
    if not rows:
        empty(place, place.t("schemas.none"), fill="daicho send NAME --set field=value")
        await checks(place)
        return
    lost = sum(row["count"] for row in rows if row["key"] == "unreadable")
    if lost:
        told(place.t("schemas.lost", n=f"{lost:,}"), "bad", place.t("schemas.lost.do"))
    await checks(place)
    heading(place.t("schemas.all"))
    table(place, "schemas", _columns(place), rows)
    code("daicho get types")


def _columns(place: Place) -> list[Column]:
    return [
        Column(
            name="type",
            title=place.t("schemas.type"),
            kind="badge",
            colour=lambda _: "event",
            link=lambda row: place.link("/schemas/{type}", type=row["type"]),
        ),
        Column(name="version", title=place.t("schemas.version"), kind="number"),
        Column(name="count", title=place.t("schemas.count"), kind="number"),
        Column(name="state", title=place.t("schemas.state"), kind="badge", colour=lambda row: _COLOURS[row["key"]]),
        Column(name="class", title=place.t("schemas.class"), kind="mono"),
        Column(name="personal", title=place.t("schemas.personal"), kind="mono"),
    ]


_COLOURS = {"present": "good", "upcast": "warn", "unreadable": "bad", "unused": ""}


def _rows(place: Place, counts: dict[tuple[str, int], int], only: str | None = None) -> list[dict[str, Any]]:
    registry = place.app.registry
    present = {name: cls.__schema_version__ for name, cls in registry.classes.items()}
    known = {*counts, *((name, version) for name, version in present.items())}
    rows: list[dict[str, Any]] = []
    for name, version in sorted(known):
        if only not in (None, name):
            continue
        count, cls = counts.get((name, version), 0), registry.read_as(name, version)
        key = "unreadable" if cls is None else "present" if present.get(name) == version else "upcast"
        if not count:
            key = "unused"
        rows.append(
            {
                "type": name,
                "version": version,
                "count": count,
                "key": key,
                "state": place.t(f"schemas.{key}"),
                "class": "" if cls is None else f"{cls.__name__} v{cls.__schema_version__}",
                "personal": "" if cls is None else ", ".join(sorted(_personal(cls))),
            }
        )
    return rows


def _personal(cls: Any) -> frozenset[str]:
    return personal_fields(cls)


# -- one type ---------------------------------------------------------------------------------------------------------


async def detail(place: Place) -> None:
    name = place.params["type"]
    rows = _rows(place, await place.app.storage.counts(), name)
    heading(name, 1)
    if not rows:
        empty(place, place.t("schemas.unknown", name=name), fill="daicho get types", icon="search_off")
        return
    with panel(place.t("schemas.versions")):
        table(place, "versions", _columns(place), rows)
    with panel(place.t("schemas.steps")):
        _steps(place, name)
    cls = next((cls for row in rows if (cls := place.app.registry.read_as(name, row["version"]))), None)
    if cls is not None:
        with panel(place.t("schemas.fields")):
            _fields(place, cls)
    for row in rows:
        await _sample(place, name, row)


def _steps(place: Place, name: str) -> None:
    steps = [step for step in place.app.model.upcasters if name in (step.type, step.to_type)]
    if not steps:
        ui.label(place.t("schemas.nosteps")).classes("d-dim")
        return
    columns = [
        Column(name="from", title=place.t("schemas.step"), kind="mono"),
        Column(name="to", title=place.t("schemas.to"), kind="mono"),
        Column(name="function", title=place.t("schemas.function"), kind="mono"),
    ]
    rows = [
        {
            "from": f"{step.type} v{step.version}",
            "to": f"{step.to_type} v{step.to_version}",
            "function": f"{step.function.__module__}.{step.function.__qualname__}",
        }
        for step in steps
    ]
    table(place, "upcasters", columns, rows)


def _fields(place: Place, cls: type[Event]) -> None:
    columns = [
        Column(name="name", title=place.t("schemas.field"), kind="mono"),
        Column(name="type", title=place.t("schemas.kind")),
        Column(name="default", title=place.t("schemas.default"), kind="mono"),
        Column(name="personal", title=place.t("schemas.personal"), kind="badge", colour=lambda _: "external"),
    ]
    hidden = _personal(cls)
    rows = [
        {
            "name": each["field"],
            "type": each["type"],
            "default": str(each["default"]),
            "personal": place.t("schemas.personal") if each["field"] in hidden else "",
        }
        for each in fields_of(cls)
    ]
    table(place, "fields", columns, rows)
    facts([(place.t("schemas.code"), place.app.registry.code_of([cls]))])


async def _sample(place: Place, name: str, row: dict[str, Any]) -> None:
    """The newest event of the version, if it is not far down."""
    newest = Selection(types=(name,), newest_first=True)
    page = await place.app.storage.read(newest, limit=200)
    event = next((each for each in page if each.schema_version == row["version"]), None)
    if event is None:
        return
    with panel(place.t("schemas.sample", n=row["version"])), ui.element("div").classes("d-two"):
        with ui.element("div"):
            badge(place.t("schemas.stored"), "event")
            tree(place.content(event))
        with ui.element("div"):
            badge(place.t("schemas.read"), _COLOURS[row["key"]])
            if row["key"] == "unreadable":
                ui.label(place.t("schemas.unreadable"))
            else:
                tree(place.upcast(event))
        link(f"{event.stream} · {event.position:,}", place.link("/events/{position}", position=event.position))


SCREEN = Screen(
    path="/schemas",
    title="schemas.title",
    group="govern",
    build=build,
    words={**WORDS, **CHECK_WORDS},
    icon="schema",
    keys="v",
)
DETAIL = Screen(
    path="/schemas/{type}",
    title="schemas.title",
    group="govern",
    build=detail,
    words=WORDS,
    icon="schema",
    listed=False,
)
