"""How this process runs, and who said so: settings with their origins, what the code said, and the parts of the App."""

from typing import cast

from nicegui import ui

from daicho.console.parts import Column, code, panel, table
from daicho.console.screen import Place, Screen
from daicho.console.words import Words

__all__ = ["SCREEN"]

WORDS: Words = {
    "configuration.title": ("Configuration", "設定"),
    "configuration.about": (
        "File, then environment, then command line: the later wins. Passwords are left out.",
        "ファイル、環境変数、コマンドラインの順に、後のものが優先されます。パスワードは表示しません。",
    ),
    "configuration.settings": ("Settings", "設定値"),
    "configuration.untold": (
        "This App was not loaded by daicho run: it reads no settings, and is what its code says.",
        "この App は daicho run で読み込まれたものではありません。設定は読まず、コードのとおりに動きます。",
    ),
    "configuration.code": ("What the code says: App(...)", "コードの指定：App(...)"),
    "configuration.store": ("The store", "ストア"),
    "configuration.parts": ("Parts", "部品"),
    "configuration.name": ("Setting", "設定"),
    "configuration.value": ("Value", "値"),
    "configuration.origin": ("From", "由来"),
    "configuration.unset": ("not set", "未設定"),
    "configuration.kind": ("Kind", "種類"),
    "configuration.count": ("How many", "数"),
    "configuration.names": ("Names", "名前"),
    "configuration.aggregates": ("Aggregates and deciders", "集約と決定子"),
    "configuration.reactions": ("Event handlers", "イベントハンドラー"),
    "configuration.projections": ("Projections", "投影"),
    "configuration.processes": ("Process managers", "プロセスマネージャー"),
    "configuration.queries": ("Queries", "クエリ"),
    "configuration.tables": ("Crud tables", "Crud テーブル"),
    "configuration.upcasters": ("Upcasters", "アップキャスター"),
}


def build(place: Place) -> None:
    ui.label(place.t("configuration.about")).classes("d-dim d-about")
    with panel(place.t("configuration.settings")):
        _settings(place)
    with ui.element("div").classes("d-two"):
        with panel(place.t("configuration.code")):
            _pairs(place, "options", {key: _text(value) for key, value in place.app.options.items()})
        with panel(place.t("configuration.store")):
            _pairs(place, "store", {key: _text(value) for key, value in place.app.storage.describe().items()})
    with panel(place.t("configuration.parts")):
        _parts(place)


def _settings(place: Place) -> None:
    if not place.app.told:
        ui.label(place.t("configuration.untold"))
        return
    columns = [
        Column(name="setting", title=place.t("configuration.name"), kind="mono"),
        Column(name="value", title=place.t("configuration.value"), kind="mono"),
        Column(
            name="origin",
            title=place.t("configuration.origin"),
            kind="badge",
            colour=lambda row: "" if row["unset"] else "policy",
        ),
    ]
    rows = [
        {
            "setting": name,
            "value": value or "",
            "origin": place.t("configuration.unset") if value is None else origin,
            "unset": value is None,
        }
        for name, value, origin in place.app.told
    ]
    rows.sort(key=lambda row: bool(row["unset"]))
    table(place, "settings", columns, rows)
    code("daicho config --origin")


def _pairs(place: Place, name: str, pairs: dict[str, str]) -> None:
    columns = [
        Column(name="name", title=place.t("configuration.name"), kind="mono"),
        Column(name="value", title=place.t("configuration.value"), kind="mono"),
    ]
    table(place, name, columns, [{"name": key, "value": value} for key, value in pairs.items()])


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in cast("dict[str, object]", value).items())
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in cast("list[object]", value))
    return "" if value is None else str(value)


def _parts(place: Place) -> None:
    model = place.app.model
    found = {
        "aggregates": sorted(model.categories),
        "reactions": sorted(reaction.name for reaction in model.reactions),
        "projections": sorted(fold.name for fold in model.folds),
        "processes": sorted(process.name for process in model.processes),
        "queries": sorted(query.__message_name__ for query in model.queries),
        "tables": sorted(crud.name for crud in model.cruds),
        "upcasters": sorted(f"{step.type} v{step.version}" for step in model.upcasters),
    }
    columns = [
        Column(name="kind", title=place.t("configuration.kind")),
        Column(name="count", title=place.t("configuration.count"), kind="number"),
        Column(name="names", title=place.t("configuration.names"), kind="mono"),
    ]
    rows = [
        {"kind": place.t(f"configuration.{kind}"), "count": len(names), "names": ", ".join(names)}
        for kind, names in found.items()
    ]
    table(place, "parts", columns, rows)
    code("daicho describe --help")


SCREEN = Screen(
    path="/configuration",
    title="configuration.title",
    group="govern",
    build=build,
    words=WORDS,
    needs="admin",
    icon="tune",
)
