"""Where what was typed into the search leads."""

from nicegui import ui

from daicho.console.parts import anchor, empty, heading
from daicho.console.screen import Place, Screen
from daicho.console.words import Words
from daicho.core.ids import is_uuid
from daicho.ports.event_store import Selection

__all__ = ["SCREEN"]

WORDS: Words = {"search.title": ("Search", "検索")}
_MOST = 20


async def build(place: Place) -> str | None:
    typed = place.query.get("q", "").strip()[:300]
    found = await _found(place, typed)
    heading(place.t("search.title"), 1)
    if not found:
        empty(place, place.t("shell.search.nothing"), icon="search_off")
        return None
    with ui.element("div").classes("d-panel d-stack"):
        for text, target in found:
            anchor(text, target).classes("d-link")
    return found[0][1] if len(found) == 1 else None


async def _found(place: Place, typed: str) -> list[tuple[str, str]]:
    if not typed:
        return []
    store, found = place.app.storage, list[tuple[str, str]]()
    if is_uuid(typed.lower()):
        wanted = typed.lower()
        if events := await store.read(Selection(event_id=wanted), limit=1):
            text = place.t("shell.search.event", what=events[0].type)
            found.append((text, place.link("/events/{position}", position=events[0].position)))
        if correlation := await place.app.history.correlation_of(wanted):
            text = place.t("shell.search.flow", what=correlation)
            found.append((text, place.link("/flow/{reference}", reference=correlation)))
        return found
    if typed.isdecimal() and await store.read(Selection(after=int(typed) - 1, up_to=int(typed)), limit=1):
        found.append((place.t("shell.search.event", what=typed), place.link("/events/{position}", position=typed)))
    names = [typed] if "-" in typed else [f"{category}-{typed}" for category in place.app.model.categories]
    for name in names:
        itself = [name] if await store.stream_version(name) else []
        for stream in (*itself, *(each for each, _ in await store.streams(None, after=name, limit=_MOST))):
            if stream.startswith(name):
                text = place.t("shell.search.stream", what=stream)
                found.append((text, place.link("/streams/{stream}", stream=stream)))
    return found[:_MOST]


SCREEN = Screen(path="/search", title="search.title", group="now", build=build, words=WORDS, listed=False)
