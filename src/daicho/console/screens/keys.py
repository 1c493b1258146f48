"""API keys: list, make, revoke. A new key is shown once, to whoever made it, and stands nowhere else."""

from datetime import UTC, datetime
from shlex import quote
from typing import Any

from nicegui import ui

from daicho.console.parts import Column, action, code, empty, facts, panel, table, told
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.errors import InvalidMessage
from daicho.http.security.keys import KEY_FILE, ApiKeys, KeyFile, key_row, span
from daicho.settings import Settings

__all__ = ["SCREEN", "key_file_of"]

WORDS: Words = {
    "keys.title": ("API keys", "API キー"),
    "keys.about": (
        "Made at random, shown once, kept as salted hashes. Whoever holds one stands as the actor in every event.",
        "無作為に作り、一度だけ表示し、ソルト付きハッシュで保管します。持ち主の名前が各イベントの実行者になります。",
    ),
    "keys.none": ("There are no keys yet.", "キーはまだありません。"),
    "keys.unused": (
        "This server asks for no keys: it was started without --keys, and answers this machine alone.",
        "このサーバーはキーを求めません（--keys なしで起動し、このマシンにだけ応答します）。",
    ),
    "keys.prefix": ("Public part", "公開部分"),
    "keys.name": ("Name", "名前"),
    "keys.tenant": ("Tenant", "テナント"),
    "keys.scopes": ("Scopes", "スコープ"),
    "keys.state": ("State", "状態"),
    "keys.expires": ("Ends", "期限"),
    "keys.valid": ("valid", "有効"),
    "keys.revoked": ("revoked", "失効済み"),
    "keys.expired": ("expired", "期限切れ"),
    "keys.make": ("Make a key", "キーを作る"),
    "keys.make.scopes": ("Scopes, separated by blanks", "スコープ（空白区切り）"),
    "keys.make.expires": ("Ends after (90d, 12h); empty: never", "期限（90d、12h など。空欄は無期限）"),
    "keys.make.noname": ("A key needs a name.", "名前が必要です。"),
    "keys.made": ("Key {prefix} for {name}.", "{name} のキー {prefix} を作りました。"),
    "keys.once": ("The key is shown now, and never again:", "キーが表示されるのは今だけです："),
    "keys.close": ("I have kept it", "控えました"),
    "keys.revoke": ("Revoke", "失効させる"),
    "keys.revoke.which": ("Revoke a key", "キーを失効させる"),
    "keys.revoke.ask": (
        "Whoever uses it is refused from the next request on.",
        "次のリクエストから、このキーは拒否されます。",
    ),
    "keys.revoked.done": ("Key {prefix} is revoked.", "キー {prefix} を失効させました。"),
    "keys.file": ("File", "ファイル"),
}


def key_file_of(place: Place) -> tuple[KeyFile, bool]:
    """Where keys are, and whether this server asks for them."""
    for authenticator in place.console.settings.authenticators:
        if isinstance(authenticator, ApiKeys):
            return authenticator.file, True
    told_ = {name: value for name, value, _ in place.app.told}
    return KeyFile(told_.get("keys") or Settings().get("keys") or KEY_FILE), False


def build(place: Place) -> None:
    file, is_used = key_file_of(place)
    ui.label(place.t("keys.about")).classes("d-dim d-about")
    if not is_used:
        told(place.t("keys.unused"), "warn", f"daicho run --keys {quote(str(file.path))}")
    facts([(place.t("keys.file"), str(file.path))])
    now = datetime.now(UTC)
    rows = [
        {**row, "key": row["state"], "state": place.t(f"keys.{row['state']}")}
        for row in (key_row(kept, now) for kept in file.read().values())
    ]
    if rows:
        table(place, "keys", _columns(place), rows)
    else:
        empty(place, place.t("keys.none"), fill="daicho key create NAME --scope console:viewer", icon="key_off")
    code("daicho key list")
    with ui.element("div").classes("d-two"):
        with panel(place.t("keys.make")):
            _make(place, file)
        valid = [row for row in rows if row["key"] == "valid"]
        if valid:
            with panel(place.t("keys.revoke.which")):
                for row in valid:
                    _revoke(place, file, row)


