"""Events as they come. Many a second are shown as many; what does not fit on a screen is counted."""

from collections import deque
from typing import Any

from nicegui import ui

from daicho.console.parts import Field, code, filters, html, table
from daicho.console.screen import Place, Screen
from daicho.console.screens.event_rows import EVENT_WORDS, event_columns, event_row
from daicho.console.screens.streams import history_tabs
from daicho.console.words import Words
from daicho.ports.event_store import Selection, StoredEvent

__all__ = ["SCREEN", "Tail"]

_EVERY = 0.5
_SHOWN = 60
_AT_ONCE = 1000
_PAGES = 10
WORDS: Words = {
    **EVENT_WORDS,
    "tail.title": ("Live tail", "ライブ"),
    "tail.rate": ("{rate} events/s · {total} since this page was opened", "毎秒 {rate} 件 · 開いてから {total} 件"),
    "tail.skipped": ("{n} too many to show", "{n} 件は表示しきれません"),
    "tail.pause": ("Pause", "一時停止"),
    "tail.resume": ("Go on", "再開"),
    "tail.category": ("Category", "カテゴリ"),
    "tail.waiting": ("Waiting for the next event…", "次のイベントを待っています…"),
}


class Tail:
    """Follows the log. Holds the last few events and two numbers, however many come."""

    def __init__(self, place: Place, position: int, category: str | None) -> None:
        self._place, self._position, self._category = place, position, category
        self.last: deque[StoredEvent] = deque(maxlen=_SHOWN)
        self.total = self.skipped = 0
        self._busy = False

    async def step(self) -> int:
        """Reads what came since; returns how many. Behind by more than a few pages, it goes to the end of them: then
        the ones between are counted by their positions, and not read."""
        if self._busy:
            return 0
        self._busy = True
        try:
            return await self._read()
        finally:
            self._busy = False

    async def _read(self) -> int:
        store = self._place.app.storage
        head, came = await store.head(), 0
        behind = head - self._position
        if behind > _AT_ONCE * _PAGES:
            self.skipped += behind - _AT_ONCE
            self._position = head - _AT_ONCE
        while self._position < head:
            wanted = Selection(category=self._category, after=self._position, up_to=head)
            page = await store.read(wanted, limit=_AT_ONCE)
            self.last.extend(page)
            came += len(page)
            self._position = page[-1].position if len(page) == _AT_ONCE else head
        self.total += came
        return came


async def build(place: Place) -> None:
    history_tabs(place, "tail")
    categories = {name: name for name in sorted(place.app.model.categories)}
    filters(
        place,
        [Field(name="category", label=place.t("tail.category"), kind="select", options=categories)],
    )
    category = place.query.get("category") or None
    head = await place.app.storage.head()
    tail = Tail(place, head, category)
    recent = await place.app.storage.read(Selection(category=category, newest_first=True, up_to=head), limit=20)
    tail.last.extend(reversed(recent))
    rates: deque[int] = deque([0], maxlen=6)
    with ui.element("div").classes("d-row"):
        button = ui.element("button").classes("d-button").props('type="button"')
        with button:
            icon, text = ui.icon("pause"), ui.label(place.t("tail.pause"))
        said = ui.label().classes("d-dim").props('data-live="rate"')
        skipped = html("", tag="span", css="d-badge warn")
    ui.element("div").style("height:10px")
    shown = table(place, "tail", event_columns(place), [])

    def rows() -> list[dict[str, Any]]:
        return [event_row(place, event) for event in reversed(tail.last)]

    def tell() -> None:
        rate = sum(rates) / (len(rates) * _EVERY)
        said.set_text(place.t("tail.rate", rate=f"{rate:,.0f}", total=f"{tail.total:,}"))
        skipped.set_content(place.t("tail.skipped", n=f"{tail.skipped:,}") if tail.skipped else "")
        skipped.set_visibility(bool(tail.skipped))

    async def step() -> None:
        came = await tail.step()
        rates.append(came)
        if came:
            shown.show(rows())
        tell()

    timer = ui.timer(_EVERY, step, immediate=False)

    def toggle() -> None:
        timer.active = not timer.active
        icon.set_name("pause" if timer.active else "play_arrow")
        text.set_text(place.t("tail.pause" if timer.active else "tail.resume"))

    button.on("click", toggle)
    shown.show(rows())
    tell()
    code("daicho tail -f" + (f" --category {category}" if category else ""))


SCREEN = Screen(path="/tail", title="tail.title", group="history", build=build, words=WORDS, under="/streams")
