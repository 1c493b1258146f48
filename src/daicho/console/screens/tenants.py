"""Tenants: whose events these are, and which keys are theirs."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from daicho.console.parts import Column, code, empty, table, told
from daicho.console.screen import Place, Screen
from daicho.console.screens.keys import key_file_of
from daicho.console.words import Words
from daicho.core.streams import category_of
from daicho.ports.event_store import Selection

__all__ = ["SCREEN"]

_PAGE = 1000
_MOST = 10_000

WORDS: Words = {
    "tenants.title": ("Tenants", "テナント"),
    "tenants.apart": (
        "Tenants are kept apart: a stream belongs to the tenant of its first event, and is hidden from the others.",
        "テナントは分離されています。ストリームは最初のイベントのテナントに属し、他からは見えません。",
    ),
    "tenants.noted": (
        "Tenants are only noted in events, not kept apart.",
        "テナントはイベントに記されるだけで、分離されていません。",
    ),
    "tenants.noted.do": (
        "App(..., tenancy=Tenancy()) keeps them apart.",
        "App(..., tenancy=Tenancy()) で分離できます。",
    ),
    "tenants.none": ("No event among the newest {n} names a tenant.", "直近 {n} 件のイベントにテナントはありません。"),
    "tenants.counted": ("Counted over the newest {n} events.", "直近 {n} 件のイベントでの集計です。"),
    "tenants.tenant": ("Tenant", "テナント"),
    "tenants.nobody": ("(none)", "（なし）"),
    "tenants.events": ("Events", "イベント"),
    "tenants.streams": ("Streams", "ストリーム"),
    "tenants.actors": ("Actors", "実行者"),
    "tenants.categories": ("Categories", "カテゴリー"),
    "tenants.newest": ("Newest", "最新"),
    "tenants.keys": ("API keys", "API キー"),
}


async def build(place: Place) -> None:
    if place.app.options["tenancy"]:
        told(place.t("tenants.apart"), "good")
    else:
        told(place.t("tenants.noted"), "warn", place.t("tenants.noted.do"))
    rows, seen = await _rows(place)
    if not any(row["key"] for row in rows):
        empty(place, place.t("tenants.none", n=f"{seen:,}"), fill="daicho send NAME --tenant TENANT", icon="apartment")
        return
    columns = [
        Column(
            name="tenant",
            title=place.t("tenants.tenant"),
            link=lambda row: place.link("/audit", tenant=row["key"]) if row["key"] else None,
        ),
        Column(name="events", title=place.t("tenants.events"), kind="number"),
        Column(name="streams", title=place.t("tenants.streams"), kind="number"),
        Column(name="actors", title=place.t("tenants.actors"), kind="number"),
        Column(name="categories", title=place.t("tenants.categories"), kind="mono"),
        Column(name="newest", title=place.t("tenants.newest"), kind="time"),
        Column(name="keys", title=place.t("tenants.keys"), kind="number", link=lambda _: place.link("/keys")),
    ]
    table(place, "tenants", columns, rows)
    ui.label(place.t("tenants.counted", n=f"{seen:,}")).classes("d-dim")
    code("daicho get events --newest --tenant TENANT")


async def _rows(place: Place) -> tuple[list[dict[str, Any]], int]:
    """By tenant, over the newest events: a store has no list of tenants."""
    counted, streams, actors = Counter[str](), dict[str, set[str]](), dict[str, set[str]]()
    newest, seen, up_to = dict[str, str](), 0, None
    while seen < _MOST:
        page = await place.app.storage.read(Selection(newest_first=True, up_to=up_to), limit=_PAGE)
        for event in page:
            tenant = event.tenant or ""
            counted[tenant] += 1
            streams.setdefault(tenant, set()).add(event.stream)
            actors.setdefault(tenant, set()).add(event.actor or "")
            newest.setdefault(tenant, event.occurred_at)
        seen += len(page)
        if len(page) < _PAGE:
            break
        up_to = page[-1].position - 1
    keys = _keys(place)
    for tenant in keys:
        counted.setdefault(tenant, 0)
    return [
        {
            "key": tenant,
            "tenant": tenant or place.t("tenants.nobody"),
            "events": count,
            "streams": len(streams.get(tenant, ())),
            "actors": len(actors.get(tenant, set()) - {""}),
            "categories": ", ".join(sorted({category_of(stream) for stream in streams.get(tenant, ())})),
            "newest": newest.get(tenant),
            "keys": keys.get(tenant, 0),
        }
        for tenant, count in sorted(counted.items())
    ], seen


def _keys(place: Place) -> Counter[str]:
    """Valid keys of each tenant."""
    now = datetime.now(UTC)
    kept = key_file_of(place)[0].read().values()
    return Counter(key.tenant for key in kept if key.tenant and key.state(now) == "valid")


SCREEN = Screen(
    path="/tenants", title="tenants.title", group="govern", build=build, words=WORDS, needs="admin", icon="apartment"
)