def _columns(place: Place) -> list[Column]:
    colours = {"valid": "good", "revoked": "bad", "expired": "warn"}
    return [
        Column(name="prefix", title=place.t("keys.prefix"), kind="mono"),
        Column(
            name="name",
            title=place.t("keys.name"),
            link=lambda row: place.link("/audit", actor=row["name"]),
        ),
        Column(name="tenant", title=place.t("keys.tenant")),
        Column(name="scopes", title=place.t("keys.scopes"), kind="mono"),
        Column(name="state", title=place.t("keys.state"), kind="badge", colour=lambda row: colours[row["key"]]),
        Column(name="expires_at", title=place.t("keys.expires"), kind="time"),
    ]


def _make(place: Place, file: KeyFile) -> None:
    stage = ui.element("div")  # what is built where the question stands goes with it
    inputs: dict[str, ui.input] = {}
    labels = {
        "name": "keys.name",
        "scopes": "keys.make.scopes",
        "tenant": "keys.tenant",
        "expires": "keys.make.expires",
    }
    for name, label in labels.items():
        with ui.element("label").classes("d-field"):
            ui.label(place.t(label))
            inputs[name] = ui.input().props(f'dense outlined autocomplete="off" data-key="{name}"')
    made: list[str] = []

    async def make() -> str:
        given = {name: (box.value or "").strip() for name, box in inputs.items()}
        if not given["name"]:
            raise InvalidMessage(place.t("keys.make.noname"), do="daicho key create NAME", path="$.name")
        now = datetime.now(UTC)
        key, kept = file.create(
            given["name"],
            now=now,
            tenant=given["tenant"] or None,
            scopes=tuple(given["scopes"].split()),
            expires_at=now + span(given["expires"]) if given["expires"] else None,
        )
        made.append(key)  # and not into what is recorded
        return place.t("keys.made", prefix=kept.prefix, name=kept.name)

    action(
        place,
        place.t("keys.make"),
        name="key.create",
        target="keys",
        verb="daicho key create NAME --scope SCOPE --tenant TENANT --expires SPAN",
        needs="admin",
        run=make,
        then=lambda outcome: _shown_once(place, stage, outcome, made.pop()),
        icon="add",
    )


def _shown_once(place: Place, stage: ui.element, outcome: str, key: str) -> None:
    with stage, ui.dialog(value=True).props("persistent"), ui.element("div").classes("d-dialog"):
        ui.label(outcome).classes("d-strong")
        ui.label(place.t("keys.once"))
        code(key, copy=place.t("copy"))
        close = ui.element("button").classes("d-button d-primary").props('type="button" data-kept="1"')
        close.on("click", ui.navigate.reload)
        with close:
            ui.label(place.t("keys.close"))


def _revoke(place: Place, file: KeyFile, row: dict[str, Any]) -> None:
    async def revoke() -> str:
        file.revoke(row["prefix"], datetime.now(UTC))
        return place.t("keys.revoked.done", prefix=row["prefix"])

    with ui.element("div").classes("d-row"):
        ui.label(f"{row['prefix']} · {row['name']}").classes("d-mono")
        ui.element("span").classes("d-space")
        action(
            place,
            place.t("keys.revoke"),
            name="key.revoke",
            target=row["prefix"],
            verb=f"daicho key revoke {row['prefix']}",
            needs="admin",
            run=revoke,
            icon="block",
            is_dangerous=True,
            ask=place.t("keys.revoke.ask"),
        )


SCREEN = Screen(
    path="/keys", title="keys.title", group="govern", build=build, words=WORDS, needs="admin", icon="vpn_key"
)
