"""Whether the code at hand reads what was released, by the lock beside it, and what is really stored."""

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from nicegui import ui

from daicho.app import App
from daicho.console.parts import action, code, link, panel, problem, told
from daicho.console.parts.chart import bar
from daicho.console.screen import Place
from daicho.console.words import Words
from daicho.core.errors import ConfigurationError
from daicho.ports.storage import Finding
from daicho.schemas import LOCK, VersionRead, examined, read_lock, verified

__all__ = ["CHECK_WORDS", "checks"]

_SAMPLE = 1000
_MOST = 20
"""Findings that are told one by one."""
CHECK_WORDS: Words = {
    "checks.released": ("What was released", "リリース済みの形"),
    "checks.nolock": (
        "There is no lock at {file}. This line makes one:",
        "{file} にロックがありません。次の行で作成できます。",
    ),
    "checks.held": (
        "The lock holds {n} versions, and this code reads all of them.",
        "ロックにある {n} バージョンは、すべて現在のコードで読めます。",
    ),
    "checks.broken": (
        "Problems with {n} of {all} versions.",
        "{all} バージョンのうち {n} バージョンに問題があります。",
    ),
    "checks.more": ("And {n} more.", "ほかに {n} 件あります。"),
    "checks.stored": ("What is stored", "保存済みのイベント"),
    "checks.lead": (
        "Reads the newest {n} events of each version with this code, and tells which cannot be read.",
        "各バージョンの新しい順に最大 {n} 件を現在のコードで読み、読めないものを示します。",
    ),
    "checks.verify": ("Verify", "検証"),
    "checks.verify.ask": ("It takes a moment. Nothing is changed.", "少し時間がかかります。何も変更しません。"),
    "checks.working": (
        "{done} of {total} events read, {looked} looked at",
        "{total} 件中 {done} 件を読み取り済み（走査 {looked} 件）",
    ),
    "checks.fine": (
        "All can be read: {events} events of {n} versions.",
        "すべて読めます：{n} バージョン、{events} 件。",
    ),
    "checks.rest": (
        "All others can be read: {events} events of {n} versions.",
        "ほかはすべて読めます：{n} バージョン、{events} 件。",
    ),
    "checks.failed": (
        "{name} version {version}: {failed} of {count} cannot be read",
        "{name} バージョン {version}：{count} 件中 {failed} 件が読めません",
    ),
    "checks.newest": ("The newest of them, at position {n}", "そのうち最新のもの（位置 {n}）"),
}


async def checks(place: Place) -> None:
    """Two panels beside each other."""
    with ui.element("div").classes("d-two"):
        with panel(place.t("checks.released")):
            await _released(place)
        with panel(place.t("checks.stored")):
            _stored(place)


# -- what was released ------------------------------------------------------------------------------------------------


async def _released(place: Place) -> None:
    lock = place.console.settings.lock
    option = "" if lock == Path(LOCK) else f" --file {shlex.quote(str(lock))}"
    try:
        findings = await asyncio.to_thread(_findings, place.app, lock)
    except ConfigurationError as error:
        problem(place, error)
        return
    if findings is None:
        ui.label(place.t("checks.nolock", file=lock)).classes("d-dim")
        code(f"daicho schema lock{option}")
        return
    wrong = [found for found in findings if not found.ok]
    if wrong:
        told(place.t("checks.broken", all=f"{len(findings):,}", n=f"{len(wrong):,}"), "bad")
    else:
        told(place.t("checks.held", n=f"{len(findings):,}"), "good")
    for found in wrong[:_MOST]:
        with told(found.what, "warn", found.detail):
            ui.label(f"{place.t('problem.do')}: {found.do}")
    _more(place, len(wrong))
    code(f"daicho schema check{option}")


def _findings(app: App, lock: Path) -> list[Finding] | None:
    """In a thread: it reads a file, and goes through every class. None without a lock."""
    return examined(app, read_lock(lock)) if lock.exists() else None


def _more(place: Place, count: int) -> None:
    if count > _MOST:
        ui.label(place.t("checks.more", n=f"{count - _MOST:,}")).classes("d-dim")


# -- what is stored ---------------------------------------------------------------------------------------------------


def _stored(place: Place) -> None:
    ui.label(place.t("checks.lead", n=f"{_SAMPLE:,}")).classes("d-dim d-about")
    row, said = ui.element("div").classes("d-row"), ui.element("div").style("margin-top:12px")

    def working(done: int, total: int, looked: int) -> None:
        if said.is_deleted:
            return
        said.clear()
        with said:
            bar(done / total if total else 1.0, "")
            counts = {"done": f"{done:,}", "total": f"{total:,}", "looked": f"{looked:,}"}
            ui.label(place.t("checks.working", **counts)).classes("d-dim")

    async def verify() -> str:
        found = await verified(place.app.storage, place.app.registry, sample=_SAMPLE, told=working)
        if not said.is_deleted:
            said.clear()
            with said:
                _show(place, found)
        events, failed = sum(each.count for each in found), sum(each.failed for each in found)
        return f"{events:,} events of {len(found)} versions read; {failed:,} cannot be"

    with row:
        action(
            place,
            place.t("checks.verify"),
            name="schema.verify",
            target="events",
            verb=f"daicho schema verify --sample {_SAMPLE}",
            needs="audit",
            run=verify,
            then=_stay,
            icon="fact_check",
            ask=place.t("checks.verify.ask"),
        )


def _stay(outcome: str) -> None:
    """The page is not loaded again."""


def _show(place: Place, found: Sequence[VersionRead]) -> None:
    failed, fine = [each for each in found if each.failed], [each for each in found if not each.failed]
    for each in failed[:_MOST]:
        counts = {"failed": f"{each.failed:,}", "count": f"{each.count:,}"}
        text = place.t("checks.failed", name=each.type, version=each.version, **counts)
        error = each.error if place.viewer.payloads == "full" else each.error.partition(":")[0]
        with told(text, "bad", error):
            ui.label(f"{place.t('problem.do')}: {each.do}")
            position = each.position or 0
            link(
                place.t("checks.newest", n=f"{position:,}"),
                place.link("/events/{position}", position=position),
            )
    _more(place, len(failed))
    events = f"{sum(each.count for each in fine):,}"
    if not failed:
        told(place.t("checks.fine", events=events, n=f"{len(fine):,}"), "good")
    elif fine:
        ui.label(place.t("checks.rest", events=events, n=f"{len(fine):,}")).classes("d-dim")
